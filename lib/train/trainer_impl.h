/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that training and validation share. Internal to lib/train. */
#ifndef SFT_TRAIN_TRAINER_IMPL_H
#define SFT_TRAIN_TRAINER_IMPL_H

#include "train/trainer.h"

/* Sets the loss on the device to 0. */
void trainer_clear_loss(struct trainer *t);
/* Assigns the rows of the step to the ranks. Returns the number of this rank's passes, or -1: its
 * micro-batches, or, where the ranks' gradients are summed in each of them, the most that a
 * data-parallel rank has, since these take part in one another's collectives. */
int trainer_share(struct trainer *t, const struct feed_step *s, struct err *e);

/* answers.c: adds the stage of trainer_answers to the plan, if this rank makes answers. */
int answers_init(struct trainer *t, struct err *e);
void answers_bind(struct trainer *t);     /* after the plan is allocated */
void answers_rehearse(struct trainer *t); /* see memory_place */

#endif
