/* SPDX-License-Identifier: Apache-2.0 */
/* The steps between the projection of q, k and v and attention: the norms of q and k and their
 * rotation, forward and backward. */
#include "model/model_impl.h"

/* The norm of q or of k: of `heads` parts of a row of qkv, of `width` columns each, from `column`
 * on. If ranks have parts of a row of `all` columns, a sum over the ranks for each token is at
 * `sums`; else that is NULL. */
struct qk_norm {
    int64_t column, width, all;
    int32_t heads;
    size_t weight; /* offset of the gains */
    void *rstd, *sums;
};

static void qk_norms(const struct stage *s, const struct pass *p, const struct layer_offsets *at,
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

/* Computes these sums, if there are any: of the products of a and b, rows of qkv, and with `gains`
 * of the gains too. */
static void sum_rows(struct stage *s, const struct pass *p, const struct qk_norm n[2], void *a,
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
    qk_norms(s, p, at, a, n);
    sum_rows(s, p, n, a->qkv, a->qkv, false);
    for (int i = 0; i < 2; i++) norm_heads(s, p, a, &n[i]);
    op_copy_rows(s->w->device, &(struct op_copy_rows){.y = stage_columns(s, a->rot, q + kv),
                                                      .x = stage_columns(s, a->qkv, q + kv),
                                                      .rows = rows_all(s->w, p->b.T),
                                                      .bytes = (size_t)kv * size,
                                                      .y_stride = row,
                                                      .x_stride = row});
}

/* Rotates q and k in rows of qkv by the layer's table; inverse: the backward pass of that. */
static void rotate(const struct stage *s, const struct pass *p, int l, void *qkv, bool inverse)
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
    if (rotates && after && !again) rotate(s, p, l, a->qkv, false);
    if (m->qk_norm) norm_qk(s, p, &s->w->params.layers[l], a);
    if (rotates && !after) rotate(s, p, l, a->rot, false);
}

/* Computes the backward pass of a norm in its columns of dqkv, in place. */
static void norm_heads_backward(struct stage *s, const struct pass *p, const struct activations *a,
                                const struct qk_norm *n)
{
    const struct weights *w = s->w;
    void *dx = stage_columns(s, s->dqkv, n->column);
    op_rmsnorm_grad(w->device, &(struct op_rmsnorm_grad){.dx = dx,
                                                         .dw = weights_gradient(w, n->weight),
                                                         .dy = dx,
                                                         .s = stage_columns(s, a->qkv, n->column),
                                                         .w = weights_at(w, n->weight),
                                                         .rstd = n->rstd,
                                                         .dots = n->sums,
                                                         .T = rows_all(w, p->b.T),
                                                         .H = n->width,
                                                         .stride = model_qkv_width(&w->m),
                                                         .all = n->all,
                                                         .heads = n->heads,
                                                         .gain_offset = w->m.gain_offset,
                                                         .dtype = w->compute,
                                                         .dw_dtype = w->gradient});
}

static void norm_qk_backward(struct stage *s, const struct pass *p, const struct layer_offsets *at,
                             const struct activations *a)
{
    struct qk_norm n[2];
    qk_norms(s, p, at, a, n);
    sum_rows(s, p, n, s->dqkv, a->qkv, true);
    for (int i = 0; i < 2; i++) norm_heads_backward(s, p, a, &n[i]);
}

void layer_rotate_backward(struct stage *s, const struct pass *p, int l,
                           const struct activations *a)
{
    const struct model *m = &s->w->m;
    const struct layer_offsets *at = &s->w->params.layers[l];
    if (m->qk_norm_after_rope) norm_qk_backward(s, p, at, a);
    if (model_rotates(m, l)) rotate(s, p, l, s->dqkv, true);
    if (m->qk_norm && !m->qk_norm_after_rope) norm_qk_backward(s, p, at, a);
}
