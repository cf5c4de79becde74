/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW and SGD over the runs of trained elements; clipping is part of the update. */
#include "train/optimizer.h"

#include <math.h>
#include <stdint.h>

static bool has_v(const struct optimizer *p) { return p->o.kind == OPTIMIZER_ADAMW; }
static bool has_m(const struct optimizer *p) { return has_v(p) || p->o.momentum > 0; }

void optimizer_plan(struct optimizer *p, const struct optimizer_options *o, struct weights *w,
                    struct plan *plan, const struct mesh *m, bool sharded)
{
    *p = (struct optimizer){
        .o = *o, .weights = w, .moments = o->moments == DT_BF16 ? DT_BF16 : w->accum};
    zero_init(&p->zero, m, w->params.trained, sharded);
    w->shard_begin = p->zero.held;
    w->shard_end = p->zero.past;
    const size_t count = w->shard_end - w->shard_begin, size = dtype_size(p->moments);
    if (optimizer_has_master(p))
        plan_add(plan, PLAN_MASTER, "master", -1, count, dtype_size(w->accum), PLAN_ALWAYS, 0,
                 &p->master);
    if (has_m(p))
        plan_add(plan, PLAN_MOMENTS, "first moment", -1, count, size, PLAN_ALWAYS, 0, &p->m);
    if (has_v(p))
        plan_add(plan, PLAN_MOMENTS, "second moment", -1, count, size, PLAN_ALWAYS, 0, &p->v);
    plan_add(plan, PLAN_DATA, "gradient norm", -1, 1, sizeof(double), PLAN_ALWAYS, 0, &p->sumsq);
}

/* Where element 0 would be, if the buffer began with it. */
static void *origin(const struct optimizer *p, void *buffer, enum dtype t)
{
    return buffer ? (void *)((uintptr_t)buffer - p->zero.held * dtype_size(t)) : NULL;
}

/* Where the computation is in full precision the weights are their own master. */
void optimizer_bind(struct optimizer *p)
{
    const struct weights *w = p->weights;
    p->master = w->compute == w->accum ? w->values : origin(p, p->master, w->accum);
    p->m = origin(p, p->m, p->moments);
    p->v = origin(p, p->v, p->moments);
}

bool optimizer_has_master(const struct optimizer *p)
{
    return p->weights->compute != p->weights->accum && !p->o.no_master;
}

void *optimizer_master(const struct optimizer *p)
{
    return optimizer_has_master(p) ? p->master : NULL;
}

int optimizer_parts(struct optimizer *p, struct save_part part[OPTIMIZER_PARTS])
{
    int n = 0;
    const struct weights *w = p->weights;
    if (w->compute == w->accum || optimizer_has_master(p))
        part[n++] = (struct save_part){"master", &p->master, w->accum};
    if (has_m(p))
        part[n++] = (struct save_part){has_v(p) ? "exp_avg" : "momentum_buffer", &p->m, p->moments};
    if (has_v(p)) part[n++] = (struct save_part){"exp_avg_sq", &p->v, p->moments};
    return n;
}

static char *at(void *base, size_t element, enum dtype t)
{
    return base ? (char *)base + element * dtype_size(t) : NULL;
}

void optimizer_norm(struct optimizer *p)
{
    struct weights *w = p->weights;
    op_zero(w->device, &(struct op_zero){.y = p->sumsq, .bytes = sizeof(double)});
    for (size_t i = 0; i < w->params.nruns; i++) {
        struct params_run r = w->params.runs[i];
        zero_clip(&r.begin, &r.end, p->zero.begin, p->zero.end);
        if (r.begin == r.end) continue;
        op_sum(w->device, &(struct op_sum){.sum = p->sumsq,
                                           .x = at(w->gradients, r.begin, w->accum),
                                           .n = (int64_t)(r.end - r.begin),
                                           .squares = true,
                                           .dtype = w->accum});
    }
}

/* On the master weights, which those of the computation follow; or on those themselves. */
struct update {
    void *param, *master, *m, *v;
    const void *grad;
    int64_t n;
    double decay;
    struct op_random random;
};

static void adamw(struct optimizer *p, const struct update *u, double lr, uint64_t k)
{
    const struct weights *w = p->weights;
    op_adamw(w->device, &(struct op_adamw){.param = u->param,
                                           .master = u->master,
                                           .m = u->m,
                                           .v = u->v,
                                           .grad = u->grad,
                                           .sumsq = p->sumsq,
                                           .n = u->n,
                                           .lr = lr,
                                           .beta1 = p->o.beta1,
                                           .beta2 = p->o.beta2,
                                           .eps = p->o.epsilon,
                                           .weight_decay = u->decay,
                                           .c1 = 1 - pow(p->o.beta1, (double)k),
                                           .c2 = 1 - pow(p->o.beta2, (double)k),
                                           .max_norm = p->o.max_norm,
                                           .param_dtype = w->compute,
                                           .dtype = w->accum,
                                           .master_dtype = w->accum,
                                           .m_dtype = p->moments,
                                           .v_dtype = p->moments,
                                           .random = u->random});
}

static void sgd(struct optimizer *p, const struct update *u, double lr)
{
    const struct weights *w = p->weights;
    op_sgd(w->device, &(struct op_sgd){.param = u->param,
                                       .master = u->master,
                                       .m = u->m,
                                       .grad = u->grad,
                                       .sumsq = p->sumsq,
                                       .n = u->n,
                                       .lr = lr,
                                       .momentum = p->o.momentum,
                                       .dampening = p->o.dampening,
                                       .nesterov = p->o.nesterov,
                                       .weight_decay = u->decay,
                                       .max_norm = p->o.max_norm,
                                       .param_dtype = w->compute,
                                       .dtype = w->accum,
                                       .master_dtype = w->accum,
                                       .m_dtype = p->moments,
                                       .random = u->random});
}

static void update(struct optimizer *p, const struct params_run *r, double lr, uint64_t k)
{
    const struct weights *w = p->weights;
    const bool own = w->compute == w->accum; /* the weights are the master */
    const struct update u = {.param = own ? NULL : at(w->values, r->begin, w->compute),
                             .master = at(p->master, r->begin, w->accum),
                             .m = at(p->m, r->begin, p->moments),
                             .v = at(p->v, r->begin, p->moments),
                             .grad = at(w->gradients, r->begin, w->accum),
                             .n = (int64_t)(r->end - r->begin),
                             .decay = r->decay ? p->o.weight_decay : 0,
                             .random = {p->o.seed, k, r->begin}};
    if (p->o.kind == OPTIMIZER_SGD)
        sgd(p, &u, lr);
    else
        adamw(p, &u, lr, k);
}

void optimizer_gate(struct optimizer *p, size_t (*gate)(void *arg, size_t at), void *arg)
{
    p->gate = gate;
    p->gate_arg = arg;
}

void optimizer_update(struct optimizer *p, double lr, uint64_t k)
{
    const struct params *t = &p->weights->params;
    for (size_t i = 0; i < t->nruns; i++) {
        struct params_run r = t->runs[i];
        zero_clip(&r.begin, &r.end, p->zero.held, p->zero.past);
        for (struct params_run part = r; part.begin < r.end; part.begin = part.end) {
            const size_t to = p->gate ? p->gate(p->gate_arg, part.begin) : SIZE_MAX;
            part.end = to < r.end ? to : r.end;
            update(p, &part, lr, k);
        }
    }
}
