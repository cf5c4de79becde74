/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of causal attention within documents, one query and one key at a time. */
#include "ref.h"

enum { PART = 64 }; /* channels summed at a time, so that the stack is bounded */

struct head {
    const struct op_attention *a;
    int32_t entry; /* document, or chunk of one */
    int64_t h;     /* query head */
};

static int64_t q_at(const struct head *s, int64_t i)
{
    return i * s->a->q_stride + s->h * s->a->dim;
}
static int64_t o_at(const struct head *s, int64_t i)
{
    return i * s->a->o_stride + s->h * s->a->dim;
}
static int64_t kv_at(const struct head *s, int64_t j)
{
    return j * s->a->kv_stride + s->h / (s->a->heads / s->a->kv_heads) * s->a->dim;
}

/* Computes the keys [from, to) that query i sees, as rows of k and v. The last query sees the last
 * key. */
static void visible(const struct head *s, int64_t i, int64_t *from, int64_t *to)
{
    const struct op_attention *a = s->a;
    const int32_t e = s->entry, *k = a->cu_k + (a->key_end ? e / 2 : e);
    const int64_t last = a->key_end ? a->key_end[e] : k[1], end = last - a->cu_q[e + 1] + i + 1;
    int64_t begin = a->window > 0 ? end - a->window : 0;
    if (a->window <= 0 || begin < k[0]) begin = k[0];
    *from = begin;
    *to = end > begin ? end : begin;
}

static REAL dot(const struct head *s, const void *x, int64_t x_at, const void *y, int64_t y_at)
{
    REAL sum = 0;
    for (int64_t c = 0; c < s->a->dim; c++)
        sum += get(x, x_at + c, s->a->dtype) * get(y, y_at + c, s->a->dtype);
    return sum;
}

static REAL score(const struct head *s, int64_t i, int64_t j)
{
    const REAL cap = (REAL)s->a->cap;
    const REAL x = (REAL)s->a->scale * dot(s, s->a->q, q_at(s, i), s->a->k, kv_at(s, j));
    return cap > 0 ? cap * tanh(x / cap) : x;
}

/* The derivative of a score by scale * q.k. */
static REAL slope(const struct op_attention *a, REAL score)
{
    const REAL y = a->cap > 0 ? score / (REAL)a->cap : 0;
    return 1 - y * y;
}

/* Returns the log of the sum of exp(score) over the keys that query i sees. */
static REAL log_sum(const struct head *s, int64_t i)
{
    int64_t from, to;
    visible(s, i, &from, &to);
    REAL max = -(REAL)INFINITY, sum = 0;
    if (from == to) return max;
    for (int64_t j = from; j < to; j++) max = fmax(max, score(s, i, j));
    for (int64_t j = from; j < to; j++) sum += exp(score(s, i, j) - max);
    return max + log(sum);
}

/* y[at + c] = sum over rows j in [from, to) of weight(j) * x[row_at(j) + c], each sum rounded once
 */
#define WEIGHTED_SUM(y, at, from, to, weight, x, row_at)                                           \
    for (int64_t c0 = 0; c0 < s->a->dim; c0 += PART) {                                             \
        REAL acc[PART] = {0};                                                                      \
        int64_t part = s->a->dim - c0 < PART ? s->a->dim - c0 : PART;                              \
        for (int64_t j = from; j < to; j++) {                                                      \
            REAL w = weight;                                                                       \
            for (int64_t c = 0; c < part; c++) acc[c] += w * get(x, row_at + c0 + c, s->a->dtype); \
        }                                                                                          \
        for (int64_t c = 0; c < part; c++) put(y, at + c0 + c, s->a->dtype, acc[c]);               \
    }

static void attend(const struct head *s, int64_t i, void *o, void *lse)
{
    int64_t from, to;
    visible(s, i, &from, &to);
    REAL l = log_sum(s, i);
    WEIGHTED_SUM(o, o_at(s, i), from, to, exp(score(s, i, j) - l), s->a->v, kv_at(s, j));
    if (lse) put(lse, s->h * s->a->Tq + i, real_of(s->a->dtype), l);
}

/* Rows [rows, stride] of type t; each begins with `heads` heads. */
struct rows {
    void *x;
    int64_t rows, stride, heads;
    enum dtype t;
};
/* Zeroes the heads of the rows outside all of the n ranges in cu. */
static void clear_rest(const struct rows *r, const struct op_attention *a, const int32_t *cu,
                       int32_t n)
{
    for (int64_t t = 0; t < r->rows; t++)
        if (n <= 0 || t < cu[0] || t >= cu[n])
            memset(elem(r->x, t * r->stride, r->t), 0,
                   (size_t)(r->heads * a->dim) * dtype_size(r->t));
}

REF_OP(attention)
{
    const int32_t n = attention_entries(a);
    clear_rest(&(struct rows){a->o, a->Tq, a->o_stride, a->heads, a->dtype}, a, a->cu_q, n);
    for (int32_t e = 0; e < n; e++)
        for (int64_t h = 0; h < a->heads; h++)
            for (int64_t i = a->cu_q[e]; i < a->cu_q[e + 1]; i++)
                attend(&(struct head){a, e, h}, i, a->o, a->lse);
}

/* p = exp(score - lse) and ds, the gradient of scale * q.k, for one pair: that of the score is
 * p * (dout.v - dout.o). */
struct pair {
    REAL p, ds;
};
static struct pair pair_of(const struct op_attention_grad *a, const struct head *s, int64_t i,
                           int64_t j)
{
    REAL lse = get(a->lse, s->h * s->a->Tq + i, real_of(s->a->dtype));
    REAL x = score(s, i, j), p = exp(x - lse);
    REAL dp = dot(s, a->dout, o_at(s, i), s->a->v, kv_at(s, j));
    REAL mean = dot(s, a->dout, o_at(s, i), a->o, o_at(s, i));
    return (struct pair){p, p * (dp - mean) * slope(s->a, x)};
}

static void query_grad(const struct op_attention_grad *a, const struct head *s, int64_t i)
{
    int64_t from, to;
    visible(s, i, &from, &to);
    WEIGHTED_SUM(a->dq, q_at(s, i), from, to, pair_of(a, s, i, j).ds * (REAL)s->a->scale, s->a->k,
                 kv_at(s, j));
}

/* Channels [c0, c0 + n) of the gradients of key and value j. */
struct key {
    int64_t j, c0, n;
    REAL dk[PART], dv[PART];
};

/* Adds the terms of the queries of one head in one document or chunk that see the key. */
static void add_queries(const struct op_attention_grad *a, const struct head *s, struct key *k)
{
    const struct op_attention *f = s->a;
    for (int64_t i = f->cu_q[s->entry]; i < f->cu_q[s->entry + 1]; i++) {
        int64_t from, to;
        visible(s, i, &from, &to);
        if (k->j < from || k->j >= to) continue;
        const struct pair w = pair_of(a, s, i, k->j);
        for (int64_t c = 0; c < k->n; c++) {
            k->dk[c] += w.ds * (REAL)f->scale * get(f->q, q_at(s, i) + k->c0 + c, f->dtype);
            k->dv[c] += w.p * get(a->dout, o_at(s, i) + k->c0 + c, f->dtype);
        }
    }
}

/* Computes the gradients of some channels of a key of document d, summed over all heads of the
 * group of head h. */
static void key_grad(const struct op_attention_grad *a, int32_t d, int64_t h, struct key *k)
{
    const struct op_attention *f = &a->fwd;
    const enum dtype t = a->wide ? real_of(f->dtype) : f->dtype;
    const int32_t each = f->key_end ? 2 : 1;
    const int64_t at = kv_at(&(struct head){f, d, h}, k->j) + k->c0;
    for (int64_t i = h; i < h + f->heads / f->kv_heads; i++)
        for (int32_t e = each * d; e < each * (d + 1); e++)
            add_queries(a, &(struct head){f, e, i}, k);
    for (int64_t c = 0; c < k->n; c++) {
        put(a->dk, at + c, t, k->dk[c]);
        put(a->dv, at + c, t, k->dv[c]);
    }
}

REF_OP(attention_grad)
{
    const struct op_attention *f = &a->fwd;
    const int32_t n = attention_entries(f);
    const struct rows dq = {a->dq, f->Tq, f->q_stride, f->heads, f->dtype};
    struct rows dkv = {a->dk, f->Tk, f->kv_stride, f->kv_heads, f->dtype};
    if (a->wide) dkv.t = real_of(f->dtype);
    clear_rest(&dq, f, f->cu_q, n);
    clear_rest(&dkv, f, f->cu_k, f->docs);
    dkv.x = a->dv;
    clear_rest(&dkv, f, f->cu_k, f->docs);
    for (int32_t e = 0; e < n; e++)
        for (int64_t h = 0; h < f->heads; h++)
            for (int64_t i = f->cu_q[e]; i < f->cu_q[e + 1]; i++)
                query_grad(a, &(struct head){f, e, h}, i);
    for (int32_t d = 0; d < f->docs; d++)
        for (int64_t h = 0; h < f->heads; h += f->heads / f->kv_heads)
            for (int64_t j = f->cu_k[d]; j < f->cu_k[d + 1]; j++)
                for (int64_t c = 0; c < f->dim; c += PART)
                    key_grad(
                        a, d, h,
                        &(struct key){.j = j, .c0 = c, .n = f->dim - c < PART ? f->dim - c : PART});
}
