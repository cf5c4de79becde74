/* SPDX-License-Identifier: Apache-2.0 */
/* SwiGLU. Limit: memory bandwidth, if exp and a division cost less than reading 3 elements. */
#include "ops/cpu/cpu.h"

INLINE vf sigmoid(vf x) { return 1 / (1 + v_exp(-v_max(x, v_set(-88)))); }

INLINE void glu_row(const struct op_swiglu *a, int64_t row, enum dtype t)
{
    const void *g = elem(a->gu, 2 * row * a->I, t), *u = elem(g, a->I, t);
    void *y = elem(a->y, row * a->I, t);
    for (int64_t i = 0; i < a->I; i += VL) {
        vf gate = v_get(g, i, t, a->I - i);
        v_put(y, i, t, a->I - i, gate * sigmoid(gate) * v_get(u, i, t, a->I - i));
    }
}

CPU_OP(swiglu) { PARALLEL_FOR(d, row, a->T) BY_DTYPE(a->dtype, glu_row, a, row); }

INLINE void glu_grad_row(const struct op_swiglu_grad *a, int64_t row, enum dtype t)
{
    const void *g = elem(a->gu, 2 * row * a->I, t), *u = elem(g, a->I, t);
    const void *dy = elem(a->dy, row * a->I, t);
    void *dg = elem(a->dgu, 2 * row * a->I, t), *du = elem(dg, a->I, t);
    void *y = a->y ? elem(a->y, row * a->I, t) : NULL;
    for (int64_t i = 0; i < a->I; i += VL) {
        const int64_t left = a->I - i;
        vf gate = v_get(g, i, t, left), up = v_get(u, i, t, left), grad = v_get(dy, i, t, left);
        vf s = sigmoid(gate), silu = gate * s;
        if (y) v_put(y, i, t, left, silu * up);
        v_put(dg, i, t, left, grad * up * (s + silu * (1 - s)));
        v_put(du, i, t, left, grad * silu);
    }
}

CPU_OP(swiglu_grad) { PARALLEL_FOR(d, row, a->T) BY_DTYPE(a->dtype, glu_grad_row, a, row); }
