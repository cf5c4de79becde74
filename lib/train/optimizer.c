/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW and SGD over the runs of trained elements that this rank holds; clipping is part of the
 * update. */
#include "train/optimizer.h"

#include <math.h>
#include <stdint.h>

static bool has_v(const struct optimizer *p) { return p->o.kind == OPTIMIZER_ADAMW; }
static bool has_m(const struct optimizer *p) { return has_v(p) || p->o.momentum > 0; }

static void plan_state(const struct optimizer *p, struct plan *plan, enum plan_class class,
                       const char *name, enum dtype type, struct weights_state *s)
{
    s->type = type;
    s->parts = p->zero.parts;
    s->at = p->zero.part;
    plan_add(plan, class, name, -1, zero_count(&p->zero), dtype_size(type), PLAN_ALWAYS, 0,
             &s->flat);
}

/* Where the computation is in full precision the weights are their own master. */
static bool is_master(const struct weights *w) { return w->compute == w->accum; }

/* Master weights are stored beside those of the computation. */
static bool has_master(const struct optimizer *p)
{
    return !is_master(p->weights) && !p->o.no_master;
}

void optimizer_plan(struct optimizer *p, const struct optimizer_options *o, struct weights *w,
                    struct plan *plan, const struct mesh *m, int zero_stage, bool ranks_first)
{
    const enum dtype moments = o->moments == DT_BF16 ? DT_BF16 : w->accum;
    *p = (struct optimizer){.o = *o, .weights = w};
    zero_init(&p->zero, m, &w->params, zero_stage, ranks_first);
    if (has_master(p)) plan_state(p, plan, PLAN_MASTER, "master", w->accum, &p->master);
    if (has_m(p)) plan_state(p, plan, PLAN_MOMENTS, "first moment", moments, &p->m);
    if (has_v(p)) plan_state(p, plan, PLAN_MOMENTS, "second moment", moments, &p->v);
    size_t experts, others = norm_plan(&p->norm, w, &p->zero, plan, &experts);
    if (others < weights_collective(w, false)) others = weights_collective(w, false);
    if (experts < weights_collective(w, true)) experts = weights_collective(w, true);
    zero_plan(&p->zero, m, plan, w->gradient, others, experts);
}

const struct weights_state *optimizer_master(const struct optimizer *p)
{
    return p->master.flat ? &p->master : NULL;
}

int optimizer_parts(struct optimizer *p, struct save_part part[OPTIMIZER_PARTS])
{
    int n = 0;
    const struct weights *w = p->weights;
    if (is_master(w))
        part[n++] = (struct save_part){"master", NULL, w->accum};
    else if (has_master(p))
        part[n++] = (struct save_part){"master", &p->master, w->accum};
    if (has_m(p))
        part[n++] = (struct save_part){has_v(p) ? "exp_avg" : "momentum_buffer", &p->m, p->m.type};
    if (has_v(p)) part[n++] = (struct save_part){"exp_avg_sq", &p->v, p->v.type};
    return n;
}

/* An update changes the master weights and copies them to those of the computation, or changes the
 * latter where there is no master. */
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
                                           .sumsq = p->norm.sumsq,
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
                                           .grad_dtype = w->gradient,
                                           .master_dtype = w->accum,
                                           .m_dtype = p->m.type,
                                           .v_dtype = p->v.type,
                                           .random = u->random});
}

static void sgd(struct optimizer *p, const struct update *u, double lr)
{
    const struct weights *w = p->weights;
    op_sgd(w->device, &(struct op_sgd){.param = u->param,
                                       .master = u->master,
                                       .m = u->m,
                                       .grad = u->grad,
                                       .sumsq = p->norm.sumsq,
                                       .n = u->n,
                                       .lr = lr,
                                       .momentum = p->o.momentum,
                                       .dampening = p->o.dampening,
                                       .nesterov = p->o.nesterov,
                                       .weight_decay = u->decay,
                                       .max_norm = p->o.max_norm,
                                       .param_dtype = w->compute,
                                       .dtype = w->accum,
                                       .grad_dtype = w->gradient,
                                       .master_dtype = w->accum,
                                       .m_dtype = p->m.type,
                                       .random = u->random});
}

static void *at(void *base, size_t element, enum dtype t)
{
    return base ? (char *)base + element * dtype_size(t) : NULL;
}

/* Elements [begin, end) of a run, which this rank holds. */
static void update(struct optimizer *p, const struct params_run *r, size_t begin, size_t end,
                   double lr, uint64_t k)
{
    const struct weights *w = p->weights;
    const struct params_part held = zero_held(&p->zero, r->bucket);
    const size_t state = held.state + (begin - held.begin);
    void *values = weights_own_value(w, r->bucket, begin);
    const struct update u = {.param = is_master(w) ? NULL : values,
                             .master =
                                 is_master(w) ? values : at(p->master.flat, state, p->master.type),
                             .m = at(p->m.flat, state, p->m.type),
                             .v = at(p->v.flat, state, p->v.type),
                             .grad = weights_own_gradient(w, r->bucket, begin),
                             .n = (int64_t)(end - begin),
                             .decay = r->decay ? p->o.weight_decay : 0,
                             .random = {p->o.seed, k, r->place + (begin - r->begin)}};
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

/* Updates the elements of a run that this rank holds, as far at a time as the gate allows. */
static void update_run(struct optimizer *p, const struct params_run *r, double lr, uint64_t k)
{
    const struct params_part held = zero_held(&p->zero, r->bucket);
    size_t begin = r->begin, end = r->end;
    params_clip(&begin, &end, held.begin, held.end);
    for (size_t to; begin < end; begin = to) {
        const size_t place = r->place + (begin - r->begin);
        const size_t limit = p->gate ? p->gate(p->gate_arg, place) : SIZE_MAX;
        to = limit - place < end - begin ? begin + (limit - place) : end;
        update(p, r, begin, to, lr, k);
    }
}

void optimizer_update(struct optimizer *p, double lr, uint64_t k)
{
    const struct params *t = &p->weights->params;
    for (size_t i = 0; i < t->nruns; i++) update_run(p, &t->runs[i], lr, k);
}
