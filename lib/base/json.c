/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON parser: strict RFC 8259, for untrusted text. */
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json_impl.h"

enum { NUMBER_MAX = 400 }; /* characters; every double fits in fewer */

void json_space(struct json_parser *j)
{
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\r' || *j->p == '\t'))
        j->p++;
}

/* ---- numbers and words ---- */
static const unsigned char *digits(struct json_parser *j, const unsigned char *p)
{
    while (p < j->end && *p >= '0' && *p <= '9') p++;
    return p;
}

int json_number(struct json_parser *j, struct json *v)
{
    const unsigned char *from = j->p, *p = from, *q;
    if (*p == '-') p++;
    q = digits(j, p);
    if (q == p) return json_fault_set(j, q == j->end ? q : from, "not a JSON value");
    if (*p == '0' && q > p + 1) return json_fault_set(j, from, "number with a leading zero");
    p = q;
    if (p < j->end && *p == '.') {
        q = digits(j, ++p);
        if (q == p) return json_fault_set(j, q, "number without digits after the point");
        p = q;
    }
    if (p < j->end && (*p | 0x20) == 'e') {
        p++;
        if (p < j->end && (*p == '+' || *p == '-')) p++;
        q = digits(j, p);
        if (q == p) return json_fault_set(j, q, "number without digits in its exponent");
        p = q;
    }
    if (p - from > NUMBER_MAX) return json_fault_set(j, from, "number of more than 400 characters");
    v->kind = JSON_NUMBER;
    v->s = (struct str){(const char *)from, (size_t)(p - from)};
    j->p = p;
    return 0;
}

static int parse_word(struct json_parser *j, struct json *v)
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
        if (n < words[i].n) return json_fault_set(j, j->p, "the text ends inside a word");
        v->kind = words[i].kind;
        v->truth = i == 1;
        return 0;
    }
    return json_fault_set(j, j->p, "not a JSON value");
}

/* ---- containers: members collect in the scratch and move to the arena when complete ---- */
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

static int duplicate(struct json_parser *j, struct str key)
{
    char why[160];
    size_t n = key.n > 100 ? 100 : key.n;
    while (n < key.n && n > 0 && ((unsigned char)key.p[n] & 0xc0) == 0x80) n--;
    snprintf(why, sizeof why, "key \"%.*s\" occurs twice in an object", (int)n, key.p);
    return json_fault_set(j, j->p - 1, why);
}

/* Small objects compare all pairs; large ones sort by hash, then by key, so that no choice of keys
 * makes it slow. */
int json_check_keys(struct json_parser *j, const struct str *keys, size_t n)
{
    struct err e;
    struct json_scratch *s = j->s;
    if (n <= 16) {
        for (size_t i = 1; i < n; i++)
            for (size_t k = 0; k < i; k++)
                if (str_eq(keys[i], keys[k])) return duplicate(j, keys[i]);
        return 0;
    }
    if (mem_grow(&s->sorted, &s->sorted_cap, n, sizeof *s->sorted, &e))
        return json_no_memory(j, &e);
    for (size_t i = 0; i < n; i++)
        s->sorted[i] = (struct json_member){hash64(keys[i].p, keys[i].n, 0), keys[i]};
    qsort(s->sorted, n, sizeof *s->sorted, by_hash);
    for (size_t i = 1; i < n; i++)
        if (by_hash(&s->sorted[i - 1], &s->sorted[i]) == 0) return duplicate(j, s->sorted[i].key);
    return 0;
}

static int parse_value(struct json_parser *j, struct json *v, int depth);

static int parse_member(struct json_parser *j, bool object, int depth)
{
    struct err e;
    struct json_scratch *s = j->s;
    struct str key = {0};
    struct json v;
    json_space(j);
    if (object) {
        if (j->p == j->end) return json_fault_set(j, j->p, "the text ends inside an object");
        if (*j->p != '"') return json_fault_set(j, j->p, "expected a key in double quotes");
        if (json_string(j, &key)) return -1;
        json_space(j);
        if (j->p == j->end) return json_fault_set(j, j->p, "the text ends inside an object");
        if (*j->p != ':') return json_fault_set(j, j->p, "expected ':' after a key");
        j->p++;
    }
    if (parse_value(j, &v, depth + 1)) return -1;
    if (mem_grow(&s->values, &s->cap, s->n + 1, sizeof *s->values, &e) ||
        mem_grow(&s->keys, &s->keys_cap, s->n + 1, sizeof *s->keys, &e))
        return json_no_memory(j, &e);
    s->values[s->n] = v;
    s->keys[s->n++] = key;
    return 0;
}

/* Moves the members from `base` on from the scratch to the arena. */
static int close_container(struct json_parser *j, struct json *v, size_t base)
{
    struct err e;
    struct json_scratch *s = j->s;
    v->count = s->n - base;
    s->n = base;
    if (v->count == 0) return 0;
    v->items = arena_copy(j->arena, s->values + base, v->count * sizeof *v->items, &e);
    if (!v->items) return json_no_memory(j, &e);
    if (v->kind == JSON_ARRAY) return 0;
    if (json_check_keys(j, s->keys + base, v->count)) return -1;
    v->keys = arena_copy(j->arena, s->keys + base, v->count * sizeof *v->keys, &e);
    return v->keys ? 0 : json_no_memory(j, &e);
}

static int parse_container(struct json_parser *j, struct json *v, int depth)
{
    bool object = *j->p == '{';
    unsigned char close = object ? '}' : ']';
    const char *ends = object ? "the text ends inside an object" : "the text ends inside an array";
    size_t base = j->s->n;
    if (depth > JSON_MAX_DEPTH) return json_fault_set(j, j->p, "nested more than 128 deep");
    v->kind = object ? JSON_OBJECT : JSON_ARRAY;
    j->p++;
    json_space(j);
    if (j->p < j->end && *j->p == close) {
        j->p++;
        return 0;
    }
    for (;;) {
        if (parse_member(j, object, depth)) return -1;
        json_space(j);
        if (j->p == j->end) return json_fault_set(j, j->p, ends);
        unsigned char c = *j->p++;
        if (c == close) return close_container(j, v, base);
        if (c != ',')
            return json_fault_set(j, j->p - 1,
                                  object ? "expected ',' or '}'" : "expected ',' or ']'");
    }
}

/* depth: the nesting level of the value, from 1. */
static int parse_value(struct json_parser *j, struct json *v, int depth)
{
    memset(v, 0, sizeof *v);
    json_space(j);
    if (j->p == j->end) return json_fault_set(j, j->p, "the text ends where a value should be");
    if (j->max_values && ++j->values > j->max_values)
        return json_fault_set(j, j->p, "too many values");
    switch (*j->p) {
    case '{':
    case '[':
        return parse_container(j, v, depth);
    case '"':
        v->kind = JSON_STRING;
        return json_string(j, &v->s);
    case 't':
    case 'f':
    case 'n':
        return parse_word(j, v);
    default:
        return json_number(j, v);
    }
}

struct json *json_parse_with(const char *text, size_t n, size_t max_values, struct arena *a,
                             struct json_scratch *s, struct json_fault *f)
{
    const unsigned char *p = (const unsigned char *)text;
    struct json_parser j = {p, p, p + n, max_values, 0, a, s, f};
    struct json v;
    struct err e;
    s->n = 0;
    if (parse_value(&j, &v, 1)) return NULL;
    json_space(&j);
    if (j.p < j.end) {
        json_fault_set(&j, j.p, "text after the end of the value");
        return NULL;
    }
    struct json *root = arena_copy(a, &v, sizeof v, &e);
    if (!root) json_no_memory(&j, &e);
    return root;
}

void json_scratch_free(struct json_scratch *s)
{
    mem_free(s->values);
    mem_free(s->keys);
    mem_free(s->sorted);
    *s = (struct json_scratch){0};
}

int json_fault_tell(const char *text, const struct json_fault *f, struct err *e)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < f->at; i++) {
        column = text[i] == '\n' ? 1 : column + 1;
        line += text[i] == '\n';
    }
    return err_set(e, f->code, "line %zu, column %zu: %s", line, column, f->why);
}

struct json *json_parse(const char *text, size_t n, struct arena *a, struct err *e)
{
    struct json_scratch s = {0};
    struct json_fault f = {0};
    struct json *v = json_parse_with(n ? text : "", n, 0, a, &s, &f);
    json_scratch_free(&s);
    if (!v) json_fault_tell(text, &f, e);
    return v;
}
