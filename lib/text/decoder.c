/* SPDX-License-Identifier: Apache-2.0 */
/* Loads a decoder and applies its steps to the strings of tokens. */
#include "text/decoder.h"

#include <string.h>

#include "text/decoder_impl.h"
#include "text/fields.h"
#include "unicode/utf8.h"

static int load_steps(struct decoder *d, const struct json *o, int depth, struct err *e);

static int load_list(struct decoder *d, const struct json *o, int depth, struct err *e)
{
    const struct json *list = field_need_array(o, "decoders", e);
    if (!list) return -1;
    if (depth > 16) return err_set(e, ERR_DATA, "sequences are nested too deeply");
    for (size_t i = 0; i < list->count; i++)
        if (load_steps(d, &list->items[i], depth + 1, e)) return -1;
    return 0;
}

static int load_metaspace(struct decoder_part *s, const struct json *o, struct err *e)
{
    struct str scheme;
    bool old;
    s->kind = DECODE_METASPACE;
    if (field_need_char(o, "replacement", &s->c, e) || field_str(o, "prepend_scheme", &scheme, e) ||
        field_bool(o, "add_prefix_space", true, &old, e))
        return -1;
    s->never = scheme.p && str_is(scheme, "never");
    if (!old && !s->never)
        return err_set(e, ERR_DATA, "\"add_prefix_space\" contradicts \"prepend_scheme\"");
    return 0;
}

static int load_step(struct decoder_part *s, struct str type, const struct json *o, struct err *e)
{
    if (str_is(type, "ByteLevel")) return s->kind = DECODE_BYTES, 0;
    if (str_is(type, "ByteFallback")) return s->kind = DECODE_FALLBACK, 0;
    if (str_is(type, "Fuse")) return s->kind = DECODE_FUSE, 0;
    if (str_is(type, "Metaspace")) return load_metaspace(s, o, e);
    if (str_is(type, "Strip")) {
        s->kind = DECODE_STRIP;
        return field_need_char(o, "content", &s->c, e) ||
                       field_count(o, "start", 0, &s->start, e) ||
                       field_count(o, "stop", 0, &s->stop, e)
                   ? -1
                   : 0;
    }
    if (str_is(type, "Replace")) {
        struct str text;
        s->kind = DECODE_REPLACE;
        if (!(s->pattern = field_pattern(o, e)) || field_need_str(o, "content", &text, e))
            return -1;
        s->content = mem_strndup(text.p, text.n, e);
        s->content_n = text.n;
        return s->content ? 0 : -1;
    }
    return err_set(e, ERR_DATA, "decoder \"%.*s\" is not supported", STR_FMT(type));
}

static int load_steps(struct decoder *d, const struct json *o, int depth, struct err *e)
{
    struct str type = field_type(o, "decoder", e);
    if (type.n == 0) return -1;
    if (str_is(type, "Sequence")) return load_list(d, o, depth, e);
    if (d->n == FIELDS_MAX_STEPS) return fields_too_many("decoders", e);
    if (mem_grow(&d->step, &d->cap, d->n + 1, sizeof *d->step, e)) return -1;
    d->step[d->n] = (struct decoder_part){0};
    return load_step(&d->step[d->n++], type, o, e);
}

struct decoder *decoder_load(const struct json *o, struct err *e)
{
    struct decoder *d = mem_alloc(1, sizeof *d, e);
    if (!d) return NULL;
    d->join = !o || o->kind == JSON_NULL;
    if (!d->join && load_steps(d, o, 0, e)) {
        decoder_free(d);
        return NULL;
    }
    return d;
}

void decoder_free(struct decoder *d)
{
    if (!d) return;
    for (size_t i = 0; i < d->n; i++) {
        regex_free(d->step[i].pattern);
        mem_free(d->step[i].content);
    }
    mem_free(d->step);
    mem_free(d);
}

int decoder_apply(const struct decoder *d, struct decoder_list *list, struct buf *out,
                  struct err *e)
{
    struct decoder_list other = {0};
    int rc = 0;
    list->text.max = other.text.max = decoder_most(list->text.len);
    for (size_t i = 0; i < d->n && !rc; i++) {
        struct decoder_list swap = *list;
        decoder_list_reset(&other);
        rc = decoder_step(&d->step[i], list, &other, e);
        *list = other;
        other = swap;
    }
    for (size_t i = 0; i < list->n && !rc; i++) {
        if (d->join && i > 0) buf_putc(out, ' ');
        buf_str(out, decoder_list_at(list, i));
    }
    decoder_list_free(&other);
    return rc ? -1 : buf_check(out, e);
}

int decoder_token_bytes(const struct decoder *d, struct str token, struct buf *out, struct err *e)
{
    struct buf now = {0}, then = {0};
    struct regex_mem mem = {0};
    now.max = then.max = decoder_most(token.n);
    regex_allow(&mem, token.n);
    buf_str(&now, token);
    int rc = buf_check(&now, e);
    for (size_t i = 0; i < d->n && !rc; i++) {
        const struct decoder_part *s = &d->step[i];
        struct str t = {now.data, now.len};
        struct buf swap = now;
        int byte = decoder_fallback_byte(t);
        buf_reset(&then);
        if (s->kind == DECODE_REPLACE)
            rc = decoder_put_replaced(s, &mem, t, &then, e);
        else if (s->kind == DECODE_BYTES)
            decoder_put_bytes(t, &then);
        else if (s->kind == DECODE_METASPACE)
            decoder_put_spaced(s, t, false, &then);
        else if (s->kind == DECODE_FALLBACK && byte >= 0)
            buf_putc(&then, (char)byte);
        else
            buf_str(&then, t);
        if (!rc) rc = decoder_check(&then, e);
        now = then;
        then = swap;
    }
    if (!rc) buf_add(out, now.data, now.len);
    buf_free(&now);
    buf_free(&then);
    regex_mem_free(&mem);
    return rc ? -1 : buf_check(out, e);
}
