/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers of a model on a device: declared with lifetimes, placed, allocated. */
#include "model/net.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* The times of a micro-batch, as the memory plan knows them. */
static int attn_time(int l) { return 1 + 2 * l; }
static int mlp_time(int l) { return 2 + 2 * l; }
static int head_time(const struct net *n) { return 2 * n->m.layers + 1; }
static int mlp_back(const struct net *n, int l) { return 2 * (2 * n->m.layers - l); }
static int attn_back(const struct net *n, int l) { return mlp_back(n, l) + 1; }
static int end_time(const struct net *n) { return 4 * n->m.layers + 2; }

/* Declares activations of `count` elements of type t. */
static void act(struct net *n, const char *name, int layer, int64_t count, enum dtype t, int begin,
                int end, void **slot)
{
    plan_add(&n->plan, PLAN_ACTIVATIONS, name, layer, (size_t)count, dtype_size(t), begin, end,
             slot);
}

static void data(struct net *n, const char *name, int64_t count, enum dtype t, void **slot)
{
    plan_add(&n->plan, PLAN_DATA, name, -1, (size_t)count, dtype_size(t), PLAN_ALWAYS, 0, slot);
}

/* What is kept of layer l; with nothing kept, or inputs only, layer 0 stands for all. */
static void declare_layer(struct net *n, int l)
{
    const struct model *m = &n->m;
    const int64_t T = n->o.tokens;
    const enum dtype t = n->o.compute, real = n->real;
    struct net_acts *a = &n->acts[l];
    bool each = n->o.keep == NET_KEEP_ALL || n->o.keep == NET_KEEP_SELECTIVE;
    int end = each ? attn_back(n, l) : end_time(n), end_mlp = each ? mlp_back(n, l) : end;
    bool own_input = n->o.keep != NET_KEEP_NOTHING;
    if (l == 0 || own_input)
        act(n, "res1", l, T * m->hidden, real, attn_time(l), own_input ? attn_back(n, l) : end,
            &a->res1);
    if (l > 0 && !each) return;
    act(n, "rstd1", l, T, real, attn_time(l), end, &a->rstd1);
    act(n, "qkv", l, T * model_qkv_width(m), t, attn_time(l), end, &a->qkv);
    if (m->qk_norm)
        act(n, "rstd_qk", l, T * (m->heads + m->kv_heads), real, attn_time(l), end, &a->rstd_qk);
    act(n, "attention", l, T * model_q_width(m), t, attn_time(l), end, &a->o);
    act(n, "lse", l, T * m->heads, real, attn_time(l), end, &a->lse);
    act(n, "res2", l, T * m->hidden, real, mlp_time(l), end_mlp, &a->res2);
    act(n, "rstd2", l, T, real, mlp_time(l), end_mlp, &a->rstd2);
    act(n, "gate_up", l, T * 2 * m->inter, t, mlp_time(l), end_mlp, &a->gate_up);
    if (n->o.keep != NET_KEEP_ALL) return;
    if (m->qk_norm) act(n, "rotated", l, T * model_qkv_width(m), t, attn_time(l), end, &a->rot);
    act(n, "swiglu", l, T * m->inter, t, mlp_time(l), end_mlp, &a->z);
}

static void declare_shared(struct net *n)
{
    const struct model *m = &n->m;
    const int64_t T = n->o.tokens, H = m->hidden;
    const enum dtype t = n->o.compute;
    const int head = head_time(n), end = end_time(n);
    act(n, "branch", -1, T * H, n->real, 0, end, &n->branch);
    act(n, "norm", -1, T * H, t, 0, end, &n->h);
    if (n->o.keep != NET_KEEP_ALL) {
        if (m->qk_norm) act(n, "rotated", -1, T * model_qkv_width(m), t, 0, end, &n->rot);
        act(n, "swiglu", -1, T * m->inter, t, 0, end, &n->z);
    }
    act(n, "res_final", -1, T * H, n->real, head, head, &n->res_final);
    act(n, "rstd_final", -1, T, n->real, head, head, &n->rstd_final);
    act(n, "norm_final", -1, T * H, t, head, head, &n->h_final);
    act(n, "nll", -1, T, n->real, head, end, &n->nll);
    plan_add(&n->plan, PLAN_WORKSPACE, "head_in", -1, (size_t)(n->o.chunk * H), dtype_size(t), head,
             head, &n->head_in);
    plan_add(&n->plan, PLAN_WORKSPACE, "logits", -1, (size_t)(n->o.chunk * m->vocab),
             dtype_size(n->real), head, head, &n->logits);
}

static void declare_backward(struct net *n)
{
    const struct model *m = &n->m;
    const int64_t T = n->o.tokens, H = m->hidden;
    const enum dtype t = n->o.compute;
    const int head = head_time(n), end = end_time(n);
    plan_add(&n->plan, PLAN_GRADIENTS, "gradients", -1, n->params.trained, dtype_size(n->real),
             PLAN_ALWAYS, 0, &n->gradients);
    if (t != n->real)
        plan_add(&n->plan, PLAN_WORKSPACE, "dlogits", -1, (size_t)(n->o.chunk * m->vocab),
                 dtype_size(t), head, head, &n->dlogits);
    act(n, "dhead", -1, T * H, t, head, head, &n->dhead);
    act(n, "dres", -1, T * H, t, head, end, &n->dres);
    act(n, "dnorm", -1, T * H, t, head, end, &n->dh);
    act(n, "dswiglu", -1, T * m->inter, t, head + 1, end, &n->dz);
    act(n, "dqkv", -1, T * model_qkv_width(m), t, head + 1, end, &n->dqkv);
    act(n, "dattention", -1, T * model_q_width(m), t, head + 1, end, &n->dout);
}

static void declare_data(struct net *n)
{
    const int64_t T = n->o.tokens;
    data(n, "ids", T, DT_I32, &n->ids);
    data(n, "positions", T, DT_I32, &n->pos);
    data(n, "documents", T + 1, DT_I32, &n->cu);
    data(n, "rows", T, DT_I32, &n->rows);
    data(n, "targets", T, DT_I32, &n->target);
    data(n, "weights", T, n->real, &n->weight);
    data(n, "loss", 1, DT_F64, &n->loss);
    data(n, "cosines", net_rope_rows(n) * (n->m.head_dim / 2), n->real, &n->cosines);
    data(n, "sines", net_rope_rows(n) * (n->m.head_dim / 2), n->real, &n->sines);
    if (!n->o.cache) return;
    data(n, "keys", 2, DT_I32, &n->cu_k);
    data(n, "next", 1, DT_I32, &n->argmax);
    for (int l = 0; l < n->m.layers; l++)
        plan_add(&n->plan, PLAN_ACTIVATIONS, "cache", l,
                 (size_t)(n->o.length * 2 * model_kv_width(&n->m)), dtype_size(n->o.compute),
                 PLAN_ALWAYS, 0, &n->acts[l].kv);
}

/* Logits of at most 128 MiB; each chunk passes over the whole projection and its gradient. */
static int64_t default_chunk(int64_t vocab)
{
    int64_t c = ((int64_t)1 << 25) / vocab / 64 * 64;
    return c < 64 ? 64 : c > 1024 ? 1024 : c;
}

int net_init(struct net *n, const struct model *m, const struct net_options *o, struct device *d,
             struct err *e)
{
    *n = (struct net){.m = *m, .o = *o, .device = d};
    const int64_t most = INT32_MAX / 4;
    if (o->tokens < 1 || o->tokens > most || o->length < 1 || o->length > most)
        return err_set(e, ERR_MEMORY, "a micro-batch of %lld tokens does not fit",
                       (long long)o->tokens);
    if (o->cache && rope_is_own(m, o->length))
        return err_set(e, ERR_DATA,
                       "config.json: generation beyond max_position_embeddings (%lld) is not "
                       "supported with rope_scaling of type dynamic, whose frequencies change with "
                       "every token; shorten the prompt or the answer",
                       (long long)m->positions);
    n->real = o->compute == DT_F64 ? DT_F64 : DT_F32;
    if (n->o.chunk <= 0) n->o.chunk = default_chunk(m->vocab);
    if (n->o.chunk > o->tokens) n->o.chunk = o->tokens;
    if (params_make(m, &o->params, &n->params, e)) return -1;
    n->past = n->params.trained;
    n->acts = mem_alloc((size_t)m->layers, sizeof *n->acts, e);
    n->staging = mem_alloc((size_t)1 << 18, sizeof(double), e);
    if (!n->acts || !n->staging) return -1;
    plan_add(&n->plan, PLAN_WEIGHTS, "weights", -1, n->params.total, dtype_size(o->compute),
             PLAN_ALWAYS, 0, &n->weights);
    declare_data(n);
    declare_shared(n);
    for (int l = 0; l < m->layers; l++) declare_layer(n, l);
    if (o->keep != NET_KEEP_NOTHING) declare_backward(n);
    lora_plan(n, end_time(n));
    return 0;
}

/* ---- the rehearsal: a device that runs nothing and notes how much scratch is wanted ---- */
struct rehearsal {
    struct device device;
    struct device *real;
    size_t most;
};

static void rehearse_run(struct device *d, enum op_id op, const void *args, size_t size)
{
    struct rehearsal *r = (struct rehearsal *)d;
    (void)size;
    size_t want = r->real->ops->work(r->real, op, args);
    if (want > r->most) r->most = want;
}
static void rehearse_upload(struct device *d, void *dst, const void *src, size_t n)
{
    (void)d, (void)dst, (void)src, (void)n;
}
static int rehearse_sync(struct device *d, struct err *e)
{
    (void)d, (void)e;
    return 0;
}
static const struct ops rehearse_ops = {
    .name = "rehearsal", .run = rehearse_run, .upload = rehearse_upload, .sync = rehearse_sync};

static void rehearse_self(void *arg) { net_rehearse(arg); }

int net_place(struct net *n, void (*rehearse)(void *arg), void *arg, struct err *e)
{
    struct rehearsal r = {.device = {.ops = &rehearse_ops, .threads = n->device->threads},
                          .real = n->device};
    if (plan_place(&n->plan, e)) return -1;
    void *const nowhere = (void *)(uintptr_t)4096; /* addresses that nobody follows */
    plan_bind(&n->plan, nowhere, nowhere);
    n->device = &r.device;
    if (!rehearse)
        rehearse_self(n);
    else
        rehearse(arg);
    n->device = r.real;
    if (r.real->ops->sync(r.real, e)) return -1; /* what it was asked could not be told */
    plan_add(&n->plan, PLAN_WORKSPACE, "scratch", -1, r.most, 1, PLAN_ALWAYS, 0, &n->work);
    return plan_place(&n->plan, e);
}

void net_rehearse(struct net *n)
{
    const int64_t T = n->o.tokens;
    /* many documents, each as long as any: no real batch needs more */
    struct net_batch b = {
        .T = T, .targets = T, .docs = (int32_t)T, .max_len = n->o.length < T ? n->o.length : T};
    net_forward(n, &b);
    net_loss(n, &b, n->o.keep != NET_KEEP_NOTHING, 1);
    if (n->o.keep != NET_KEEP_NOTHING) net_backward(n, &b);
    if (n->o.cache) {
        const int32_t none[1] = {0};
        net_extend(n, none, 1, n->o.length - 1);
        net_extend(n, none, b.max_len, n->o.length - b.max_len);
    }
}

int net_alloc(struct net *n, struct err *e)
{
    n->arena = n->device->ops->alloc(n->device, n->plan.total, e);
    if (!n->arena) return err_prefix(e, "the memory plan");
    n->host = mem_alloc(n->plan.host, 1, e);
    if (!n->host) return err_prefix(e, "the memory plan");
    plan_bind(&n->plan, n->arena, n->host);
    /* Both are touched here: a system that promises more than it has then fails now, not later. */
    memset(n->host, 0, n->plan.host);
    n->device->work = n->work;
    n->device->work_bytes = n->plan.b[n->plan.count - 1].bytes;
    op_zero(n->device, &(struct op_zero){.y = n->arena, .bytes = n->plan.total});
    net_rope_fill(n);
    return 0;
}

void net_close(struct net *n)
{
    if (n->arena) {
        n->device->ops->free(n->device, n->arena, n->plan.total);
        n->device->work = NULL;
        n->device->work_bytes = 0;
    }
    plan_free(&n->plan);
    params_free(&n->params);
    mem_free(n->acts);
    mem_free(n->staging);
    mem_free(n->host);
    *n = (struct net){0};
}
