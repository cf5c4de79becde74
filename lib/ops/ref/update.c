/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of one update: AdamW (Loshchilov and Hutter 2019) and SGD with momentum, as
 * torch.optim.AdamW and torch.optim.SGD compute them; and of stochastic rounding (Gupta, Agrawal,
 * Gopalakrishnan and Narayanan, "Deep learning with limited numerical precision", 2015). */
#include "ref.h"

/* Returns min(1, max_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_. */
static REAL clip_of(double max_norm, const double *sumsq)
{
    double clip = max_norm > 0 ? max_norm / (sqrt(*sumsq) + 1e-6) : 1;
    return (REAL)(clip > 1 ? 1 : clip);
}

/* Stores x with type t for the next update, in bf16 by stochastic rounding; returns the stored
 * value. */
static REAL keep(void *p, int64_t i, enum dtype t, REAL x, uint32_t bits)
{
    if (t == DT_BF16)
        ((uint16_t *)p)[i] = bf16_from_f32_random((float)x, bits);
    else
        put(p, i, t, x);
    return get(p, i, t);
}

/* The weights of an update: the updated array and its rounded copy. */
struct weights {
    void *own, *copy; /* copy may be NULL */
    enum dtype own_dtype, copy_dtype;
};
static struct weights weights_of(void *param, enum dtype param_dtype, void *master,
                                 enum dtype master_dtype, enum dtype real)
{
    if (!master) return (struct weights){param, NULL, param_dtype, param_dtype};
    return (struct weights){master, param, kept_as(master_dtype, real), param_dtype};
}
static void weights_put(const struct weights *w, int64_t i, REAL p, uint32_t bits)
{
    p = keep(w->own, i, w->own_dtype, p, bits);
    if (w->copy) put(w->copy, i, w->copy_dtype, p);
}

REF_OP(adamw)
{
    const enum dtype tm = kept_as(a->m_dtype, a->dtype), tv = kept_as(a->v_dtype, a->dtype);
    const enum dtype tg = kept_as(a->grad_dtype, a->dtype);
    const struct weights w =
        weights_of(a->param, a->param_dtype, a->master, a->master_dtype, a->dtype);
    const REAL clip = clip_of(a->max_norm, a->sumsq), step = (REAL)(a->lr / a->c1);
    const REAL shrink = (REAL)(1 - a->lr * a->weight_decay), root = (REAL)sqrt(a->c2);
    const REAL b1 = (REAL)a->beta1, b2 = (REAL)a->beta2;
    for (int64_t i = 0; i < a->n; i++) {
        const uint32_t bits = op_random_bits(&a->random, a->random.first + (uint64_t)i);
        REAL g = get(a->grad, i, tg) * clip, m = get(a->m, i, tm), v = get(a->v, i, tv);
        m = b1 * m + (REAL)(1 - a->beta1) * g;
        v = b2 * v + (REAL)(1 - a->beta2) * g * g;
        REAL p = get(w.own, i, w.own_dtype) * shrink - step * (m / (sqrt(v) / root + (REAL)a->eps));
        keep(a->m, i, tm, m, bits ^ bits >> 16);
        keep(a->v, i, tv, v, bits >> 16);
        weights_put(&w, i, p, bits);
    }
}

REF_OP(sgd)
{
    const enum dtype tm = kept_as(a->m_dtype, a->dtype), tg = kept_as(a->grad_dtype, a->dtype);
    const struct weights w =
        weights_of(a->param, a->param_dtype, a->master, a->master_dtype, a->dtype);
    const bool begins = a->random.step <= 1;
    const REAL clip = clip_of(a->max_norm, a->sumsq), decay = (REAL)a->weight_decay;
    const REAL momentum = (REAL)a->momentum, lr = (REAL)a->lr;
    for (int64_t i = 0; i < a->n; i++) {
        const uint32_t bits = op_random_bits(&a->random, a->random.first + (uint64_t)i);
        const REAL p = get(w.own, i, w.own_dtype);
        REAL g = get(a->grad, i, tg) * clip + decay * p;
        if (a->m) {
            REAL m = begins ? g : momentum * get(a->m, i, tm) + (REAL)(1 - a->dampening) * g;
            keep(a->m, i, tm, m, bits ^ bits >> 16);
            g = a->nesterov ? g + momentum * m : m;
        }
        weights_put(&w, i, p - lr * g, bits);
    }
}
