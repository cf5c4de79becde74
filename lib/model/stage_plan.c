/* SPDX-License-Identifier: Apache-2.0 */
/* The buffers of a stage and of its passes, with their lifetimes. */
#include "model/model_impl.h"

/* The time axis of the memory plan is one forward pass, which ends at the head's time, and one
 * backward pass, which begins there. Layers are counted from the first of a chunk, here i. */
static int attention_time(int i) { return 1 + 2 * i; }
static int mlp_time(int i) { return attention_time(i) + 1; }
static int head_time(const struct stage *s) { return 2 * s->layers + 1; }
static int end_time(const struct stage *s) { return 4 * s->layers + 2; }
static int mlp_backward_time(const struct stage *s, int i) { return 2 * (2 * s->layers - i); }
static int attention_backward_time(const struct stage *s, int i)
{
    return mlp_backward_time(s, i) + 1;
}

/* The context of a declaration; p: the pass that owns the buffers, NULL: all passes share them. */
struct declare {
    struct stage *s;
    struct plan *plan;
    struct pass *p;
};

/* Adds a buffer of `count` elements of type t. If several passes are in flight, another pass runs
 * forward or backward while this one waits, so its buffers live at all times. */
static void add(const struct declare *d, enum plan_class class, const char *name, int layer,
                int64_t count, enum dtype t, int begin, int end, void **slot)
{
    const bool waits = d->p && d->s->o.passes > 1;
    plan_add(d->plan, class, name, layer, (size_t)count, dtype_size(t), waits ? 0 : begin,
             waits ? end_time(d->s) : end, slot);
}

static void act(const struct declare *d, const char *name, int layer, int64_t count, enum dtype t,
                int begin, int end, void **slot)
{
    add(d, PLAN_ACTIVATIONS, name, layer, count, t, begin, end, slot);
}

static void data(const struct declare *d, const char *name, int64_t count, enum dtype t,
                 void **slot)
{
    plan_add(d->plan, PLAN_DATA, name, -1, (size_t)count, dtype_size(t), PLAN_ALWAYS, 0, slot);
}

/* Adds what the backward pass of the norms behind the blocks reads, until it has run. */
static void declare_results(const struct declare *d, int l, struct activations *a, int end,
                            int end_mlp)
{
    const struct stage *s = d->s;
    const int64_t rows = stage_rows(s, s->o.tokens), H = s->w->m.hidden;
    const int attn = attention_time(l - s->chunk->first), mlp = attn + 1;
    act(d, "attention_out", l, rows * H, s->w->compute, attn, end, &a->out1);
    act(d, "rstd_attention_out", l, rows, s->w->accum, attn, end, &a->rstd_out1);
    act(d, "mlp_out", l, rows * H, s->w->compute, mlp, end_mlp, &a->out2);
    act(d, "rstd_mlp_out", l, rows, s->w->accum, mlp, end_mlp, &a->rstd_out2);
}

/* Returns the end of the layers, from i on, that share the activations of layer i. */
static int sharing(const struct stage *s, int i)
{
    return stage_stores_layers(s) ? i + 1 : s->layers;
}

/* Returns true if one of layers [i, end) of a chunk is sparse, or dense. */
static bool has(const struct stage *s, int i, int end, bool sparse)
{
    bool any = false;
    for (const struct chunk *k = s->chunk; k < s->chunk + s->chunks; k++)
        for (int l = k->first + i; l < k->end && l < k->first + end; l++)
            any |= model_is_sparse(&s->w->m, l) == sparse;
    return any;
}

/* Returns the elements of a token of which a dense or a sparse layer has so many; the most of
 * layers [i, end). */
static int64_t widest(const struct stage *s, int i, int end, int64_t dense, int64_t sparse)
{
    if (!has(s, i, end, false)) return sparse;
    return !has(s, i, end, true) || dense > sparse ? dense : sparse;
}

/* Returns the rows of the experts for each token of this rank: its own, and those of the ranks that
 * share out the experts. */
static int64_t expert_rows(const struct stage *s)
{
    return dispatch_most(s) / s->o.tokens * dispatch_width(s);
}

/* The same of z and of gate_up. */
static int64_t inner(const struct stage *s, int i, int end)
{
    const struct model *m = &s->w->m;
    return widest(s, i, end, m->inter, expert_rows(s) * m->expert_inter);
}
static int64_t upper(const struct stage *s, int i, int end)
{
    const struct model *m = &s->w->m;
    return widest(s, i, end, model_up_width(m), expert_rows(s) * 2 * m->expert_inter);
}

/* The same of z while no layer stores it: the expert of all tokens has it after the others. */
static int64_t inner_once(const struct stage *s)
{
    const int64_t any = inner(s, 0, s->layers), shared = s->w->m.shared_inter;
    return has(s, 0, s->layers, true) && shared > any ? shared : any;
}

/* Adds what the expert of all tokens computes before its result. */
static void declare_shared_expert(const struct declare *d, int i, int begin, int end)
{
    const struct stage *s = d->s;
    const struct model *m = &s->w->m;
    const int64_t T = s->o.tokens, S = m->shared_inter;
    const int l = s->chunk->first + i;
    struct activations *a = &d->p->acts[i];
    if (S == 0) return;
    if (m->shared_router)
        act(d, "shared expert gate", l, T, s->w->accum, begin, end, &a->shared.gate);
    act(d, "shared expert gate_up", l, T * 2 * S, s->w->compute, begin, end, &a->shared.gate_up);
    if (stage_stores_all(s))
        act(d, "shared expert activation", l, T * S, s->w->compute, begin, end, &a->shared.z);
}

/* Adds the results of the router, and the experts' if they are stored. */
static void declare_experts(const struct declare *d, int i, int begin, int end)
{
    const struct stage *s = d->s;
    const struct model *m = &s->w->m;
    const int64_t T = s->o.tokens, rows = T * expert_rows(s),
                  choices = dispatch_most(s) * m->chosen, own = T * m->chosen;
    const int l = s->chunk->first + i;
    struct activations *a = &d->p->acts[i];
    if (!has(s, i, sharing(s, i), true)) return;
    act(d, "router", l, T * m->experts, s->w->accum, begin, end, &a->experts.prob);
    act(d, "expert weights", l, own, s->w->accum, begin, end, &a->experts.weight);
    act(d, "expert choice", l, own, DT_I32, begin, end, &a->experts.expert);
    act(d, "expert row", l, choices, DT_I32, begin, end, &a->experts.row);
    act(d, "expert token", l, rows, DT_I32, begin, end, &a->experts.token);
    act(d, "expert starts", l, dispatch_experts(s) + 1, DT_I32, begin, end, &a->experts.starts);
    if (stage_stores_all(s))
        act(d, "expert rows", l, rows * m->hidden, s->w->compute, begin, end, &a->experts.rows);
    declare_shared_expert(d, i, begin, end);
    if (!dispatch_shares(s)) return;
    const int64_t sent = T * dispatch_reach(s);
    act(d, "weights from ranks", l, choices, s->w->accum, begin, end, &a->experts.their_weight);
    act(d, "choice from ranks", l, choices, DT_I32, begin, end, &a->experts.their_expert);
    act(d, "row to ranks", l, sent, DT_I32, begin, end, &a->experts.peer_row);
    act(d, "token to ranks", l, sent, DT_I32, begin, end, &a->experts.peer_token);
}

/* Adds the activations that layer i of a chunk stores for its backward pass. If layers share them,
 * only the first layer has buffers. */
static void declare_layer(const struct declare *d, int i)
{
    const struct stage *s = d->s;
    const struct model *m = &s->w->m;
    const int64_t T = s->o.tokens, rows = stage_rows(s, T);
    const enum dtype t = s->w->compute, accum = s->w->accum;
    const int l = s->chunk->first + i;
    struct activations *a = &d->p->acts[i];
    const bool each = stage_stores_layers(s), own_input = s->w->has_gradients;
    const int attn = attention_time(i), mlp = mlp_time(i);
    const int end = each ? attention_backward_time(s, i) : end_time(s);
    const int end_mlp = each ? mlp_backward_time(s, i) : end;
    if (i == 0 || own_input)
        act(d, "res1", l, rows * m->hidden, accum, i == 0 && !s->embedding ? 0 : attn,
            own_input ? attention_backward_time(s, i) : end, &a->res1);
    if (i > 0 && !each) return;
    if (m->pre_norm) act(d, "rstd1", l, rows, accum, attn, end, &a->rstd1);
    act(d, "qkv", l, T * model_qkv_width(m), t, attn, end, &a->qkv);
    if (m->qk_norm) act(d, "rstd_qk", l, T * model_qk_norms(m), accum, attn, end, &a->rstd_qk);
    act(d, "attention", l, T * model_q_width(m), t, attn, end, &a->o);
    act(d, "lse", l, T * m->heads, accum, attn, end, &a->lse);
    act(d, "res2", l, rows * m->hidden, accum, mlp, end_mlp, &a->res2);
    if (m->pre_norm) act(d, "rstd2", l, rows, accum, mlp, end_mlp, &a->rstd2);
    act(d, "gate_up", l, T * upper(s, i, sharing(s, i)), t, mlp, end_mlp, &a->gate_up);
    if (m->post_norm && own_input) declare_results(d, l, a, end, end_mlp);
    declare_experts(d, i, mlp, end_mlp);
    if (!stage_stores_all(s)) return;
    if (m->qk_norm) act(d, "rotated", l, T * model_qkv_width(m), t, attn, end, &a->rot);
    if (s->o.cp) act(d, "keys", l, context_count(s), t, attn, end, &a->keys);
    act(d, "activation", l, T * inner(s, i, sharing(s, i)), t, mlp, end_mlp, &a->z);
}

/* Adds the residual stream after the last layer, and the head's activations. */
static void declare_result(const struct declare *d)
{
    const struct stage *s = d->s;
    const int64_t T = s->o.tokens, rows = stage_rows(s, T), H = s->w->m.hidden;
    const int head = head_time(s);
    act(d, "res_final", -1, rows * H, s->w->accum, head, head, &d->p->res_final);
    if (!s->head || d->p != s->pass) return; /* see stage_bind */
    act(d, "rstd_final", -1, rows, s->w->accum, head, head, &d->p->rstd_final);
    act(d, "norm_final", -1, T * H, s->w->compute, head, head, &d->p->h_final);
    act(d, "nll", -1, T, s->w->accum, head, end_time(s), &d->p->nll);
}

/* Adds the block of a micro-batch, on the device and in host memory; see pass.c. */
static void declare_inputs(const struct declare *d)
{
    struct pass *p = d->p;
    const struct weights *w = d->s->w;
    const int64_t T = d->s->o.tokens, rotary = rotary_is_own(w) ? T * model_pairs(&w->m) : 0;
    const size_t bytes = pass_layout(d->s).bytes;
    plan_add(d->plan, PLAN_DATA, "micro-batch", -1, bytes, 1, PLAN_ALWAYS, 0, &p->block);
    plan_add_host(d->plan, PLAN_DATA, "micro-batch", bytes, &p->host);
    dispatch_plan_pass(d->s, d->plan, p);
    if (w->has_gradients && w->m.router_loss > 0) {
        data(d, "expert load", 2 * w->m.experts, DT_F64, (void **)&p->load);
        data(d, "expert pool", 2 * w->m.experts, DT_F64, (void **)&p->pool);
    }
    if (w->accum != DT_F64) return;
    data(d, "weights", T, DT_F64, &p->wide.weight);
    if (!rotary) return;
    data(d, "token cosines", rotary, DT_F64, &p->wide.cosines);
    data(d, "token sines", rotary, DT_F64, &p->wide.sines);
}

/* Adds the temporaries of one layer, which all passes share. */
static void declare_shared(const struct declare *d)
{
    struct stage *s = d->s;
    const struct model *m = &s->w->m;
    const int64_t T = s->o.tokens, H = m->hidden;
    const enum dtype t = s->w->compute;
    const int end = end_time(s);
    act(d, "branch", -1, T * H, s->w->accum, 0, end, &s->branch);
    act(d, "norm", -1, T * H, t, 0, end, &s->h);
    if (norm_is_cut(s->w)) act(d, "sums of rows", -1, 2 * T, s->w->accum, 0, end, &s->sums);
    if (stage_stores_all(s)) return;
    if (m->qk_norm) act(d, "rotated", -1, T * model_qkv_width(m), t, 0, end, &s->rot);
    act(d, "activation", -1, T * inner_once(s), t, 0, end, &s->z);
    if (model_sparse_layers(m))
        act(d, "expert rows", -1, T * expert_rows(s) * H, t, 0, end, &s->expert_rows);
}

static void declare_head(const struct declare *d)
{
    struct stage *s = d->s;
    const int64_t C = s->o.chunk, H = s->w->m.hidden, V = s->w->m.vocab;
    const int head = head_time(s);
    add(d, PLAN_WORKSPACE, "head_in", -1, C * H, s->w->compute, head, head, &s->head_in);
    add(d, PLAN_WORKSPACE, "logits", -1, C * V, s->logit_type, head, head, &s->logits);
    parallel_plan(s, d->plan, head);
}

static void declare_head_backward(const struct declare *d)
{
    struct stage *s = d->s;
    const int head = head_time(s);
    const enum dtype t = s->w->compute;
    if (t != s->logit_type)
        add(d, PLAN_WORKSPACE, "dlogits", -1, s->o.chunk * s->w->m.vocab, t, head, head,
            &s->dlogits);
    act(d, "dhead", -1, s->o.tokens * s->w->m.hidden, t, head, head, &s->dhead);
}

static void declare_stream_gradient(const struct declare *d)
{
    const struct stage *s = d->s;
    act(d, "dres", -1, stage_rows(s, s->o.tokens) * s->w->m.hidden, s->w->compute, head_time(s),
        end_time(s), &d->p->dres);
}

static void declare_backward(const struct declare *d)
{
    struct stage *s = d->s;
    const struct model *m = &s->w->m;
    const int64_t T = s->o.tokens;
    const enum dtype t = s->w->compute;
    const int head = head_time(s), end = end_time(s);
    act(d, "dnorm", -1, T * m->hidden, t, head, end, &s->dh);
    act(d, "dactivation", -1, T * inner_once(s), t, head + 1, end, &s->dz);
    act(d, "dqkv", -1, T * model_qkv_width(m), t, head + 1, end, &s->dqkv);
    act(d, "dattention", -1, T * model_q_width(m), t, head + 1, end, &s->dout);
    if (!model_sparse_layers(m)) return;
    act(d, "dweight", -1, dispatch_most(s) * m->chosen, s->w->accum, head + 1, end, &s->dweight);
    act(d, "drouter", -1, T * m->experts, t, head + 1, end, &s->drouter);
    if (m->shared_router) act(d, "dshared", -1, T, t, head + 1, end, &s->dshared);
}

static void declare_layers(const struct declare *d)
{
    for (int i = 0; i < d->s->layers; i++) declare_layer(d, i);
}

static void each_pass(const struct declare *all, void (*declare)(const struct declare *d))
{
    for (int i = 0; i < all->s->o.passes; i++)
        declare(&(struct declare){all->s, all->plan, &all->s->pass[i]});
}

void stage_declare(struct stage *s, struct plan *plan)
{
    const struct declare all = {s, plan, NULL};
    each_pass(&all, declare_inputs);
    data(&all, "loss", 1, DT_F64, &s->loss);
    if (s->o.cache) generate_plan(s, plan);
    declare_shared(&all);
    each_pass(&all, declare_result);
    if (s->head) declare_head(&all);
    each_pass(&all, declare_layers);
    if (s->w->has_gradients) {
        if (s->head) declare_head_backward(&all);
        each_pass(&all, declare_stream_gradient);
        declare_backward(&all);
    }
    context_plan(s, plan, 0, end_time(s));
    dispatch_plan(s, plan, 0, end_time(s));
    lora_plan(s, plan, end_time(s));
}
