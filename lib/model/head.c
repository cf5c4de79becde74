/* SPDX-License-Identifier: Apache-2.0 */
/* The output projection and the loss, a chunk of targets at a time, so that the logits of a whole
 * micro-batch never exist; and one step of generation. */
#include "model/net.h"

/* logits[count,V] of the rows of h_final that are listed at rows (device). */
static void head(struct net *n, const int32_t *rows, int64_t count)
{
    op_gather(n->device, &(struct op_gather){.y = n->head_in,
                                             .x = n->h_final,
                                             .rows = rows,
                                             .n = count,
                                             .H = n->m.hidden,
                                             .dtype = n->o.compute});
    op_matmul(n->device, &(struct op_matmul){.c = n->logits,
                                             .a = n->head_in,
                                             .b = net_weight(n, n->params.head),
                                             .m = count,
                                             .n = n->m.vocab,
                                             .k = n->m.hidden,
                                             .tb = true,
                                             .ab_dtype = n->o.compute,
                                             .c_dtype = n->real});
}

static void *at(void *base, int64_t elements, enum dtype t)
{
    return (char *)base + (size_t)elements * dtype_size(t);
}

void net_loss(struct net *n, const struct net_batch *b, bool gradients, double scale)
{
    const int64_t H = n->m.hidden, V = n->m.vocab;
    void *dlogits = n->dlogits ? n->dlogits : n->logits;
    const int64_t chunks = (b->targets + n->o.chunk - 1) / n->o.chunk;
    for (int64_t k = 0; k < chunks; k++) { /* of equal size: a small one costs as much */
        const int64_t i = b->targets * k / chunks, c = b->targets * (k + 1) / chunks - i;
        head(n, at(n->rows, i, DT_I32), c);
        op_xent(n->device, &(struct op_xent){.nll = at(n->nll, i, n->real),
                                             .dlogits = gradients ? dlogits : NULL,
                                             .logits = n->logits,
                                             .target = at(n->target, i, DT_I32),
                                             .weight = at(n->weight, i, n->real),
                                             .scale = scale,
                                             .n = c,
                                             .V = V,
                                             .dtype = n->real,
                                             .d_dtype = n->o.compute});
        if (!gradients) continue;
        net_dgrad(n, c, at(n->dhead, i * H, n->o.compute), dlogits, n->params.head, V, H);
        net_wgrad(n, c, dlogits, n->head_in, n->params.head, V, H, k > 0 || !n->fresh);
    }
    op_sum(n->device,
           &(struct op_sum){
               .sum = n->loss, .x = n->nll, .w = n->weight, .n = b->targets, .dtype = n->real});
    if (!gradients) return;
    if (chunks == 0 && n->fresh) net_clear(n, n->params.head, n->params.head + (size_t)(V * H));
    op_scatter(n->device, &(struct op_scatter){.y = n->dh,
                                               .x = n->dhead,
                                               .rows = n->rows,
                                               .T = b->T,
                                               .n = b->targets,
                                               .H = H,
                                               .dtype = n->o.compute});
    net_norm_grad(n, b->T, n->dres, n->params.final_norm, NULL, n->dh, NULL, n->res_final,
                  n->rstd_final);
}

static void upload_positions(struct net *n, int64_t T, int64_t past)
{
    int32_t p[256];
    for (int64_t t = 0; t < T; t += 256) {
        int64_t c = T - t < 256 ? T - t : 256;
        for (int64_t i = 0; i < c; i++) p[i] = (int32_t)(past + t + i);
        n->device->ops->upload(n->device, at(n->pos, t, DT_I32), p, (size_t)c * sizeof *p);
    }
}

void net_extend(struct net *n, const int32_t *ids, int64_t T, int64_t past)
{
    struct device *d = n->device;
    const int32_t cu[2] = {0, (int32_t)T}, cu_k[2] = {0, (int32_t)(past + T)};
    struct net_batch b = {.T = T, .docs = 1, .max_len = past + T, .cached = true, .past = past};
    d->ops->upload(d, n->ids, ids, (size_t)T * sizeof *ids);
    upload_positions(n, T, past);
    d->ops->upload(d, n->cu, cu, sizeof cu);
    d->ops->upload(d, n->cu_k, cu_k, sizeof cu_k);
    net_forward(n, &b);
    const int32_t last = (int32_t)(T - 1);
    d->ops->upload(d, n->rows, &last, sizeof last);
    head(n, n->rows, 1);
    op_argmax(d,
              &(struct op_argmax){
                  .y = n->argmax, .logits = n->logits, .n = 1, .V = n->m.vocab, .dtype = n->real});
}

int net_next(struct net *n, int32_t *id, struct err *e)
{
    return n->device->ops->download(n->device, id, n->argmax, sizeof *id, e);
}

int net_logits(struct net *n, float *out, struct err *e)
{
    return net_get(n, n->logits, n->real, 0, (size_t)n->m.vocab, out, e);
}
