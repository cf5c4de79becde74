/* SPDX-License-Identifier: Apache-2.0 */
/* The output projection and the loss. They are computed on one chunk of targets at a time, so the
 * logits of a whole micro-batch never exist. */
#include "model/model_impl.h"
#include "parallel/collect.h"

void head_logits(struct stage *s, const struct pass *p, const int32_t *rows, int64_t count)
{
    const struct weights *w = s->w;
    op_gather(w->device, &(struct op_gather){.y = s->head_in,
                                             .x = p->h_final,
                                             .rows = rows,
                                             .n = count,
                                             .H = w->m.hidden,
                                             .dtype = w->compute});
    /* The logits' factor, on the smaller side of the product, which also gives the projection its
     * gradient. */
    rows_scale(w, s->head_in, s->head_in, count, w->m.logit_scale, w->compute);
    op_matmul(w->device, &(struct op_matmul){.c = s->logits,
                                             .a = s->head_in,
                                             .b = weights_at(w, w->params.head),
                                             .m = count,
                                             .n = w->m.vocab,
                                             .k = w->m.hidden,
                                             .tb = true,
                                             .ab_dtype = w->compute,
                                             .c_dtype = s->logit_type});
}

/* NULL while the plan is made, when there is no memory yet. */
static void *at(void *base, int64_t elements, enum dtype t)
{
    return base ? (char *)base + (size_t)elements * dtype_size(t) : NULL;
}

/* Computes the nll of targets [i, i + c) and, unless dlogits is NULL, the gradient of their logits.
 */
static void chunk_loss(struct stage *s, struct pass *p, int64_t i, int64_t c, void *dlogits,
                       double scale)
{
    const struct weights *w = s->w;
    head_logits(s, p, at(p->rows, i, DT_I32), c);
    parallel_parts(s, at(p->target, i, DT_I32), c);
    op_xent(w->device, &(struct op_xent){.nll = at(p->nll, i, w->accum),
                                         .dlogits = dlogits,
                                         .logits = s->logits,
                                         .parts = s->parts,
                                         .target = at(p->target, i, DT_I32),
                                         .weight = at(p->weight, i, w->accum),
                                         .scale = scale,
                                         .cap = w->m.logit_cap,
                                         .n = c,
                                         .V = w->m.vocab,
                                         .first = w->m.vocab_first,
                                         .all = w->whole.vocab,
                                         .ranks = collect_size(w->tp),
                                         .dtype = w->accum,
                                         .d_dtype = w->compute,
                                         .logits_dtype = s->logit_type});
}

/* Computes a chunk's rows of dhead and its part of the projection's gradient from the gradient of
 * the chunk's logits. */
static void chunk_backward(struct stage *s, int64_t i, int64_t c, const void *dlogits)
{
    struct weights *w = s->w;
    const int64_t H = w->m.hidden, V = w->m.vocab;
    matrix_dgrad(w, c, at(s->dhead, i * H, w->compute), dlogits, w->params.head, V, H, false);
    matrix_wgrad(w, c, dlogits, s->head_in, w->params.head, V, H, i > 0 || !w->overwrite);
}

/* Processes all chunks. The chunks have equal size, because a small chunk costs as much as a large
 * one. */
static void chunks(struct stage *s, struct pass *p, void *dlogits, double scale)
{
    const struct weights *w = s->w;
    const int64_t n = (p->b.targets + s->o.chunk - 1) / s->o.chunk;
    for (int64_t k = 0; k < n; k++) {
        const int64_t i = p->b.targets * k / n, c = p->b.targets * (k + 1) / n - i;
        chunk_loss(s, p, i, c, dlogits, scale);
        if (dlogits) chunk_backward(s, i, c, dlogits);
    }
    op_sum(w->device,
           &(struct op_sum){
               .sum = s->loss, .x = p->nll, .w = p->weight, .n = p->b.targets, .dtype = w->accum});
}

void stage_loss(struct stage *s, struct pass *p)
{
    if (p->b.T > 0) chunks(s, p, NULL, 0);
}

void head_backward(struct stage *s, struct pass *p, double scale)
{
    struct weights *w = s->w;
    const size_t head = w->params.head, count = (size_t)(w->m.vocab * w->m.hidden);
    chunks(s, p, s->dlogits ? s->dlogits : s->logits, scale);
    experts_loss(s, p);
    if (!rows_cut(w)) parallel_sum(w, s->dhead, p->b.targets * w->m.hidden, w->compute);
    rows_scale(w, s->dhead, s->dhead, p->b.targets, w->m.logit_scale, w->compute);
    if (p->b.targets == 0 && w->overwrite) weights_clear(w, head, head + count);
    op_scatter(w->device, &(struct op_scatter){.y = s->dh,
                                               .x = s->dhead,
                                               .rows = p->rows,
                                               .T = rows_all(w, p->b.T),
                                               .n = p->b.targets,
                                               .H = w->m.hidden,
                                               .dtype = w->compute});
    if (rows_cut(w)) rows_sum(w, p->b.T, s->dh, w->compute);
    norm_backward(s, p, w->params.final_norm, NULL, NULL, p->res_final, p->rstd_final);
}
