/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a stream as JSON: its kind, its tokenizer, and the stages that made it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/version.h"
#include "stream/format.h"

static const char *const kind_names[] = {"turns", "samples", "packed"};
static const char *const mode_names[] = {
    [PACK_BATCH] = "batch", [PACK_DENSE] = "dense", [PACK_NONE] = "none"};
enum { MODES = sizeof mode_names / sizeof *mode_names };
static const char *const kind_makers[] = {"sft-tokenize", "sft-template", "sft-pack"};

const char *stream_kind_name(enum stream_kind kind) { return kind_names[kind]; }
const char *stream_kind_maker(enum stream_kind kind) { return kind_makers[kind]; }

const char *stream_mode_name(enum pack_mode mode) { return mode_names[mode]; }

int stream_mode_find(const char *name, enum pack_mode *mode)
{
    for (int i = 0; i < MODES; i++)
        if (strcmp(name, mode_names[i]) == 0) return *mode = (enum pack_mode)i, 0;
    return -1;
}

void stream_header_free(struct stream_header *h) { buf_free(&h->stages); }

int stream_add_stage(struct stream_header *h, const char *command, const char *options,
                     struct err *e)
{
    struct buf *b = &h->stages;
    buf_printf(b, "%s{\"command\":\"%s\",\"version\":\"%s\"", b->len ? "," : "", command,
               sft_version);
    if (*options) buf_putc(b, ',');
    buf_puts(b, options);
    buf_putc(b, '}');
    return buf_check(b, e);
}

static void put_plan(const struct stream_header *h, struct buf *b)
{
    buf_printf(b, ",\"mode\":\"%s\",\"length\":%" PRIu64 ",\"global_batch\":%" PRIu64,
               mode_names[h->mode], h->length, h->global_batch);
    buf_puts(b, ",\"epochs\":");
    buf_json_number(b, h->epochs, 0);
    buf_printf(b, ",\"in_order\":%s,\"seed\":%" PRIu64, h->in_order ? "true" : "false", h->seed);
    buf_printf(b, ",\"steps\":%" PRIu64 ",\"rows\":%" PRIu64 ",\"samples\":%" PRIu64, h->steps,
               h->rows, h->samples);
    buf_printf(b, ",\"tokens\":%" PRIu64 ",\"label_tokens\":%" PRIu64, h->tokens, h->label_tokens);
}

int stream_header_json(const struct stream_header *h, struct buf *b, struct err *e)
{
    buf_printf(b, "{\"format\":\"%s\",\"version\":%d,\"requires\":[],\"kind\":\"%s\"",
               STREAM_FORMAT, STREAM_VERSION, kind_names[h->kind]);
    buf_printf(b, ",\"tokenizer\":\"%s\",\"vocab_size\":%" PRIu32, h->tokenizer, h->vocab_size);
    if (h->template_id[0]) buf_printf(b, ",\"template\":\"%s\"", h->template_id);
    if (h->kind == STREAM_PACKED) put_plan(h, b);
    buf_puts(b, ",\"stages\":[");
    if (h->stages.len) buf_add(b, h->stages.data, h->stages.len);
    buf_puts(b, "]}\n");
    if (buf_check(b, e)) return -1;
    if (b->len > STREAM_MAX_HEADER)
        return err_set(e, ERR_INTERNAL, "a stream header of %zu bytes", b->len);
    return 0;
}

/* ---- reading ---- */
static int bad(struct err *e, const char *key, const char *what)
{
    return err_set(e, ERR_DATA, "stream header: \"%s\" %s", key, what);
}

static int get_count(const struct json *o, const char *key, uint64_t max, uint64_t *v,
                     struct err *e)
{
    const struct json *j = json_get(o, key);
    int64_t i;
    if (!j || j->kind != JSON_NUMBER || json_int(j, &i) || i < 0 || (uint64_t)i > max)
        return bad(e, key, "is missing or out of range");
    *v = (uint64_t)i;
    return 0;
}

static int get_word(const struct json *o, const char *key, const char *const *words, int n,
                    struct err *e)
{
    const struct json *j = json_get(o, key);
    for (int i = 0; j && j->kind == JSON_STRING && i < n; i++)
        if (str_is(j->s, words[i])) return i;
    return bad(e, key, "is missing or unknown");
}

/* Copies a digest of 32 hexadecimal digits. An absent optional one gives "". */
static int get_digest(const struct json *o, const char *key, bool optional, char out[HASH128_HEX],
                      struct err *e)
{
    const struct json *j = json_get(o, key);
    out[0] = 0;
    if (!j && optional) return 0;
    if (!j || j->kind != JSON_STRING || j->s.n != HASH128_HEX - 1)
        return bad(e, key, "is not a digest");
    for (size_t i = 0; i < j->s.n; i++)
        if (!memchr("0123456789abcdef", j->s.p[i], 16)) return bad(e, key, "is not a digest");
    memcpy(out, j->s.p, HASH128_HEX - 1);
    out[HASH128_HEX - 1] = 0;
    return 0;
}

static int get_plan(const struct json *o, struct stream_header *h, struct err *e)
{
    int mode = get_word(o, "mode", mode_names, MODES, e);
    if (mode < 0) return -1;
    h->mode = (enum pack_mode)mode;
    const struct {
        const char *key;
        uint64_t *to, max;
    } counts[] = {
        {"length", &h->length, UINT32_MAX},  {"global_batch", &h->global_batch, UINT32_MAX},
        {"steps", &h->steps, INT64_MAX},     {"rows", &h->rows, INT64_MAX},
        {"samples", &h->samples, INT64_MAX}, {"tokens", &h->tokens, INT64_MAX},
        {"seed", &h->seed, INT64_MAX},       {"label_tokens", &h->label_tokens, INT64_MAX}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (get_count(o, counts[i].key, counts[i].max, counts[i].to, e)) return -1;
    const struct json *epochs = json_get(o, "epochs"), *order = json_get(o, "in_order");
    if (!epochs || json_real(epochs, &h->epochs) || h->epochs <= 0)
        return bad(e, "epochs", "is missing or out of range");
    if (!order || order->kind != JSON_BOOL) return bad(e, "in_order", "is missing");
    h->in_order = order->truth;
    if (!h->length || !h->global_batch) return bad(e, "length", "and \"global_batch\" must be > 0");
    return 0;
}

static int get_stages(const struct json *o, struct stream_header *h, struct err *e)
{
    const struct json *j = json_get(o, "stages");
    if (!j || j->kind != JSON_ARRAY) return bad(e, "stages", "is missing");
    for (size_t i = 0; i < j->count; i++) {
        if (j->items[i].kind != JSON_OBJECT) return bad(e, "stages", "must contain only objects");
        if (i) buf_putc(&h->stages, ',');
        json_write(&j->items[i], &h->stages);
    }
    return buf_check(&h->stages, e);
}

static int check_format(const struct json *o, struct err *e)
{
    const struct json *format = json_get(o, "format"), *requires = json_get(o, "requires");
    uint64_t version;
    if (o->kind != JSON_OBJECT || !format || format->kind != JSON_STRING ||
        !str_is(format->s, STREAM_FORMAT))
        return bad(e, "format", "is not \"" STREAM_FORMAT "\"");
    if (get_count(o, "version", INT64_MAX, &version, e)) return -1;
    if (version != STREAM_VERSION)
        return err_set(e, ERR_DATA,
                       "stream version %" PRIu64 ", this program reads version %d; "
                       "make the stream again or use a newer program",
                       version, STREAM_VERSION);
    if (!requires || requires->kind != JSON_ARRAY) return bad(e, "requires", "is missing");
    if (requires->count && requires->items[0].kind == JSON_STRING)
        return err_set(e, ERR_DATA,
                       "the stream needs \"%.*s\", which this program does not know; "
                       "use a newer one",
                       STR_FMT(requires->items[0].s));
    return requires->count ? bad(e, "requires", "must contain only strings") : 0;
}

static int parse(const struct json *o, struct stream_header *h, struct err *e)
{
    if (check_format(o, e)) return -1;
    int kind = get_word(o, "kind", kind_names, 3, e);
    if (kind < 0) return -1;
    h->kind = (enum stream_kind)kind;
    uint64_t vocab;
    if (get_digest(o, "tokenizer", false, h->tokenizer, e)) return -1;
    if (get_digest(o, "template", h->kind == STREAM_TURNS, h->template_id, e)) return -1;
    if (get_count(o, "vocab_size", INT32_MAX, &vocab, e)) return -1;
    if (!vocab) return bad(e, "vocab_size", "is 0");
    h->vocab_size = (uint32_t)vocab;
    if (h->kind == STREAM_PACKED && get_plan(o, h, e)) return -1;
    return get_stages(o, h, e);
}

int header_parse(const char *json, size_t n, struct stream_header *h, struct err *e)
{
    struct arena a = {.max = (size_t)64 << 20};
    *h = (struct stream_header){0};
    const struct json *o = json_parse(json, n, &a, e);
    int rc = o ? parse(o, h, e) : err_prefix(e, "stream header");
    if (rc) stream_header_free(h);
    arena_free(&a);
    return rc;
}
