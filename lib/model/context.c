/* SPDX-License-Identifier: Apache-2.0 */
/* Context parallelism: a rank computes the queries of its chunks of each document, and reads the
 * keys and values of all ranks. These are gathered in each layer, in blocks of equal size by rank,
 * and then put in the order of the documents' tokens. Their gradients go the other way: they are
 * put in blocks by rank, summed in the accumulation type in rank order, and rounded once.
 *
 * Row `all` of keys in order belongs to no token. The rows of a block beyond a rank's tokens take
 * its gradient, which op_attention_grad sets to 0.
 *
 * A pass without tokens, which a rank makes for the experts of others, exchanges nothing: not all
 * ranks of the group may make it. */
#include "model/model_impl.h"
#include "parallel/collect.h"

/* Returns the elements of a row of k and v. */
static int64_t width(const struct stage *s) { return 2 * model_kv_width(&s->w->m); }

static int64_t ranks(const struct stage *s) { return collect_size(s->o.cp); }

int64_t context_count(const struct stage *s) { return (s->o.all + 1) * width(s); }

static int64_t block_count(const struct stage *s) { return ranks(s) * s->o.tokens * width(s); }

size_t stage_context(const struct stage *s)
{
    if (!s->o.cp) return 0;
    const enum dtype t = s->w->has_gradients ? s->w->accum : s->w->compute;
    return (size_t)block_count(s) * dtype_size(t);
}

void context_plan(struct stage *s, struct plan *plan, int begin, int end)
{
    const size_t each = dtype_size(s->w->compute), wide = dtype_size(s->w->accum);
    const size_t blocks = (size_t)block_count(s), keys = (size_t)context_count(s);
    if (!s->o.cp) return;
    plan_add(plan, PLAN_ACTIVATIONS, "blocks of keys", -1, blocks, each, begin, end,
             &s->context.blocks);
    if (!stage_stores_all(s))
        plan_add(plan, PLAN_ACTIVATIONS, "keys", -1, keys, each, begin, end, &s->context.keys);
    if (!s->w->has_gradients) return;
    plan_add(plan, PLAN_ACTIVATIONS, "dkeys", -1, keys, wide, begin, end, &s->context.dkeys);
    plan_add(plan, PLAN_ACTIVATIONS, "blocks of dkeys", -1, blocks, wide, begin, end,
             &s->context.dblocks);
}

/* Returns this rank's block of those at `blocks`. */
static void *own(const struct stage *s, const struct pass *p, void *blocks, enum dtype t)
{
    const int64_t at = collect_rank(s->o.cp) * p->b.keys.each * width(s);
    return (char *)blocks + (size_t)at * dtype_size(t);
}

/* Returns the columns of k and v in rows of qkv. */
static void *columns(const struct stage *s, void *rows)
{
    return stage_columns(s, rows, model_q_width(&s->w->m));
}

void context_gather(struct stage *s, const struct pass *p, const struct activations *a)
{
    const struct weights *w = s->w;
    const size_t size = dtype_size(w->compute), bytes = (size_t)width(s) * size;
    void *block = own(s, p, s->context.blocks, w->compute);
    if (p->b.all == 0) return;
    op_copy_rows(w->device,
                 &(struct op_copy_rows){.y = block,
                                        .x = columns(s, a->rot),
                                        .rows = p->b.T,
                                        .bytes = bytes,
                                        .y_stride = bytes,
                                        .x_stride = (size_t)model_qkv_width(&w->m) * size});
    collect_all_gather(w->device, s->o.cp, s->context.blocks, block,
                       (size_t)(p->b.keys.each * width(s)), w->compute);
    collect_join(w->device, s->o.cp);
    op_gather(w->device, &(struct op_gather){.y = a->keys,
                                             .x = s->context.blocks,
                                             .rows = p->key_row,
                                             .n = p->b.all,
                                             .H = width(s),
                                             .dtype = w->compute});
}

void context_read(const struct stage *s, const struct pass *p, const struct activations *a,
                  struct op_attention *t)
{
    t->k = a->keys;
    t->v = stage_columns(s, a->keys, width(s) / 2);
    t->kv_stride = width(s);
    t->cu_k = p->key_cu;
    t->key_end = p->key_end;
    t->Tk = p->b.all + 1;
}

void context_write(const struct stage *s, struct op_attention_grad *g)
{
    const size_t half = (size_t)width(s) / 2 * dtype_size(s->w->accum);
    g->dk = s->context.dkeys;
    g->dv = (char *)s->context.dkeys + half;
    g->wide = true;
}

/* Rounds this rank's block of sums to the compute type. */
static const void *rounded(struct stage *s, const struct pass *p, const void *sums)
{
    const struct weights *w = s->w;
    if (w->compute == w->accum) return sums;
    op_cast(w->device, &(struct op_cast){.y = s->context.blocks,
                                         .x = sums,
                                         .n = p->b.T * width(s),
                                         .to = w->compute,
                                         .from = w->accum});
    return s->context.blocks;
}

/* Clears the rows of dqkv that belong to no token. */
static void clear_rest(const struct stage *s, const struct pass *p, void *dqkv)
{
    const int64_t row = model_qkv_width(&s->w->m), rest = rows_all(s->w, p->b.T) - p->b.T;
    if (rest == 0) return;
    op_zero(s->w->device,
            &(struct op_zero){.y = stage_columns(s, dqkv, p->b.T * row),
                              .bytes = (size_t)(rest * row) * dtype_size(s->w->compute)});
}

void context_reduce(struct stage *s, const struct pass *p, void *dqkv)
{
    const struct weights *w = s->w;
    const int64_t each = p->b.keys.each;
    const size_t size = dtype_size(w->compute), bytes = (size_t)width(s) * size;
    void *sums = own(s, p, s->context.dblocks, w->accum);
    if (p->b.all == 0) return;
    op_gather(w->device, &(struct op_gather){.y = s->context.dblocks,
                                             .x = s->context.dkeys,
                                             .rows = p->key_token,
                                             .n = ranks(s) * each,
                                             .H = width(s),
                                             .dtype = w->accum});
    collect_reduce_scatter(w->device, s->o.cp, sums, s->context.dblocks, (size_t)(each * width(s)),
                           w->accum);
    collect_join(w->device, s->o.cp);
    op_copy_rows(w->device,
                 &(struct op_copy_rows){.y = columns(s, dqkv),
                                        .x = rounded(s, p, sums),
                                        .rows = p->b.T,
                                        .bytes = bytes,
                                        .y_stride = (size_t)model_qkv_width(&w->m) * size,
                                        .x_stride = bytes});
    clear_rest(s, p, dqkv);
}
