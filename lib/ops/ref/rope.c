/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of rotary positions (Su et al. 2021) in half-split and interleaved form. */
#include "ref.h"

REF_OP(rope)
{
    const enum dtype real = real_of(a->dtype);
    const int64_t pairs = rope_pairs(a), next = a->interleaved ? 1 : pairs;
    for (int64_t t = 0; t < a->T; t++)
        for (int64_t h = 0; h < a->heads; h++)
            for (int64_t i = 0; i < pairs; i++) {
                int64_t at = t * a->stride + h * a->dim + (a->interleaved ? 2 * i : i);
                int64_t angle = a->pos[t] * pairs + i;
                REAL x0 = get(a->x, at, a->dtype), x1 = get(a->x, at + next, a->dtype);
                REAL f = a->scale && h < a->scaled ? get(a->scale, a->pos[t], real) : 1;
                REAL c = get(a->cos, angle, real) * f;
                REAL s = get(a->sin, angle, real) * (a->inverse ? -f : f);
                put(a->x, at, a->dtype, x0 * c - x1 * s);
                put(a->x, at + next, a->dtype, x1 * c + x0 * s);
            }
}
