/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of softmax cross-entropy, sums and argmax. */
#include "ref.h"

/* Statistics of a row of logits, or of one rank's part of it. */
struct row {
    REAL max, sum, hit; /* hit: the target's logit */
};

static REAL capped(REAL x, double cap) { return cap > 0 ? (REAL)cap * tanh(x / (REAL)cap) : x; }

static struct row row_of(const void *logits, int64_t at, int64_t V, int64_t target, enum dtype t,
                         double cap)
{
    struct row r = {.max = -(REAL)INFINITY};
    for (int64_t j = 0; j < V; j++) r.max = fmax(r.max, capped(get(logits, at + j, t), cap));
    for (int64_t j = 0; j < V; j++) r.sum += exp(capped(get(logits, at + j, t), cap) - r.max);
    if (target >= 0 && target < V) r.hit = capped(get(logits, at + target, t), cap);
    return r;
}

/* Returns the statistics of the whole row t from the parts of all ranks. */
static struct row joined(const struct op_xent *a, int64_t t)
{
    struct row r = {.max = -(REAL)INFINITY};
    for (int32_t i = 0; i < a->ranks; i++)
        r.max = fmax(r.max, get(a->parts, (i * a->n + t) * 3, a->dtype));
    for (int32_t i = 0; i < a->ranks; i++) {
        const int64_t at = (i * a->n + t) * 3;
        r.sum += get(a->parts, at + 1, a->dtype) * exp(get(a->parts, at, a->dtype) - r.max);
        r.hit += get(a->parts, at + 2, a->dtype);
    }
    return r;
}

static void xent_row(const struct op_xent *a, int64_t t)
{
    const int64_t at = t * a->V, first = a->parts ? a->first : 0, all = a->parts ? a->all : a->V;
    const int64_t target = a->target[t];
    const bool counts = target >= 0 && target < all;
    const enum dtype tl = kept_as(a->logits_dtype, a->dtype);
    const struct row r = a->parts ? joined(a, t) : row_of(a->logits, at, a->V, target, tl, a->cap);
    put(a->nll, t, a->dtype, counts ? r.max + log(r.sum) - r.hit : 0);
    if (!a->dlogits) return;
    REAL scale = counts ? get(a->weight, t, a->dtype) * (REAL)a->scale : 0;
    for (int64_t j = 0; j < a->V; j++) {
        const REAL x = capped(get(a->logits, at + j, tl), a->cap);
        const REAL p = exp(x - r.max) / r.sum, y = a->cap > 0 ? x / (REAL)a->cap : 0;
        put(a->dlogits, at + j, a->d_dtype, scale * (p - (first + j == target)) * (1 - y * y));
    }
}

REF_OP(xent)
{
    for (int64_t t = 0; t < a->n; t++) xent_row(a, t);
}

REF_OP(xent_part)
{
    const enum dtype tl = kept_as(a->logits_dtype, a->dtype);
    for (int64_t t = 0; t < a->n; t++) {
        const struct row r = row_of(a->logits, t * a->V, a->V, a->target[t] - a->first, tl, a->cap);
        put(a->part, t * 3, a->dtype, r.max);
        put(a->part, t * 3 + 1, a->dtype, r.sum);
        put(a->part, t * 3 + 2, a->dtype, r.hit);
    }
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
