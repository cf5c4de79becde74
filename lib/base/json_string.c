/* SPDX-License-Identifier: Apache-2.0 */
/* Faults of JSON text, and its strings: strict UTF-8, escapes, and a fast path over plain text. */
#include <stdio.h>
#include <string.h>

#include "base/json_impl.h"

int json_fault_set(struct json_parser *j, const unsigned char *at, const char *why)
{
    *j->f = (struct json_fault){.at = (size_t)(at - j->start), .at_end = at == j->end};
    j->f->code = ERR_DATA;
    snprintf(j->f->why, sizeof j->f->why, "%s", why);
    return -1;
}

int json_no_memory(struct json_parser *j, const struct err *e)
{
    json_fault_set(j, j->p, e->msg);
    j->f->code = e->code;
    return -1;
}

/* Length of the UTF-8 sequence at p, 1 to 4; 0 when it is not valid. */
static size_t utf8_length(const unsigned char *p, const unsigned char *end)
{
    size_t left = (size_t)(end - p);
    unsigned char a = p[0], low = 0x80, high = 0xbf; /* bounds of the second byte */
    size_t n = a < 0x80 ? 1 : a < 0xc2 ? 0 : a < 0xe0 ? 2 : a < 0xf0 ? 3 : a < 0xf5 ? 4 : 0;
    if (n <= 1) return n;
    if (a == 0xe0) low = 0xa0;  /* overlong */
    if (a == 0xed) high = 0x9f; /* surrogates */
    if (a == 0xf0) low = 0x90;  /* overlong */
    if (a == 0xf4) high = 0x8f; /* above U+10FFFF */
    if (left < n || p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return n;
}

bool json_is_text(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p, *end = p + s.n;
    while (p < end) {
        const size_t n = utf8_length(p, end);
        if (n == 0) return false;
        p += n;
    }
    return true;
}

/* Returns the first byte from p on that is a quote, a backslash, a control or not ASCII. */
static const unsigned char *plain_end(const unsigned char *p, const unsigned char *end)
{
    const uint64_t ones = 0x0101010101010101u, tops = ones * 0x80;
    for (; end - p >= 8; p += 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
        /* a borrow can only set too many flags; the loop below checks each byte */
        uint64_t hit = (w - ones * 0x20) | (quote - ones) | (slash - ones) | w;
        if (hit & tops) break;
    }
    while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\') p++;
    return p;
}

static int hex4(const unsigned char *p, const unsigned char *end, uint32_t *v)
{
    if (end - p < 4) return -1;
    *v = 0;
    for (int i = 0; i < 4; i++) {
        unsigned char c = p[i], low = c | 0x20;
        int d = c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : 16;
        if (d > 15) return -1;
        *v = *v * 16 + (uint32_t)d;
    }
    return 0;
}

static size_t put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; c >>= 6) to[i] = (char)(0x80 | (c & 0x3f));
    to[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
    return n;
}

/* Decodes \uXXXX, with the second half of a surrogate pair. *p points after the u and advances past
 * the escape. Half of a pair is an error, because it has no UTF-8 form. */
static int unicode_escape(struct json_parser *j, const unsigned char **p, uint32_t *c)
{
    uint32_t low;
    const unsigned char *at = *p - 2;
    if (hex4(*p, j->end, c)) return json_fault_set(j, at, "\\u needs four hexadecimal digits");
    *p += 4;
    if (*c < 0xd800 || *c > 0xdfff) return 0;
    const unsigned char *q = *p;
    if (*c > 0xdbff || j->end - q < 6 || q[0] != '\\' || q[1] != 'u' || hex4(q + 2, j->end, &low) ||
        low < 0xdc00 || low > 0xdfff)
        return json_fault_set(
            j, at, "half of a surrogate pair (\\ud800 to \\udfff), which is no character");
    *c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);
    *p += 6;
    return 0;
}

/* Decodes the escape whose backslash is at j->p and writes it to *to. */
static int unescape(struct json_parser *j, char **to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    const unsigned char *p = j->p + 1;
    if (p == j->end) return json_fault_set(j, p, "the text ends inside a string");
    if (*p == 'u') {
        uint32_t c = 0;
        p++;
        if (unicode_escape(j, &p, &c)) return -1;
        *to += put_utf8(*to, c);
    } else {
        const char *known = *p ? strchr(from, *p) : NULL;
        if (!known) return json_fault_set(j, j->p, "unknown escape after a backslash");
        *(*to)++ = into[known - from];
        p++;
    }
    j->p = p;
    return 0;
}

/* Advances j->p over unescaped characters, to a quote or a backslash. */
static int span(struct json_parser *j)
{
    for (;;) {
        j->p = plain_end(j->p, j->end);
        if (j->p == j->end) return json_fault_set(j, j->p, "the text ends inside a string");
        if (*j->p == '"' || *j->p == '\\') return 0;
        if (*j->p < 0x20)
            return json_fault_set(j, j->p, "control character in a string; write it as \\u00XX");
        size_t n = utf8_length(j->p, j->end);
        if (n == 0) return json_fault_set(j, j->p, "not UTF-8");
        j->p += n;
    }
}

/* Returns the closing quote of the string whose text starts at p, or NULL. The unescaped string is
 * never longer than the text before it. */
static const unsigned char *closing_quote(const unsigned char *p, const unsigned char *end)
{
    for (; p < end && *p != '"'; p++)
        if (*p == '\\') p++;
    return p < end ? p : NULL;
}

int json_string(struct json_parser *j, struct str *s)
{
    struct err e;
    const unsigned char *from = ++j->p; /* after the quote */
    if (span(j)) return -1;
    *s = (struct str){(const char *)from, (size_t)(j->p - from)};
    if (*j->p == '"') {
        j->p++;
        return 0;
    }
    const unsigned char *close = closing_quote(j->p, j->end);
    if (!close) return json_fault_set(j, j->end, "the text ends inside a string");
    char *copy = arena_copy(j->arena, from, (size_t)(close - from), &e), *to = copy;
    if (!copy) return json_no_memory(j, &e);
    to += j->p - from;
    while (*j->p == '\\') {
        if (unescape(j, &to)) return -1;
        const unsigned char *plain = j->p;
        if (span(j)) return -1;
        memcpy(to, plain, (size_t)(j->p - plain));
        to += j->p - plain;
    }
    *to = 0;
    *s = (struct str){copy, (size_t)(to - copy)};
    j->p++;
    return 0;
}

int json_string_length(struct json_parser *j, size_t *n)
{
    *n = 0;
    for (;;) {
        const unsigned char *from = j->p;
        if (span(j)) return -1;
        *n += (size_t)(j->p - from);
        if (*j->p == '"') break;
        char one[4], *end = one; /* a character */
        if (unescape(j, &end)) return -1;
        *n += (size_t)(end - one);
    }
    j->p++;
    return 0;
}
