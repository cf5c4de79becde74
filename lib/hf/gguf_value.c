/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the values of GGUF metadata: numbers, strings and arrays, through a bounded cursor. */
#include <string.h>

#include "hf/gguf_impl.h"

enum { MAX_NESTING = 2 };

uint64_t gguf_take(struct gguf_cursor *c, size_t bytes)
{
    uint64_t v = 0;
    if (bytes > gguf_left(c)) {
        c->bad = true;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++) v |= (uint64_t)c->p[i] << 8 * i;
    c->p += bytes;
    return v;
}

struct str gguf_take_str(struct gguf_cursor *c)
{
    uint64_t n = gguf_take(c, 8);
    struct str s = {"", 0};
    if (c->bad || n > gguf_left(c)) {
        c->bad = true;
        return s;
    }
    s.p = (const char *)c->p;
    s.n = (size_t)n;
    c->p += n;
    return s;
}

/* The least bytes of a value: the size of a scalar, of the length of a string, or of the head of an
 * array. */
static const unsigned char kind_size[GGUF_KINDS] = {
    [GGUF_U8] = 1,  [GGUF_I8] = 1,     [GGUF_U16] = 2,    [GGUF_I16] = 2, [GGUF_U32] = 4,
    [GGUF_I32] = 4, [GGUF_F32] = 4,    [GGUF_BOOL] = 1,   [GGUF_U64] = 8, [GGUF_I64] = 8,
    [GGUF_F64] = 8, [GGUF_STRING] = 8, [GGUF_ARRAY] = 12,
};

static void set_scalar(struct gguf_value *v, uint64_t bits, size_t size)
{
    uint32_t low = (uint32_t)bits;
    float f;
    switch (v->kind) {
    case GGUF_F32:
        memcpy(&f, &low, sizeof f);
        v->f = f;
        break;
    case GGUF_F64:
        memcpy(&v->f, &bits, sizeof v->f);
        break;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64: { /* sign extension */
        uint64_t sign = (uint64_t)1 << (8 * size - 1);
        v->i = (int64_t)((bits ^ sign) - sign);
        break;
    }
    default:
        v->u = bits;
    }
}

/* Reads all elements to find the end, which checks the count. */
static void take_array(struct gguf_cursor *c, int depth, struct gguf_value *v)
{
    uint64_t item = gguf_take(c, 4);
    v->count = gguf_take(c, 8);
    if (c->bad || item >= GGUF_KINDS || depth == MAX_NESTING ||
        v->count > gguf_left(c) / kind_size[item]) {
        c->bad = true;
        return;
    }
    v->item = (enum gguf_kind)item;
    v->items = c->p;
    if (item != GGUF_STRING && item != GGUF_ARRAY) {
        c->p += v->count * kind_size[item];
    } else {
        struct gguf_value skip;
        for (uint64_t i = 0; i < v->count && !c->bad; i++)
            gguf_take_value(c, v->item, depth + 1, &skip);
    }
    v->end = c->p;
}

void gguf_take_value(struct gguf_cursor *c, enum gguf_kind kind, int depth, struct gguf_value *v)
{
    memset(v, 0, sizeof *v);
    v->kind = kind;
    if (kind == GGUF_STRING)
        v->s = gguf_take_str(c);
    else if (kind == GGUF_ARRAY)
        take_array(c, depth, v);
    else
        set_scalar(v, gguf_take(c, kind_size[kind]), kind_size[kind]);
}

bool gguf_next(const struct gguf_value *a, const unsigned char **at, struct gguf_value *out)
{
    struct gguf_cursor c = {*at, a->end, false};
    if (c.p >= c.end) return false;
    gguf_take_value(&c, a->item, 1, out);
    *at = c.p;
    return !c.bad;
}
