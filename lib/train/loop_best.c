/* SPDX-License-Identifier: Apache-2.0 */
/* The best checkpoint and early stopping in the loop of a run. */
#include <stdio.h>

#include "train/loop_impl.h"

/* A checkpoint that is saved only because the run was asked to stop cannot be the best: the
 * uninterrupted run has none of this step. */
int loop_judge_best(struct loop *l, struct loop_result *r, struct numbers *a, bool saves,
                    struct err *e)
{
    struct best *b = l->best;
    if (!b->o.on) return 0;
    best_see(b, l->trainer->step, r->val_after, saves && trainer_updates(l->trainer) > 0);
    const int early = mesh_any(l->trainer->mesh, best_ends(b), e);
    if (early < 0) return -1;
    r->early = early;
    if (early) r->stopped = false;
    if (b->step) numbers_add(a, "sft_train/best_step", (double)b->step);
    if (b->step) numbers_add(a, "sft_train/best_val_loss", b->loss);
    if (b->o.patience) numbers_add(a, "sft_train/early_stopping_counter", (double)b->waited);
    return 0;
}

void loop_tell_best(const struct loop *l, const struct loop_result *r)
{
    const struct best *b = l->best;
    char text[400], best[100] = "no checkpoint has a finite val_loss";
    if (!b->o.on) return;
    if (b->step)
        snprintf(best, sizeof best, "the best is checkpoint-%llu, val_loss %.4f",
                 (unsigned long long)b->step, b->loss);
    if (r->early)
        snprintf(text, sizeof text,
                 "ended early after step %llu: %llu validations in a row did not improve on "
                 "val_loss %.4f by more than %g (early_stopping_patience %llu); %s",
                 (unsigned long long)l->trainer->step, (unsigned long long)b->waited, b->least,
                 b->o.threshold, (unsigned long long)b->o.patience, best);
    else
        snprintf(text, sizeof text, "%s", best);
    if (l->hooks.note) l->hooks.note(l->hooks.arg, text);
}
