/* SPDX-License-Identifier: Apache-2.0 */
/* One optimizer step, written out: micro-batches, reduction, clipping, update. */
#include "train/trainer.h"

#include <math.h>

#include "base/log.h"

static void rehearse(void *arg)
{
    struct trainer *t = arg;
    optimizer_bind(&t->optimizer);
    net_rehearse(&t->net);
    optimizer_norm(&t->optimizer);
    optimizer_update(&t->optimizer, 0, 1);
}

int trainer_init(struct trainer *t, const struct model *m, const struct trainer_options *o,
                 struct mesh *mesh, struct device *d, struct err *e)
{
    *t = (struct trainer){.o = *o, .mesh = mesh};
    const struct net_options n = {.compute = o->compute,
                                  .keep = o->keep,
                                  .tokens = o->tokens,
                                  .length = o->length,
                                  .params = o->params};
    if (net_init(&t->net, m, &n, d, e)) return -1;
    if (t->net.params.trained == 0)
        return err_set(e, ERR_CONFIG, "every parameter is frozen: there is nothing to train");
    guard_init(&t->guard, &o->guard);
    optimizer_plan(&t->optimizer, &o->optimizer, &t->net);
    return net_place(&t->net, rehearse, t, e);
}

int trainer_alloc(struct trainer *t, struct err *e)
{
    if (batch_init(&t->batch, t->o.tokens, e) || net_alloc(&t->net, e)) return -1;
    optimizer_bind(&t->optimizer);
    return 0;
}

int trainer_load(struct trainer *t, const struct safetensors *weights, struct err *e)
{
    return net_load(&t->net, weights,
                    optimizer_has_master(&t->optimizer) ? t->optimizer.master : NULL, e);
}

void trainer_close(struct trainer *t)
{
    net_close(&t->net);
    batch_free(&t->batch);
}

static void zero(struct device *d, void *p, size_t bytes)
{
    op_zero(d, &(struct op_zero){.y = p, .bytes = bytes});
}

/* One micro-batch: gradients of scale * sum(w * NLL) are added up. Times are of the host: on a
 * device with a queue they tell when work was handed over. */
static void micro_batch(struct trainer *t, double scale, struct trainer_report *r)
{
    const struct net_batch *b = &t->batch.b;
    double start = log_clock();
    net_upload(&t->net, b);
    net_forward(&t->net, b);
    double middle = log_clock();
    net_loss(&t->net, b, true, scale);
    net_backward(&t->net, b);
    r->time.forward += middle - start;
    r->time.backward += log_clock() - middle;
    r->flops += 3 * model_flops(&t->net.m, (double)b->T, (double)b->targets,
                                batch_squares(&t->batch, &t->net.m));
    r->micro_batches++;
    if ((uint64_t)b->max_len > r->longest) r->longest = (uint64_t)b->max_len;
}

/* Sums over the ranks, and the squared norm; then loss and norm come to the host. */
static int reduce(struct trainer *t, double scale, struct trainer_report *r, struct err *e)
{
    struct net *n = &t->net;
    struct comm *dp = t->mesh->comm[MESH_DP];
    double loss = 0, sumsq = 0;
    if (dp->ops->all_reduce(dp, n->gradients, n->params.trained, n->real, COMM_SUM, e) ||
        dp->ops->all_reduce(dp, n->loss, 1, DT_F64, COMM_SUM, e))
        return -1;
    optimizer_norm(&t->optimizer);
    if (n->device->ops->download(n->device, &loss, n->loss, sizeof loss, e) ||
        n->device->ops->download(n->device, &sumsq, t->optimizer.sumsq, sizeof sumsq, e))
        return -1;
    r->loss = loss * scale;
    r->grad_norm = sqrt(sumsq);
    return 0;
}

int trainer_gradients(struct trainer *t, const struct feed_step *s, struct trainer_report *r,
                      struct err *e)
{
    struct net *n = &t->net;
    const double scale = s->weight > 0 ? 1 / s->weight : 0;
    *r = (struct trainer_report){
        .tokens = s->tokens, .label_tokens = s->label_tokens, .rows = s->nrows};
    double start = log_clock();
    net_begin(n);
    zero(n->device, n->loss, sizeof(double));
    for (size_t row = 0, next; row < s->nrows; row = next) {
        next = batch_take(&t->batch, s, row);
        if (next == row) return err_set(e, ERR_INTERNAL, "a row does not fit the micro-batch");
        if (t->batch.b.T) micro_batch(t, scale, r);
    }
    if (r->micro_batches == 0) net_clear(n, 0, n->params.trained);
    if (reduce(t, scale, r, e)) return -1;
    r->time.step = log_clock() - start;
    return 0;
}

/* A step that was left out is none for the moments, as in PyTorch where step() was not called. */
int trainer_update(struct trainer *t, double lr, struct err *e)
{
    optimizer_update(&t->optimizer, lr, t->step + 1 - t->guard.skipped);
    t->step++;
    return t->net.device->ops->sync(t->net.device, e);
}

int trainer_step(struct trainer *t, const struct feed_step *s, double lr, struct trainer_report *r,
                 struct err *e)
{
    if (trainer_gradients(t, s, r, e) ||
        guard_check(&t->guard, t->step + 1, s, r->loss, r->grad_norm, &r->finding, e))
        return -1;
    double start = log_clock();
    r->lr = lr;
    if (r->finding.skip)
        t->step++;
    else if (trainer_update(t, lr, e))
        return -1;
    r->time.optimizer = log_clock() - start;
    r->time.step += r->time.optimizer;
    return 0;
}

int trainer_validate(struct trainer *t, struct feed *f, struct trainer_report *r, struct err *e)
{
    struct net *n = &t->net;
    struct feed_step s = {0};
    double weight = 0, loss = 0, start = log_clock();
    int rc;
    *r = (struct trainer_report){0};
    zero(n->device, n->loss, sizeof(double));
    while ((rc = feed_next(f, &s, e)) == 1) {
        weight += s.weight;
        r->tokens += s.tokens;
        r->label_tokens += s.label_tokens;
        for (size_t row = 0, next; row < s.nrows; row = next) {
            next = batch_take(&t->batch, &s, row);
            if (next == row) rc = err_set(e, ERR_INTERNAL, "a row does not fit the micro-batch");
            if (rc < 0) goto out;
            if (!t->batch.b.T) continue;
            net_upload(n, &t->batch.b);
            net_forward(n, &t->batch.b);
            net_loss(n, &t->batch.b, false, 0);
        }
    }
    if (rc == 0) rc = n->device->ops->download(n->device, &loss, n->loss, sizeof loss, e);
    r->loss = weight > 0 ? loss / weight : 0;
    r->time.step = log_clock() - start;
out:
    feed_step_free(&s);
    return rc;
}
