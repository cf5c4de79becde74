/* SPDX-License-Identifier: Apache-2.0 */
/* Rotary positions. Limit: memory bandwidth. */
#include "ops/cpu/cpu.h"

/* cos and sin of one position, sin times `sign`, both times `scale` if they are scaled. */
struct angles {
    const float *cos, *sin;
    int64_t pairs;
    float sign, scale;
};

/* Rotates the pairs (x[i], x[pairs + i]). */
INLINE void rotate_halves(void *x, const struct angles *a, bool scaled, enum dtype t)
{
    for (int64_t i = 0; i < a->pairs; i += VL) {
        const int64_t left = a->pairs - i;
        vf c = v_get(a->cos, i, DT_F32, left), s = v_get(a->sin, i, DT_F32, left) * a->sign;
        if (scaled) c *= a->scale, s *= a->scale;
        vf x0 = v_get(x, i, t, left), x1 = v_get(x, a->pairs + i, t, left);
        v_put(x, i, t, left, x0 * c - x1 * s);
        v_put(x, a->pairs + i, t, left, x1 * c + x0 * s);
    }
}

typedef uint32_t vu_half __attribute__((vector_size(2 * VL)));
typedef uint64_t vu_pair __attribute__((vector_size(4 * VL)));

/* Returns VL/2 values of p, each in two lanes; `left` of them exist, the others are 0. flip: the
 * even lanes have the opposite sign. */
INLINE vf twice(const float *p, int64_t left, bool flip)
{
    vu_half u = {0};
    if (left >= VL / 2)
        memcpy(&u, p, sizeof u);
    else
        memcpy(&u, p, (size_t)left * 4);
    const vu_pair w = __builtin_convertvector(u, vu_pair);
    return (vf)(w << 32 | (flip ? w ^ 0x80000000U : w));
}

/* Rotates the pairs (x[2i], x[2i+1]), which are neighbours in one vector. */
INLINE void rotate_neighbours(void *x, const struct angles *a, bool scaled, enum dtype t)
{
    for (int64_t i = 0; i < a->pairs; i += VL / 2) {
        const int64_t left = a->pairs - i;
        vf c = twice(a->cos + i, left, false), s = twice(a->sin + i, left, true) * a->sign;
        if (scaled) c *= a->scale, s *= a->scale;
        const vf y = v_get(x, 2 * i, t, 2 * left);
        const vu_pair w = (vu_pair)y;
        v_put(x, 2 * i, t, 2 * left, y * c + (vf)(w << 32 | w >> 32) * s);
    }
}

INLINE void rotate_head(void *x, const struct angles *a, bool interleaved, bool scaled,
                        enum dtype t)
{
    if (interleaved)
        rotate_neighbours(x, a, scaled, t);
    else
        rotate_halves(x, a, scaled, t);
}

INLINE void rotate_row(const struct op_rope *a, int64_t row, bool interleaved, enum dtype t)
{
    const int64_t pairs = rope_pairs(a), pos = a->pos[row];
    const struct angles angles = {.cos = (const float *)a->cos + pos * pairs,
                                  .sin = (const float *)a->sin + pos * pairs,
                                  .pairs = pairs,
                                  .sign = a->inverse ? -1 : 1,
                                  .scale = a->scale ? ((const float *)a->scale)[pos] : 1};
    const int32_t scaled = a->scale ? a->scaled : 0;
    for (int32_t h = 0; h < a->heads; h++) {
        void *x = elem(a->x, row * a->stride + (int64_t)h * a->dim, t);
        if (h < scaled)
            rotate_head(x, &angles, interleaved, true, t);
        else
            rotate_head(x, &angles, interleaved, false, t);
    }
}

CPU_OP(rope)
{
    if (a->interleaved) {
        PARALLEL_FOR(d, row, a->T) BY_DTYPE(a->dtype, rotate_row, a, row, true);
    } else {
        PARALLEL_FOR(d, row, a->T) BY_DTYPE(a->dtype, rotate_row, a, row, false);
    }
}
