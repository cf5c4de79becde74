/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW in one pass. Limit: memory bandwidth, 30 bytes an element (reads master, m, v and the
 * gradient; writes all but the gradient, and the bf16 parameter). */
#include "ops/cpu/cpu.h"

enum { CHUNK = 1 << 14 };

struct adamw {
    float clip, keep, step, root, b1, c1, b2, c2, eps;
};

INLINE void update(const struct op_adamw *a, const struct adamw *k, int64_t from, int64_t to,
                   enum dtype t)
{
    for (int64_t i = from; i < to; i += VL) {
        const int64_t left = to - i;
        vf g = v_get(a->grad, i, DT_F32, left) * k->clip;
        vf m = v_fma(v_get(a->m, i, DT_F32, left), v_set(k->b1), g * k->c1);
        vf v = v_fma(v_get(a->v, i, DT_F32, left), v_set(k->b2), g * g * k->c2);
        vf p = v_get(a->master, i, DT_F32, left) * k->keep;
        p -= k->step * (m / v_fma(v_sqrt(v), v_set(k->root), v_set(k->eps)));
        v_put(a->m, i, DT_F32, left, m);
        v_put(a->v, i, DT_F32, left, v);
        v_put(a->master, i, DT_F32, left, p);
        if (a->param) v_put(a->param, i, t, left, p);
    }
}

CPU_OP(adamw)
{
    double clip = a->max_norm > 0 ? a->max_norm / (sqrt(*a->sumsq) + 1e-6) : 1;
    const struct adamw k = {.clip = (float)(clip > 1 ? 1 : clip),
                            .keep = (float)(1 - a->lr * a->weight_decay),
                            .step = (float)(a->lr / a->c1),
                            .root = (float)(1 / sqrt(a->c2)),
                            .b1 = (float)a->beta1,
                            .c1 = (float)(1 - a->beta1),
                            .b2 = (float)a->beta2,
                            .c2 = (float)(1 - a->beta2),
                            .eps = (float)a->eps};
    PARALLEL_FOR(d, b, cpu_blocks(a->n, CHUNK))
    BY_DTYPE(a->param_dtype, update, a, &k, b * CHUNK, cpu_min((b + 1) * CHUNK, a->n));
}
