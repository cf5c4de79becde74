/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of one AdamW update (Loshchilov and Hutter 2019), as torch.optim.AdamW computes it. */
#include "ref.h"

REF_OP(adamw)
{
    const enum dtype real = a->dtype;
    double clip = a->max_norm > 0 ? a->max_norm / (sqrt(*a->sumsq) + 1e-6) : 1;
    if (clip > 1) clip = 1;
    const REAL keep = (REAL)(1 - a->lr * a->weight_decay), step = (REAL)(a->lr / a->c1);
    const REAL root = (REAL)sqrt(a->c2), b1 = (REAL)a->beta1, b2 = (REAL)a->beta2;
    for (int64_t i = 0; i < a->n; i++) {
        REAL g = get(a->grad, i, real) * (REAL)clip, m = get(a->m, i, real), v = get(a->v, i, real);
        m = b1 * m + (REAL)(1 - a->beta1) * g;
        v = b2 * v + (REAL)(1 - a->beta2) * g * g;
        REAL p = get(a->master, i, real) * keep - step * (m / (sqrt(v) / root + (REAL)a->eps));
        put(a->m, i, real, m);
        put(a->v, i, real, v);
        put(a->master, i, real, p);
        if (a->param) put(a->param, i, a->param_dtype, p);
    }
}
