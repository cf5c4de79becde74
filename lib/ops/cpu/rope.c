/* SPDX-License-Identifier: Apache-2.0 */
/* Rotary positions. Limit: memory bandwidth. */
#include "ops/cpu/cpu.h"

INLINE void rotate_row(const struct op_rope *a, int64_t row, enum dtype t)
{
    const int64_t half = a->dim / 2;
    const float *cs = (const float *)a->cos + a->pos[row] * half;
    const float *sn = (const float *)a->sin + a->pos[row] * half;
    const float sign = a->inverse ? -1 : 1;
    for (int32_t h = 0; h < a->heads; h++) {
        void *x = elem(a->x, row * a->stride + (int64_t)h * a->dim, t);
        for (int64_t i = 0; i < half; i += VL) {
            const int64_t left = half - i;
            vf c = v_get(cs, i, DT_F32, left), s = v_get(sn, i, DT_F32, left) * sign;
            vf x0 = v_get(x, i, t, left), x1 = v_get(x, half + i, t, left);
            v_put(x, i, t, left, x0 * c - x1 * s);
            v_put(x, half + i, t, left, x1 * c + x0 * s);
        }
    }
}

CPU_OP(rope) { PARALLEL_FOR(d, row, a->T) BY_DTYPE(a->dtype, rotate_row, a, row); }
