/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the two kinds of attention (by element type): the task, masks and scratch. */
#ifndef SFT_OPS_ATTENTION_H
#define SFT_OPS_ATTENTION_H

#include "ops/cpu/cpu.h"
#include "ops/cpu/transpose.h"

enum {
    KEYS = 256,   /* keys of a strip of scores, which stays in L1 */
    ROWS = 48,    /* queries of a backward tile; a multiple of GROUP and of VL */
    ROWS_LD = 64, /* ROWS padded to whole vectors of pairs */
    PAD = 64,     /* keys of a document are padded to PAD, channels to WIDE */
    WIDE = 32,
    LONG = 512, /* tokens from which each head of a document is a separate task */
};
#define LOG2E 1.4426950408889634
#define LN2   0.6931471805599453

/* The work of a task: one document and one kv head, with all of its heads or, in a long document,
 * one. */
struct task {
    const struct op_attention *a;
    int64_t q0, nq, k0, nk; /* its rows of q and of k */
    int64_t entry;          /* the first of its ranges in a->cu_q */
    int64_t g, h0, h1;      /* kv head, and heads [h0, h1) */
    bool alone;             /* one of several heads that share dK and dV */
    int64_t dim, width;     /* channels, and padded channels */
};

/* Returns the part of a document's task that belongs to its chunk c; only with a->key_end. */
INLINE struct task task_chunk(const struct task *t, int64_t c)
{
    const int64_t e = t->entry + c;
    struct task part = *t;
    part.q0 = t->a->cu_q[e];
    part.nq = t->a->cu_q[e + 1] - part.q0;
    part.nk = t->a->key_end[e] - t->k0;
    return part;
}

/* Returns the type of dk and dv. */
INLINE enum dtype key_type(const struct op_attention_grad *a)
{
    return a->wide ? DT_F32 : a->fwd.dtype;
}

/* Computes the keys [*from, *to) of the document that its query i sees; from <= to. */
INLINE void visible(const struct task *s, int64_t i, int64_t *from, int64_t *to)
{
    int64_t end = s->nk - s->nq + i + 1, begin = s->a->window > 0 ? end - s->a->window : 0;
    *from = begin > 0 ? begin : 0;
    *to = end > *from ? end : *from;
}

/* Returns x where the lane's key lies in [from, to), else `other`; v counts vectors. */
INLINE vf only(vf x, int64_t v, int64_t from, int64_t to, float other)
{
    if (v * VL >= from && (v + 1) * VL <= to) return x;
    vi key = v_lanes() + (int32_t)(v * VL);
    return v_select((key >= (int32_t)from) & (key < (int32_t)to), x, v_set(other));
}

/* With a cap, replaces the products q.k of GROUP queries, in vectors [v0, v1) of their strips, by
 * tanh(scale q.k / cap). score_scale() is then what they are to be multiplied with. */
INLINE void cap_scores(const struct op_attention *a, float *s, int64_t rows, int64_t v0, int64_t v1)
{
    if (!(a->cap > 0)) return;
    const vf scale = v_set((float)(a->scale / a->cap));
    for (int64_t r = 0; r < rows; r++)
        for (int64_t v = v0; v < v1; v++)
            v_store(s + r * KEYS + v * VL, v_tanh(v_load(s + r * KEYS + v * VL) * scale));
}
/* Returns the factor from what cap_scores leaves to scores in units of log 2. */
INLINE float score_scale(const struct op_attention *a)
{
    return (float)((a->cap > 0 ? a->cap : a->scale) * LOG2E);
}

/* Allocates pieces of scratch; with base NULL it only counts. */
struct carve {
    char *base;
    size_t at;
};
INLINE void *carve(struct carve *c, int64_t n, size_t size)
{
    size_t at = c->at;
    c->at += ((size_t)n * size + 63) / 64 * 64 + 64; /* an odd line prevents set aliasing */
    return c->base ? c->base + at : NULL;
}

INLINE int64_t padded(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

#endif
