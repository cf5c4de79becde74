/* SPDX-License-Identifier: Apache-2.0 */
/* One optimizer step, written out: micro-batches, reduction, clipping, update. */
#include "train/trainer.h"

#include <math.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/schedule.h"

static void rehearse(void *arg)
{
    struct trainer *t = arg;
    optimizer_bind(&t->optimizer);
    stage_rehearse(&t->stage);
    optimizer_norm(&t->optimizer);
    optimizer_update(&t->optimizer, 0, 1);
}

static int plan_staging(struct trainer *t, struct err *e)
{
    struct save_part part[OPTIMIZER_PARTS];
    const int n = optimizer_parts(&t->optimizer, part);
    if (layout_make(&t->layout, &t->weights, part, n, t->o.saved_dtype, e)) return -1;
    layout_spread(&t->layout, t->mesh, t->optimizer.zero.sharded);
    t->staging_bytes = saver_staging(&t->layout.list, mesh_writes(t->mesh) ? t->o.staging : 0);
    if (t->staging_bytes)
        plan_add_host(&t->memory.plan, PLAN_STAGING, "checkpoint staging", t->staging_bytes,
                      &t->staging);
    return 0;
}

static void plan_reserve(struct trainer *t)
{
    const bool saves = t->o.staging && mesh_writes(t->mesh);
    t->reserve_room = t->o.reading + (saves ? saver_reserve(&t->layout.list) : 0);
    plan_add_host(&t->memory.plan, PLAN_RESERVE, "reserve", mem_reserve(t->reserve_room),
                  &t->reserve);
}

int trainer_init(struct trainer *t, const struct model *m, const struct trainer_options *o,
                 struct mesh *mesh, struct device *d, struct err *e)
{
    *t = (struct trainer){.o = *o, .mesh = mesh, .batch = {.capacity = o->tokens}};
    const struct weights_options w = {
        .compute = o->compute,
        .gradients = true,
        .length = o->length,
        .params = {.frozen = o->params.frozen,
                   .arg = o->params.arg,
                   .lora = o->params.lora,
                   .multiple = ZERO_ALIGN * (size_t)mesh->size[MESH_DP]}};
    const struct stage_options s = {.recompute = o->recompute, .tokens = o->tokens};
    struct plan *plan = &t->memory.plan;
    if (weights_init(&t->weights, m, &w, d, plan, e) ||
        stage_init(&t->stage, &t->weights, &s, plan, e))
        return -1;
    if (t->weights.params.trained == 0)
        return err_set(e, ERR_CONFIG, "every parameter is frozen: there is nothing to train");
    guard_init(&t->guard, &o->guard);
    if (balance_init(&t->balance, &t->weights.m, mesh->size[MESH_DP], e)) return -1;
    optimizer_plan(&t->optimizer, &o->optimizer, &t->weights, plan, mesh, o->shard_optimizer);
    zero_plan(&t->optimizer.zero, plan, t->weights.accum);
    if (o->steps) plan_add_host(plan, PLAN_DATA, "steps", o->steps, &t->steps);
    if (o->staging && plan_staging(t, e)) return -1;
    if (o->reading) plan_reserve(t);
    return memory_place(&t->memory, &t->weights.device, rehearse, t, e);
}

int trainer_alloc(struct trainer *t, struct err *e)
{
    if (memory_alloc(&t->memory, e)) return -1;
    stage_bind(&t->stage);
    weights_fill_rotary(&t->weights);
    optimizer_bind(&t->optimizer);
    return 0;
}

void trainer_seal(struct trainer *t)
{
    if (!t->reserve_room) return;
    mem_seal(t->reserve, t->reserve_room);
    t->sealed = true;
}

int trainer_load(struct trainer *t, const struct safetensors *weights, struct err *e)
{
    return weights_load(&t->weights, weights,
                        optimizer_has_master(&t->optimizer) ? t->optimizer.master : NULL, e);
}

void trainer_close(struct trainer *t)
{
    layout_free(&t->layout);
    balance_free(&t->balance);
    if (t->sealed) mem_unseal();
    stage_free(&t->stage);
    weights_free(&t->weights);
    memory_free(&t->memory);
}

static void zero(struct device *d, void *p, size_t bytes)
{
    op_zero(d, &(struct op_zero){.y = p, .bytes = bytes});
}

/* The batch takes this rank's rows of the step from now on. */
static int balance(struct trainer *t, const struct feed_step *s, struct err *e)
{
    int rc = balance_rows(&t->balance, s, e);
    t->batch.owner = t->balance.owner;
    t->batch.rank = (uint32_t)t->mesh->at[MESH_DP];
    return rc;
}

/* Backward costs as much as forward for the inputs, and again for the weights that are trained. */
static void note_work(const struct trainer *t, const struct micro_batch *b,
                      struct trainer_report *r)
{
    const struct model *m = &t->weights.m;
    const struct params *p = &t->weights.params;
    r->flops += (2 + (double)p->elements_trained / (double)p->elements) *
                model_flops(m, (double)b->T, (double)b->targets, batch_squares(b, m));
    r->micro_batches++;
    if ((uint64_t)b->max_len > r->longest) r->longest = (uint64_t)b->max_len;
}

/* This rank's next micro-batch with tokens, from *row on: there is one. */
static void forward(struct trainer *t, const struct feed_step *s, size_t *row, struct pass *p)
{
    do {
        *row = batch_take(&t->batch, s, *row, &p->b);
    } while (p->b.T == 0);
    stage_upload(&t->stage, p);
    stage_forward(&t->stage, p);
}

/* Forward and backward passes in the schedule's order; the gradients of scale * sum(w * NLL) are
 * added up. */
static void run_passes(struct trainer *t, const struct feed_step *s, int micro_batches,
                       double scale, struct trainer_report *r)
{
    const struct schedule k = {.micro_batches = micro_batches};
    size_t row = 0;
    for (int i = 0; i < schedule_length(&k); i++) {
        const struct action a = schedule_action(&k, i);
        struct pass *p = &t->stage.pass[a.pass];
        const bool ahead = a.kind == FORWARD;
        span_begin(&t->spans, ahead ? &r->time.forward : &r->time.backward);
        if (ahead) {
            forward(t, s, &row, p);
            note_work(t, &p->b, r);
        } else {
            stage_backward(&t->stage, p, scale, NULL);
        }
        span_end(&t->spans);
    }
}

/* Sums over the ranks, and the squared norm; then loss and norm come to the host. */
static int reduce(struct trainer *t, double scale, struct trainer_report *r, struct err *e)
{
    struct weights *w = &t->weights;
    double loss = 0, sumsq = 0;
    const struct zero *z = &t->optimizer.zero;
    zero_reduce(z, w->gradients, w->accum);
    optimizer_norm(&t->optimizer);
    zero_sum(z, t->stage.loss);
    zero_sum(z, t->optimizer.sumsq);
    int rc = mesh_finish(t->mesh, e);
    if (rc == 0) rc = w->device->ops->download(w->device, &loss, t->stage.loss, sizeof loss, e);
    if (rc == 0)
        rc = w->device->ops->download(w->device, &sumsq, t->optimizer.sumsq, sizeof sumsq, e);
    if (mesh_agree(t->mesh, rc, e)) return -1;
    r->loss = scale > 0 ? loss * scale : NAN; /* 0 is what a perfect model would show */
    r->grad_norm = scale > 0 ? sqrt(sumsq) : NAN;
    return 0;
}

/* Adds up the work of all ranks. Times are this rank's. */
static int add_reports(struct trainer *t, struct trainer_report *r, struct err *e)
{
    struct work {
        double flops;
        uint64_t micro_batches, longest;
    } mine = {r->flops, r->micro_batches, r->longest};
    const struct work *all = mesh_notes(t->mesh, &mine, sizeof mine, e);
    if (!all) return -1;
    r->flops = 0;
    r->micro_batches = 0;
    for (int i = 0; i < mesh_ranks(t->mesh); i++) {
        r->flops += all[i].flops;
        r->micro_batches += all[i].micro_batches;
        if (all[i].longest > r->longest) r->longest = all[i].longest;
    }
    return 0;
}

/* This rank's rows of the step. */
static int accumulate(struct trainer *t, const struct feed_step *s, double scale,
                      struct trainer_report *r, struct err *e)
{
    struct weights *w = &t->weights;
    weights_begin(w);
    lora_drop(&t->stage, true, t->step);
    zero(w->device, t->stage.loss, sizeof(double));
    if (balance(t, s, e)) return -1;
    const int n = batch_count(&t->batch, s, e);
    if (n < 0) return -1;
    run_passes(t, s, n, scale, r);
    if (n == 0) weights_clear(w, 0, w->params.trained);
    return 0;
}

int trainer_gradients(struct trainer *t, const struct feed_step *s, struct trainer_report *r,
                      struct err *e)
{
    const double scale = s->weight > 0 ? 1 / s->weight : 0;
    *r = (struct trainer_report){
        .tokens = s->tokens, .label_tokens = s->label_tokens, .rows = s->nrows};
    t->spans = (struct spans){.device = t->weights.device};
    double start = log_clock();
    if (mesh_agree(t->mesh, accumulate(t, s, scale, r, e), e) || add_reports(t, r, e) ||
        reduce(t, scale, r, e))
        return -1;
    spans_add(&t->spans);
    r->time.step = log_clock() - start;
    return 0;
}

uint64_t trainer_updates(const struct trainer *t) { return t->step - t->guard.skipped; }

/* A step that was left out is none for the moments, as in PyTorch where step() was not called. */
int trainer_update(struct trainer *t, double lr, struct err *e)
{
    struct weights *w = &t->weights;
    optimizer_update(&t->optimizer, lr, trainer_updates(t) + 1);
    t->step++;
    zero_gather(&t->optimizer.zero, w->values, w->compute);
    int rc = mesh_finish(t->mesh, e);
    if (w->device->ops->sync(w->device, rc ? NULL : e)) rc = -1;
    return mesh_agree(t->mesh, rc, e);
}

int trainer_step(struct trainer *t, const struct feed_step *s, double lr, struct trainer_report *r,
                 struct err *e)
{
    if (trainer_gradients(t, s, r, e) ||
        guard_check(&t->guard, t->step + 1, s, r->loss, r->grad_norm, &r->finding, e))
        return -1;
    double start = log_clock();
    r->lr = lr;
    span_begin(&t->spans, &r->time.optimizer);
    if (r->finding.skip)
        t->step++;
    else if (trainer_update(t, lr, e))
        return -1;
    span_end(&t->spans);
    spans_add(&t->spans);
    r->time.step += log_clock() - start;
    return 0;
}

/* Adds the loss of this rank's rows of one step to t->stage.loss. */
static int add_losses(struct trainer *t, const struct feed_step *s, struct err *e)
{
    if (balance(t, s, e)) return -1;
    const int n = batch_count(&t->batch, s, e);
    if (n < 0) return -1;
    const struct schedule k = {.micro_batches = n, .forward_only = true};
    size_t row = 0;
    for (int i = 0; i < schedule_length(&k); i++) {
        struct pass *p = &t->stage.pass[schedule_action(&k, i).pass];
        forward(t, s, &row, p);
        stage_loss(&t->stage, p);
    }
    return 0;
}

int trainer_validate(struct trainer *t, struct feed *f, struct trainer_report *r, struct err *e)
{
    struct device *d = t->weights.device;
    struct feed_step s = {0};
    double weight = 0, loss = 0, start = log_clock();
    int rc;
    *r = (struct trainer_report){0};
    lora_drop(&t->stage, false, 0);
    zero(d, t->stage.loss, sizeof(double));
    while ((rc = feed_next(f, &s, e)) == 1 && (rc = add_losses(t, &s, e)) == 0) {
        weight += s.weight;
        r->tokens += s.tokens;
        r->label_tokens += s.label_tokens;
    }
    feed_step_free(&s);
    if (mesh_agree(t->mesh, rc, e)) return -1;
    zero_sum(&t->optimizer.zero, t->stage.loss);
    rc = mesh_finish(t->mesh, e);
    if (rc == 0) rc = d->ops->download(d, &loss, t->stage.loss, sizeof loss, e);
    if (mesh_agree(t->mesh, rc, e)) return -1;
    r->time.step = log_clock() - start;
    if (!(weight > 0)) return err_set(e, ERR_DATA, "no trained token, so there is no loss");
    r->loss = loss / weight;
    return 0;
}
