/* SPDX-License-Identifier: Apache-2.0 */
/* The backward pass of the layers, in the reverse order of forward.c. */
#include "base/trace.h"
#include "model/model_impl.h"

void norm_backward(struct stage *s, const struct pass *p, size_t weight, void *y, const void *dres,
                   const void *x, const void *rstd)
{
    const struct weights *w = s->w;
    void *own = rows_part(w, p->b.T, y, w->compute);
    op_rmsnorm_grad(w->device,
                    &(struct op_rmsnorm_grad){.dx = p->dres,
                                              .dw = weights_gradient(w, weight),
                                              .y = own,
                                              .dy = rows_part(w, p->b.T, s->dh, w->compute),
                                              .dres = dres,
                                              .s = x,
                                              .w = weights_at(w, weight),
                                              .rstd = rstd,
                                              .T = rows_own(w, p->b.T),
                                              .H = w->m.hidden,
                                              .gain_offset = w->m.gain_offset,
                                              .wide = true,
                                              .dtype = w->compute,
                                              .dw_dtype = w->gradient});
    if (y) rows_gather(w, p->b.T, y, own, w->compute);
}

/* Computes the gradient of a block's result, which is that of the stream times the branch's factor,
 * through the norm behind the block. Returns it in all rows; *own receives this rank's rows. It is
 * in s->dh if there is a factor or a norm, or if this rank has a part of the rows. `weight`, out
 * and rstd are those of the norm. */
static const void *branch_gradient(struct stage *s, const struct pass *p, size_t weight,
                                   const void *out, const void *rstd, const void **own)
{
    const struct weights *w = s->w;
    const int64_t T = p->b.T;
    void *rows = p->dres, *dx = rows_part(w, T, s->dh, w->compute);
    if (w->m.residual_scale != 1) {
        rows_scale(w, dx, rows, rows_own(w, T), w->m.residual_scale, w->compute);
        rows = dx;
    }
    if (w->m.post_norm) {
        op_rmsnorm_grad(w->device, &(struct op_rmsnorm_grad){.dx = dx,
                                                             .dw = weights_gradient(w, weight),
                                                             .dy = rows,
                                                             .s = out,
                                                             .w = weights_at(w, weight),
                                                             .rstd = rstd,
                                                             .T = rows_own(w, T),
                                                             .H = w->m.hidden,
                                                             .gain_offset = w->m.gain_offset,
                                                             .dtype = w->compute,
                                                             .dw_dtype = w->gradient});
        rows = dx;
    }
    *own = rows;
    return rows_gather(w, T, s->dh, rows, w->compute);
}

/* Adds s->dh, the gradient of a block's input, to the gradient of the stream at that block, whose
 * input from the stream is x. h receives the block's input. */
static void input_backward(struct stage *s, const struct pass *p, size_t weight, void *h,
                           const void *x, const void *rstd)
{
    const struct weights *w = s->w;
    if (w->m.pre_norm) {
        norm_backward(s, p, weight, h, p->dres, x, rstd);
        return;
    }
    op_add(w->device, &(struct op_add){.y = p->dres,
                                       .a = p->dres,
                                       .b = rows_part(w, p->b.T, s->dh, w->compute),
                                       .n = rows_own(w, p->b.T) * w->m.hidden,
                                       .dtype = w->compute});
    layer_narrow(s, p, h, x);
}

/* Adds the sum of dy[rows,width] to the gradient of the bias at this offset, if the model has that
 * bias and trains it. */
static void bias_backward(struct stage *s, bool has, size_t offset, const void *dy, int64_t rows,
                          int64_t width)
{
    const struct weights *w = s->w;
    if (!has || !weights_trained(w, offset)) return;
    op_bias_grad(w->device, &(struct op_bias_grad){.db = weights_gradient(w, offset),
                                                   .dy = dy,
                                                   .T = rows,
                                                   .n = width,
                                                   .dtype = w->compute,
                                                   .db_dtype = w->gradient});
}

/* Computes the backward pass of the MLP block. On entry dres is the gradient of the layer's result;
 * on return it is the gradient of the attention block's result. */
static void mlp_backward(struct stage *s, const struct pass *p, int l, const struct activations *a)
{
    const struct model *m = &s->w->m;
    const struct layer_offsets *at = &s->w->params.layers[l];
    const int64_t H = m->hidden, I = m->inter, up = model_up_width(m);
    const int64_t T = rows_all(s->w, p->b.T);
    const void *own;
    const void *dy = branch_gradient(s, p, at->norm2_out, a->out2, a->rstd_out2, &own);
    bias_backward(s, m->mlp_bias, at->down_bias, own, rows_own(s->w, p->b.T), H);
    linear_dgrad(s, p, s->dz, dy, at->down, H, I);
    op_activation_grad(s->w->device,
                       &(struct op_activation_grad){.dx = a->gate_up,
                                                    .y = stage_stores_all(s) ? NULL : a->z,
                                                    .dy = s->dz,
                                                    .x = a->gate_up,
                                                    .T = T,
                                                    .I = I,
                                                    .gated = m->gated,
                                                    .act = m->act,
                                                    .dtype = s->w->compute});
    linear_wgrad(s, p, dy, a->z, at->down, H, I);
    bias_backward(s, m->mlp_bias, at->gate_up_bias, a->gate_up, T, up);
    linear_dgrad(s, p, s->dh, a->gate_up, at->gate_up, up, H);
    input_backward(s, p, at->norm2, a->h2, a->res2, a->rstd2);
    linear_wgrad(s, p, a->gate_up, a->h2, at->gate_up, up, H);
}

/* The same of the experts of a sparse layer. */
static void experts_backward(struct stage *s, const struct pass *p, int l,
                             const struct activations *a)
{
    const void *own;
    const struct layer_offsets *at = &s->w->params.layers[l];
    const void *dy = branch_gradient(s, p, at->norm2_out, a->out2, a->rstd_out2, &own);
    experts_dgrad(s, p, l, a, dy);
    input_backward(s, p, at->norm2, a->h2, a->res2, a->rstd2);
    experts_wgrad(s, p, l, a);
}

/* Computes dqkv from dout, the gradient of o: the gradient of the projection's result. */
static void qkv_backward(struct stage *s, const struct pass *p, int l, const struct activations *a)
{
    const struct weights *w = s->w;
    const struct model *m = &w->m;
    const int64_t q = model_q_width(m), kv = model_kv_width(m);
    void *dqkv = s->dqkv;
    struct op_attention_grad g = {.dq = dqkv,
                                  .dk = stage_columns(s, dqkv, q),
                                  .dv = stage_columns(s, dqkv, q + kv),
                                  .dout = s->dout,
                                  .o = a->o,
                                  .lse = a->lse,
                                  .fwd = layer_attention(s, p, l, a)};
    if (s->o.cp) context_write(s, &g);
    op_attention_grad(w->device, &g);
    if (s->o.cp) context_reduce(s, p, dqkv);
    layer_rotate_backward(s, p, l, a);
}

static void attention_backward(struct stage *s, const struct pass *p, int l,
                               const struct activations *a)
{
    const struct model *m = &s->w->m;
    const struct layer_offsets *at = &s->w->params.layers[l];
    const int64_t H = m->hidden, q = model_q_width(m), row = model_qkv_width(m);
    const void *own;
    const void *dy = branch_gradient(s, p, at->norm1_out, a->out1, a->rstd_out1, &own);
    bias_backward(s, m->o_bias, at->o_bias, own, rows_own(s->w, p->b.T), H);
    linear_dgrad(s, p, s->dout, dy, at->o, H, q);
    linear_wgrad(s, p, dy, a->o, at->o, H, q);
    if (m->qk_norm && s->o.recompute == RECOMPUTE_SELECTIVE) layer_rotate(s, p, l, a, true);
    if (s->o.cp && s->o.recompute == RECOMPUTE_SELECTIVE) context_gather(s, p, a);
    qkv_backward(s, p, l, a);
    bias_backward(s, m->qkv_bias, at->qkv_bias, s->dqkv, rows_all(s->w, p->b.T), row);
    linear_dgrad(s, p, s->dh, s->dqkv, at->qkv, row, H);
    input_backward(s, p, at->norm1, a->h1, a->res1, a->rstd1);
    linear_wgrad(s, p, s->dqkv, a->h1, at->qkv, row, H);
}

static void layer_backward(struct stage *s, const struct pass *p, int l)
{
    const struct activations a = stage_activations(s, p, l);
    if (s->o.recompute == RECOMPUTE_FULL) layer_forward(s, p, l, a.res1, NULL, true);
    if (model_is_sparse(&s->w->m, l))
        experts_backward(s, p, l, &a);
    else
        mlp_backward(s, p, l, &a);
    attention_backward(s, p, l, &a);
}

static void embedding_backward(struct stage *s, const struct pass *p)
{
    const struct weights *w = s->w;
    const int64_t T = p->b.T;
    if (!weights_trained(w, w->params.embed)) return;
    rows_scale(w, p->dres, p->dres, rows_own(w, T), rows_embed_scale(w), w->compute);
    const void *dy = rows_gather(w, T, s->dh, p->dres, w->compute);
    op_embed_grad(w->device, &(struct op_embed_grad){.dw = weights_gradient(w, w->params.embed),
                                                     .dy = dy,
                                                     .ids = p->ids,
                                                     .order = p->order,
                                                     .starts = p->starts,
                                                     .T = T,
                                                     .H = w->m.hidden,
                                                     .V = w->m.vocab,
                                                     .first = w->m.vocab_first,
                                                     .unique = p->b.unique,
                                                     .dtype = w->compute,
                                                     .dw_dtype = w->gradient});
}

/* The gradients of a layer are complete, of this pass or of the step. */
static void end_layer(struct stage *s, const struct layer_done *done, int layer)
{
    weights_end_layer(s->w, layer);
    if (done) done->call(done->arg, layer);
}

int chunk_lowest(const struct weights *w, const struct chunk *k)
{
    return w->params.lowest > k->first ? w->params.lowest : k->first;
}

bool chunk_has_embedding(const struct weights *w, const struct chunk *k)
{
    return k->embedding || (k->head && w->m.tied);
}

/* The first backward pass of a chunk in a step begins its gradients, and so does each pass that
 * computes them in a buffer. */
static void begin_pass(struct weights *w, struct chunk *k)
{
    w->buffers.first = k->begun != w->begun;
    w->overwrite = w->buffers.first || w->sum.parts > 0;
    k->begun = w->begun;
}

void stage_backward(struct stage *s, struct pass *p, double scale, const struct layer_done *done)
{
    struct chunk *k = p->at;
    begin_pass(s->w, k);
    if (micro_batch_empty(&p->b)) return stage_idle_backward(s, k);
    experts_balance(s, p, scale);
    if (k->head) {
        stage_use_backward(s, k, k->end);
        const double began = trace_begin();
        head_backward(s, p, scale);
        trace_end(began, "compute", "backward", "head", -1);
        end_layer(s, done, k->end);
    }
    for (int l = k->end - 1; l >= chunk_lowest(s->w, k); l--) {
        stage_use_backward(s, k, l);
        const double began = trace_begin();
        layer_backward(s, p, l);
        trace_end(began, "compute", "backward", "layer", l);
        end_layer(s, done, l);
    }
    if (k->embedding) {
        stage_use_backward(s, k, -1);
        embedding_backward(s, p);
    }
    if (chunk_has_embedding(s->w, k)) end_layer(s, k->embedding ? done : NULL, -1);
}
