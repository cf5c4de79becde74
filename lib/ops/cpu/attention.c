/* SPDX-License-Identifier: Apache-2.0 */
/* Causal attention within documents. A task is one document, or forward one chunk of it, and one kv
 * head with all heads that share it, or with one of these heads where it is long. Tasks run on any
 * thread; their
 * results are added in the order of the heads. Scores and probabilities stay in scratch, one strip
 * at a time. With AVX512_BF16, bf16 operands are multiplied directly and probabilities are rounded
 * to bf16; otherwise all arithmetic is fp32. */
#include "ops/cpu/attention.h"

#include <omp.h>

#define ELT      float
#define PAIR     1
#define T(name)  name##_f32
#define EXP2     v_exp2
#define MULTIPLY multiply_f32
#include "ops/cpu/tile.h"

#include "ops/cpu/attention_join.h"

#include "ops/cpu/attention_back.h"
#include "ops/cpu/attention_run.h"
#undef ELT
#undef PAIR
#undef T
#undef EXP2
#undef MULTIPLY

#ifdef ISA_v4
#define ELT      uint16_t
#define PAIR     2
#define T(name)  name##_bf16
#define EXP2     v_exp2_short
#define MULTIPLY multiply_bf16
#include "ops/cpu/tile.h"

#include "ops/cpu/attention_back.h"
#include "ops/cpu/attention_run.h"
#undef ELT
#undef PAIR
#undef T
#undef EXP2
#undef MULTIPLY
enum { PAIRED = true };
#else
#define forward_task_bf16     forward_task_f32
#define backward_task_bf16    backward_task_f32
#define forward_scratch_bf16  forward_scratch_f32
#define backward_scratch_bf16 backward_scratch_f32
enum { PAIRED = false };
#endif

static bool is_long(const struct op_attention *a, const struct task *t)
{
    return a->heads > a->kv_heads && t->nq >= LONG && t->nk >= LONG;
}

/* Chooses the heads of a task whose rows are set. Of long ones each head is a task; otherwise the
 * first head of a kv head covers all, and the others are empty (h0 == h1). */
static void choose_heads(struct task *t, int64_t h)
{
    const int64_t group = t->a->heads / t->a->kv_heads;
    t->g = h / group;
    t->h0 = h;
    t->alone = is_long(t->a, t);
    t->h1 = t->alone ? h + 1 : h % group == 0 ? h + group : h;
}

/* Returns the task of head index % heads of document index / heads. */
static struct task task_of(const struct op_attention *a, int64_t index)
{
    const int64_t doc = index / a->heads, each = a->key_end ? 2 : 1;
    struct task t = {.a = a,
                     .q0 = a->cu_q[each * doc],
                     .nq = a->cu_q[each * (doc + 1)] - a->cu_q[each * doc],
                     .k0 = a->cu_k[doc],
                     .nk = a->cu_k[doc + 1] - a->cu_k[doc],
                     .entry = each * doc,
                     .dim = a->dim,
                     .width = padded(a->dim, WIDE)};
    choose_heads(&t, index % a->heads);
    return t;
}

/* Returns the task of head index % heads of document or chunk index / heads, without the keys
 * before the window of its first query, for the forward pass. */
static struct task task_seen(const struct op_attention *a, int64_t index)
{
    const int64_t entry = index / a->heads, doc = a->key_end ? entry / 2 : entry;
    struct task t = task_of(a, doc * a->heads + index % a->heads);
    if (a->key_end) {
        t = task_chunk(&t, entry % 2);
        choose_heads(&t, index % a->heads);
    }
    int64_t from, to;
    visible(&t, 0, &from, &to);
    t.k0 += from / PAD * PAD;
    t.nk -= from / PAD * PAD;
    return t;
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
    const int64_t first = n > 0 ? cu[0] : r->rows, last = n > 0 ? cu[n] : r->rows;
    for (int64_t t = 0; t < r->rows; t = t + 1 == first ? last : t + 1)
        if (t < first || t >= last)
            memset(elem(r->x, t * r->stride, r->t), 0,
                   (size_t)(r->heads * a->dim) * dtype_size(r->t));
}

static bool paired(const struct op_attention *a) { return PAIRED && a->dtype == DT_BF16; }

static size_t forward_bytes(const struct op_attention *a)
{
    struct carve c = {NULL, 0};
    if (paired(a))
        forward_scratch_bf16(&c, a->max_len, padded(a->dim, WIDE));
    else
        forward_scratch_f32(&c, a->max_len, padded(a->dim, WIDE));
    return c.at;
}

CPU_WORK(attention) { return (size_t)d->threads * forward_bytes(a); }

CPU_OP(attention)
{
    const size_t bytes = forward_bytes(a);
    const int32_t n = attention_entries(a);
    clear_rest(&(struct rows){a->o, a->Tq, a->o_stride, a->heads, a->dtype}, a, a->cu_q, n);
#pragma omp parallel for schedule(dynamic) num_threads(d->threads)
    for (int64_t i = 0; i < (int64_t)n * a->heads; i++) {
        const struct task t = task_seen(a, i);
        if (t.h0 == t.h1) continue;
        char *scratch = (char *)device_work(d)->p + (size_t)omp_get_thread_num() * bytes;
        if (paired(a))
            forward_task_bf16(&t, scratch);
        else
            forward_task_f32(&t, scratch);
    }
}

static size_t backward_bytes(const struct op_attention *a)
{
    struct carve c = {NULL, 0};
    if (paired(a))
        backward_scratch_bf16(&c, a->max_len, padded(a->dim, WIDE));
    else
        backward_scratch_f32(&c, a->max_len, padded(a->dim, WIDE));
    return c.at;
}

CPU_WORK(attention_grad)
{
    return (size_t)d->threads * backward_bytes(&a->fwd) + partial_bytes(&a->fwd);
}

CPU_OP(attention_grad)
{
    const struct op_attention *f = &a->fwd;
    const size_t bytes = backward_bytes(f);
    const int64_t group = f->heads / f->kv_heads;
    float *partials = (float *)((char *)device_work(d)->p + (size_t)d->threads * bytes);
    const struct rows dq = {a->dq, f->Tq, f->q_stride, f->heads, f->dtype};
    struct rows dkv = {a->dk, f->Tk, f->kv_stride, f->kv_heads, key_type(a)};
    clear_rest(&dq, f, f->cu_q, attention_entries(f));
    clear_rest(&dkv, f, f->cu_k, f->docs);
    dkv.x = a->dv;
    clear_rest(&dkv, f, f->cu_k, f->docs);
#pragma omp parallel for schedule(dynamic) num_threads(d->threads)
    for (int64_t i = 0; i < (int64_t)f->docs * f->heads; i++) {
        const struct task t = task_of(f, i);
        char *scratch = (char *)device_work(d)->p + (size_t)omp_get_thread_num() * bytes;
        if (t.h0 == t.h1) continue;
        if (paired(f))
            backward_task_bf16(a, &t, scratch, partials);
        else
            backward_task_f32(a, &t, scratch, partials);
    }
#pragma omp parallel for schedule(dynamic) num_threads(d->threads)
    for (int64_t i = 0; i < (int64_t)f->docs * f->kv_heads; i++) {
        struct task t = task_of(f, i * group);
        t.h1 = t.h0 + group;
        if (t.alone)
            join_heads(a, &t, partials,
                       (float *)((char *)device_work(d)->p + (size_t)omp_get_thread_num() * bytes));
    }
}
