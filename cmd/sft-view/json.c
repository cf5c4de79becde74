/* SPDX-License-Identifier: Apache-2.0 */
/* Writes records as JSON Lines. */
#include <inttypes.h>
#include <string.h>

#include "base/num.h"
#include "view.h"

enum { DIGITS = 11 }; /* the most bytes of a number and its comma */

/* Writes v and a comma at p. Returns the end. */
static char *write_number(char *p, uint32_t v)
{
    char t[DIGITS], *q = t + sizeof t;
    *--q = ',';
    do *--q = (char)('0' + v % 10);
    while (v /= 10);
    size_t n = (size_t)(t + sizeof t - q);
    memcpy(p, q, n);
    return p + n;
}

/* Ends a list at p: truncates the buffer, removes the last comma and appends "]". */
static void close_list(struct buf *b, char *p)
{
    b->len = (size_t)(p - b->data);
    if (b->data[b->len - 1] == ',') b->len--;
    buf_putc(b, ']');
}

/* Appends the ids or the labels. A label is -100 for a token without loss, as in transformers;
 * labels are not shifted. */
static void put_tokens(const struct stream_record *rec, bool labels, struct buf *b)
{
    size_t n = 0;
    for (uint32_t i = 0; i < rec->nsamples; i++) n += rec->samples[i].n;
    char *p = buf_room(b, n * DIGITS); /* no overflow: a record has at most 256 MiB */
    if (!p) return;
    for (uint32_t i = 0; i < rec->nsamples; i++) {
        const struct stream_sample *s = &rec->samples[i];
        for (uint32_t r = 0, t = 0; r < s->nruns; r++) {
            bool hidden = labels && !(s->runs[r].weight > 0);
            for (uint32_t end = t + s->runs[r].n; t < end; t++) {
                if (!hidden) p = write_number(p, s->ids[t]);
                if (hidden) p = (char *)memcpy(p, "-100,", 5) + 5;
            }
        }
    }
    close_list(b, p);
}

static bool has_weights(const struct stream_record *rec)
{
    for (uint32_t i = 0; i < rec->nsamples; i++)
        for (uint32_t r = 0; r < rec->samples[i].nruns; r++) {
            float w = rec->samples[i].runs[r].weight;
            if (w != 0 && w != 1) return true;
        }
    return false;
}

static void put_weights(const struct stream_record *rec, struct buf *b)
{
    char t[NUM_TEXT + 1];
    buf_puts(b, ",\"weights\":[");
    for (uint32_t i = 0; i < rec->nsamples; i++)
        for (uint32_t r = 0; r < rec->samples[i].nruns; r++) {
            const struct stream_run *run = &rec->samples[i].runs[r];
            num_text((double)run->weight, true, t);
            size_t n = strlen(t);
            t[n++] = ',';
            for (uint32_t k = 0; k < run->n; k++) buf_add(b, t, n);
        }
    if (!b->failed) close_list(b, b->data + b->len);
}

static void put_samples(const struct stream_record *rec, struct buf *b)
{
    buf_puts(b, "{\"ids\":[");
    put_tokens(rec, false, b);
    buf_puts(b, ",\"labels\":[");
    put_tokens(rec, true, b);
    if (has_weights(rec)) put_weights(rec, b);
    buf_puts(b, ",\"source\":[");
    for (uint32_t i = 0; i < rec->nsamples; i++)
        buf_printf(b, "%s[%" PRIu32 ",%" PRIu64 "]", i ? "," : "", rec->samples[i].source.file,
                   rec->samples[i].source.row);
    buf_putc(b, ']');
    if (rec->kind != STREAM_PACKED) return;
    buf_puts(b, ",\"starts\":[");
    for (uint32_t i = 0, at = 0; i < rec->nsamples; at += rec->samples[i++].n)
        buf_printf(b, "%s%" PRIu32, i ? "," : "", at);
    buf_printf(b, "],\"step\":%" PRIu64, rec->step);
}

/* Appends the members of `extra`, a JSON object, after role and content. */
static void put_message(const struct stream_message *m, struct buf *b)
{
    buf_puts(b, "{\"role\":");
    buf_json(b, m->role.text);
    if (m->content.text.p) {
        buf_puts(b, ",\"content\":");
        buf_json(b, m->content.text);
    }
    if (m->extra.n > 2) {
        buf_putc(b, ',');
        buf_add(b, m->extra.p + 1, m->extra.n - 1);
    } else {
        buf_putc(b, '}');
    }
}

static void put_turns(const struct stream_record *rec, struct buf *b)
{
    buf_puts(b, "{\"messages\":[");
    for (uint32_t i = 0; i < rec->nmessages; i++) {
        if (i) buf_putc(b, ',');
        put_message(&rec->messages[i], b);
    }
    buf_putc(b, ']');
    if (rec->tools.n) {
        buf_puts(b, ",\"tools\":");
        buf_str(b, rec->tools);
    }
    if (rec->kwargs.n) {
        buf_puts(b, ",\"chat_template_kwargs\":");
        buf_str(b, rec->kwargs);
    }
    buf_printf(b, ",\"source\":[[%" PRIu32 ",%" PRIu64 "]]", rec->source.file, rec->source.row);
}

void view_json(const struct stream_record *rec, struct buf *b)
{
    if (rec->kind == STREAM_TURNS)
        put_turns(rec, b);
    else
        put_samples(rec, b);
    buf_puts(b, "}\n");
}
