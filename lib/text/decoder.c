/* SPDX-License-Identifier: Apache-2.0 */
/* The "decoder" of tokenizer.json: a list of steps, each from a list of strings to a list. */
#include "text/decoder.h"

#include <stdlib.h>
#include <string.h>

#include "text/bytechars.h"
#include "text/fields.h"
#include "text/regex.h"
#include "text/utf8.h"

enum step_kind {
    DECODE_BYTES,
    DECODE_REPLACE,
    DECODE_FALLBACK,
    DECODE_FUSE,
    DECODE_STRIP,
    DECODE_METASPACE
};
struct step {
    enum step_kind kind;
    struct regex *pattern; /* DECODE_REPLACE */
    char *content;
    size_t content_n;
    uint32_t c; /* DECODE_STRIP, DECODE_METASPACE */
    int64_t start, stop;
    bool never; /* DECODE_METASPACE: no mark was put in front */
};
struct decoder {
    struct step *step;
    size_t n, cap;
    bool join; /* no decoder at all */
};

static int load_steps(struct decoder *d, const struct json *o, int depth, struct err *e);

static int load_list(struct decoder *d, const struct json *o, int depth, struct err *e)
{
    const struct json *list = field_need_array(o, "decoders", e);
    if (list == NULL) return -1;
    if (depth > 16) return err_set(e, ERR_DATA, "sequences nested too deeply");
    for (size_t i = 0; i < list->count; i++)
        if (load_steps(d, &list->items[i], depth + 1, e) != 0) return -1;
    return 0;
}

static int load_metaspace(struct step *s, const struct json *o, struct err *e)
{
    struct str scheme;
    bool old;
    s->kind = DECODE_METASPACE;
    if (field_need_char(o, "replacement", &s->c, e) != 0 ||
        field_str(o, "prepend_scheme", &scheme, e) != 0 ||
        field_bool(o, "add_prefix_space", true, &old, e) != 0)
        return -1;
    s->never = scheme.p != NULL && str_is(scheme, "never");
    if (!old && !s->never)
        return err_set(e, ERR_DATA, "\"add_prefix_space\" contradicts \"prepend_scheme\"");
    return 0;
}

static int load_step(struct step *s, struct str type, const struct json *o, struct err *e)
{
    if (str_is(type, "ByteLevel")) return s->kind = DECODE_BYTES, 0;
    if (str_is(type, "ByteFallback")) return s->kind = DECODE_FALLBACK, 0;
    if (str_is(type, "Fuse")) return s->kind = DECODE_FUSE, 0;
    if (str_is(type, "Metaspace")) return load_metaspace(s, o, e);
    if (str_is(type, "Strip")) {
        s->kind = DECODE_STRIP;
        return field_need_char(o, "content", &s->c, e) != 0 ||
                       field_count(o, "start", 0, &s->start, e) != 0 ||
                       field_count(o, "stop", 0, &s->stop, e) != 0
                   ? -1
                   : 0;
    }
    if (str_is(type, "Replace")) {
        struct str text;
        s->kind = DECODE_REPLACE;
        if ((s->pattern = field_pattern(o, e)) == NULL ||
            field_need_str(o, "content", &text, e) != 0)
            return -1;
        s->content = mem_strndup(text.p, text.n, e);
        s->content_n = text.n;
        return s->content == NULL ? -1 : 0;
    }
    return err_set(e, ERR_DATA, "decoder \"%.*s\" is not supported", STR_FMT(type));
}

static int load_steps(struct decoder *d, const struct json *o, int depth, struct err *e)
{
    struct str type = field_type(o, "decoder", e);
    if (type.n == 0) return -1;
    if (str_is(type, "Sequence")) return load_list(d, o, depth, e);
    if (mem_grow(&d->step, &d->cap, d->n + 1, sizeof *d->step, e) != 0) return -1;
    d->step[d->n] = (struct step){0};
    return load_step(&d->step[d->n++], type, o, e);
}

struct decoder *decoder_load(const struct json *o, struct err *e)
{
    struct decoder *d = mem_alloc(1, sizeof *d, e);
    if (d == NULL) return NULL;
    d->join = o == NULL || o->kind == JSON_NULL;
    if (!d->join && load_steps(d, o, 0, e) != 0) {
        decoder_free(d);
        return NULL;
    }
    return d;
}

void decoder_free(struct decoder *d)
{
    if (d == NULL) return;
    for (size_t i = 0; i < d->n; i++) {
        regex_free(d->step[i].pattern);
        free(d->step[i].content);
    }
    free(d->step);
    free(d);
}

void decoder_list_free(struct decoder_list *l)
{
    buf_free(&l->text);
    free(l->end);
    *l = (struct decoder_list){0};
}

void decoder_list_reset(struct decoder_list *l)
{
    buf_reset(&l->text);
    l->n = 0;
}

int decoder_list_end(struct decoder_list *l, struct err *e)
{
    if (mem_grow(&l->end, &l->cap, l->n + 1, sizeof *l->end, e) != 0) return -1;
    l->end[l->n++] = l->text.len;
    return buf_check(&l->text, e);
}

void decoder_lossy(struct str s, struct buf *out)
{
    while (s.n > 0) {
        size_t bad = 0, good = utf8_valid(s.p, s.n, &bad);
        buf_add(out, s.p, good);
        s.p += good;
        s.n -= good;
        if (s.n == 0) break;
        buf_puts(out, "\xef\xbf\xbd");
        s.p += bad;
        s.n -= bad;
    }
}

/* A token in the byte-level alphabet as bytes; one with any other character as it is. */
static void put_bytes(struct str s, struct buf *out)
{
    size_t start = out->len;
    for (size_t i = 0; i < s.n;) {
        uint32_t c;
        i += utf8_get(s.p + i, &c);
        if (bytechar_byte(c) < 0) {
            out->len = start;
            buf_str(out, s);
            return;
        }
        buf_putc(out, (char)bytechar_byte(c));
    }
}

/* All tokens become one string. */
static int decode_bytes(const struct decoder_list *in, struct decoder_list *out, struct err *e)
{
    struct buf bytes = {0};
    int rc;
    for (size_t i = 0; i < in->n; i++) put_bytes(decoder_list_at(in, i), &bytes);
    rc = buf_check(&bytes, e);
    if (rc == 0) decoder_lossy((struct str){bytes.data, bytes.len}, &out->text);
    buf_free(&bytes);
    return rc != 0 ? -1 : decoder_list_end(out, e);
}

static int put_replaced(const struct step *s, struct regex_mem *mem, struct str t, struct buf *out,
                        struct err *e)
{
    struct regex_iter it;
    size_t begin, end, last = 0;
    int rc = 0;
    regex_iter_init(&it, s->pattern, mem, t.p, t.n);
    while (t.n > 0 && (rc = regex_next(&it, &begin, &end, e)) > 0) {
        buf_add(out, t.p + last, begin - last);
        buf_add(out, s->content, s->content_n);
        last = end;
    }
    if (rc == 0) buf_add(out, t.p + last, t.n - last);
    return rc;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte of "<0xNN>", or -1. Rust's from_str_radix also takes a sign. */
static int fallback_byte(struct str s)
{
    if (s.n != 6 || memcmp(s.p, "<0x", 3) != 0 || s.p[5] != '>') return -1;
    if (s.p[3] == '+') return hex(s.p[4]);
    return hex(s.p[3]) < 0 || hex(s.p[4]) < 0 ? -1 : hex(s.p[3]) * 16 + hex(s.p[4]);
}

/* A run of byte tokens: one string if it is UTF-8, else one U+FFFD for each. */
static int put_run(struct buf *bytes, struct decoder_list *out, struct err *e)
{
    size_t n = bytes->len;
    if (n == 0) return 0;
    bytes->len = 0;
    if (utf8_valid(bytes->data, n, NULL) == n) {
        buf_add(&out->text, bytes->data, n);
        return decoder_list_end(out, e);
    }
    for (size_t i = 0; i < n; i++) {
        buf_puts(&out->text, "\xef\xbf\xbd");
        if (decoder_list_end(out, e) != 0) return -1;
    }
    return 0;
}

static int decode_fallback(const struct decoder_list *in, struct decoder_list *out, struct err *e)
{
    struct buf bytes = {0};
    int rc = 0;
    for (size_t i = 0; i < in->n && rc == 0; i++) {
        struct str t = decoder_list_at(in, i);
        int byte = fallback_byte(t);
        if (byte >= 0) {
            buf_putc(&bytes, (char)byte);
            continue;
        }
        rc = put_run(&bytes, out, e);
        buf_str(&out->text, t);
        if (rc == 0) rc = decoder_list_end(out, e);
    }
    if (rc == 0) rc = buf_check(&bytes, e);
    if (rc == 0) rc = put_run(&bytes, out, e);
    buf_free(&bytes);
    return rc;
}

static struct str strip(const struct step *s, struct str t)
{
    uint32_t c;
    struct str out = t;
    for (int64_t i = 0; i < s->start && out.n > 0; i++) {
        unsigned len = utf8_get(out.p, &c);
        if (c != s->c) break;
        out.p += len;
        out.n -= len;
    }
    for (int64_t i = 0; i < s->stop && out.n > 0; i++) {
        unsigned len = utf8_get_back(out.p + out.n, &c);
        if (c != s->c) break;
        out.n -= len;
    }
    return out;
}

static void put_spaced(const struct step *s, struct str t, bool first, struct buf *out)
{
    for (size_t i = 0; i < t.n;) {
        uint32_t c;
        unsigned len = utf8_get(t.p + i, &c);
        if (c != s->c)
            buf_add(out, t.p + i, len);
        else if (!first || s->never)
            buf_putc(out, ' ');
        i += len;
    }
}

/* Steps that take each string by itself. */
static int decode_each(const struct step *s, const struct decoder_list *in,
                       struct decoder_list *out, struct err *e)
{
    struct regex_mem mem = {0};
    int rc = 0;
    for (size_t i = 0; i < in->n && rc == 0; i++) {
        struct str t = decoder_list_at(in, i);
        if (s->kind == DECODE_REPLACE)
            rc = put_replaced(s, &mem, t, &out->text, e);
        else if (s->kind == DECODE_STRIP)
            buf_str(&out->text, strip(s, t));
        else
            put_spaced(s, t, i == 0, &out->text);
        if (rc == 0) rc = decoder_list_end(out, e);
    }
    regex_mem_free(&mem);
    return rc;
}

static int decode_step(const struct step *s, struct decoder_list *in, struct decoder_list *out,
                       struct err *e)
{
    switch (s->kind) {
    case DECODE_BYTES:
        return decode_bytes(in, out, e);
    case DECODE_FALLBACK:
        return decode_fallback(in, out, e);
    case DECODE_FUSE:
        buf_add(&out->text, in->text.data, in->n == 0 ? 0 : in->end[in->n - 1]);
        return decoder_list_end(out, e);
    default:
        return decode_each(s, in, out, e);
    }
}

int decoder_apply(const struct decoder *d, struct decoder_list *list, struct buf *out,
                  struct err *e)
{
    struct decoder_list other = {0};
    int rc = 0;
    for (size_t i = 0; i < d->n && rc == 0; i++) {
        struct decoder_list swap = *list;
        decoder_list_reset(&other);
        rc = decode_step(&d->step[i], list, &other, e);
        *list = other;
        other = swap;
    }
    for (size_t i = 0; i < list->n && rc == 0; i++) {
        if (d->join && i > 0) buf_putc(out, ' ');
        buf_str(out, decoder_list_at(list, i));
    }
    decoder_list_free(&other);
    return rc != 0 ? -1 : buf_check(out, e);
}

int decoder_token_bytes(const struct decoder *d, struct str token, struct buf *out, struct err *e)
{
    struct buf now = {0}, then = {0};
    struct regex_mem mem = {0};
    int rc = 0;
    buf_str(&now, token);
    for (size_t i = 0; i < d->n && rc == 0; i++) {
        const struct step *s = &d->step[i];
        struct str t = {now.data, now.len};
        struct buf swap = now;
        int byte = fallback_byte(t);
        buf_reset(&then);
        if (s->kind == DECODE_REPLACE)
            rc = put_replaced(s, &mem, t, &then, e);
        else if (s->kind == DECODE_BYTES)
            put_bytes(t, &then);
        else if (s->kind == DECODE_METASPACE)
            put_spaced(s, t, false, &then);
        else if (s->kind == DECODE_FALLBACK && byte >= 0)
            buf_putc(&then, (char)byte);
        else
            buf_str(&then, t);
        now = then;
        then = swap;
    }
    if (rc == 0) rc = buf_check(&now, e);
    if (rc == 0) buf_add(out, now.data, now.len);
    buf_free(&now);
    buf_free(&then);
    regex_mem_free(&mem);
    return rc != 0 ? -1 : buf_check(out, e);
}
