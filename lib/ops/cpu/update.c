/* SPDX-License-Identifier: Apache-2.0 */
/* Updates of weights in one pass, 64 elements at a time: each block is converted from its type to
 * floats in the L1 cache, updated and stored. Limits: memory bandwidth (AdamW: 30 bytes per element
 * with fp32 master, moments and gradient, 14 with everything in bf16); for AdamW also a square root
 * and a division; for stochastic rounding to bf16 also Philox; in total about 3 cycles per element.
 */
#include "ops/cpu/cpu.h"
#include "ops/cpu/philox.h"

enum { BLOCK = RANDOM_BLOCK, CHUNK = 1 << 14 };

/* An array of the state of an update, with its type. */
struct kept {
    void *p;
    enum dtype t;
};
struct state {
    struct kept own, m, v; /* p may be NULL */
    struct kept copy;      /* rounded copy of own */
    struct kept grad;
    const struct op_random *random; /* NULL: no stochastic rounding */
};

static enum dtype kept_as(enum dtype t) { return t == DT_BF16 ? DT_BF16 : DT_F32; }

static struct state state_of(struct kept param, struct kept master, struct kept m, struct kept v,
                             struct kept grad, const struct op_random *random)
{
    struct state s = {.own = param, .m = m, .v = v, .grad = grad};
    if (master.p) {
        s.own = master;
        s.copy = param;
    }
    if (s.own.t == DT_BF16 || (m.p && m.t == DT_BF16) || (v.p && v.t == DT_BF16)) s.random = random;
    return s;
}

/* Stores x for the next update, in bf16 by stochastic rounding; returns the stored value. */
INLINE vf store_kept(const struct kept *k, int64_t i, int64_t left, vf x, vu bits)
{
    if (k->t != DT_BF16) {
        v_put(k->p, i, DT_F32, left, x);
        return x;
    }
    const vu u = v_round_random(x, bits);
    v_put_high(k->p, i, left, u);
    return (vf)u;
}

/* Lanes of the elements i, i+1, ..., of which `left` exist. */
struct lanes {
    int64_t i, left;
    vu bits;
};

struct adamw {
    float clip, keep, step, root, b1, c1, b2, c2, eps;
};
INLINE void adamw_lanes(const struct state *s, const void *numbers, struct lanes at)
{
    const struct adamw *k = numbers;
    vf g = v_get(s->grad.p, at.i, s->grad.t, at.left) * k->clip;
    vf m = v_fma(v_get(s->m.p, at.i, s->m.t, at.left), v_set(k->b1), g * k->c1);
    vf v = v_fma(v_get(s->v.p, at.i, s->v.t, at.left), v_set(k->b2), g * g * k->c2);
    vf p = v_get(s->own.p, at.i, s->own.t, at.left) * k->keep;
    p -= k->step * (m / v_fma(v_sqrt(v), v_set(k->root), v_set(k->eps)));
    store_kept(&s->m, at.i, at.left, m, at.bits ^ at.bits >> 16);
    store_kept(&s->v, at.i, at.left, v, at.bits >> 16);
    p = store_kept(&s->own, at.i, at.left, p, at.bits);
    if (s->copy.p) v_put(s->copy.p, at.i, s->copy.t, at.left, p);
}

struct sgd {
    float clip, decay, momentum, fresh, lr; /* fresh: factor of the gradient */
    bool begins, nesterov;
};
INLINE void sgd_lanes(const struct state *s, const void *numbers, struct lanes at)
{
    const struct sgd *k = numbers;
    vf p = v_get(s->own.p, at.i, s->own.t, at.left);
    vf g = v_fma(p, v_set(k->decay), v_get(s->grad.p, at.i, s->grad.t, at.left) * k->clip);
    if (s->m.p) {
        vf m = v_get(s->m.p, at.i, s->m.t, at.left);
        m = k->begins ? g : v_fma(m, v_set(k->momentum), g * k->fresh);
        store_kept(&s->m, at.i, at.left, m, at.bits ^ at.bits >> 16);
        g = k->nesterov ? v_fma(m, v_set(k->momentum), g) : m;
    }
    p = store_kept(&s->own, at.i, at.left, p - g * k->lr, at.bits);
    if (s->copy.p) v_put(s->copy.p, at.i, s->copy.t, at.left, p);
}

typedef void lanes_fn(const struct state *s, const void *k, struct lanes at);

/* Runs fn on elements [from, to), split at the ends of blocks of random bits. */
INLINE void run(const struct state *s, uint64_t first, int64_t from, int64_t to, lanes_fn *fn,
                const void *k)
{
    uint32_t bits[BLOCK + VL] = {0}; /* the last lanes may extend beyond their block */
    for (int64_t i = from, n; i < to; i += n) {
        const uint64_t at = first + (uint64_t)i;
        const int64_t skip = (int64_t)(at % BLOCK);
        n = cpu_min(to - i, BLOCK - skip);
        if (s->random) random_block(s->random, at / BLOCK, bits);
        struct lanes l = {.i = i, .left = VL};
        if (n == BLOCK) {
            for (int j = 0; j < BLOCK; j += VL, l.i += VL) {
                memcpy(&l.bits, bits + j, sizeof l.bits);
                fn(s, k, l);
            }
            continue;
        }
        for (int64_t j = 0; j < n; j += VL, l.i += VL) {
            l.left = n - j;
            memcpy(&l.bits, bits + skip + j, sizeof l.bits);
            fn(s, k, l);
        }
    }
}

static float clip_of(double max_norm, const double *sumsq)
{
    const double clip = max_norm > 0 ? max_norm / (sqrt(*sumsq) + 1e-6) : 1;
    return (float)(clip > 1 ? 1 : clip);
}

CPU_OP(adamw)
{
    const struct state s = state_of(
        (struct kept){a->param, a->param_dtype}, (struct kept){a->master, kept_as(a->master_dtype)},
        (struct kept){a->m, kept_as(a->m_dtype)}, (struct kept){a->v, kept_as(a->v_dtype)},
        (struct kept){(void *)(uintptr_t)a->grad, kept_as(a->grad_dtype)}, &a->random);
    const struct adamw k = {.clip = clip_of(a->max_norm, a->sumsq),
                            .keep = (float)(1 - a->lr * a->weight_decay),
                            .step = (float)(a->lr / a->c1),
                            .root = (float)(1 / sqrt(a->c2)),
                            .b1 = (float)a->beta1,
                            .c1 = (float)(1 - a->beta1),
                            .b2 = (float)a->beta2,
                            .c2 = (float)(1 - a->beta2),
                            .eps = (float)a->eps};
    PARALLEL_FOR(d, c, cpu_blocks(a->n, CHUNK))
    run(&s, a->random.first, c * CHUNK, cpu_min((c + 1) * CHUNK, a->n), adamw_lanes, &k);
}

CPU_OP(sgd)
{
    const struct state s = state_of(
        (struct kept){a->param, a->param_dtype}, (struct kept){a->master, kept_as(a->master_dtype)},
        (struct kept){a->m, kept_as(a->m_dtype)}, (struct kept){NULL, DT_F32},
        (struct kept){(void *)(uintptr_t)a->grad, kept_as(a->grad_dtype)}, &a->random);
    const struct sgd k = {.clip = clip_of(a->max_norm, a->sumsq),
                          .decay = (float)a->weight_decay,
                          .momentum = (float)a->momentum,
                          .fresh = (float)(1 - a->dampening),
                          .lr = (float)a->lr,
                          .begins = a->random.step <= 1,
                          .nesterov = a->nesterov};
    PARALLEL_FOR(d, c, cpu_blocks(a->n, CHUNK))
    run(&s, a->random.first, c * CHUNK, cpu_min((c + 1) * CHUNK, a->n), sgd_lanes, &k);
}
