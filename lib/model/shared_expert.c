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

/* Computes y[T,out] = x[T,in] W^T with the adapters, or adds that. */
static void forward(struct stage *s, const struct pass *p, void *y, enum dtype t, const void *x,
                    size_t weight, int64_t out, int64_t in, bool add)
{
    matrix_forward(s->w, rows(s, p), y, t, x, weight, out, in, add);
    lora_forward(s, p, y, t, x, weight);
}

/* Adds dy[T,out] W with the adapters to s->dh. */
static void dgrad(struct stage *s, const struct pass *p, const void *dy, size_t weight, int64_t out)
{
    matrix_dgrad(s->w, rows(s, p), s->dh, dy, weight, out, s->w->m.hidden, true);
    lora_dgrad(s, p, s->dh, dy, weight);
}

void shared_expert_up(struct stage *s, const struct pass *p, int l, const struct activations *a)
{
    const struct weights *w = s->w;
    const struct layer_offsets *at = &w->params.layers[l];
    const int64_t H = w->m.hidden, F = w->m.shared_inter;
    if (F == 0) return;
    if (w->m.shared_router)
        forward(s, p, a->shared.gate, w->accum, a->h2, at->shared_router, 1, H, false);
    forward(s, p, a->shared.gate_up, w->compute, a->h2, at->shared_gate_up, 2 * F, H, false);
}

void shared_expert_down(struct stage *s, const struct pass *p, int l, const struct activations *a)
{
    const struct weights *w = s->w;
    const int64_t F = w->m.shared_inter;
    if (F == 0) return;
    inner_rows(s, p, a);
    forward(s, p, s->branch, w->accum, a->shared.z, w->params.layers[l].shared_down, w->m.hidden, F,
            true);
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

void shared_expert_down_backward(struct stage *s, const struct pass *p, int l,
                                 const struct activations *a, const void *dy)
{
    const struct weights *w = s->w;
    const int64_t T = rows(s, p), H = w->m.hidden, F = w->m.shared_inter;
    const size_t weight = w->params.layers[l].shared_down;
    if (F == 0) return;
    if (!stage_stores_all(s)) inner_rows(s, p, a);
    linear_dgrad(s, p, s->dz, dy, weight, H, F);
    linear_wgrad(s, p, dy, a->shared.z, weight, H, F);
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

void shared_expert_input_backward(struct stage *s, const struct pass *p, int l,
                                  const struct activations *a)
{
    const struct weights *w = s->w;
    const struct layer_offsets *at = &w->params.layers[l];
    const int64_t F = w->m.shared_inter;
    if (F == 0) return;
    dgrad(s, p, a->shared.gate_up, at->shared_gate_up, 2 * F);
    if (w->m.shared_router) dgrad(s, p, s->dshared, at->shared_router, 1);
}

void shared_expert_wgrad(struct stage *s, const struct pass *p, int l, const struct activations *a)
{
    const struct weights *w = s->w;
    const struct layer_offsets *at = &w->params.layers[l];
    const int64_t H = w->m.hidden, F = w->m.shared_inter;
    if (F == 0) return;
    linear_wgrad_later(s, p, a->shared.gate_up, a->h2, at->shared_gate_up, 2 * F, H);
    if (w->m.shared_router) linear_wgrad_later(s, p, s->dshared, a->h2, at->shared_router, 1, H);
}
