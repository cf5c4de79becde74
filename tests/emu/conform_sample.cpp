/* SPDX-License-Identifier: Apache-2.0 */
/* The values that operands take: tables of edges, then a counter-based generator. */
#include "conform.h"

uint64_t mix(uint64_t counter)
{
    uint64_t z = (counter + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void fill_words(const struct form *f, void *in)
{
    for (unsigned i = 0; i < f->in_bytes / 4; i++) ((uint32_t *)in)[i] = (uint32_t)mix(i);
}

struct edges {
    const uint64_t *values;
    unsigned n;
};
#define EDGES(name)                                                                                \
    {                                                                                              \
        name, sizeof name / sizeof *name                                                           \
    }

static const uint64_t shifts[] = {0,  1,  5,  8,  16,  24,  31,  32,  33,
                                  40, 63, 64, 65, 127, 255, 256, 257, 0xffffffff};
static const uint64_t integers[] = {0,
                                    1,
                                    2,
                                    3,
                                    7,
                                    10,
                                    127,
                                    128,
                                    255,
                                    256,
                                    32767,
                                    32768,
                                    65535,
                                    65536,
                                    0x7fffffff,
                                    0x80000000,
                                    0x80000001,
                                    0xffffffff,
                                    0x100000000,
                                    0x5555555555555555,
                                    0xaaaaaaaaaaaaaaaa,
                                    0x7fffffffffffffff,
                                    0x8000000000000000,
                                    0x8000000000000001,
                                    0xffffffffffffffff,
                                    0xfffffffffffffffe,
                                    0xffffffffffffff80,
                                    0xffffffffffff8000,
                                    0xffffffff80000000,
                                    0x00ff00ff12345678};
static const uint64_t floats[] = {
    0,          0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001,
    0xffc12345, 0x7fffffff, 0x00000001, 0x80000001, 0x007fffff, 0x807fffff, 0x00400000, 0x00800000,
    0x80800000, 0x00800001, 0x01000000, 0x7f7fffff, 0xff7fffff, 0x7e800000, 0x7f000000, 0x3f800001,
    0x3f7fffff, 0x34000000, 0x33800000, 0x4b800000, 0x4b800001, 0x4f000000, 0xcf000000, 0xcf000001,
    0x4f800000, 0x5f000000, 0xdf000000, 0x5f800000, 0x3f000000, 0xbf000000, 0x3fc00000, 0x40200000,
    0xc0200000, 0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff, 0x3f801000, 0x3f803000, 0x3f802fff,
    0x3f880000, 0x3f980000, 0x3f900000, 0x3fb00000, 0x477fe000, 0x477ff000, 0x477fefff, 0x43e00000,
    0x43e80000, 0x43e80001, 0x47600000, 0x47680000, 0x3b000000, 0x3a800000, 0x3a800001, 0x33000000,
    0x33000001, 0x387fc000, 0x387fe000, 0x7f7f8000, 0x40490fdb, 0x3eaaaaab, 0x437f8000, 0xc3008000};
static const uint64_t doubles[] = {0,
                                   0x8000000000000000,
                                   0x3ff0000000000000,
                                   0xbff0000000000000,
                                   0x7ff0000000000000,
                                   0xfff0000000000000,
                                   0x7ff8000000000000,
                                   0x7ff0000000000001,
                                   0xfff8123456789abc,
                                   1,
                                   0x000fffffffffffff,
                                   0x0010000000000000,
                                   0x7fefffffffffffff,
                                   0xffefffffffffffff,
                                   0x3ff0000000000001,
                                   0x3fe0000000000000,
                                   0x3ff8000000000000,
                                   0x4004000000000000,
                                   0xc004000000000000,
                                   0x41dfffffffc00000,
                                   0x41e0000000000000,
                                   0xc1e0000000000000,
                                   0x41f0000000000000,
                                   0x43e0000000000000,
                                   0xc3e0000000000000,
                                   0x43f0000000000000,
                                   0x47efffffe0000000,
                                   0x47effffff0000000,
                                   0x3810000000000000,
                                   0x380fffffffffffff,
                                   0x36a0000000000000,
                                   0x3690000000000000,
                                   0x3ff0000010000000,
                                   0x3ff0000030000000,
                                   0x400921fb54442d18,
                                   0x4340000000000001};
static const uint64_t halves[] = {
    0,      0x8000, 0x3c00, 0xbc00, 0x7c00, 0xfc00, 0x7e00, 0x7c01, 0xfe12, 0x7fff, 0x0001, 0x8001,
    0x03ff, 0x83ff, 0x0400, 0x8400, 0x0401, 0x7bff, 0xfbff, 0x7800, 0x3c01, 0x3bff, 0x3800, 0xb800,
    0x3e00, 0x4100, 0xc100, 0x6400, 0x6401, 0x6800, 0x5ef0, 0x5f00, 0x5f80, 0x3c40, 0x3c80, 0x4248};
static const uint64_t bfloats[] = {
    0,      0x8000, 0x3f80, 0xbf80, 0x7f80, 0xff80, 0x7fc0, 0x7f81, 0xffc1, 0x7fff, 0x0001, 0x8001,
    0x007f, 0x807f, 0x0080, 0x8080, 0x0081, 0x7f7f, 0xff7f, 0x7f00, 0x3f81, 0x3f7f, 0x3f00, 0xbf00,
    0x3fc0, 0x4020, 0xc020, 0x4300, 0x4301, 0x4380, 0x4f00, 0xcf00, 0x5f00, 0x3fa0, 0x4049, 0x3eab};

static const struct edges shift_edges = EDGES(shifts), integer_edges = EDGES(integers),
                          float_edges = EDGES(floats), double_edges = EDGES(doubles),
                          half_edges = EDGES(halves), bfloat_edges = EDGES(bfloats);

static const struct edges *edges_of(enum kind kind)
{
    switch (kind) {
    case K_F16:
        return &half_edges;
    case K_BF16:
        return &bfloat_edges;
    case K_F32:
        return &float_edges;
    case K_F64:
        return &double_edges;
    case K_SHIFT:
        return &shift_edges;
    case K_B8:
    case K_B16:
    case K_B32:
    case K_B64:
        return &integer_edges;
    default:
        return NULL;
    }
}

/* A float with an exponent near 0, of the format's exponent and mantissa bits. */
static uint64_t near_one(uint64_t r, int exponent, int mantissa)
{
    const uint64_t bias = ((uint64_t)1 << (exponent - 1)) - 1;
    const uint64_t e = bias - 6 + (r >> 8) % 256 % 13,
                   m = (r >> 16) & (((uint64_t)1 << mantissa) - 1);
    return (r & 1) << (exponent + mantissa) | e << mantissa | m;
}

static uint64_t drawn(enum kind kind, uint64_t r)
{
    const int any = (r >> 61) == 0; /* an eighth of the floats: any bits */
    switch (kind) {
    case K_F16:
        return any ? r & 0xffff : near_one(r, 5, 10);
    case K_BF16:
        return any ? r & 0xffff : near_one(r, 8, 7);
    case K_F32:
        return any ? r & 0xffffffff : near_one(r, 8, 23);
    case K_F64:
        return any ? r : near_one(r, 11, 52);
    case K_F32_MODERATE:
        return near_one(r, 8, 23);
    case K_F32_POSITIVE:
        return near_one(r, 8, 23) & 0x7fffffff;
    case K_F32_SMALL:
        return near_one((r & ~0xff00ull) | (r & 0x700), 8, 23);
    case K_SHIFT:
        return r % 70;
    case K_SMALL:
        return r % 32;
    default:
        return (r & 1) ? r >> 3 : (uint64_t)((int64_t)r >> ((r >> 3) % 60));
    }
}

static uint64_t halfword(enum kind kind, unsigned operand, unsigned lane, unsigned half)
{
    const uint64_t low = sample(kind, operand, half ? (lane * 5 + 3) % 96 : lane) & 0xffff;
    return half ? low << 16 : low;
}

uint64_t sample(enum kind kind, unsigned operand, unsigned lane)
{
    const uint64_t r = mix((uint64_t)kind << 32 | operand << 16 | lane);
    if (kind == K_POSITION) return sample(K_SHIFT, operand, lane) & 0xff;
    if (kind == K_F16X2)
        return halfword(K_F16, operand, lane, 0) | halfword(K_F16, operand, lane, 1);
    if (kind == K_BF16X2)
        return halfword(K_BF16, operand, lane, 0) | halfword(K_BF16, operand, lane, 1);
    if (kind == K_E4M3X2 || kind == K_E5M2X2) return (lane * 0x0503u + (r & 0x8080)) & 0xffff;
    const struct edges *e = edges_of(kind);
    if (e && operand == 0 && lane < e->n) return e->values[lane];
    if (e && operand > 0 && lane % 13 == 5) return sample(kind, 0, lane);
    if (e && operand > 0 && lane < e->n && r >> 63) return e->values[(r >> 32) % e->n];
    if (e && operand > 0 && lane >= e->n && r >> 62 == 0) return e->values[(r >> 32) % e->n];
    return drawn(kind, r);
}
