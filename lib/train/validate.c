/* SPDX-License-Identifier: Apache-2.0 */
/* The loss over a stream: forward passes only, no weight changes. */
#include "base/log.h"
#include "model/schedule.h"
#include "train/trainer_impl.h"

/* Adds the loss of this rank's rows of a step to t->stage.loss. */
static int add_losses(struct trainer *t, const struct feed_step *s, struct err *e)
{
    const int n = trainer_share(t, s, e);
    if (n < 0) return -1;
    const struct schedule k = {.micro_batches = n, .forward_only = true};
    size_t row = 0;
    for (int i = 0; i < schedule_length(&k); i++) {
        struct pass *p = &t->stage.pass[schedule_action(&k, i).pass];
        trainer_forward(t, s, &row, p);
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
    trainer_clear_loss(t);
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
