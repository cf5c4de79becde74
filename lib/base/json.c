/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON parser: RFC 8259 to the letter, over untrusted text. */
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json_impl.h"

enum { NUMBER_MAX = 400 }; /* characters; every double fits in fewer */

struct parser {
    const unsigned char *start, *p, *end;
    size_t max_values, values;
    struct arena *arena;
    struct json_scratch *s;
    struct json_fault *f;
};

static int fault(struct parser *j, const unsigned char *at, const char *why)
{
    *j->f = (struct json_fault){.at = (size_t)(at - j->start), .at_end = at == j->end};
    j->f->code = ERR_DATA;
    snprintf(j->f->why, sizeof j->f->why, "%s", why);
    return -1;
}

static int no_memory(struct parser *j, const struct err *e)
{
    fault(j, j->p, e->msg);
    j->f->code = e->code;
    return -1;
}

static void skip_space(struct parser *j)
{
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\r' || *j->p == '\t'))
        j->p++;
}

/* ---- strings ---- */
size_t utf8_length(const unsigned char *p, const unsigned char *end)
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

/* The first byte from p on that needs a look: a quote, a backslash, a control or non-ASCII one. */
static const unsigned char *plain_end(const unsigned char *p, const unsigned char *end)
{
    const uint64_t ones = 0x0101010101010101u, tops = ones * 0x80;
    for (; end - p >= 8; p += 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
        /* a borrow can only flag too much, and the loop below looks again */
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

/* \uXXXX at p (after the u), with the second half of a surrogate pair. Half a pair is no character
 * and has no UTF-8 form, so it is refused. Advances *p past it. */
static int unicode_escape(struct parser *j, const unsigned char **p, uint32_t *c)
{
    uint32_t low;
    const unsigned char *at = *p - 2;
    if (hex4(*p, j->end, c) < 0) return fault(j, at, "\\u needs four hexadecimal digits");
    *p += 4;
    if (*c < 0xd800 || *c > 0xdfff) return 0;
    const unsigned char *q = *p;
    if (*c > 0xdbff || j->end - q < 6 || q[0] != '\\' || q[1] != 'u' ||
        hex4(q + 2, j->end, &low) < 0 || low < 0xdc00 || low > 0xdfff)
        return fault(j, at, "half of a surrogate pair (\\ud800 to \\udfff), which is no character");
    *c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);
    *p += 6;
    return 0;
}

/* The escape after the backslash at j->p, written to *to. */
static int unescape(struct parser *j, char **to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    const unsigned char *p = j->p + 1;
    if (p == j->end) return fault(j, p, "the text ends inside a string");
    if (*p == 'u') {
        uint32_t c;
        p++;
        if (unicode_escape(j, &p, &c) < 0) return -1;
        *to += put_utf8(*to, c);
    } else {
        const char *known = *p ? strchr(from, *p) : NULL;
        if (!known) return fault(j, j->p, "unknown escape after a backslash");
        *(*to)++ = into[known - from];
        p++;
    }
    j->p = p;
    return 0;
}

/* Moves j->p over characters that stand for themselves: to a quote, a backslash or the fault. */
static int span(struct parser *j)
{
    for (;;) {
        j->p = plain_end(j->p, j->end);
        if (j->p == j->end) return fault(j, j->p, "the text ends inside a string");
        if (*j->p == '"' || *j->p == '\\') return 0;
        if (*j->p < 0x20)
            return fault(j, j->p, "control character in a string; write it as \\u00XX");
        size_t n = utf8_length(j->p, j->end);
        if (n == 0) return fault(j, j->p, "not UTF-8");
        j->p += n;
    }
}

/* The closing quote of the string whose text starts at p, or NULL: how long a copy can get. */
static const unsigned char *closing_quote(const unsigned char *p, const unsigned char *end)
{
    for (; p < end && *p != '"'; p++)
        if (*p == '\\') p++;
    return p < end ? p : NULL;
}

static int parse_string(struct parser *j, struct str *s)
{
    struct err e;
    const unsigned char *from = ++j->p; /* after the quote */
    if (span(j) < 0) return -1;
    *s = (struct str){(const char *)from, (size_t)(j->p - from)};
    if (*j->p == '"') {
        j->p++;
        return 0;
    }
    const unsigned char *close = closing_quote(j->p, j->end);
    if (!close) return fault(j, j->end, "the text ends inside a string");
    char *copy = arena_copy(j->arena, from, (size_t)(close - from), &e), *to = copy;
    if (!copy) return no_memory(j, &e);
    to += j->p - from;
    while (*j->p == '\\') {
        if (unescape(j, &to) < 0) return -1;
        const unsigned char *plain = j->p;
        if (span(j) < 0) return -1;
        memcpy(to, plain, (size_t)(j->p - plain));
        to += j->p - plain;
    }
    *to = 0;
    *s = (struct str){copy, (size_t)(to - copy)};
    j->p++;
    return 0;
}

/* ---- numbers and words ---- */
static const unsigned char *digits(struct parser *j, const unsigned char *p)
{
    while (p < j->end && *p >= '0' && *p <= '9') p++;
    return p;
}

static int parse_number(struct parser *j, struct json *v)
{
    const unsigned char *from = j->p, *p = from, *q;
    if (*p == '-') p++;
    q = digits(j, p);
    if (q == p) return fault(j, q == j->end ? q : from, "not a JSON value");
    if (*p == '0' && q > p + 1) return fault(j, from, "number with a leading zero");
    p = q;
    if (p < j->end && *p == '.') {
        q = digits(j, ++p);
        if (q == p) return fault(j, q, "number without digits after the point");
        p = q;
    }
    if (p < j->end && (*p | 0x20) == 'e') {
        p++;
        if (p < j->end && (*p == '+' || *p == '-')) p++;
        q = digits(j, p);
        if (q == p) return fault(j, q, "number without digits in its exponent");
        p = q;
    }
    if (p - from > NUMBER_MAX) return fault(j, from, "number of more than 400 characters");
    v->kind = JSON_NUMBER;
    v->s = (struct str){(const char *)from, (size_t)(p - from)};
    j->p = p;
    return 0;
}

static int parse_word(struct parser *j, struct json *v)
{
    static const struct {
        const char *text;
        size_t n;
        enum json_kind kind;
    } words[] = {{"null", 4, JSON_NULL}, {"true", 4, JSON_BOOL}, {"false", 5, JSON_BOOL}};
    size_t left = (size_t)(j->end - j->p);
    for (int i = 0; i < 3; i++) {
        size_t n = left < words[i].n ? left : words[i].n;
        if (memcmp(j->p, words[i].text, n) != 0) continue;
        j->p += n;
        if (n < words[i].n) return fault(j, j->p, "the text ends inside a word");
        v->kind = words[i].kind;
        v->truth = i == 1;
        return 0;
    }
    return fault(j, j->p, "not a JSON value");
}

/* ---- containers: members gather in the scratch, and move to the arena when complete ---- */
struct json_member {
    uint64_t hash;
    struct str key;
};

static int by_hash(const void *a, const void *b)
{
    const struct json_member *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    if (x->key.n != y->key.n) return x->key.n < y->key.n ? -1 : 1;
    return x->key.n ? memcmp(x->key.p, y->key.p, x->key.n) : 0;
}

static int duplicate(struct parser *j, struct str key)
{
    char why[160];
    snprintf(why, sizeof why, "key \"%.*s\" occurs twice in an object",
             (int)(key.n > 100 ? 100 : key.n), key.p);
    return fault(j, j->p - 1, why);
}

/* Small objects by comparing all pairs; large ones by sorting hashes, ties by the keys themselves:
 * no choice of keys makes it slow. */
static int check_keys(struct parser *j, const struct str *keys, size_t n)
{
    struct err e;
    struct json_scratch *s = j->s;
    if (n <= 16) {
        for (size_t i = 1; i < n; i++)
            for (size_t k = 0; k < i; k++)
                if (str_eq(keys[i], keys[k])) return duplicate(j, keys[i]);
        return 0;
    }
    if (mem_grow(&s->sorted, &s->sorted_cap, n, sizeof *s->sorted, &e) < 0) return no_memory(j, &e);
    for (size_t i = 0; i < n; i++)
        s->sorted[i] = (struct json_member){hash64(keys[i].p, keys[i].n, 0), keys[i]};
    qsort(s->sorted, n, sizeof *s->sorted, by_hash);
    for (size_t i = 1; i < n; i++)
        if (by_hash(&s->sorted[i - 1], &s->sorted[i]) == 0) return duplicate(j, s->sorted[i].key);
    return 0;
}

static int parse_value(struct parser *j, struct json *v, int depth);

static int parse_member(struct parser *j, bool object, int depth)
{
    struct err e;
    struct json_scratch *s = j->s;
    struct str key = {0};
    struct json v;
    skip_space(j);
    if (object) {
        if (j->p == j->end) return fault(j, j->p, "the text ends inside an object");
        if (*j->p != '"') return fault(j, j->p, "expected a key in double quotes");
        if (parse_string(j, &key) < 0) return -1;
        skip_space(j);
        if (j->p == j->end) return fault(j, j->p, "the text ends inside an object");
        if (*j->p != ':') return fault(j, j->p, "expected ':' after a key");
        j->p++;
    }
    if (parse_value(j, &v, depth + 1) < 0) return -1;
    if (mem_grow(&s->values, &s->cap, s->n + 1, sizeof *s->values, &e) < 0 ||
        mem_grow(&s->keys, &s->keys_cap, s->n + 1, sizeof *s->keys, &e) < 0)
        return no_memory(j, &e);
    s->values[s->n] = v;
    s->keys[s->n++] = key;
    return 0;
}

/* Takes the members from `base` on out of the scratch. */
static int close_container(struct parser *j, struct json *v, size_t base)
{
    struct err e;
    struct json_scratch *s = j->s;
    v->count = s->n - base;
    s->n = base;
    if (v->count == 0) return 0;
    v->items = arena_copy(j->arena, s->values + base, v->count * sizeof *v->items, &e);
    if (!v->items) return no_memory(j, &e);
    if (v->kind == JSON_ARRAY) return 0;
    if (check_keys(j, s->keys + base, v->count) < 0) return -1;
    v->keys = arena_copy(j->arena, s->keys + base, v->count * sizeof *v->keys, &e);
    return v->keys ? 0 : no_memory(j, &e);
}

static int parse_container(struct parser *j, struct json *v, int depth)
{
    bool object = *j->p == '{';
    unsigned char close = object ? '}' : ']';
    const char *ends = object ? "the text ends inside an object" : "the text ends inside an array";
    size_t base = j->s->n;
    if (depth > JSON_MAX_DEPTH) return fault(j, j->p, "nested more than 128 deep");
    v->kind = object ? JSON_OBJECT : JSON_ARRAY;
    j->p++;
    skip_space(j);
    if (j->p < j->end && *j->p == close) {
        j->p++;
        return 0;
    }
    for (;;) {
        if (parse_member(j, object, depth) < 0) return -1;
        skip_space(j);
        if (j->p == j->end) return fault(j, j->p, ends);
        unsigned char c = *j->p++;
        if (c == close) return close_container(j, v, base);
        if (c != ',')
            return fault(j, j->p - 1, object ? "expected ',' or '}'" : "expected ',' or ']'");
    }
}

/* depth: how many containers the value may open is JSON_MAX_DEPTH + 1 - depth. */
static int parse_value(struct parser *j, struct json *v, int depth)
{
    memset(v, 0, sizeof *v);
    skip_space(j);
    if (j->p == j->end) return fault(j, j->p, "the text ends where a value should be");
    if (j->max_values && ++j->values > j->max_values) return fault(j, j->p, "too many values");
    switch (*j->p) {
    case '{':
    case '[':
        return parse_container(j, v, depth);
    case '"':
        v->kind = JSON_STRING;
        return parse_string(j, &v->s);
    case 't':
    case 'f':
    case 'n':
        return parse_word(j, v);
    default:
        return parse_number(j, v);
    }
}

struct json *json_parse_with(const char *text, size_t n, size_t max_values, struct arena *a,
                             struct json_scratch *s, struct json_fault *f)
{
    const unsigned char *p = (const unsigned char *)text;
    struct parser j = {p, p, p + n, max_values, 0, a, s, f};
    struct json v;
    struct err e;
    s->n = 0;
    if (parse_value(&j, &v, 1) < 0) return NULL;
    skip_space(&j);
    if (j.p < j.end) {
        fault(&j, j.p, "text after the end of the value");
        return NULL;
    }
    struct json *root = arena_copy(a, &v, sizeof v, &e);
    if (!root) no_memory(&j, &e);
    return root;
}

void json_scratch_free(struct json_scratch *s)
{
    free(s->values);
    free(s->keys);
    free(s->sorted);
    *s = (struct json_scratch){0};
}

struct json *json_parse(const char *text, size_t n, struct arena *a, struct err *e)
{
    struct json_scratch s = {0};
    struct json_fault f = {0};
    struct json *v = json_parse_with(n ? text : "", n, 0, a, &s, &f);
    json_scratch_free(&s);
    if (v) return v;
    size_t line = 1, column = 1;
    for (size_t i = 0; i < f.at; i++) {
        column = text[i] == '\n' ? 1 : column + 1;
        line += text[i] == '\n';
    }
    err_set(e, f.code, "line %zu, column %zu: %s", line, column, f.why);
    return NULL;
}
