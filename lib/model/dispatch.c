/* SPDX-License-Identifier: Apache-2.0 */
/* Experts parallel: the ranks of s->o.ep share out the experts of each sparse layer, and have
 * tokens of their own. Each rank routes its tokens. Then every rank gathers the tokens of all of
 * them with their choices, computes the choices of its own experts, and the results of each token
 * are summed on the rank that has it. Every rank has a block of the same length, that of the rank
 * with the most tokens of the micro-batch, which all know from the step. So shapes depend on no
 * choice, and no host waits for a count. The rows of a block behind the tokens choose no expert.
 *
 * A rank sends a token to all others, not to those of its K experts alone, as an all_to_all would:
 * see docs/parallel.md. */
#include "model/model_impl.h"
#include "parallel/collect.h"

bool dispatch_shares(const struct stage *s) { return s->o.ep != NULL; }

int32_t dispatch_experts(const struct stage *s) { return s->w->m.experts / collect_size(s->o.ep); }

/* Returns the tokens of a rank's block. */
static int64_t each(const struct stage *s, const struct pass *p)
{
    return rows_all(s->w, dispatch_shares(s) ? p->b.peers : p->b.T);
}

int64_t dispatch_tokens(const struct stage *s, const struct pass *p)
{
    return collect_size(s->o.ep) * each(s, p);
}

/* A token chooses an expert once. */
int64_t dispatch_width(const struct stage *s)
{
    const int32_t own = dispatch_experts(s), chosen = s->w->m.chosen;
    return chosen < own ? chosen : own;
}

int64_t dispatch_rows(const struct stage *s, const struct pass *p)
{
    return dispatch_tokens(s, p) * dispatch_width(s);
}

void *dispatch_own(const struct stage *s, const struct pass *p, void *blocks, int64_t width,
                   enum dtype t)
{
    const int64_t at = collect_rank(s->o.ep) * each(s, p) * width;
    return (char *)blocks + (size_t)at * dtype_size(t);
}

int64_t dispatch_padded(const struct stage *s, const struct pass *p) { return each(s, p); }

const int32_t *dispatch_count(const struct stage *s, const struct activations *a)
{
    const bool all = !dispatch_shares(s) && !rows_cut(s->w);
    return all ? NULL : (const int32_t *)a->experts.starts + dispatch_experts(s);
}

/* ---- exchanges ---- */
/* Gathers blocks[ranks * each, width], of which `own` is this rank's. */
static void gather(const struct stage *s, const struct pass *p, void *blocks, const void *own,
                   int64_t width, enum dtype t)
{
    collect_all_gather(s->w->device, s->o.ep, blocks, own, (size_t)(each(s, p) * width), t);
}

const void *dispatch_gather(const struct stage *s, const struct pass *p, const void *x)
{
    if (!dispatch_shares(s)) return x;
    gather(s, p, s->dispatch.tokens, x, s->w->m.hidden, s->w->compute);
    collect_join(s->w->device, s->o.ep);
    return s->dispatch.tokens;
}

void dispatch_sort(const struct stage *s, const struct pass *p, const struct activations *a)
{
    const struct weights *w = s->w;
    const int32_t own = dispatch_experts(s), K = w->m.chosen;
    void *weight = a->experts.weight, *expert = a->experts.expert;
    if (dispatch_shares(s)) {
        gather(s, p, weight, dispatch_own(s, p, weight, K, w->accum), K, w->accum);
        gather(s, p, expert, dispatch_own(s, p, expert, K, DT_I32), K, DT_I32);
        collect_join(w->device, s->o.ep);
    }
    op_dispatch(w->device, &(struct op_dispatch){.row = a->experts.row,
                                                 .token = a->experts.token,
                                                 .starts = a->experts.starts,
                                                 .expert = expert,
                                                 .T = dispatch_tokens(s, p),
                                                 .rows = dispatch_rows(s, p),
                                                 .first = collect_rank(s->o.ep) * own,
                                                 .E = own,
                                                 .K = K});
}

const int32_t *dispatch_load(const struct stage *s, const struct pass *p,
                             const struct activations *a)
{
    const struct weights *w = s->w;
    const int64_t T = p->b.T;
    if (!dispatch_shares(s)) return a->experts.starts;
    op_dispatch(w->device, &(struct op_dispatch){
                               .row = s->dispatch.row,
                               .token = s->dispatch.token,
                               .starts = s->dispatch.starts,
                               .expert = dispatch_own(s, p, a->experts.expert, w->m.chosen, DT_I32),
                               .T = T,
                               .rows = T * w->m.chosen,
                               .E = w->m.experts,
                               .K = w->m.chosen});
    return s->dispatch.starts;
}

void *dispatch_terms(const struct stage *s, void *x)
{
    return dispatch_shares(s) ? s->dispatch.terms : x;
}

void dispatch_sum(const struct stage *s, const struct pass *p, void *x)
{
    const struct weights *w = s->w;
    if (!dispatch_shares(s)) return;
    collect_reduce_scatter(w->device, s->o.ep, x, s->dispatch.terms,
                           (size_t)(each(s, p) * w->m.hidden), w->accum);
    collect_join(w->device, s->o.ep);
}

void dispatch_sum_weights(const struct stage *s, const struct pass *p)
{
    const struct weights *w = s->w;
    if (!dispatch_shares(s)) return;
    collect_reduce_scatter(w->device, s->o.ep,
                           dispatch_own(s, p, s->dweight, w->m.chosen, w->accum), s->dweight,
                           (size_t)(each(s, p) * w->m.chosen), w->accum);
    collect_join(w->device, s->o.ep);
}

void dispatch_add(const struct stage *s, const struct pass *p, void *x)
{
    const struct weights *w = s->w;
    const int64_t H = w->m.hidden;
    if (!dispatch_shares(s)) return;
    void *sum = dispatch_own(s, p, s->dispatch.terms, H, w->compute);
    collect_reduce_scatter(w->device, s->o.ep, sum, s->dispatch.terms, (size_t)(each(s, p) * H),
                           w->compute);
    collect_join(w->device, s->o.ep);
    op_add(w->device,
           &(struct op_add){
               .y = x, .a = x, .b = sum, .n = rows_all(w, p->b.T) * H, .dtype = w->compute});
}

/* ---- memory ---- */
int64_t dispatch_most(const struct stage *s) { return collect_size(s->o.ep) * s->o.tokens; }

void dispatch_plan(struct stage *s, struct plan *plan, int begin, int end)
{
    const struct weights *w = s->w;
    const size_t all = (size_t)(dispatch_most(s) * w->m.hidden);
    const size_t choices = (size_t)(s->o.tokens * w->m.chosen), E = (size_t)w->m.experts;
    if (!dispatch_shares(s)) return;
    plan_add(plan, PLAN_ACTIVATIONS, "tokens of ranks", -1, all, dtype_size(w->compute), begin, end,
             &s->dispatch.tokens);
    plan_add(plan, PLAN_ACTIVATIONS, "terms of tokens", -1, all, dtype_size(w->accum), begin, end,
             &s->dispatch.terms);
    if (!w->has_gradients || w->m.router_loss == 0) return;
    plan_add(plan, PLAN_ACTIVATIONS, "choices", -1, choices, sizeof(int32_t), begin, end,
             &s->dispatch.row);
    plan_add(plan, PLAN_ACTIVATIONS, "choices", -1, choices, sizeof(int32_t), begin, end,
             &s->dispatch.token);
    plan_add(plan, PLAN_ACTIVATIONS, "choices", -1, E + 1, sizeof(int32_t), begin, end,
             &s->dispatch.starts);
}

size_t stage_experts(const struct stage *s)
{
    const struct weights *w = s->w;
    const int64_t K = w->m.chosen, width = K > w->m.hidden ? K : w->m.hidden;
    return dispatch_shares(s) ? (size_t)(dispatch_most(s) * width) * dtype_size(w->accum) : 0;
}
