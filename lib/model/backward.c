/* SPDX-License-Identifier: Apache-2.0 */
/* The layers backward, written out in the reverse order of forward.c. */
#include "model/net.h"

#include <math.h>

/* NULL where the block at this offset is frozen. */
static void *gradient(const struct net *n, size_t offset)
{
    if (!net_trained(n, offset)) return NULL;
    return (char *)n->gradients + offset * dtype_size(n->real);
}

void net_clear(struct net *n, size_t from, size_t to)
{
    if (from == to || !net_trained(n, from)) return;
    op_zero(n->device,
            &(struct op_zero){.y = gradient(n, from), .bytes = (to - from) * dtype_size(n->real)});
}

void net_begin(struct net *n)
{
    const struct params *p = &n->params;
    net_clear(n, p->decay_end, p->trained);
    if (!n->m.tied) net_clear(n, p->embed, p->embed + (size_t)(n->m.vocab * n->m.hidden));
    n->fresh = true;
}

void net_dgrad(struct net *n, int64_t T, void *dx, const void *dy, size_t weight, int64_t out,
               int64_t in)
{
    op_matmul(n->device, &(struct op_matmul){.c = dx,
                                             .a = dy,
                                             .b = net_weight(n, weight),
                                             .m = T,
                                             .n = in,
                                             .k = out,
                                             .ab_dtype = n->o.compute,
                                             .c_dtype = n->o.compute});
    lora_dgrad(n, T, dx, dy, weight);
}

void net_wgrad(struct net *n, int64_t T, const void *dy, const void *x, size_t weight, int64_t out,
               int64_t in, bool add)
{
    lora_wgrad(n, T, dy, x, weight, add);
    if (!net_trained(n, weight)) return;
    op_matmul(n->device, &(struct op_matmul){.c = gradient(n, weight),
                                             .a = dy,
                                             .b = x,
                                             .m = out,
                                             .n = in,
                                             .k = T,
                                             .ta = true,
                                             .accumulate = add,
                                             .ab_dtype = n->o.compute,
                                             .c_dtype = n->real});
}

void net_norm_grad(struct net *n, int64_t T, void *dx, size_t weight, void *y, const void *dy,
                   const void *dres, const void *s, const void *rstd)
{
    op_rmsnorm_grad(n->device, &(struct op_rmsnorm_grad){.dx = dx,
                                                         .dw = gradient(n, weight),
                                                         .y = y,
                                                         .dy = dy,
                                                         .dres = dres,
                                                         .s = s,
                                                         .w = net_weight(n, weight),
                                                         .rstd = rstd,
                                                         .T = T,
                                                         .H = n->m.hidden,
                                                         .wide = true,
                                                         .dtype = n->o.compute});
}

/* Adds up dy[T,width] where the model has a bias at this offset, and it is trained. */
static void bias_grad(struct net *n, int64_t T, bool has, size_t offset, const void *dy,
                      int64_t width)
{
    if (!has || !net_trained(n, offset)) return;
    op_bias_grad(
        n->device,
        &(struct op_bias_grad){
            .db = gradient(n, offset), .dy = dy, .T = T, .n = width, .dtype = n->o.compute});
}

/* dres: in, the gradient of what the layer gives; out, that of the attention block's result. */
static void mlp_backward(struct net *n, int64_t T, const struct layer_offsets *w,
                         const struct net_acts *a)
{
    const int64_t H = n->m.hidden, I = n->m.inter;
    const bool kept = n->o.keep == NET_KEEP_ALL;
    bias_grad(n, T, n->m.mlp_bias, w->down_bias, n->dres, H);
    net_dgrad(n, T, n->dz, n->dres, w->down, H, I);
    op_swiglu_grad(n->device, &(struct op_swiglu_grad){.dgu = a->gate_up,
                                                       .y = kept ? NULL : a->z,
                                                       .dy = n->dz,
                                                       .gu = a->gate_up,
                                                       .T = T,
                                                       .I = I,
                                                       .dtype = n->o.compute});
    net_wgrad(n, T, n->dres, a->z, w->down, H, I, !n->fresh);
    bias_grad(n, T, n->m.mlp_bias, w->gate_up_bias, a->gate_up, 2 * I);
    net_dgrad(n, T, n->dh, a->gate_up, w->gate_up, 2 * I, H);
    net_norm_grad(n, T, n->dres, w->norm2, a->h2, n->dh, n->dres, a->res2, a->rstd2);
    net_wgrad(n, T, a->gate_up, a->h2, w->gate_up, 2 * I, H, !n->fresh);
}

/* Heads of dqkv from `column` on back through their norm, in place. */
static void norm_heads_grad(struct net *n, int64_t T, int64_t column, int32_t heads, size_t weight,
                            const void *s, const void *rstd)
{
    void *dx = net_columns(n, n->dqkv, column);
    op_rmsnorm_grad(n->device, &(struct op_rmsnorm_grad){.dx = dx,
                                                         .dw = gradient(n, weight),
                                                         .dy = dx,
                                                         .s = s,
                                                         .w = net_weight(n, weight),
                                                         .rstd = rstd,
                                                         .T = T,
                                                         .H = n->m.head_dim,
                                                         .stride = model_qkv_width(&n->m),
                                                         .heads = heads,
                                                         .dtype = n->o.compute});
}

static void norm_qk_grad(struct net *n, int64_t T, const struct layer_offsets *w,
                         const struct net_acts *a)
{
    const int64_t q = model_q_width(&n->m);
    norm_heads_grad(n, T, 0, n->m.heads, w->q_norm, a->qkv, a->rstd_qk);
    norm_heads_grad(n, T, q, n->m.kv_heads, w->k_norm, net_columns(n, a->qkv, q),
                    net_rstd_k(n, T, a));
}

/* dqkv from dout, the gradient of o; back through the rotation. */
static void attention_grad(struct net *n, const struct net_batch *b, int l,
                           const struct net_acts *a)
{
    const struct model *m = &n->m;
    const int64_t q = model_q_width(m), kv = model_kv_width(m), row = model_qkv_width(m);
    void *dqkv = n->dqkv;
    op_attention_grad(n->device,
                      &(struct op_attention_grad){.dq = dqkv,
                                                  .dk = net_columns(n, dqkv, q),
                                                  .dv = net_columns(n, dqkv, q + kv),
                                                  .dout = n->dout,
                                                  .o = a->o,
                                                  .lse = a->lse,
                                                  .fwd = net_attention(n, b, l, a->rot)});
    op_rope(n->device, &(struct op_rope){.x = dqkv,
                                         .cos = n->cosines,
                                         .sin = n->sines,
                                         .pos = n->pos,
                                         .T = b->T,
                                         .stride = row,
                                         .heads = m->heads + m->kv_heads,
                                         .dim = m->head_dim,
                                         .inverse = true,
                                         .dtype = n->o.compute});
}

static void attention_backward(struct net *n, const struct net_batch *b, int l,
                               const struct net_acts *a)
{
    const struct layer_offsets *w = &n->params.layers[l];
    const int64_t T = b->T, H = n->m.hidden, q = model_q_width(&n->m), row = model_qkv_width(&n->m);
    bias_grad(n, T, n->m.o_bias, w->o_bias, n->dres, H);
    net_dgrad(n, T, n->dout, n->dres, w->o, H, q);
    net_wgrad(n, T, n->dres, a->o, w->o, H, q, !n->fresh);
    if (n->m.qk_norm && n->o.keep == NET_KEEP_SELECTIVE) net_rotate(n, b, l, a);
    attention_grad(n, b, l, a);
    if (n->m.qk_norm) norm_qk_grad(n, T, w, a);
    bias_grad(n, T, n->m.qkv_bias, w->qkv_bias, n->dqkv, row);
    net_dgrad(n, T, n->dh, n->dqkv, w->qkv, row, H);
    net_norm_grad(n, T, n->dres, w->norm1, a->h1, n->dh, n->dres, a->res1, a->rstd1);
    net_wgrad(n, T, n->dqkv, a->h1, w->qkv, row, H, !n->fresh);
}

void net_backward(struct net *n, const struct net_batch *b)
{
    const int lowest = n->params.lowest < 0 ? 0 : n->params.lowest;
    for (int l = n->m.layers - 1; l >= lowest; l--) {
        const struct layer_offsets *w = &n->params.layers[l];
        const struct net_acts a = net_layer(n, l);
        if (n->o.keep == NET_KEEP_INPUTS) net_layer_forward(n, b, l, a.res1, NULL, true);
        mlp_backward(n, b->T, w, &a);
        attention_backward(n, b, l, &a);
    }
    n->fresh = false;
    if (!net_trained(n, n->params.embed)) return;
    op_embed_grad(n->device, &(struct op_embed_grad){.dw = gradient(n, n->params.embed),
                                                     .dy = n->dres,
                                                     .ids = n->ids,
                                                     .T = b->T,
                                                     .H = n->m.hidden,
                                                     .V = n->m.vocab,
                                                     .dtype = n->o.compute});
}
