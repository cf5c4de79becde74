/* SPDX-License-Identifier: Apache-2.0 */
/* Paints a record for a terminal. The text is untrusted, so control characters are shown as
 * symbols.
 */
#include <inttypes.h>

#include "view.h"

static const char trained_on[] = "\033[4;32m", untrained_on[] = "\033[2m", off[] = "\033[0m";

/* Returns the length of the printable UTF-8 sequence at p; 0 for a control character and for bytes
 * that are not UTF-8. */
static size_t printable(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80) return p[0] >= 0x20 && p[0] != 0x7f;
    size_t k = p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc2 ? 2 : 0;
    if (p[0] >= 0xf5 || k == 0 || k > n) return 0;
    for (size_t i = 1; i < k; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if (p[0] == 0xc2 && p[1] < 0xa0) return 0;                   /* C1 controls */
    if (p[0] == 0xe2 && p[1] == 0x80 && (p[2] & 0xfe) != 0xa8 && /* not LINE SEPARATOR */
        ((p[2] >= 0x8e && p[2] <= 0x8f) || (p[2] >= 0xaa && p[2] <= 0xae)))
        return 0; /* marks that reverse the direction of text */
    return k;
}

static void put_control(struct buf *b, unsigned char c)
{
    if (c < 0x20)
        buf_printf(b, "\xe2\x90%c", 0x80 + c); /* U+2400 + c: its symbol */
    else
        buf_puts(b, c == 0x7f ? "\xe2\x90\xa1" : "\xef\xbf\xbd");
}

/* Appends text. paint: the colour to restore after each line break, or NULL. */
static void put_text(struct buf *b, const char *text, size_t n, const char *paint)
{
    const unsigned char *p = (const unsigned char *)text;
    for (size_t i = 0, k; i < n; i += k) {
        k = printable(p + i, n - i);
        if (k) {
            buf_add(b, p + i, k);
            continue;
        }
        k = 1;
        if (p[i] == '\n' && paint)
            buf_printf(b, "%s\n%s", off, paint);
        else if (p[i] == '\n' || p[i] == '\t')
            buf_putc(b, (char)p[i]);
        else
            put_control(b, p[i]);
    }
}

static void put_rule(struct buf *b, bool color, const struct stream_sample *s, uint32_t i,
                     uint32_t of)
{
    buf_puts(b, color ? "\033[36m" : "");
    buf_printf(b, "\xe2\x94\x80\xe2\x94\x80 sample %" PRIu32 " of %" PRIu32, i + 1, of);
    buf_printf(b,
               " \xc2\xb7 file %" PRIu32 " row %" PRIu64 " \xc2\xb7 %" PRIu32 " tokens, %" PRIu32
               " trained \xe2\x94\x80\xe2\x94\x80%s\n",
               s->source.file, s->source.row, s->n, stream_labels(s).n, color ? off : "");
}

/* Paints consecutive trained or untrained runs together. */
static int put_sample(struct buf *b, bool color, const struct stream_sample *s,
                      const struct tokenizer *t, struct err *e)
{
    struct buf text = {0};
    int rc = 0;
    for (uint32_t r = 0, at = 0; r < s->nruns && rc == 0;) {
        bool trained = s->runs[r].weight > 0;
        buf_reset(&text);
        for (; r < s->nruns && (s->runs[r].weight > 0) == trained; r++)
            for (uint32_t end = at + s->runs[r].n; at < end && rc == 0; at++)
                rc = tokenizer_token_bytes(t, s->ids[at], &text, e);
        const char *paint = color ? trained ? trained_on : untrained_on : NULL;
        buf_puts(b, paint ? paint : trained ? "\xe2\x9f\xa6" : "");
        put_text(b, text.data, text.len, paint);
        buf_puts(b, paint ? off : trained ? "\xe2\x9f\xa7" : "");
    }
    if (b->len && b->data[b->len - 1] != '\n') buf_putc(b, '\n');
    if (rc == 0) rc = buf_check(&text, e);
    buf_free(&text);
    return rc;
}

/* Paints a field of a conversation beside its messages (tools, kwargs): a heading, then JSON. */
static void put_beside(struct buf *b, bool color, const char *name, struct str json)
{
    if (!json.n) return;
    buf_printf(b, "%s\xe2\x94\x80\xe2\x94\x80 %s \xe2\x94\x80\xe2\x94\x80%s\n",
               color ? "\033[36m" : "", name, color ? off : "");
    put_text(b, json.p, json.n, NULL);
    buf_putc(b, '\n');
}

static void put_turns(struct buf *b, bool color, const struct stream_record *rec)
{
    put_beside(b, color, "tools", rec->tools);
    put_beside(b, color, "chat_template_kwargs", rec->kwargs);
    for (uint32_t i = 0; i < rec->nmessages; i++) {
        const struct stream_message *m = &rec->messages[i];
        buf_puts(b, color ? "\033[36m" : "");
        buf_puts(b, "\xe2\x94\x80\xe2\x94\x80 ");
        put_text(b, m->role.text.p, m->role.text.n, NULL);
        buf_printf(b, " \xc2\xb7 %" PRIu32 " tokens \xe2\x94\x80\xe2\x94\x80%s\n", m->content.nids,
                   color ? off : "");
        if (m->content.text.n) put_text(b, m->content.text.p, m->content.text.n, NULL);
        if (m->content.text.n) buf_putc(b, '\n');
        if (m->extra.n) put_text(b, m->extra.p, m->extra.n, NULL);
        if (m->extra.n) buf_putc(b, '\n');
    }
}

int view_paint(const struct stream_record *rec, uint64_t number, const struct tokenizer *t,
               bool color, struct buf *b, struct err *e)
{
    buf_printf(b, "record %" PRIu64, number);
    if (rec->kind == STREAM_PACKED) buf_printf(b, ", step %" PRIu64, rec->step);
    if (rec->kind == STREAM_TURNS)
        buf_printf(b, ", file %" PRIu32 " row %" PRIu64, rec->source.file, rec->source.row);
    buf_putc(b, '\n');
    if (rec->kind == STREAM_TURNS) put_turns(b, color, rec);
    for (uint32_t i = 0; i < rec->nsamples; i++) {
        put_rule(b, color, &rec->samples[i], i, rec->nsamples);
        if (put_sample(b, color, &rec->samples[i], t, e)) return -1;
    }
    return buf_check(b, e);
}
