/* SPDX-License-Identifier: Apache-2.0 */
/* One optimizer step, written out: micro-batches, reduction, clipping, update. */
#include <math.h>

#include "base/log.h"
#include "base/trace.h"
#include "train/shares.h"
#include "train/trainer_impl.h"

void trainer_clear_loss(struct trainer *t)
{
    op_zero(t->weights.device, &(struct op_zero){.y = t->stage.loss, .bytes = sizeof(double)});
}

/* Returns the most micro-batches that a data-parallel rank of [first, end) has, or -1. */
static int count_most(const struct trainer *t, const struct feed_step *s, int first, int end,
                      struct err *e)
{
    struct batch b = t->batch;
    int most = 0, n = 0;
    for (b.rank = (uint32_t)first; b.rank < (uint32_t)end && n >= 0; b.rank++)
        if ((n = batch_count(&b, s, e)) > most) most = n;
    return n < 0 ? -1 : most;
}

int trainer_share(struct trainer *t, const struct feed_step *s, struct err *e)
{
    if (balance_rows(&t->balance, s, e)) return -1;
    t->batch.owner = t->balance.owner;
    t->batch.rank = (uint32_t)t->mesh->at[MESH_DP];
    int end;
    const int first = mesh_expert_rows(t->mesh, &end);
    if (t->optimizer.zero.ranks_first) return count_most(t, s, 0, t->mesh->size[MESH_DP], e);
    return count_most(t, s, first, end, e);
}

/* Adds a micro-batch to the report. A backward pass costs as much as a forward pass for the inputs,
 * and the same again for the weights that are trained. */
static void note_work(const struct trainer *t, const struct micro_batch *b,
                      struct trainer_report *r)
{
    const struct model *m = &t->weights.whole;
    const struct params *p = trainer_params(t);
    r->flops += (2 + (double)p->elements_trained / (double)p->elements) *
                model_flops(m, (double)b->all, (double)b->all_targets, batch_squares(b, m));
    r->micro_batches++;
    if ((uint64_t)b->max_len > r->longest) r->longest = (uint64_t)b->max_len;
}

/* Where a micro-batch is added: the report of a step. */
struct noted {
    const struct trainer *t;
    struct trainer_report *r;
};
static void took(void *arg, const struct micro_batch *b)
{
    const struct noted *n = arg;
    if (shares_report(n->t->mesh)) note_work(n->t, b, n->r);
}

/* Runs this rank's passes and adds up the gradients of scale * sum(w * NLL). The gradients of a
 * layer are reduced as soon as the last pass has added its part, unless other ranks of the model
 * have parts of them. */
static void run_passes(struct trainer *t, const struct feed_step *s, int micro_batches,
                       double scale, struct zero_reduction *sum, struct trainer_report *r)
{
    const struct layer_done done = {zero_layer_done, sum};
    struct noted noted = {t, r};
    const bool at_once = !t->optimizer.zero.ranks_first && !shares_has_sums(t->mesh, &t->weights);
    const struct pipeline_watch watch = {.spans = &t->spans,
                                         .forward = &r->time.forward,
                                         .backward = &r->time.backward,
                                         .took = took,
                                         .arg = &noted,
                                         .done = at_once ? &done : NULL};
    pipeline_train(&t->pipeline, s, micro_batches, scale, &watch);
}

/* Sums loss and squared norm over the ranks and stores them in the report. */
static int reduce(struct trainer *t, double scale, struct trainer_report *r, struct err *e)
{
    struct weights *w = &t->weights;
    double loss = 0, sumsq = 0;
    const struct zero *z = &t->optimizer.zero;
    struct norm *norm = &t->optimizer.norm;
    norm_sum(norm);
    zero_sum(z, t->stage.loss);
    shares_loss(t->mesh, w, t->stage.loss);
    shares_norm(t->mesh, w, norm->sums, norm_buckets(norm));
    int rc = mesh_finish(t->mesh, e);
    if (rc == 0) rc = w->device->ops->download(w->device, &loss, t->stage.loss, sizeof loss, e);
    if (rc == 0) rc = norm_total(norm, &sumsq, e);
    if (mesh_agree(t->mesh, rc, e)) return -1;
    r->loss = scale > 0 ? loss * scale : NAN; /* a loss of 0 would be a perfect one */
    r->grad_norm = scale > 0 ? sqrt(sumsq) : NAN;
    return 0;
}

/* Adds up the work of all ranks in the report, whose times stay this rank's. */
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

/* Runs n passes, this rank's micro-batches and empty ones, in which other ranks that share out the
 * experts may have one, and sums all ranks' gradients. Without a micro-batch it takes part in the
 * same collectives, with zeros. */
static void accumulate(struct trainer *t, const struct feed_step *s, int n, double scale,
                       struct trainer_report *r)
{
    struct weights *w = &t->weights;
    struct zero_reduction sum = zero_reduce(&t->optimizer.zero, w->gradients, w->gradient);
    weights_begin(w);
    lora_drop(&t->stage, true, t->step);
    trainer_clear_loss(t);
    run_passes(t, s, n, scale, &sum, r);
    if (n == 0) weights_clear_all(w);
    weights_end_step(w);
    shares_gradients(t->mesh, w);
    zero_reduce_rest(&sum);
    zero_end_sums(&t->optimizer.zero, w);
}

int trainer_gradients(struct trainer *t, const struct feed_step *s, struct trainer_report *r,
                      struct err *e)
{
    const double scale = s->weight > 0 ? 1 / s->weight : 0;
    *r = (struct trainer_report){
        .tokens = s->tokens, .label_tokens = s->label_tokens, .rows = s->nrows};
    t->spans = (struct spans){.device = t->weights.device};
    double start = log_clock();
    const int n = trainer_share(t, s, e);
    /* once a rank has queued a collective none may leave the step before the others */
    if (mesh_agree(t->mesh, n < 0 ? -1 : 0, e)) return -1;
    accumulate(t, s, n, scale, r);
    /* reduce comes first: a rank that is lost is found in a collective, whose message says more */
    if (reduce(t, scale, r, e) || add_reports(t, r, e)) return -1;
    spans_add(&t->spans);
    r->time.step = log_clock() - start;
    return 0;
}

uint64_t trainer_updates(const struct trainer *t) { return t->step - t->guard.skipped; }

/* The moments do not count steps that were left out, like PyTorch where step() is not called. */
int trainer_update(struct trainer *t, double lr, struct err *e)
{
    struct weights *w = &t->weights;
    const double began = trace_begin();
    optimizer_update(&t->optimizer, lr, trainer_updates(t) + 1);
    trace_end(began, "compute", "update", NULL, -1);
    t->step++;
    zero_gather(&t->optimizer.zero, w->values, w->compute);
    weights_changed(w);
    int rc = mesh_finish(t->mesh, e);
    if (w->device->ops->sync(w->device, rc ? NULL : e)) rc = -1;
    return mesh_agree(t->mesh, rc, e);
}

int trainer_step(struct trainer *t, const struct feed_step *s, double lr, struct trainer_report *r,
                 struct err *e)
{
    const double began = trace_begin();
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
    trace_end(began, "run", "step", NULL, (int64_t)t->step);
    return 0;
}
