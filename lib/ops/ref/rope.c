/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of rotary positions (Su et al. 2021) in Hugging Face's half-split form. */
#include "ref.h"

REF_OP(rope)
{
    const enum dtype real = real_of(a->dtype);
    const int64_t half = a->dim / 2;
    for (int64_t t = 0; t < a->T; t++)
        for (int64_t h = 0; h < a->heads; h++)
            for (int64_t i = 0; i < half; i++) {
                int64_t at = t * a->stride + h * a->dim + i, angle = a->pos[t] * half + i;
                REAL x0 = get(a->x, at, a->dtype), x1 = get(a->x, at + half, a->dtype);
                REAL c = get(a->cos, angle, real);
                REAL s = get(a->sin, angle, real) * (a->inverse ? -1 : 1);
                put(a->x, at, a->dtype, x0 * c - x1 * s);
                put(a->x, at + half, a->dtype, x1 * c + x0 * s);
            }
}
