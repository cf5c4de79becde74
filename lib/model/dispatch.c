/* SPDX-License-Identifier: Apache-2.0 */
/* Experts parallel: the ranks of s->o.ep share out the experts of each sparse layer, and have
 * tokens of their own. Each rank routes its tokens, and sends the row of a token once to every rank
 * that has one of its experts, with its choices and weights. Each rank computes the choices of its
 * own experts, and sends the sums of a token's results back to the rank that has the token, which
 * adds them in rank order. Backward, the gradients go the same two ways.
 *
 * A message is as long as its rows. The host reads how many there are, once in each layer's forward
 * pass: the counts of all pairs of ranks, which each rank gathers. No token is dropped, so there is
 * room for all tokens of all ranks. */
#include "model/model_impl.h"
#include "parallel/collect.h"

bool dispatch_shares(const struct stage *s) { return s->o.ep != NULL; }

int32_t dispatch_experts(const struct stage *s) { return s->w->m.experts / collect_size(s->o.ep); }

static int64_t less(int64_t a, int64_t b) { return a < b ? a : b; }

int32_t dispatch_reach(const struct stage *s)
{
    return (int32_t)less(s->w->m.chosen, collect_size(s->o.ep));
}

/* ---- numbers of rows ---- */
/* counts [ranks]; NULL in a rehearsal, where all that is possible is sent. */
static int64_t total(const struct stage *s, const int32_t *counts, int64_t most)
{
    int64_t n = 0;
    if (!counts) return most;
    for (int r = 0; r < collect_size(s->o.ep); r++) n += counts[r];
    return n;
}

static int64_t sent(const struct stage *s, const struct activations *a)
{
    return total(s, a->experts.sends, s->o.tokens * dispatch_reach(s));
}

int64_t dispatch_tokens(const struct stage *s, const struct pass *p, const struct activations *a)
{
    if (!dispatch_shares(s)) return rows_all(s->w, p->b.T);
    return total(s, a->experts.accepts, dispatch_most(s));
}

/* A token chooses an expert once. */
int64_t dispatch_width(const struct stage *s) { return less(s->w->m.chosen, dispatch_experts(s)); }

int64_t dispatch_rows(const struct stage *s, const struct pass *p, const struct activations *a)
{
    return dispatch_tokens(s, p, a) * dispatch_width(s);
}

const int32_t *dispatch_count(const struct stage *s, const struct activations *a)
{
    const bool all = !dispatch_shares(s) && !rows_cut(s->w);
    return all ? NULL : (const int32_t *)a->experts.starts + dispatch_experts(s);
}

/* ---- messages ---- */
/* Exchanges rows of n elements: to the ranks of the experts, or back. */
static void exchange(const struct stage *s, const struct activations *a, void *to, const void *from,
                     int64_t n, enum dtype t, bool back)
{
    const int32_t *sends = a->experts.sends, *accepts = a->experts.accepts;
    collect_all_to_all(s->w->device, s->o.ep, to, back ? sends : accepts, from,
                       back ? accepts : sends, (size_t)n * dtype_size(t));
    collect_join(s->w->device, s->o.ep);
}

/* Sends rows x[T,n] of this rank's tokens to the ranks of their experts: to[A,n] there. */
static void send(const struct stage *s, const struct activations *a, void *to, const void *x,
                 int64_t n, enum dtype t)
{
    op_gather(s->w->device, &(struct op_gather){.y = s->dispatch.out,
                                                .x = x,
                                                .rows = a->experts.peer_token,
                                                .n = sent(s, a),
                                                .H = n,
                                                .dtype = t});
    exchange(s, a, to, s->dispatch.out, n, t, false);
}

/* Sends terms[A,n] back: x[T,n] = their sums for each token of this rank, or those are added. x may
 * be the memory of the terms. */
static void give_back(const struct stage *s, const struct pass *p, const struct activations *a,
                      void *x, const void *terms, int64_t n, enum dtype t, bool add)
{
    exchange(s, a, s->dispatch.in, terms, n, t, true);
    op_combine(s->w->device, &(struct op_combine){.y = x,
                                                  .z = s->dispatch.in,
                                                  .row = a->experts.peer_row,
                                                  .T = rows_all(s->w, p->b.T),
                                                  .H = n,
                                                  .K = dispatch_reach(s),
                                                  .add = add,
                                                  .dtype = t,
                                                  .y_dtype = t});
}

/* ---- the way of each token ---- */
/* Sorts this rank's tokens by the ranks that have their experts, as op_dispatch sorts choices. */
static void find_peers(const struct stage *s, const struct pass *p, const struct activations *a)
{
    const struct weights *w = s->w;
    const int64_t T = rows_all(w, p->b.T);
    const int32_t W = dispatch_reach(s);
    op_peers(w->device, &(struct op_peers){.peer = s->dispatch.peer,
                                           .expert = a->experts.expert,
                                           .T = T,
                                           .each = dispatch_experts(s),
                                           .K = w->m.chosen,
                                           .W = W});
    op_dispatch(w->device, &(struct op_dispatch){.row = a->experts.peer_row,
                                                 .token = a->experts.peer_token,
                                                 .starts = s->dispatch.peer_starts,
                                                 .expert = s->dispatch.peer,
                                                 .T = T,
                                                 .rows = T * W,
                                                 .E = collect_size(s->o.ep),
                                                 .K = W});
}

/* Tells each rank how many rows it gets from each other, by the starts of all ranks' lists. */
static void share_counts(const struct stage *s, const struct activations *a)
{
    const int ranks = collect_size(s->o.ep), rank = collect_rank(s->o.ep);
    const size_t each = (size_t)ranks + 1, bytes = (size_t)ranks * each * sizeof(int32_t);
    const int32_t *all = s->dispatch.counts;
    int32_t *sends = a->experts.sends, *accepts = a->experts.accepts;
    collect_all_gather(s->w->device, s->o.ep, s->dispatch.starts_of_all, s->dispatch.peer_starts,
                       each, DT_I32);
    collect_read(s->w->device, s->o.ep, s->dispatch.counts, s->dispatch.starts_of_all, bytes);
    for (int r = 0; r < ranks && sends; r++) {
        const int32_t *own = all + (size_t)rank * each + r, *other = all + (size_t)r * each + rank;
        sends[r] = own[1] - own[0];
        accepts[r] = other[1] - other[0];
    }
}

void dispatch_sort(const struct stage *s, const struct pass *p, const struct activations *a)
{
    const struct weights *w = s->w;
    const int32_t own = dispatch_experts(s), K = w->m.chosen;
    if (dispatch_shares(s)) {
        find_peers(s, p, a);
        share_counts(s, a);
        send(s, a, a->experts.their_weight, a->experts.weight, K, w->accum);
        send(s, a, a->experts.their_expert, a->experts.expert, K, DT_I32);
    }
    op_dispatch(w->device, &(struct op_dispatch){.row = a->experts.row,
                                                 .token = a->experts.token,
                                                 .starts = a->experts.starts,
                                                 .expert = a->experts.their_expert,
                                                 .T = dispatch_tokens(s, p, a),
                                                 .rows = dispatch_rows(s, p, a),
                                                 .first = collect_rank(s->o.ep) * own,
                                                 .E = own,
                                                 .K = K});
}

const void *dispatch_send(const struct stage *s, const struct activations *a, const void *x)
{
    if (!dispatch_shares(s)) return x;
    send(s, a, s->dispatch.in, x, s->w->m.hidden, s->w->compute);
    return s->dispatch.in;
}

void *dispatch_terms(const struct stage *s, void *x)
{
    return dispatch_shares(s) ? s->dispatch.out : x;
}

void dispatch_sum(const struct stage *s, const struct pass *p, const struct activations *a, void *x)
{
    const struct weights *w = s->w;
    if (dispatch_shares(s)) give_back(s, p, a, x, s->dispatch.out, w->m.hidden, w->accum, false);
}

void dispatch_add(const struct stage *s, const struct pass *p, const struct activations *a, void *x)
{
    const struct weights *w = s->w;
    if (dispatch_shares(s)) give_back(s, p, a, x, s->dispatch.out, w->m.hidden, w->compute, true);
}

void dispatch_sum_weights(const struct stage *s, const struct pass *p, const struct activations *a)
{
    const struct weights *w = s->w;
    if (dispatch_shares(s))
        give_back(s, p, a, s->dweight, s->dweight, w->m.chosen, w->accum, false);
}

const int32_t *dispatch_load(const struct stage *s, const struct pass *p,
                             const struct activations *a)
{
    const struct weights *w = s->w;
    const int64_t T = p->b.T;
    if (!dispatch_shares(s)) return a->experts.starts;
    op_dispatch(w->device, &(struct op_dispatch){.row = s->dispatch.row,
                                                 .token = s->dispatch.token,
                                                 .starts = s->dispatch.starts,
                                                 .expert = a->experts.expert,
                                                 .T = T,
                                                 .rows = T * w->m.chosen,
                                                 .E = w->m.experts,
                                                 .K = w->m.chosen});
    return s->dispatch.starts;
}

/* ---- memory ---- */
int64_t dispatch_most(const struct stage *s) { return collect_size(s->o.ep) * s->o.tokens; }

void dispatch_bind(const struct stage *s, const struct pass *p, int i, struct activations *a)
{
    const int ranks = collect_size(s->o.ep);
    if (!dispatch_shares(s)) {
        a->experts.their_weight = a->experts.weight;
        a->experts.their_expert = a->experts.expert;
    } else if (collect_runs(s->w->device, s->o.ep)) {
        a->experts.sends = p->counts + (ptrdiff_t)i * 2 * ranks;
        a->experts.accepts = a->experts.sends + ranks;
    }
}

void dispatch_plan_pass(const struct stage *s, struct plan *plan, struct pass *p)
{
    const size_t counts = 2 * (size_t)collect_size(s->o.ep) * sizeof(int32_t);
    if (dispatch_shares(s))
        plan_add_host(plan, PLAN_DATA, "counts of rows", (size_t)s->layers * counts,
                      (void **)&p->counts);
}

/* The buffers `in` and `out` have rows of each token that comes, and of each that goes. */
static size_t most_bytes(const struct stage *s, enum dtype coming, enum dtype going)
{
    const size_t H = (size_t)(s->w->m.hidden > s->w->m.chosen ? s->w->m.hidden : s->w->m.chosen);
    const size_t come = (size_t)dispatch_most(s) * dtype_size(coming),
                 go = (size_t)(s->o.tokens * dispatch_reach(s)) * dtype_size(going);
    return (come > go ? come : go) * H;
}

/* Adds what counts the choices of all experts for the auxiliary loss. */
static void plan_load(struct stage *s, struct plan *plan, int begin, int end)
{
    const struct weights *w = s->w;
    const size_t choices = (size_t)(s->o.tokens * w->m.chosen), E = (size_t)w->m.experts;
    if (!w->has_gradients || w->m.router_loss == 0) return;
    plan_add(plan, PLAN_ACTIVATIONS, "choices", -1, choices, sizeof(int32_t), begin, end,
             &s->dispatch.row);
    plan_add(plan, PLAN_ACTIVATIONS, "choices", -1, choices, sizeof(int32_t), begin, end,
             &s->dispatch.token);
    plan_add(plan, PLAN_ACTIVATIONS, "choices", -1, E + 1, sizeof(int32_t), begin, end,
             &s->dispatch.starts);
}

void dispatch_plan(struct stage *s, struct plan *plan, int begin, int end)
{
    const struct weights *w = s->w;
    const size_t ranks = (size_t)collect_size(s->o.ep), all = ranks * (ranks + 1);
    if (!dispatch_shares(s)) return;
    plan_add(plan, PLAN_ACTIVATIONS, "rows from ranks", -1, most_bytes(s, w->compute, w->accum), 1,
             begin, end, &s->dispatch.in);
    plan_add(plan, PLAN_ACTIVATIONS, "rows to ranks", -1, most_bytes(s, w->accum, w->compute), 1,
             begin, end, &s->dispatch.out);
    plan_add(plan, PLAN_ACTIVATIONS, "ranks of tokens", -1,
             (size_t)(s->o.tokens * dispatch_reach(s)), sizeof(int32_t), begin, end,
             &s->dispatch.peer);
    plan_add(plan, PLAN_ACTIVATIONS, "counts of rows", -1, ranks + 1, sizeof(int32_t), begin, end,
             &s->dispatch.peer_starts);
    plan_add(plan, PLAN_ACTIVATIONS, "counts of rows", -1, all, sizeof(int32_t), begin, end,
             &s->dispatch.starts_of_all);
    plan_add_host(plan, PLAN_DATA, "counts of rows", all * sizeof(int32_t),
                  (void **)&s->dispatch.counts);
    plan_load(s, plan, begin, end);
}

size_t stage_experts(const struct stage *s)
{
    const struct weights *w = s->w;
    const int64_t K = w->m.chosen, width = K > w->m.hidden ? K : w->m.hidden;
    return dispatch_shares(s) ? (size_t)(s->o.tokens * width) * dtype_size(w->accum) : 0;
}
