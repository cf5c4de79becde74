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

/* Computes o = attention of the rotated qkv; with a cache, over all positions so far. */
static void attention(struct stage *s, const struct pass *p, int l, const struct activations *a)
{
    struct op_attention t = layer_attention(s, p, l, a);
    t.o = a->o;
    t.lse = a->lse;
    if (s->o.cp) context_gather(s, p, a);
    if (p->b.cached) generate_attend(s, p, l, &t);
    op_attention(s->w->device, &t);
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
