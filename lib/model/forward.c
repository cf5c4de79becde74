/* SPDX-License-Identifier: Apache-2.0 */
/* The forward pass of the layers. */
#include "base/trace.h"
#include "model/model_impl.h"

/* Computes y[T,H] from this rank's rows of the stream, x + r, whose sum it stores in `sum`. */
static void norm(struct stage *s, const struct pass *p, void *y, void *sum, void *rstd,
                 const void *x, const void *r, size_t weight)
{
    const struct weights *w = s->w;
    void *own = rows_part(w, p->b.T, y, w->compute);
    op_rmsnorm(w->device, &(struct op_rmsnorm){.y = own,
                                               .s = sum,
                                               .rstd = rstd,
                                               .x = x,
                                               .r = r,
                                               .w = weights_at(w, weight),
                                               .T = rows_own(w, p->b.T),
                                               .H = w->m.hidden,
                                               .gain_offset = w->m.gain_offset,
                                               .eps = w->m.eps,
                                               .wide = true,
                                               .dtype = w->compute});
    rows_gather(w, p->b.T, y, own, w->compute);
}

void layer_narrow(struct stage *s, const struct pass *p, void *y, const void *x)
{
    const struct weights *w = s->w;
    void *own = rows_part(w, p->b.T, y, w->compute);
    op_cast(w->device, &(struct op_cast){.y = own,
                                         .x = x,
                                         .n = rows_own(w, p->b.T) * w->m.hidden,
                                         .to = w->compute,
                                         .from = w->accum});
    rows_gather(w, p->b.T, y, own, w->compute);
}

/* Stores x + r, this rank's rows of the stream, in `sum`. */
static void add_branch(struct stage *s, const struct pass *p, void *sum, const void *x,
                       const void *r)
{
    const struct weights *w = s->w;
    const int64_t n = rows_own(w, p->b.T) * w->m.hidden;
    if (r)
        op_add(w->device, &(struct op_add){.y = sum, .a = x, .b = r, .n = n, .dtype = w->accum});
    else if (sum != x)
        op_cast(w->device,
                &(struct op_cast){.y = sum, .x = x, .n = n, .to = w->accum, .from = w->accum});
}

/* Computes the input y[T,H] of a block as `norm` does; without pre_norm it is the stream in the
 * compute type. */
static void block_input(struct stage *s, const struct pass *p, void *y, void *sum, void *rstd,
                        const void *x, const void *r, size_t weight)
{
    if (s->w->m.pre_norm) {
        norm(s, p, y, sum, rstd, x, r, weight);
        return;
    }
    if (sum) add_branch(s, p, sum, x, r);
    layer_narrow(s, p, y, sum ? sum : x);
}

/* Replaces a block's result, of which this rank has its rows in s->branch, by its norm. Keeps the
 * result in out, and rstd, for the backward pass, if there is one. */
static void norm_result(struct stage *s, const struct pass *p, void *out, void *rstd, size_t weight)
{
    const struct weights *w = s->w;
    void *rows = rows_part(w, p->b.T, s->branch, w->accum);
    if (!w->m.post_norm) return;
    op_rmsnorm(w->device, &(struct op_rmsnorm){.y = rows,
                                               .s = out,
                                               .rstd = rstd,
                                               .x = rows,
                                               .w = weights_at(w, weight),
                                               .T = rows_own(w, p->b.T),
                                               .H = w->m.hidden,
                                               .eps = w->m.eps,
                                               .gain_offset = w->m.gain_offset,
                                               .branch = true,
                                               .dtype = w->compute});
}

struct op_attention layer_attention(const struct stage *s, const struct pass *p, int l,
                                    const struct activations *a)
{
    const struct model *m = &s->w->m;
    const int64_t q = model_q_width(m), kv = model_kv_width(m), row = model_qkv_width(m);
    void *qkv = a->rot;
    struct op_attention t = {.q = qkv,
                             .k = stage_columns(s, qkv, q),
                             .v = stage_columns(s, qkv, q + kv),
                             .cu_q = p->cu,
                             .cu_k = p->cu,
                             .Tq = rows_all(s->w, p->b.T),
                             .Tk = rows_all(s->w, p->b.T),
                             .q_stride = row,
                             .kv_stride = row,
                             .o_stride = q,
                             .max_len = p->b.max_len,
                             .docs = p->b.docs,
                             .heads = m->heads,
                             .kv_heads = m->kv_heads,
                             .dim = m->head_dim,
                             .window = model_window(m, l),
                             .scale = m->attention_scale,
                             .cap = m->attention_cap,
                             .dtype = s->w->compute};
    if (s->o.cp) context_read(s, p, a, &t);
    return t;
}

/* Appends k and v to the cache, and makes t read the whole cache. k and v are adjacent in a row of
 * qkv, and so in a row of the cache. */
static void through_cache(struct stage *s, const struct pass *p, int l, struct op_attention *t)
{
    const int64_t kv = model_kv_width(&s->w->m);
    const size_t size = dtype_size(s->w->compute), bytes = (size_t)(2 * kv) * size;
    void *cache = s->cache[l];
    op_copy_rows(s->w->device,
                 &(struct op_copy_rows){.y = stage_columns(s, cache, p->b.past * 2 * kv),
                                        .x = t->k,
                                        .rows = p->b.T,
                                        .bytes = bytes,
                                        .y_stride = bytes,
                                        .x_stride = (size_t)t->kv_stride * size});
    t->k = cache;
    t->v = stage_columns(s, cache, kv);
    t->kv_stride = 2 * kv;
    t->cu_k = p->keys;
    t->Tk = p->b.past + p->b.T;
}

/* Computes o = attention of the rotated qkv; with a cache, over all positions so far. */
static void attention(struct stage *s, const struct pass *p, int l, const struct activations *a)
{
    struct op_attention t = layer_attention(s, p, l, a);
    t.o = a->o;
    t.lse = a->lse;
    if (s->o.cp) context_gather(s, p, a);
    if (p->b.cached) through_cache(s, p, l, &t);
    op_attention(s->w->device, &t);
}

void layer_qk_norms(const struct stage *s, const struct pass *p, const struct layer_offsets *at,
                    const struct activations *a, struct qk_norm n[2])
{
    const struct model *m = &s->w->m, *whole = &s->w->whole;
    const bool row = m->qk_norm == HF_QK_NORM_ROW;
    const size_t rows = (size_t)rows_all(s->w, p->b.T), size = dtype_size(s->w->accum);
    char *sums = norm_is_cut(s->w) ? s->sums : NULL;
    n[0] = (struct qk_norm){.width = row ? model_q_width(m) : m->head_dim,
                            .all = model_q_width(whole),
                            .heads = row ? 1 : m->heads,
                            .weight = at->q_norm,
                            .rstd = a->rstd_qk,
                            .sums = sums};
    n[1] = (struct qk_norm){.column = model_q_width(m),
                            .width = row ? model_kv_width(m) : m->head_dim,
                            .all = model_kv_width(whole),
                            .heads = row ? 1 : m->kv_heads,
                            .weight = at->k_norm,
                            .rstd = (char *)a->rstd_qk + rows * (size_t)model_q_norms(m) * size,
                            .sums = sums ? sums + rows * size : NULL};
}

void layer_sum_rows(struct stage *s, const struct pass *p, const struct qk_norm n[2], void *a,
                    void *b, bool gains)
{
    const struct weights *w = s->w;
    const int64_t rows = rows_all(w, p->b.T);
    if (!n->sums) return;
    for (int i = 0; i < 2; i++)
        op_row_dot(w->device, &(struct op_row_dot){.y = n[i].sums,
                                                   .a = stage_columns(s, a, n[i].column),
                                                   .b = stage_columns(s, b, n[i].column),
                                                   .w = gains ? weights_at(w, n[i].weight) : NULL,
                                                   .T = rows,
                                                   .H = n[i].width,
                                                   .stride = model_qkv_width(&w->m),
                                                   .gain_offset = w->m.gain_offset,
                                                   .dtype = w->compute});
    parallel_sum(w, n->sums, 2 * rows, w->accum);
}

/* Applies a norm to its columns of qkv, and writes them to rot. */
static void norm_heads(struct stage *s, const struct pass *p, const struct activations *a,
                       const struct qk_norm *n)
{
    const struct weights *w = s->w;
    op_rmsnorm(w->device, &(struct op_rmsnorm){.y = stage_columns(s, a->rot, n->column),
                                               .rstd = n->rstd,
                                               .x = stage_columns(s, a->qkv, n->column),
                                               .w = weights_at(w, n->weight),
                                               .squares = n->sums,
                                               .T = rows_all(w, p->b.T),
                                               .H = n->width,
                                               .stride = model_qkv_width(&w->m),
                                               .all = n->all,
                                               .heads = n->heads,
                                               .gain_offset = w->m.gain_offset,
                                               .eps = w->m.eps,
                                               .dtype = w->compute});
}

static void norm_qk(struct stage *s, const struct pass *p, const struct layer_offsets *at,
                    const struct activations *a)
{
    const struct model *m = &s->w->m;
    const int64_t q = model_q_width(m), kv = model_kv_width(m);
    const size_t size = dtype_size(s->w->compute), row = (size_t)(q + 2 * kv) * size;
    struct qk_norm n[2];
    layer_qk_norms(s, p, at, a, n);
    layer_sum_rows(s, p, n, a->qkv, a->qkv, false);
    for (int i = 0; i < 2; i++) norm_heads(s, p, a, &n[i]);
    op_copy_rows(s->w->device, &(struct op_copy_rows){.y = stage_columns(s, a->rot, q + kv),
                                                      .x = stage_columns(s, a->qkv, q + kv),
                                                      .rows = rows_all(s->w, p->b.T),
                                                      .bytes = (size_t)kv * size,
                                                      .y_stride = row,
                                                      .x_stride = row});
}

void qkv_rotate(const struct stage *s, const struct pass *p, int l, void *qkv, bool inverse)
{
    const struct weights *w = s->w;
    const struct model *m = &w->m;
    const bool window = model_has_window_rope(m, l);
    op_rope(w->device, &(struct op_rope){.x = qkv,
                                         .cos = window ? w->window.cosines : p->cosines,
                                         .sin = window ? w->window.sines : p->sines,
                                         .scale = w->q_scale,
                                         .pos = p->turn,
                                         .T = rows_all(w, p->b.T),
                                         .stride = model_qkv_width(m),
                                         .heads = m->heads + m->kv_heads,
                                         .dim = m->head_dim,
                                         .rotary = m->rotary_dim,
                                         .scaled = m->heads,
                                         .inverse = inverse,
                                         .interleaved = m->rope_interleaved,
                                         .dtype = w->compute});
}

void layer_rotate(struct stage *s, const struct pass *p, int l, const struct activations *a,
                  bool again)
{
    const struct model *m = &s->w->m;
    const bool rotates = model_rotates(m, l), after = m->qk_norm_after_rope;
    if (rotates && after && !again) qkv_rotate(s, p, l, a->qkv, false);
    if (m->qk_norm) norm_qk(s, p, &s->w->params.layers[l], a);
    if (rotates && !after) qkv_rotate(s, p, l, a->rot, false);
}

/* Scales this rank's rows of a branch's result, and returns them: the stream adds them next. */
static const void *branch_term(const struct stage *s, const struct pass *p)
{
    const struct weights *w = s->w;
    void *own = rows_part(w, p->b.T, s->branch, w->accum);
    rows_scale(w, own, own, rows_own(w, p->b.T), w->m.residual_scale, w->accum);
    return own;
}

/* Returns the bias at this offset, or NULL if the model has no such bias. */
static const void *bias_of(const struct stage *s, bool has, size_t offset)
{
    return has ? weights_at(s->w, offset) : NULL;
}

/* Computes the branch of the MLP from h2; recompute: only the activations that are stored. */
static void mlp_forward(struct stage *s, const struct pass *p, const struct layer_offsets *w,
                        const struct activations *a, bool recompute)
{
    const struct model *m = &s->w->m;
    const int64_t H = m->hidden, I = m->inter;
    linear_forward(s, p, a->gate_up, a->h2, w->gate_up, bias_of(s, m->mlp_bias, w->gate_up_bias),
                   model_up_width(m), H);
    if (recompute && !m->post_norm) return;
    op_activation(s->w->device, &(struct op_activation){.y = a->z,
                                                        .x = a->gate_up,
                                                        .T = rows_all(s->w, p->b.T),
                                                        .I = I,
                                                        .gated = m->gated,
                                                        .act = m->act,
                                                        .dtype = s->w->compute});
    linear_forward(s, p, s->branch, a->z, w->down, bias_of(s, m->mlp_bias, w->down_bias), H, I);
}

void layer_forward(struct stage *s, const struct pass *p, int l, const void *x, const void *r,
                   bool recompute)
{
    const struct model *m = &s->w->m;
    const struct layer_offsets *w = &s->w->params.layers[l];
    const struct activations a = stage_activations(s, p, l);
    const int64_t H = m->hidden, q = model_q_width(m);

    block_input(s, p, a.h1, recompute ? NULL : a.res1, a.rstd1, x, r, w->norm1);
    linear_forward(s, p, a.qkv, a.h1, w->qkv, bias_of(s, m->qkv_bias, w->qkv_bias),
                   model_qkv_width(m), H);
    layer_rotate(s, p, l, &a, false);
    attention(s, p, l, &a);
    linear_forward(s, p, s->branch, a.o, w->o, bias_of(s, m->o_bias, w->o_bias), H, q);
    norm_result(s, p, a.out1, a.rstd_out1, w->norm1_out);

    block_input(s, p, a.h2, a.res2, a.rstd2, a.res1, branch_term(s, p), w->norm2);
    if (model_is_sparse(m, l))
        experts_forward(s, p, l, &a, recompute);
    else
        mlp_forward(s, p, w, &a, recompute);
    norm_result(s, p, a.out2, a.rstd_out2, w->norm2_out);
}

/* Computes the residual stream that the first layer reads. */
static const void *embed(struct stage *s, const struct pass *p)
{
    const struct weights *w = s->w;
    const int64_t H = w->m.hidden, T = p->b.T;
    void *const stream = rows_part(w, T, s->branch, w->accum);
    if (!p->at->embedding) return stage_input(s, p);
    op_embed(w->device, &(struct op_embed){.y = s->h,
                                           .w = weights_at(w, w->params.embed),
                                           .ids = p->ids,
                                           .T = rows_all(w, T),
                                           .H = H,
                                           .V = w->m.vocab,
                                           .first = w->m.vocab_first,
                                           .dtype = w->compute});
    rows_sum(w, T, s->h, w->compute); /* one rank has the row, the others have zeros */
    op_cast(w->device, &(struct op_cast){.y = stream,
                                         .x = rows_part(w, T, s->h, w->compute),
                                         .n = rows_own(w, T) * H,
                                         .to = w->accum,
                                         .from = w->compute});
    rows_scale(w, stream, stream, rows_own(w, T), rows_embed_scale(w), w->accum);
    return stream;
}

void stage_forward(struct stage *s, struct pass *p)
{
    const struct weights *w = s->w;
    const struct chunk *k = p->at;
    if (micro_batch_empty(&p->b)) return stage_idle_forward(s, k);
    if (k->embedding) stage_use(s, k, -1);
    const void *x = embed(s, p), *r = NULL;
    experts_begin(s, p);
    for (int l = k->first; l < k->end; l++) {
        stage_use(s, k, l);
        const double began = trace_begin();
        layer_forward(s, p, l, x, r, false);
        trace_end(began, "compute", "forward", "layer", l);
        x = stage_activations(s, p, l).res2;
        r = branch_term(s, p);
    }
    if (k->head) stage_use(s, k, k->end);
    if (k->head)
        norm(s, p, p->h_final, p->res_final, p->rstd_final, x, r, w->params.final_norm);
    else
        op_add(w->device, &(struct op_add){.y = p->res_final,
                                           .a = x,
                                           .b = r,
                                           .n = rows_own(w, p->b.T) * w->m.hidden,
                                           .dtype = w->accum});
}
