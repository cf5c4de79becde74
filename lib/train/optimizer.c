/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW over the runs of trained elements; clipping is part of the update. */
#include "train/optimizer.h"

#include <math.h>
#include <stdint.h>

void optimizer_plan(struct optimizer *p, const struct optimizer_options *o, struct net *n,
                    const struct mesh *m, bool sharded)
{
    *p = (struct optimizer){.o = *o, .net = n};
    zero_init(&p->zero, m, n->params.trained, sharded);
    n->held = p->zero.held;
    n->past = p->zero.past;
    const size_t count = n->past - n->held, size = dtype_size(n->real);
    struct plan *plan = &n->plan;
    if (n->o.compute != n->real)
        plan_add(plan, PLAN_MASTER, "master", -1, count, size, PLAN_ALWAYS, 0, &p->master);
    plan_add(plan, PLAN_MOMENTS, "first moment", -1, count, size, PLAN_ALWAYS, 0, &p->m);
    plan_add(plan, PLAN_MOMENTS, "second moment", -1, count, size, PLAN_ALWAYS, 0, &p->v);
    plan_add(plan, PLAN_DATA, "gradient norm", -1, 1, sizeof(double), PLAN_ALWAYS, 0, &p->sumsq);
}

/* Where element 0 would be, if the buffer began with it. */
static void *origin(const struct optimizer *p, void *buffer)
{
    return (void *)((uintptr_t)buffer - p->zero.held * dtype_size(p->net->real));
}

/* Where the computation is in full precision the weights are their own master. */
void optimizer_bind(struct optimizer *p)
{
    p->master = optimizer_has_master(p) ? origin(p, p->master) : p->net->weights;
    p->m = origin(p, p->m);
    p->v = origin(p, p->v);
}

bool optimizer_has_master(const struct optimizer *p) { return p->net->o.compute != p->net->real; }

static char *at(void *base, size_t element, enum dtype t)
{
    return (char *)base + element * dtype_size(t);
}

void optimizer_norm(struct optimizer *p)
{
    struct net *n = p->net;
    op_zero(n->device, &(struct op_zero){.y = p->sumsq, .bytes = sizeof(double)});
    for (size_t i = 0; i < n->params.nruns; i++) {
        struct params_run r = n->params.runs[i];
        zero_clip(&r.begin, &r.end, p->zero.begin, p->zero.end);
        if (r.begin == r.end) continue;
        op_sum(n->device, &(struct op_sum){.sum = p->sumsq,
                                           .x = at(n->gradients, r.begin, n->real),
                                           .n = (int64_t)(r.end - r.begin),
                                           .squares = true,
                                           .dtype = n->real});
    }
}

/* On the master weights; those of the computation follow. */
static void adamw(struct optimizer *p, const struct params_run *r, double lr, double k)
{
    struct net *n = p->net;
    op_adamw(n->device, &(struct op_adamw){.param = optimizer_has_master(p)
                                                        ? at(n->weights, r->begin, n->o.compute)
                                                        : NULL,
                                           .master = at(p->master, r->begin, n->real),
                                           .m = at(p->m, r->begin, n->real),
                                           .v = at(p->v, r->begin, n->real),
                                           .grad = at(n->gradients, r->begin, n->real),
                                           .sumsq = p->sumsq,
                                           .n = (int64_t)(r->end - r->begin),
                                           .lr = lr,
                                           .beta1 = p->o.beta1,
                                           .beta2 = p->o.beta2,
                                           .eps = p->o.epsilon,
                                           .weight_decay = r->decay ? p->o.weight_decay : 0,
                                           .c1 = 1 - pow(p->o.beta1, k),
                                           .c2 = 1 - pow(p->o.beta2, k),
                                           .max_norm = p->o.max_norm,
                                           .param_dtype = n->o.compute,
                                           .dtype = n->real});
}

void optimizer_gate(struct optimizer *p, size_t (*gate)(void *arg, size_t at), void *arg)
{
    p->gate = gate;
    p->gate_arg = arg;
}

void optimizer_update(struct optimizer *p, double lr, uint64_t k)
{
    const struct params *t = &p->net->params;
    for (size_t i = 0; i < t->nruns; i++) {
        struct params_run r = t->runs[i];
        zero_clip(&r.begin, &r.end, p->zero.held, p->zero.past);
        const size_t end = r.end;
        for (; r.begin < end; r.begin = r.end) {
            const size_t to = p->gate ? p->gate(p->gate_arg, r.begin) : SIZE_MAX;
            r.end = to < end ? to : end;
            adamw(p, &r, lr, (double)k);
        }
    }
}
