/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of softmax cross-entropy, sums and argmax. */
#include "ref.h"

static void xent_row(const struct op_xent *a, int64_t t)
{
    const int64_t at = t * a->V;
    const int32_t target = a->target[t];
    const bool counts = target >= 0 && target < a->V;
    REAL max = -(REAL)INFINITY, sum = 0;
    for (int64_t j = 0; j < a->V; j++) max = fmax(max, get(a->logits, at + j, a->dtype));
    for (int64_t j = 0; j < a->V; j++) sum += exp(get(a->logits, at + j, a->dtype) - max);
    REAL nll = counts ? max + log(sum) - get(a->logits, at + target, a->dtype) : 0;
    put(a->nll, t, a->dtype, nll);
    if (!a->dlogits) return;
    REAL scale = counts ? get(a->weight, t, a->dtype) * (REAL)a->scale : 0;
    for (int64_t j = 0; j < a->V; j++) {
        REAL p = exp(get(a->logits, at + j, a->dtype) - max) / sum;
        put(a->dlogits, at + j, a->d_dtype, scale * (p - (j == target)));
    }
}

REF_OP(xent)
{
    for (int64_t t = 0; t < a->n; t++) xent_row(a, t);
}

REF_OP(sum)
{
    double sum = *a->sum;
    for (int64_t i = 0; i < a->n; i++) {
        double x = (double)get(a->x, i, a->dtype);
        sum += a->squares ? x * x : a->w ? x * (double)get(a->w, i, a->dtype) : x;
    }
    *a->sum = sum;
}

REF_OP(argmax)
{
    for (int64_t t = 0; t < a->n; t++) {
        int64_t best = 0;
        for (int64_t j = 1; j < a->V; j++)
            if (get(a->logits, t * a->V + j, a->dtype) > get(a->logits, t * a->V + best, a->dtype))
                best = j;
        a->y[t] = (int32_t)best;
    }
}
