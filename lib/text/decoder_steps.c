/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a decoder; each maps a list of strings to a list of strings. */
#include <stdlib.h>
#include <string.h>

#include "text/bytechars.h"
#include "text/decoder_impl.h"
#include "unicode/utf8.h"

/* Appends the bytes of a token in the byte-level alphabet. A token with any other character is
 * appended unchanged. */
void decoder_put_bytes(struct str s, struct buf *out)
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

/* Joins the bytes of all tokens into one string. */
static int decode_bytes(const struct decoder_list *in, struct decoder_list *out, struct err *e)
{
    struct buf bytes = {0};
    int rc;
    for (size_t i = 0; i < in->n; i++) decoder_put_bytes(decoder_list_at(in, i), &bytes);
    rc = buf_check(&bytes, e);
    if (!rc) decoder_lossy((struct str){bytes.data, bytes.len}, &out->text);
    buf_free(&bytes);
    return rc ? -1 : decoder_list_end(out, e);
}

int decoder_put_replaced(const struct decoder_part *s, struct regex_mem *mem, struct str t,
                         struct buf *out, struct err *e)
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
    if (!rc) buf_add(out, t.p + last, t.n - last);
    return rc;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int decoder_fallback_byte(struct str s)
{
    if (s.n != 6 || memcmp(s.p, "<0x", 3) != 0 || s.p[5] != '>') return -1;
    if (s.p[3] == '+') return hex(s.p[4]);
    return hex(s.p[3]) < 0 || hex(s.p[4]) < 0 ? -1 : hex(s.p[3]) * 16 + hex(s.p[4]);
}

/* Adds a run of byte tokens: one string if the bytes are UTF-8, else one U+FFFD for each byte. */
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
        if (decoder_list_end(out, e)) return -1;
    }
    return 0;
}

static int decode_fallback(const struct decoder_list *in, struct decoder_list *out, struct err *e)
{
    struct buf bytes = {0};
    int rc = 0;
    for (size_t i = 0; i < in->n && !rc; i++) {
        struct str t = decoder_list_at(in, i);
        int byte = decoder_fallback_byte(t);
        if (byte >= 0) {
            buf_putc(&bytes, (char)byte);
            continue;
        }
        rc = put_run(&bytes, out, e);
        buf_str(&out->text, t);
        if (!rc) rc = decoder_list_end(out, e);
    }
    if (!rc) rc = buf_check(&bytes, e);
    if (!rc) rc = put_run(&bytes, out, e);
    buf_free(&bytes);
    return rc;
}

static struct str strip(const struct decoder_part *s, struct str t)
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

void decoder_put_spaced(const struct decoder_part *s, struct str t, bool first, struct buf *out)
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

/* Applies a step that maps each string to a string. */
static int decode_each(const struct decoder_part *s, const struct decoder_list *in,
                       struct decoder_list *out, struct err *e)
{
    struct regex_mem mem = {0};
    int rc = 0;
    regex_allow(&mem, in->text.len);
    for (size_t i = 0; i < in->n && !rc; i++) {
        struct str t = decoder_list_at(in, i);
        if (s->kind == DECODE_REPLACE)
            rc = decoder_put_replaced(s, &mem, t, &out->text, e);
        else if (s->kind == DECODE_STRIP)
            buf_str(&out->text, strip(s, t));
        else
            decoder_put_spaced(s, t, i == 0, &out->text);
        if (!rc) rc = decoder_list_end(out, e);
    }
    regex_mem_free(&mem);
    return rc;
}

int decoder_step(const struct decoder_part *s, struct decoder_list *in, struct decoder_list *out,
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
