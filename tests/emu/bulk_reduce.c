/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions by bulk copies into device memory. */
#include <math.h>
#include <string.h>

#include "bulk.h"
#include "half.h"

enum { OP_ADD = 1, OP_MIN, OP_MAX, OP_INC, OP_DEC, OP_AND, OP_OR, OP_XOR };

bool reduce_op(const char **p, struct bulk *b)
{
    static const char *const words[] = {"add", "min", "max", "inc", "dec", "and", "or", "xor"};
    for (uint8_t k = 0; k < 8; k++)
        if (ptx_suffix(p, words[k])) b->op = (uint8_t)(k + 1);
    ptx_suffix(p, "noftz");
    if (ptx_suffix(p, "bf16"))
        b->type = (struct type){'h', 16};
    else
        ptx_type(p, &b->type); /* a tensor has its type in its map */
    return b->op != 0;
}

static struct type type_of(const struct bulk *b)
{
    static const struct type types[] = {{'u', 8},  {'u', 16}, {'u', 32}, {'s', 32}, {'u', 64},
                                        {'s', 64}, {'f', 16}, {'f', 32}, {'f', 64}, {'h', 16},
                                        {'f', 32}, {'f', 32}, {'f', 32}};
    return b->tensor.rank ? types[b->tensor.type] : b->type;
}

static uint64_t integer(int op, struct type t, uint64_t old, uint64_t x)
{
    const bool less = t.kind == 's' ? (int64_t)old < (int64_t)x : old < x;
    switch (op) {
    case OP_ADD:
        return old + x;
    case OP_MIN:
        return less ? old : x;
    case OP_MAX:
        return less ? x : old;
    case OP_INC:
        return old >= x ? 0 : old + 1;
    case OP_DEC:
        return old == 0 || old > x ? x : old - 1;
    case OP_AND:
        return old & x;
    case OP_OR:
        return old | x;
    default:
        return old ^ x;
    }
}

static uint64_t real64(uint64_t old, uint64_t x)
{
    double a, b;
    memcpy(&a, &old, 8), memcpy(&b, &x, 8);
    if (a != a || b != b) return a != a ? old : x;
    a += b;
    memcpy(&old, &a, 8);
    return old;
}

static uint64_t real32(uint32_t old, uint32_t x)
{
    float a, b;
    memcpy(&a, &old, 4), memcpy(&b, &x, 4);
    a += b;
    memcpy(&x, &a, 4);
    return a != a ? 0x7fffffff : x;
}

static uint64_t reduced(const struct bulk *b, struct type t, uint64_t old, uint64_t x)
{
    if (t.kind == 'f' && t.bits == 64) return real64(old, x);
    if (t.kind == 'f' && t.bits == 32) return real32((uint32_t)old, (uint32_t)x);
    if (t.kind != 'f' && t.kind != 'h') return integer(b->op, t, old, x);
    const enum half_format f = t.kind == 'h' ? HALF_BF16 : HALF_F16;
    if (b->op == OP_ADD) return half_add(f, (uint16_t)old, (uint16_t)x);
    return half_pick(f, (uint16_t)old, (uint16_t)x, b->op == OP_MAX, false);
}

void reduce_row(const struct bulk *b, unsigned char *to, const unsigned char *from, uint32_t n)
{
    const struct type t = type_of(b);
    const uint32_t size = t.bits / 8u;
    for (uint32_t k = 0; k + size <= n; k += size) {
        const uint64_t v = reduced(b, t, memory_load(to + k, t), memory_load(from + k, t));
        memcpy(to + k, &v, size);
    }
}
