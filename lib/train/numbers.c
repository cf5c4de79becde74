/* SPDX-License-Identifier: Apache-2.0 */
/* The names and numbers of a step. */
#include "train/numbers.h"

#include <math.h>
#include <sys/resource.h>

void numbers_add(struct numbers *a, const char *name, double value)
{
    if (a->n < sizeof a->v / sizeof *a->v) a->v[a->n++] = (struct track_value){name, value, NULL};
}

void numbers_json(struct numbers *a, const char *name, const char *json)
{
    if (a->n < sizeof a->v / sizeof *a->v) a->v[a->n++] = (struct track_value){name, NAN, json};
}

/* A step without a trained token has neither loss nor gradient norm. */
static void add_loss(struct numbers *a, const struct trainer_report *r)
{
    if (r->label_tokens == 0) {
        numbers_json(a, "sft_train/loss", "null");
        numbers_json(a, "sft_train/grad_norm", "null");
        return;
    }
    numbers_add(a, "sft_train/loss", r->loss);
    numbers_add(a, "sft_train/grad_norm", r->grad_norm);
}

void numbers_step(struct numbers *a, const struct trainer *t, const struct stream_header *h,
                  const struct trainer_report *r, size_t samples, double peak)
{
    const double all = peak * mesh_ranks(t->mesh); /* ranks are alike */
    add_loss(a, r);
    numbers_add(a, "sft_train/lr", r->lr);
    numbers_add(a, "sft_train/epoch", h->epochs * (double)t->step / (double)h->steps);
    numbers_add(a, "sft_train/tokens", (double)r->tokens);
    numbers_add(a, "sft_train/label_tokens", (double)r->label_tokens);
    numbers_add(a, "sft_train/skipped_steps", (double)t->guard.skipped); /* of the whole run */
    numbers_add(a, "sft_train/padding_ratio", 0); /* rows are computed without padding */
    numbers_add(a, "sft_train/tokens_per_s", (double)r->tokens / r->time.step);
    numbers_add(a, "sft_train/gflops", r->flops / r->time.step * 1e-9);
    numbers_add(a, "sft_train/mfu", r->flops / r->time.step / all);
    numbers_add(a, "global_seqlen/mean", samples ? (double)r->tokens / (double)samples : 0);
    numbers_add(a, "global_seqlen/max", (double)r->longest);
    numbers_add(a, "time/step_train", r->time.step);
    numbers_add(a, "time/forward", r->time.forward);
    numbers_add(a, "time/backward", r->time.backward);
    numbers_add(a, "time/optimizer", r->time.optimizer);
}

void numbers_system(struct numbers *a)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) == 0) numbers_add(a, "system/rss", (double)u.ru_maxrss * 1024);
}
