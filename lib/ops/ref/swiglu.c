/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of SwiGLU (Shazeer 2020): silu(gate) * up, silu(x) = x * sigmoid(x). */
#include "ref.h"

static REAL sigmoid(REAL x) { return 1 / (1 + exp(-x)); }

REF_OP(swiglu)
{
    for (int64_t t = 0; t < a->T; t++)
        for (int64_t i = 0; i < a->I; i++) {
            REAL gate = get(a->gu, 2 * t * a->I + i, a->dtype);
            REAL up = get(a->gu, (2 * t + 1) * a->I + i, a->dtype);
            put(a->y, t * a->I + i, a->dtype, gate * sigmoid(gate) * up);
        }
}

REF_OP(swiglu_grad)
{
    for (int64_t t = 0; t < a->T; t++)
        for (int64_t i = 0; i < a->I; i++) {
            const int64_t g = 2 * t * a->I + i, u = g + a->I, at = t * a->I + i;
            REAL gate = get(a->gu, g, a->dtype), up = get(a->gu, u, a->dtype);
            REAL dy = get(a->dy, at, a->dtype), s = sigmoid(gate);
            if (a->y) put(a->y, at, a->dtype, gate * s * up);
            put(a->dgu, g, a->dtype, dy * up * s * (1 + gate * (1 - s)));
            put(a->dgu, u, a->dtype, dy * gate * s);
        }
}
