/* SPDX-License-Identifier: Apache-2.0 */
/* Causal attention within documents. A task is one document and one kv head with all heads that
 * share it, or with one of these heads where the document is long. Tasks run on any thread; their
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

/* Returns the task of head index % heads of document index / heads. In a long document each head is
 * a task; otherwise the first head of a kv head covers all, and the others are empty (h0 == h1). */
static struct task task_of(const struct op_attention *a, int64_t index)
{
    const int64_t doc = index / a->heads, h = index % a->heads, group = a->heads / a->kv_heads;
    struct task t = {.a = a,
                     .q0 = a->cu_q[doc],
                     .nq = a->cu_q[doc + 1] - a->cu_q[doc],
                     .k0 = a->cu_k[doc],
                     .nk = a->cu_k[doc + 1] - a->cu_k[doc],
                     .g = h / group,
                     .h0 = h,
                     .dim = a->dim,
                     .width = padded(a->dim, WIDE)};
    t.alone = is_long(a, &t);
    t.h1 = t.alone ? h + 1 : h % group == 0 ? h + group : h;
    return t;
}

/* Returns the task without the keys before the window of its first query, for the forward pass. */
static struct task task_seen(const struct op_attention *a, int64_t index)
{
    struct task t = task_of(a, index);
    int64_t from, to;
    visible(&t, 0, &from, &to);
    t.k0 += from / PAD * PAD;
    t.nk -= from / PAD * PAD;
    return t;
}

/* Zeroes `heads` heads of the rows of x outside all documents. */
static void clear_rest(void *x, const struct op_attention *a, const int32_t *cu, int64_t rows,
                       int64_t stride, int64_t heads)
{
    const int64_t first = a->docs > 0 ? cu[0] : rows, last = a->docs > 0 ? cu[a->docs] : rows;
    for (int64_t t = 0; t < rows; t = t + 1 == first ? last : t + 1)
        if (t < first || t >= last)
            memset(elem(x, t * stride, a->dtype), 0,
                   (size_t)(heads * a->dim) * dtype_size(a->dtype));
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
    clear_rest(a->o, a, a->cu_q, a->Tq, a->o_stride, a->heads);
#pragma omp parallel for schedule(dynamic) num_threads(d->threads)
    for (int64_t i = 0; i < (int64_t)a->docs * a->heads; i++) {
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
    clear_rest(a->dq, f, f->cu_q, f->Tq, f->q_stride, f->heads);
    clear_rest(a->dk, f, f->cu_k, f->Tk, f->kv_stride, f->kv_heads);
    clear_rest(a->dv, f, f->cu_k, f->Tk, f->kv_stride, f->kv_heads);
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
