/* SPDX-License-Identifier: Apache-2.0 */
/* The expert of all tokens in a sparse layer: an MLP whose result is added to those of the chosen
 * experts, times the sigmoid of a product of the token, if the model has such a weight. The inner
 * rows are weighted, not the result, so that the product adds to the sum. With tensor parallelism
 * each rank has a part of the inner size; what is linear in it, the gradient by the weight
 * included, is a term of a sum over the ranks. Without such an expert these do nothing. */
#include "model/model_impl.h"

static int64_t rows(const struct stage *s, const struct pass *p) { return rows_all(s->w, p->b.T); }

/* Computes z, the inner rows times their weights. */
static void inner_rows(const struct stage *s, const struct pass *p, const struct activations *a)
{
    const struct weights *w = s->w;
    const int64_t T = rows(s, p), F = w->m.shared_inter;
    op_activation(w->device, &(struct op_activation){.y = a->shared.z,
                                                     .x = a->shared.gate_up,
                                                     .T = T,
                                                     .I = F,
                                                     .gated = true,
                                                     .act = w->m.act,
                                                     .dtype = w->compute});
    if (w->m.shared_router)
        op_gate(w->device, &(struct op_gate){.y = a->shared.z,
                                             .x = a->shared.z,
                                             .gate = a->shared.gate,
                                             .T = T,
                                             .I = F,
                                             .dtype = w->compute});
}

void shared_expert_up(const struct stage *s, const struct pass *p, int l,
                      const struct activations *a)
{
    const struct weights *w = s->w;
    const struct layer_offsets *at = &w->params.layers[l];
    const int64_t T = rows(s, p), H = w->m.hidden, F = w->m.shared_inter;
    if (F == 0) return;
    if (w->m.shared_router)
        matrix_forward(w, T, a->shared.gate, w->accum, a->h2, at->shared_router, 1, H, false);
    matrix_forward(w, T, a->shared.gate_up, w->compute, a->h2, at->shared_gate_up, 2 * F, H, false);
}

void shared_expert_down(const struct stage *s, const struct pass *p, int l,
                        const struct activations *a)
{
    const struct weights *w = s->w;
    const int64_t F = w->m.shared_inter;
    if (F == 0) return;
    inner_rows(s, p, a);
    matrix_forward(w, rows(s, p), s->branch, w->accum, a->shared.z, w->params.layers[l].shared_down,
                   w->m.hidden, F, true);
}

/* Computes the gradients of z and of the weights' logits in s->dz and s->dshared, from s->dz. */
static void weight_backward(const struct stage *s, const struct pass *p,
                            const struct activations *a)
{
    const struct weights *w = s->w;
    if (!w->m.shared_router) return;
    op_gate_grad(w->device, &(struct op_gate_grad){.dx = s->dz,
                                                   .dgate = s->dshared,
                                                   .dy = s->dz,
                                                   .y = a->shared.z,
                                                   .gate = a->shared.gate,
                                                   .T = rows(s, p),
                                                   .I = w->m.shared_inter,
                                                   .dtype = w->compute});
}

void shared_expert_down_backward(const struct stage *s, const struct pass *p, int l,
                                 const struct activations *a, const void *dy)
{
    const struct weights *w = s->w;
    const int64_t T = rows(s, p), H = w->m.hidden, F = w->m.shared_inter;
    const size_t weight = w->params.layers[l].shared_down;
    if (F == 0) return;
    if (!stage_stores_all(s)) inner_rows(s, p, a);
    matrix_dgrad(w, T, s->dz, dy, weight, H, F, false);
    matrix_wgrad(w, T, dy, a->shared.z, weight, H, F, !w->overwrite);
    weight_backward(s, p, a);
    op_activation_grad(w->device, &(struct op_activation_grad){.dx = a->shared.gate_up,
                                                               .dy = s->dz,
                                                               .x = a->shared.gate_up,
                                                               .T = T,
                                                               .I = F,
                                                               .gated = true,
                                                               .act = w->m.act,
                                                               .dtype = w->compute});
}

void shared_expert_input_backward(const struct stage *s, const struct pass *p, int l,
                                  const struct activations *a)
{
    const struct weights *w = s->w;
    const struct layer_offsets *at = &w->params.layers[l];
    const int64_t T = rows(s, p), H = w->m.hidden, F = w->m.shared_inter;
    if (F == 0) return;
    matrix_dgrad(w, T, s->dh, a->shared.gate_up, at->shared_gate_up, 2 * F, H, true);
    if (w->m.shared_router) matrix_dgrad(w, T, s->dh, s->dshared, at->shared_router, 1, H, true);
}

void shared_expert_wgrad(const struct stage *s, const struct pass *p, int l,
                         const struct activations *a)
{
    const struct weights *w = s->w;
    const struct layer_offsets *at = &w->params.layers[l];
    const int64_t T = rows(s, p), H = w->m.hidden, F = w->m.shared_inter;
    const bool add = !w->overwrite;
    if (F == 0) return;
    matrix_wgrad(w, T, a->shared.gate_up, a->h2, at->shared_gate_up, 2 * F, H, add);
    if (w->m.shared_router) matrix_wgrad(w, T, s->dshared, a->h2, at->shared_router, 1, H, add);
}
