/* SPDX-License-Identifier: Apache-2.0 */
/* The experts of a sparse layer. Each token has K rows, sorted by expert, which the experts compute
 * in one product; no host reads how many rows an expert has. With tensor parallelism each rank has
 * a part of the inner size of every expert, and so a term of the experts' results: what is linear
 * in them, the gradient of the router included, is a term too. Where ranks share out the experts,
 * the rows are those of the tokens that come from them, see dispatch.c. */
#include "model/model_impl.h"

/* Returns true if the loss has a term that balances the experts. */
static bool balances(const struct stage *s)
{
    return s->w->has_gradients && s->w->m.router_loss > 0;
}

/* ---- products of the experts' rows ---- */
struct op_grouped experts_product(const struct stage *s, const struct pass *p,
                                  const struct activations *a, const void *b, int64_t n, int64_t k)
{
    return (struct op_grouped){.b = b,
                               .starts = a->experts.starts,
                               .rows = dispatch_rows(s, p, a),
                               .n = n,
                               .k = k,
                               .E = dispatch_experts(s),
                               .ab_dtype = s->w->compute,
                               .c_dtype = s->w->compute};
}

/* Computes y[R,out] = x[R,in] W[out,in]^T. */
static void forward(const struct stage *s, const struct pass *p, const struct activations *a,
                    void *y, const void *x, size_t weight, int64_t out, int64_t in)
{
    struct op_grouped g = experts_product(s, p, a, weights_at(s->w, weight), out, in);
    g.c = y;
    g.a = x;
    g.tb = true;
    op_grouped(s->w->device, &g);
    lora_experts_forward(s, p, a, y, x, weight, in);
}

/* Computes dx[R,in] = dy[R,out] W[out,in]. */
static void dgrad(const struct stage *s, const struct pass *p, const struct activations *a,
                  void *dx, const void *dy, size_t weight, int64_t out, int64_t in)
{
    struct op_grouped g = experts_product(s, p, a, weights_at(s->w, weight), in, out);
    g.c = dx;
    g.a = dy;
    op_grouped(s->w->device, &g);
    lora_experts_dgrad(s, p, a, dx, dy, weight, in);
}

/* Computes dW = dy^T x of each expert, unless the experts are frozen, and the adapters' gradients.
 */
static void wgrad(const struct stage *s, const struct pass *p, const struct activations *a,
                  const void *dy, const void *x, size_t weight, int64_t out, int64_t in)
{
    const struct weights *w = s->w;
    lora_experts_wgrad(s, p, a, dy, x, weight, in);
    if (!weights_trained(w, weight)) return;
    struct op_grouped g = experts_product(s, p, a, weights_at(s->w, weight), in, out);
    g.c = weights_gradient(w, weight);
    g.a = dy;
    g.b = x;
    g.weights = true;
    g.accumulate = !w->overwrite;
    g.c_dtype = w->gradient;
    op_grouped(w->device, &g);
}

/* Copies the tokens of h2 to their rows. */
static void gather(const struct stage *s, const struct pass *p, const struct activations *a)
{
    const struct weights *w = s->w;
    op_gather(w->device, &(struct op_gather){.y = a->experts.rows,
                                             .x = dispatch_send(s, a, a->h2),
                                             .rows = a->experts.token,
                                             .n = dispatch_rows(s, p, a),
                                             .H = w->m.hidden,
                                             .dtype = w->compute});
}

/* ---- forward ---- */
/* Computes the router's choice from h2. The rows that fill up those of sequence parallelism choose
 * no expert. */
static void route(struct stage *s, const struct pass *p, int l, const struct activations *a)
{
    const struct weights *w = s->w;
    const struct model *m = &w->m;
    const int64_t T = rows_all(w, p->b.T);
    const size_t router = w->params.layers[l].router;
    matrix_forward(w, T, a->experts.prob, w->accum, a->h2, router, m->experts, m->hidden, false);
    lora_forward(s, p, a->experts.prob, w->accum, a->h2, router);
    op_route(w->device, &(struct op_route){.prob = a->experts.prob,
                                           .weight = a->experts.weight,
                                           .expert = a->experts.expert,
                                           .logits = a->experts.prob,
                                           .T = p->b.T,
                                           .padded = T,
                                           .E = m->experts,
                                           .K = m->chosen,
                                           .normalise = m->normalise,
                                           .dtype = w->accum});
    dispatch_sort(s, p, a);
}

/* Computes z and the experts' results from gate_up. */
static void down(const struct stage *s, const struct pass *p, int l, const struct activations *a)
{
    const struct weights *w = s->w;
    const int64_t H = w->m.hidden, F = w->m.expert_inter;
    op_activation(w->device, &(struct op_activation){.y = a->z,
                                                     .x = a->gate_up,
                                                     .count = dispatch_count(s, a),
                                                     .T = dispatch_rows(s, p, a),
                                                     .I = F,
                                                     .gated = true,
                                                     .act = w->m.act,
                                                     .dtype = w->compute});
    forward(s, p, a, a->experts.rows, a->z, w->params.layers[l].expert_down, H, F);
}

static void add_load(const struct stage *s, const struct pass *p, const struct activations *a)
{
    const struct weights *w = s->w;
    op_load(w->device, &(struct op_load){.pool = p->load,
                                         .prob = a->experts.prob,
                                         .starts = dispatch_load(s, p, a),
                                         .T = p->b.T,
                                         .E = w->m.experts,
                                         .dtype = w->accum});
}

void experts_forward(struct stage *s, const struct pass *p, int l, const struct activations *a,
                     bool recompute)
{
    const struct weights *w = s->w;
    const int64_t H = w->m.hidden, F = w->m.expert_inter;
    route(s, p, l, a);
    gather(s, p, a);
    forward(s, p, a, a->gate_up, a->experts.rows, w->params.layers[l].expert_gate_up, 2 * F, H);
    shared_expert_up(s, p, l, a);
    if (recompute) return;
    if (balances(s)) add_load(s, p, a);
    down(s, p, l, a);
    op_combine(w->device, &(struct op_combine){.y = dispatch_terms(s, s->branch),
                                               .z = a->experts.rows,
                                               .weight = a->experts.their_weight,
                                               .row = a->experts.row,
                                               .T = dispatch_tokens(s, p, a),
                                               .H = H,
                                               .K = w->m.chosen,
                                               .dtype = w->compute,
                                               .y_dtype = w->accum});
    dispatch_sum(s, p, a, s->branch);
    shared_expert_down(s, p, l, a);
    rows_sum(w, p->b.T, s->branch, w->accum);
}

/* ---- backward ---- */
/* Computes the gradients of the experts' results in their place, and of the weights of each token.
 */
static void combine_backward(const struct stage *s, const struct pass *p,
                             const struct activations *a, const void *dy)
{
    const struct weights *w = s->w;
    op_combine_grad(w->device, &(struct op_combine_grad){.dz = a->experts.rows,
                                                         .dweight = s->dweight,
                                                         .dy = dispatch_send(s, a, dy),
                                                         .z = a->experts.rows,
                                                         .weight = a->experts.their_weight,
                                                         .row = a->experts.row,
                                                         .T = dispatch_tokens(s, p, a),
                                                         .H = w->m.hidden,
                                                         .K = w->m.chosen,
                                                         .dtype = w->compute,
                                                         .z_dtype = w->compute});
    dispatch_sum_weights(s, p, a);
}

/* Computes the gradients of down, then of gate_up in its place. */
static void down_backward(const struct stage *s, const struct pass *p, int l,
                          const struct activations *a)
{
    const struct weights *w = s->w;
    const int64_t H = w->m.hidden, F = w->m.expert_inter;
    const size_t weight = w->params.layers[l].expert_down;
    dgrad(s, p, a, s->dz, a->experts.rows, weight, H, F);
    wgrad(s, p, a, a->experts.rows, a->z, weight, H, F);
    op_activation_grad(w->device, &(struct op_activation_grad){.dx = a->gate_up,
                                                               .dy = s->dz,
                                                               .x = a->gate_up,
                                                               .count = dispatch_count(s, a),
                                                               .T = dispatch_rows(s, p, a),
                                                               .I = F,
                                                               .gated = true,
                                                               .act = w->m.act,
                                                               .dtype = w->compute});
}

/* Computes the gradient of the router's logits. One rank has the term of the auxiliary loss. */
static void route_backward(const struct stage *s, const struct pass *p, const struct activations *a)
{
    const struct weights *w = s->w;
    const bool balanced = balances(s) && parallel_adds(w);
    const int32_t K = w->m.chosen;
    op_route_grad(w->device, &(struct op_route_grad){.dlogits = s->drouter,
                                                     .dweight = s->dweight,
                                                     .prob = a->experts.prob,
                                                     .expert = a->experts.expert,
                                                     .pool = balanced ? p->pool : NULL,
                                                     .T = p->b.T,
                                                     .E = w->m.experts,
                                                     .K = K,
                                                     .normalise = w->m.normalise,
                                                     .balance = p->balance,
                                                     .dtype = w->accum,
                                                     .d_dtype = w->compute});
    const size_t row = (size_t)w->m.experts * dtype_size(w->compute), T = (size_t)p->b.T;
    const size_t fill = (size_t)rows_all(w, p->b.T) - T;
    if (fill) op_zero(w->device, &(struct op_zero){(char *)s->drouter + T * row, fill * row});
}

/* Computes dh from the gradients of the experts' inputs and of the router's logits, and the
 * gradient through the shared expert. */
static void input_backward(struct stage *s, const struct pass *p, int l,
                           const struct activations *a)
{
    const struct weights *w = s->w;
    const int64_t T = rows_all(w, p->b.T), H = w->m.hidden;
    const size_t router = w->params.layers[l].router;
    matrix_dgrad(w, T, s->dh, s->drouter, router, w->m.experts, H, false);
    lora_dgrad(s, p, s->dh, s->drouter, router);
    op_combine(w->device, &(struct op_combine){.y = dispatch_terms(s, s->dh),
                                               .z = a->experts.rows,
                                               .row = a->experts.row,
                                               .T = dispatch_tokens(s, p, a),
                                               .H = H,
                                               .K = w->m.chosen,
                                               .add = !dispatch_shares(s),
                                               .dtype = w->compute,
                                               .y_dtype = w->compute});
    dispatch_add(s, p, a, s->dh);
    shared_expert_input_backward(s, p, l, a);
    rows_sum(w, p->b.T, s->dh, w->compute);
}

void experts_dgrad(struct stage *s, const struct pass *p, int l, const struct activations *a,
                   const void *dy)
{
    const struct weights *w = s->w;
    if (!stage_stores_all(s)) down(s, p, l, a);
    combine_backward(s, p, a, dy);
    down_backward(s, p, l, a);
    route_backward(s, p, a);
    dgrad(s, p, a, a->experts.rows, a->gate_up, w->params.layers[l].expert_gate_up,
          2 * w->m.expert_inter, w->m.hidden);
    shared_expert_down_backward(s, p, l, a, dy);
    input_backward(s, p, l, a);
}

void experts_wgrad(struct stage *s, const struct pass *p, int l, const struct activations *a)
{
    const struct weights *w = s->w;
    const struct layer_offsets *at = &w->params.layers[l];
    const int64_t H = w->m.hidden;
    const size_t gate_up = at->expert_gate_up;
    if (weights_trained(w, gate_up) || lora_block_of(w, gate_up)) gather(s, p, a);
    wgrad(s, p, a, a->gate_up, a->experts.rows, gate_up, 2 * w->m.expert_inter, H);
    linear_wgrad_later(s, p, s->drouter, a->h2, at->router, w->m.experts, H);
    shared_expert_wgrad(s, p, l, a);
}

/* ---- the auxiliary loss ---- */
/* A chunk behind the first one has received the load of the layers before it. */
void experts_begin(struct stage *s, const struct pass *p)
{
    if (balances(s) && (p->at->embedding || p->b.T == 0))
        op_zero(s->w->device,
                &(struct op_zero){.y = p->load, .bytes = stage_load_bytes(s, p->b.T + 1)});
}

size_t stage_load_bytes(const struct stage *s, int64_t T)
{
    return balances(s) && T > 0 ? 2 * (size_t)s->w->m.experts * sizeof(double) : 0;
}

/* Returns the sum of the weights of a micro-batch; 0 while the plan is made, which has none. */
static double weight_of(const struct micro_batch *b)
{
    double sum = 0;
    for (int64_t i = 0; i < b->targets && b->weight; i++) sum += (double)b->weight[i];
    return sum;
}

/* Returns the factor of the loss that the pool gives. */
static double factor_of(const struct stage *s, const struct pass *p)
{
    const struct model *m = &s->w->m;
    const double routed = (double)p->b.T * model_sparse_layers(m);
    return routed > 0 ? m->router_loss * m->experts / (routed * routed) * weight_of(&p->b) : 0;
}

void experts_balance(const struct stage *s, struct pass *p, double scale)
{
    if (balances(s)) p->balance = scale * factor_of(s, p);
}

void experts_loss(struct stage *s, const struct pass *p)
{
    const size_t bytes = stage_load_bytes(s, 1);
    if (!balances(s)) return;
    op_copy_rows(s->w->device, &(struct op_copy_rows){.y = p->pool,
                                                      .x = p->load,
                                                      .rows = 1,
                                                      .bytes = bytes,
                                                      .y_stride = bytes,
                                                      .x_stride = bytes});
    op_load_loss(s->w->device, &(struct op_load_loss){.sum = s->loss,
                                                      .pool = p->pool,
                                                      .E = s->w->m.experts,
                                                      .scale = factor_of(s, p)});
}
