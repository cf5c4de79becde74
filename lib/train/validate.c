/* SPDX-License-Identifier: Apache-2.0 */
/* The loss over a stream: forward passes only, no weight changes. */
#include "base/log.h"
#include "base/trace.h"
#include "train/shares.h"
#include "train/trainer_impl.h"

/* Adds the loss of this rank's rows of the next step to t->stage.loss: 1; 0 at the end of the
 * stream; -1 on all ranks. They agree before the first pass, in which they wait for one another. */
static int add_losses(struct trainer *t, struct feed *f, struct feed_step *s, struct err *e)
{
    const int more = feed_next(f, s, e), n = more == 1 ? trainer_share(t, s, e) : 0;
    if (mesh_agree(t->mesh, more < 0 || n < 0 ? -1 : 0, e)) return -1;
    if (more) pipeline_validate(&t->pipeline, s, n);
    return more;
}

int trainer_validate(struct trainer *t, struct feed *f, const struct trainer_watch *w,
                     struct trainer_report *r, struct err *e)
{
    struct device *d = t->weights.device;
    struct feed_step s = {0};
    double weight = 0, loss = 0, start = log_clock();
    const double began = trace_begin();
    int rc;
    *r = (struct trainer_report){0};
    lora_drop(&t->stage, false, 0);
    trainer_clear_loss(t);
    for (uint64_t done = 1; (rc = add_losses(t, f, &s, e)) == 1; done++) {
        weight += s.weight;
        r->tokens += s.tokens;
        r->label_tokens += s.label_tokens;
        w->step(w->arg, done, feed_header(f)->steps);
    }
    feed_step_free(&s);
    if (rc) return -1;
    zero_sum(&t->optimizer.zero, t->stage.loss);
    shares_loss(t->mesh, &t->weights, t->stage.loss);
    rc = mesh_finish(t->mesh, e);
    if (rc == 0) rc = d->ops->download(d, &loss, t->stage.loss, sizeof loss, e);
    if (mesh_agree(t->mesh, rc, e)) return -1;
    r->time.step = log_clock() - start;
    trace_end(began, "run", "validation", NULL, (int64_t)t->step);
    if (!(weight > 0)) return err_set(e, ERR_DATA, "no trained token, so there is no loss");
    r->loss = loss / weight;
    return 0;
}
