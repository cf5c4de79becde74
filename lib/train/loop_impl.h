/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of the loop to its caller while it runs, and its best checkpoint. */
#ifndef SFT_TRAIN_LOOP_IMPL_H
#define SFT_TRAIN_LOOP_IMPL_H

#include "train/loop.h"
#include "train/numbers.h"

/* Counts what is to come up to the last step. */
void loop_expect(struct loop *l, uint64_t total);
/* After each step: its numbers, and the time that is left. */
void loop_tell_step(const struct loop *l, const struct trainer_report *r, uint64_t total);
/* While a validation runs, and when it has ended. l is a struct loop. */
void loop_tell_validating(void *l, uint64_t done, uint64_t all);
void loop_tell_validation(const struct loop *l, const struct trainer_report *r);
/* While a checkpoint of this step is written. */
void loop_tell_saving(const struct loop *l);
/* The steps go on, beside whatever was told before. */
void loop_tell_beside(const struct loop *l);
/* A save has ended; rate: MB/s. */
void loop_tell_saved(const struct loop *l, const struct saver_report *s, double rate);
/* loop_answer.c: answers the prompts of the run, if it has any, unless the loss of the validation
 * before it says that the weights give no finite numbers. */
int loop_answer(struct loop *l, double val_loss, struct err *e);
/* loop_best.c: judges the loss of a validation, r->val_after, and sets r->early, the same on all
 * ranks. saves: the schedule of the run saves this step. */
int loop_judge_best(struct loop *l, struct loop_result *r, struct numbers *a, bool saves,
                    struct err *e);
/* At the end of a run: its best checkpoint, and why it ended early. */
void loop_tell_best(const struct loop *l, const struct loop_result *r);
/* No checkpoint is written, because nothing was learnt. */
void loop_tell_unsaved(const struct loop *l);

#endif
