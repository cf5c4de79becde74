/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of the loop to its caller while it runs. */
#ifndef SFT_TRAIN_LOOP_IMPL_H
#define SFT_TRAIN_LOOP_IMPL_H

#include "train/loop.h"

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
/* No checkpoint is written, because nothing was learnt. */
void loop_tell_unsaved(const struct loop *l);

#endif
