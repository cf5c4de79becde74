/* SPDX-License-Identifier: Apache-2.0 */
/* Reference of causal attention within documents, one query and one key at a time. */
#include "ref.h"

enum { PART = 64 }; /* channels summed at a time, so that the stack is bounded */

struct head {
    const struct op_attention *a;
    int32_t doc;
    int64_t h; /* query head */
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
    const int32_t *q = s->a->cu_q + s->doc, *k = s->a->cu_k + s->doc;
    int64_t end = (int64_t)k[1] - q[1] + i + 1, begin = s->a->window > 0 ? end - s->a->window : 0;
    if (s->a->window <= 0 || begin < k[0]) begin = k[0];
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
    return (REAL)s->a->scale * dot(s, s->a->q, q_at(s, i), s->a->k, kv_at(s, j));
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

/* Zeroes `heads` heads of the rows of x outside all documents. */
static void clear_rest(void *x, const struct op_attention *a, const int32_t *cu, int64_t rows,
                       int64_t stride, int64_t heads)
{
    for (int64_t t = 0; t < rows; t++)
        if (a->docs <= 0 || t < cu[0] || t >= cu[a->docs])
            memset(elem(x, t * stride, a->dtype), 0,
                   (size_t)(heads * a->dim) * dtype_size(a->dtype));
}

REF_OP(attention)
{
    clear_rest(a->o, a, a->cu_q, a->Tq, a->o_stride, a->heads);
    for (int32_t d = 0; d < a->docs; d++)
        for (int64_t h = 0; h < a->heads; h++)
            for (int64_t i = a->cu_q[d]; i < a->cu_q[d + 1]; i++)
                attend(&(struct head){a, d, h}, i, a->o, a->lse);
}

/* p = exp(score - lse) and ds = p * (dout.v - dout.o), the gradient of the score, for one pair. */
struct pair {
    REAL p, ds;
};
static struct pair pair_of(const struct op_attention_grad *a, const struct head *s, int64_t i,
                           int64_t j)
{
    REAL lse = get(a->lse, s->h * s->a->Tq + i, real_of(s->a->dtype));
    REAL p = exp(score(s, i, j) - lse);
    REAL dp = dot(s, a->dout, o_at(s, i), s->a->v, kv_at(s, j));
    REAL mean = dot(s, a->dout, o_at(s, i), a->o, o_at(s, i));
    return (struct pair){p, p * (dp - mean)};
}

static void query_grad(const struct op_attention_grad *a, const struct head *s, int64_t i)
{
    int64_t from, to;
    visible(s, i, &from, &to);
    WEIGHTED_SUM(a->dq, q_at(s, i), from, to, pair_of(a, s, i, j).ds * (REAL)s->a->scale, s->a->k,
                 kv_at(s, j));
}

/* Computes channels [c0, c0 + n) of the gradients of key and value j, summed over the queries of
 * all heads of its group that see it. */
static void key_grad(const struct op_attention_grad *a, const struct head *first, int64_t j,
                     int64_t c0, int64_t n)
{
    const struct op_attention *f = first->a;
    REAL dk[PART] = {0}, dv[PART] = {0};
    for (int64_t h = first->h; h < first->h + f->heads / f->kv_heads; h++)
        for (int64_t i = f->cu_q[first->doc]; i < f->cu_q[first->doc + 1]; i++) {
            struct head s = {f, first->doc, h};
            int64_t from, to;
            visible(&s, i, &from, &to);
            if (j < from || j >= to) continue;
            struct pair w = pair_of(a, &s, i, j);
            for (int64_t c = 0; c < n; c++) {
                dk[c] += w.ds * (REAL)f->scale * get(f->q, q_at(&s, i) + c0 + c, f->dtype);
                dv[c] += w.p * get(a->dout, o_at(&s, i) + c0 + c, f->dtype);
            }
        }
    for (int64_t c = 0; c < n; c++) {
        put(a->dk, kv_at(first, j) + c0 + c, f->dtype, dk[c]);
        put(a->dv, kv_at(first, j) + c0 + c, f->dtype, dv[c]);
    }
}

REF_OP(attention_grad)
{
    const struct op_attention *f = &a->fwd;
    clear_rest(a->dq, f, f->cu_q, f->Tq, f->q_stride, f->heads);
    clear_rest(a->dk, f, f->cu_k, f->Tk, f->kv_stride, f->kv_heads);
    clear_rest(a->dv, f, f->cu_k, f->Tk, f->kv_stride, f->kv_heads);
    for (int32_t d = 0; d < f->docs; d++) {
        for (int64_t h = 0; h < f->heads; h++)
            for (int64_t i = f->cu_q[d]; i < f->cu_q[d + 1]; i++)
                query_grad(a, &(struct head){f, d, h}, i);
        for (int64_t h = 0; h < f->heads; h += f->heads / f->kv_heads)
            for (int64_t j = f->cu_k[d]; j < f->cu_k[d + 1]; j++)
                for (int64_t c = 0; c < f->dim; c += PART)
                    key_grad(a, &(struct head){f, d, h}, j, c,
                             f->dim - c < PART ? f->dim - c : PART);
    }
}
