/* SPDX-License-Identifier: Apache-2.0 */
/* The trailer of a stream as JSON: counts, digests of the inputs, checksum, index. */
#include <inttypes.h>
#include <string.h>

#include "stream/format.h"

/* Omits "notes" when there are none, so that such a trailer is the same as before notes existed. */
static void put_notes(const struct stream_tally *t, struct buf *b)
{
    if (!t->nnotes) return;
    buf_puts(b, ",\"notes\":");
    for (size_t i = 0; i < t->nnotes; i++)
        buf_printf(b, "%c\"%s\":%" PRIu64, i ? ',' : '{', t->notes[i].name, t->notes[i].n);
    buf_putc(b, '}');
}

void trailer_write(const struct stream_tally *t, struct buf *b)
{
    buf_printf(b, "{\"records\":%" PRIu64 ",\"samples\":%" PRIu64 ",\"tokens\":%" PRIu64,
               t->records, t->samples, t->tokens);
    buf_printf(b, ",\"label_tokens\":%" PRIu64 ",\"checksum\":\"%016" PRIx64 "\",\"inputs\":[",
               t->label_tokens, t->checksum);
    for (size_t i = 0; i < t->ninputs; i++) buf_printf(b, "%s\"%s\"", i ? "," : "", t->inputs[i]);
    buf_puts(b, "]");
    put_notes(t, b);
    buf_puts(b, ",\"index\":[");
    for (size_t i = 0; i < t->nframes; i++)
        buf_printf(b, "%s[%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]", i ? "," : "", t->frames[i].bytes,
                   t->frames[i].content, t->frames[i].records);
    buf_puts(b, "]}\n");
}

static int bad(struct err *e, const char *key)
{
    return err_set(e, ERR_DATA, "trailer: \"%s\" is missing or malformed", key);
}

static int get_count(const struct json *j, uint64_t *v)
{
    int64_t i;
    if (!j || j->kind != JSON_NUMBER || json_int(j, &i) || i < 0) return -1;
    *v = (uint64_t)i;
    return 0;
}

static bool is_hex(const struct json *j, size_t n)
{
    if (!j || j->kind != JSON_STRING || j->s.n != n) return false;
    for (size_t i = 0; i < n; i++)
        if (!memchr("0123456789abcdef", j->s.p[i], 16)) return false;
    return true;
}

static int get_checksum(const struct json *o, uint64_t *v, struct err *e)
{
    const struct json *j = json_get(o, "checksum");
    if (!is_hex(j, 16)) return bad(e, "checksum");
    *v = 0;
    for (size_t i = 0; i < 16; i++) {
        char c = j->s.p[i];
        *v = *v << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return 0;
}

static int get_inputs(const struct json *o, struct stream_tally *t, struct err *e)
{
    const struct json *j = json_get(o, "inputs");
    if (!j || j->kind != JSON_ARRAY) return bad(e, "inputs");
    for (size_t i = 0; i < j->count; i++) {
        if (!is_hex(&j->items[i], HASH128_HEX - 1)) return bad(e, "inputs");
        if (tally_input(t, j->items[i].s.p, e)) return -1;
    }
    return 0;
}

static int get_notes(const struct json *o, struct stream_tally *t, struct err *e)
{
    const struct json *j = json_get(o, "notes");
    uint64_t n;
    if (!j) return 0;
    if (j->kind != JSON_OBJECT || j->count > STREAM_NOTES_MAX) return bad(e, "notes");
    for (size_t i = 0; i < j->count; i++) {
        if (get_count(&j->items[i], &n) || n == 0) return bad(e, "notes");
        if (tally_note(t, j->keys[i], n, e)) return e->code == ERR_MEMORY ? -1 : bad(e, "notes");
    }
    return 0;
}

static int get_index(const struct json *o, struct stream_tally *t, struct err *e)
{
    const struct json *j = json_get(o, "index");
    if (!j || j->kind != JSON_ARRAY) return bad(e, "index");
    for (size_t i = 0; i < j->count; i++) {
        const struct json *x = &j->items[i];
        struct stream_frame f;
        if (x->kind != JSON_ARRAY || x->count != 3 || get_count(&x->items[0], &f.bytes) ||
            get_count(&x->items[1], &f.content) || get_count(&x->items[2], &f.records))
            return bad(e, "index");
        if (tally_frame(t, &f, e)) return -1;
    }
    return 0;
}

static int parse(const struct json *o, struct stream_tally *t, struct err *e)
{
    const struct {
        const char *key;
        uint64_t *to;
    } counts[] = {{"records", &t->records},
                  {"samples", &t->samples},
                  {"tokens", &t->tokens},
                  {"label_tokens", &t->label_tokens}};
    if (o->kind != JSON_OBJECT) return bad(e, "records");
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (get_count(json_get(o, counts[i].key), counts[i].to)) return bad(e, counts[i].key);
    if (get_checksum(o, &t->checksum, e) || get_inputs(o, t, e) || get_notes(o, t, e)) return -1;
    return get_index(o, t, e);
}

int trailer_parse(const char *json, size_t n, struct stream_tally *t, struct err *e)
{
    struct arena a = {.max = (size_t)4 << 30};
    *t = (struct stream_tally){0};
    const struct json *o = json_parse(json, n, &a, e);
    int rc = o ? parse(o, t, e) : err_prefix(e, "trailer");
    if (rc) tally_free(t);
    arena_free(&a);
    return rc;
}

int trailer_check(struct stream_tally *counted, struct stream_tally *stored, struct err *e)
{
    const struct {
        const char *what;
        bool same;
    } checks[] = {
        {"records", counted->records == stored->records},
        {"samples", counted->samples == stored->samples},
        {"tokens", counted->tokens == stored->tokens},
        {"label_tokens", counted->label_tokens == stored->label_tokens},
        {"checksum", counted->checksum == stored->checksum},
        {"index",
         counted->nframes == stored->nframes &&
             (counted->nframes == 0 || memcmp(counted->frames, stored->frames,
                                              counted->nframes * sizeof *counted->frames) == 0)},
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (!checks[i].same)
            return err_set(e, ERR_DATA, "trailer: \"%s\" does not match the records",
                           checks[i].what);
    counted->inputs = stored->inputs;
    counted->ninputs = stored->ninputs;
    stored->inputs = NULL;
    counted->notes = stored->notes;
    counted->nnotes = stored->nnotes;
    stored->notes = NULL;
    return 0;
}
