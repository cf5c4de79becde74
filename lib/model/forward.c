/* SPDX-License-Identifier: Apache-2.0 */
/* The layers forward. */
#include "model/net.h"

#include <math.h>

const void *net_weight(const struct net *n, size_t offset)
{
    return (const char *)n->weights + offset * dtype_size(n->o.compute);
}

/* The activations of layer l, wherever they are: its own, those all layers share, or temporaries.
 */
struct net_acts net_layer(const struct net *n, int l)
{
    bool each = n->o.keep == NET_KEEP_ALL || n->o.keep == NET_KEEP_SELECTIVE;
    struct net_acts a = n->acts[each ? l : 0];
    if (n->o.keep != NET_KEEP_NOTHING) a.res1 = n->acts[l].res1;
    a.kv = n->acts[l].kv;
    a.h1 = a.h2 = n->h;
    if (n->o.keep != NET_KEEP_ALL) {
        a.z = n->z;
        a.rot = n->rot;
    }
    if (!n->m.qk_norm) a.rot = a.qkv;
    return a;
}

static void norm(struct net *n, int64_t T, void *y, void *s, void *rstd, const void *x,
                 const void *r, size_t weight)
{
    op_rmsnorm(n->device, &(struct op_rmsnorm){.y = y,
                                               .s = s,
                                               .rstd = rstd,
                                               .x = x,
                                               .r = r,
                                               .w = net_weight(n, weight),
                                               .T = T,
                                               .H = n->m.hidden,
                                               .eps = n->m.eps,
                                               .wide = true,
                                               .dtype = n->o.compute});
}

enum dtype net_result_type(const struct net *n, const void *y)
{
    return y == n->branch ? n->real : n->o.compute;
}

/* y[T,out] = x[T,in] W[out,in]^T + bias */
static void linear(struct net *n, int64_t T, void *y, const void *x, size_t weight,
                   const void *bias, int64_t out, int64_t in)
{
    op_matmul(n->device, &(struct op_matmul){.c = y,
                                             .a = x,
                                             .b = net_weight(n, weight),
                                             .bias = bias,
                                             .m = T,
                                             .n = out,
                                             .k = in,
                                             .tb = true,
                                             .ab_dtype = n->o.compute,
                                             .c_dtype = net_result_type(n, y)});
    lora_forward(n, T, y, x, weight);
}

void *net_columns(const struct net *n, void *rows, int64_t column)
{
    return (char *)rows + (size_t)column * dtype_size(n->o.compute);
}

/* Attention among the tokens of a micro-batch, from and to rows of qkv. */
struct op_attention net_attention(const struct net *n, const struct net_batch *b, int l, void *qkv)
{
    const struct model *m = &n->m;
    const int64_t q = model_q_width(m), kv = model_kv_width(m), row = model_qkv_width(m);
    return (struct op_attention){.q = qkv,
                                 .k = net_columns(n, qkv, q),
                                 .v = net_columns(n, qkv, q + kv),
                                 .cu_q = n->cu,
                                 .cu_k = n->cu,
                                 .Tq = b->T,
                                 .Tk = b->T,
                                 .q_stride = row,
                                 .kv_stride = row,
                                 .o_stride = q,
                                 .max_len = b->max_len,
                                 .docs = b->docs,
                                 .heads = m->heads,
                                 .kv_heads = m->kv_heads,
                                 .dim = m->head_dim,
                                 .window = model_window(m, l),
                                 .scale = 1 / sqrt((double)m->head_dim),
                                 .dtype = n->o.compute};
}

/* o = attention of the rotated qkv; with a cache, over all positions so far. */
static void attention(struct net *n, const struct net_batch *b, int l, const struct net_acts *a)
{
    const int64_t kv = model_kv_width(&n->m);
    struct op_attention t = net_attention(n, b, l, a->rot);
    t.o = a->o;
    t.lse = a->lse;
    if (b->cached) { /* k and v are adjacent in a row of qkv, and so in a row of the cache */
        const size_t size = dtype_size(n->o.compute), bytes = (size_t)(2 * kv) * size;
        op_copy_rows(n->device, &(struct op_copy_rows){.y = net_columns(n, a->kv, b->past * 2 * kv),
                                                       .x = t.k,
                                                       .rows = b->T,
                                                       .bytes = bytes,
                                                       .y_stride = bytes,
                                                       .x_stride = (size_t)t.kv_stride * size});
        t.k = a->kv;
        t.v = net_columns(n, a->kv, kv);
        t.kv_stride = 2 * kv;
        t.cu_k = n->cu_k;
        t.Tk = b->past + b->T;
    }
    op_attention(n->device, &t);
}

/* The norm of `heads` heads from column `column` of qkv, into rot. */
static void norm_heads(struct net *n, int64_t T, const struct net_acts *a, int64_t column,
                       int32_t heads, size_t weight, void *rstd)
{
    op_rmsnorm(n->device, &(struct op_rmsnorm){.y = net_columns(n, a->rot, column),
                                               .rstd = rstd,
                                               .x = net_columns(n, a->qkv, column),
                                               .w = net_weight(n, weight),
                                               .T = T,
                                               .H = n->m.head_dim,
                                               .stride = model_qkv_width(&n->m),
                                               .heads = heads,
                                               .eps = n->m.eps,
                                               .dtype = n->o.compute});
}

void *net_rstd_k(const struct net *n, int64_t T, const struct net_acts *a)
{
    return (char *)a->rstd_qk + (size_t)(T * n->m.heads) * dtype_size(n->real);
}

static void norm_qk(struct net *n, int64_t T, const struct layer_offsets *w,
                    const struct net_acts *a)
{
    const int64_t q = model_q_width(&n->m), kv = model_kv_width(&n->m);
    const size_t size = dtype_size(n->o.compute), row = (size_t)(q + 2 * kv) * size;
    norm_heads(n, T, a, 0, n->m.heads, w->q_norm, a->rstd_qk);
    norm_heads(n, T, a, q, n->m.kv_heads, w->k_norm, net_rstd_k(n, T, a));
    op_copy_rows(n->device, &(struct op_copy_rows){.y = net_columns(n, a->rot, q + kv),
                                                   .x = net_columns(n, a->qkv, q + kv),
                                                   .rows = T,
                                                   .bytes = (size_t)kv * size,
                                                   .y_stride = row,
                                                   .x_stride = row});
}

void net_rotate(struct net *n, const struct net_batch *b, int l, const struct net_acts *a)
{
    if (n->m.qk_norm) norm_qk(n, b->T, &n->params.layers[l], a);
    op_rope(n->device, &(struct op_rope){.x = a->rot,
                                         .cos = n->cosines,
                                         .sin = n->sines,
                                         .pos = n->pos,
                                         .T = b->T,
                                         .stride = model_qkv_width(&n->m),
                                         .heads = n->m.heads + n->m.kv_heads,
                                         .dim = n->m.head_dim,
                                         .dtype = n->o.compute});
}

/* NULL when the model has no such bias. */
static const void *bias_of(const struct net *n, bool has, size_t offset)
{
    return has ? net_weight(n, offset) : NULL;
}

/* One layer: the residual stream enters as x + r (r NULL: x) and leaves as res2 + branch.
 * again: for backward, from the kept res1 and only up to what backward reads. */
void net_layer_forward(struct net *n, const struct net_batch *b, int l, const void *x,
                       const void *r, bool again)
{
    const struct model *m = &n->m;
    const struct layer_offsets *w = &n->params.layers[l];
    const struct net_acts a = net_layer(n, l);
    const int64_t T = b->T, H = m->hidden, q = model_q_width(m);

    norm(n, T, a.h1, again ? NULL : a.res1, a.rstd1, x, r, w->norm1);
    linear(n, T, a.qkv, a.h1, w->qkv, bias_of(n, m->qkv_bias, w->qkv_bias), model_qkv_width(m), H);
    net_rotate(n, b, l, &a);
    attention(n, b, l, &a);
    linear(n, T, n->branch, a.o, w->o, bias_of(n, m->o_bias, w->o_bias), H, q);

    norm(n, T, a.h2, a.res2, a.rstd2, a.res1, n->branch, w->norm2);
    linear(n, T, a.gate_up, a.h2, w->gate_up, bias_of(n, m->mlp_bias, w->gate_up_bias),
           2 * m->inter, H);
    if (again) return;
    op_swiglu(n->device,
              &(struct op_swiglu){
                  .y = a.z, .gu = a.gate_up, .T = T, .I = m->inter, .dtype = n->o.compute});
    linear(n, T, n->branch, a.z, w->down, bias_of(n, m->mlp_bias, w->down_bias), H, m->inter);
}

void net_upload(struct net *n, const struct net_batch *b)
{
    struct device *d = n->device;
    void (*up)(struct device *, void *, const void *, size_t) = d->ops->upload;
    const size_t T = (size_t)b->T, targets = (size_t)b->targets, size = sizeof(int32_t);
    up(d, n->ids, b->ids, T * size);
    up(d, n->pos, b->pos, T * size);
    if (n->sample && b->sample) up(d, n->sample, b->sample, T * size);
    up(d, n->cu, b->cu, ((size_t)b->docs + 1) * size);
    net_rope_upload(n, b);
    up(d, n->rows, b->rows, targets * size);
    up(d, n->target, b->target, targets * size);
    if (n->real == DT_F32) {
        up(d, n->weight, b->weight, targets * sizeof(float));
        return;
    }
    for (size_t i = 0; i < targets; i++) {
        double w = (double)b->weight[i];
        up(d, (double *)n->weight + i, &w, sizeof w);
    }
}

void net_forward(struct net *n, const struct net_batch *b)
{
    const int64_t H = n->m.hidden;
    op_embed(n->device, &(struct op_embed){.y = n->h,
                                           .w = net_weight(n, n->params.embed),
                                           .ids = n->ids,
                                           .T = b->T,
                                           .H = H,
                                           .dtype = n->o.compute});
    op_cast(n->device,
            &(struct op_cast){
                .y = n->branch, .x = n->h, .n = b->T * H, .to = n->real, .from = n->o.compute});
    const void *x = n->branch, *r = NULL;
    for (int l = 0; l < n->m.layers; l++) {
        net_layer_forward(n, b, l, x, r, false);
        x = net_layer(n, l).res2;
        r = n->branch;
    }
    norm(n, b->T, n->h_final, n->res_final, n->rstd_final, x, r, n->params.final_norm);
}
