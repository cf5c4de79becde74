/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax cross-entropy, sums and argmax. Cross-entropy reads a row of logits twice, the second
 * time from L2 (V = 49152: 192 KiB). Limit: two exp per logit. */
#include "ops/cpu/cpu.h"

enum {
    PIECE = 1024,    /* logits of a block, whose maximum is found before they are summed */
    BLOCK = 1 << 16, /* elements of a partial sum */
};

INLINE float one(const void *x, int64_t i, enum dtype t)
{
    return t == DT_BF16 ? bf16_to_f32(((const uint16_t *)x)[i]) : ((const float *)x)[i];
}

/* n logits from i on, one logit, and the derivative of one that has the value y; cap 0: none, which
 * is a constant wherever speed matters. */
INLINE vf logits(const void *x, int64_t i, enum dtype t, int64_t n, float cap)
{
    const vf v = v_get(x, i, t, n);
    return cap > 0 ? v_tanh(v / cap) * cap : v;
}
INLINE float logit(const void *x, int64_t i, enum dtype t, float cap)
{
    const float v = one(x, i, t);
    return cap > 0 ? logits(&v, 0, DT_F32, 1, cap)[0] : v;
}
INLINE vf slope(vf y, float cap) { return cap > 0 ? 1 - y / cap * (y / cap) : v_set(1); }

/* Computes the maximum and the sum of exp(x - maximum) of a row, one block at a time (Milakov and
 * Gimelshein 2018). */
INLINE float row_max_sum(const void *x, int64_t V, enum dtype t, float cap, float *total)
{
    float max = -INFINITY, sum = 0;
    for (int64_t at = 0; at < V; at += PIECE) {
        const int64_t end = cpu_min(at + PIECE, V);
        vf m = v_set(-INFINITY), s = v_set(0);
        int64_t i = at;
        for (; i + VL <= end; i += VL) m = v_max(m, logits(x, i, t, VL, cap));
        float most = v_hmax(m);
        for (; i < end; i++) most = logit(x, i, t, cap) > most ? logit(x, i, t, cap) : most;
        if (most > max) {
            sum *= expf(max - most);
            max = most;
        }
        for (i = at; i + VL <= end; i += VL) s += v_exp(logits(x, i, t, VL, cap) - max);
        sum += v_sum(s);
        for (; i < end; i++) sum += expf(logit(x, i, t, cap) - max);
    }
    *total = sum;
    return max;
}

/* Statistics of a row for the softmax, from all logits or from the parts of all ranks. hit: the
 * target's logit. */
struct row {
    float max, sum, hit;
};
INLINE struct row whole_row(const void *x, int64_t V, int64_t target, enum dtype t, float cap)
{
    struct row r = {.hit = target >= 0 && target < V ? logit(x, target, t, cap) : 0};
    r.max = row_max_sum(x, V, t, cap, &r.sum);
    return r;
}
INLINE struct row joined_row(const struct op_xent *a, int64_t row)
{
    struct row r = {.max = -INFINITY};
    const float *part = (const float *)a->parts + row * 3;
    for (int32_t i = 0; i < a->ranks; i++) {
        const float max = part[i * a->n * 3];
        r.max = max > r.max ? max : r.max;
    }
    for (int32_t i = 0; i < a->ranks; i++) {
        const float *p = part + i * a->n * 3;
        r.sum += p[1] * expf(p[0] - r.max);
        r.hit += p[2];
    }
    return r;
}

INLINE void xent_row(const struct op_xent *a, int64_t row, float cap, enum dtype t, enum dtype to)
{
    const int64_t V = a->V, all = a->parts ? a->all : V;
    const void *x = elem(a->logits, row * V, t);
    const bool counts = a->target[row] >= 0 && a->target[row] < all;
    const int64_t target = a->target[row] - (a->parts ? a->first : 0); /* in x */
    const struct row r = a->parts ? joined_row(a, row) : whole_row(x, V, target, t, cap);
    const float max = r.max, sum = r.sum;
    const bool here = target >= 0 && target < V;
    const float hit = here ? logit(x, target, t, cap) : 0; /* dx may alias x */
    ((float *)a->nll)[row] = counts ? max + logf(sum) - r.hit : 0;
    if (!a->dlogits) return;
    void *dx = elem(a->dlogits, row * V, to);
    if (!counts) {
        memset(dx, 0, (size_t)V * dtype_size(to));
        return;
    }
    const float scale = ((const float *)a->weight)[row] * (float)a->scale, each = scale / sum;
    const float at_target = scale * (expf(hit - max) / sum - 1);
    for (int64_t i = 0; i < V; i += VL) {
        const vf y = logits(x, i, t, V - i, cap), d = v_exp(y - max) * each;
        v_put(dx, i, to, V - i, cap > 0 ? d * slope(y, cap) : d);
    }
    if (here) v_put(dx, target, to, 1, v_set(at_target) * slope(v_set(hit), cap));
}

INLINE void xent_to(const struct op_xent *a, int64_t row, enum dtype t, enum dtype to)
{
    if (a->cap > 0)
        xent_row(a, row, (float)a->cap, t, to);
    else
        xent_row(a, row, 0, t, to);
}

INLINE void xent_logits(const struct op_xent *a, int64_t row, enum dtype t)
{
    BY_DTYPE(a->d_dtype, xent_to, a, row, t);
}
CPU_OP(xent) { PARALLEL_FOR(d, row, a->n) BY_DTYPE(a->logits_dtype, xent_logits, a, row); }

INLINE void part_row(const struct op_xent_part *a, int64_t row, enum dtype t)
{
    const void *x = elem(a->logits, row * a->V, t);
    const int64_t target = a->target[row] - a->first;
    const struct row r = a->cap > 0 ? whole_row(x, a->V, target, t, (float)a->cap)
                                    : whole_row(x, a->V, target, t, 0);
    memcpy((float *)a->part + row * 3, &r, sizeof r);
}
CPU_OP(xent_part) { PARALLEL_FOR(d, row, a->n) BY_DTYPE(a->logits_dtype, part_row, a, row); }

/* Returns a partial sum: fp32 in short runs of each lane, then double. */
INLINE double sum_block(const struct op_sum *a, int64_t from, int64_t to, enum dtype t)
{
    enum { RUN = 32 * VL };
    double sum = 0;
    for (int64_t at = from; at < to; at += RUN) {
        vf s = v_set(0);
        const int64_t end = cpu_min(at + RUN, to);
        for (int64_t i = at; i < end; i += VL) {
            vf x = v_get(a->x, i, t, end - i);
            s = a->squares ? v_fma(x, x, s)
                : a->w     ? v_fma(x, v_get(a->w, i, t, end - i), s)
                           : s + x;
        }
        for (int i = 0; i < VL; i++) sum += (double)s[i];
    }
    return sum;
}

CPU_WORK(sum)
{
    (void)d;
    return (size_t)cpu_blocks(a->n, BLOCK) * sizeof(double);
}

CPU_OP(sum)
{
    const int64_t blocks = cpu_blocks(a->n, BLOCK);
    double *part = device_work(d)->p;
    PARALLEL_FOR(d, b, blocks)
    part[b] = BY_DTYPE(a->dtype, sum_block, a, b * BLOCK, cpu_min((b + 1) * BLOCK, a->n));
    for (int64_t b = 0; b < blocks; b++) *a->sum += part[b];
}

INLINE void argmax_row(const struct op_argmax *a, int64_t row, enum dtype t)
{
    const void *x = elem(a->logits, row * a->V, t);
    int64_t best = 0;
    for (int64_t i = 1; i < a->V; i++)
        if (one(x, i, t) > one(x, best, t)) best = i;
    a->y[row] = (int32_t)best;
}
CPU_OP(argmax) { PARALLEL_FOR(d, row, a->n) BY_DTYPE(a->dtype, argmax_row, a, row); }
