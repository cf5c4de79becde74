/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that training and validation share. Internal to lib/train. */
#ifndef SFT_TRAIN_TRAINER_IMPL_H
#define SFT_TRAIN_TRAINER_IMPL_H

#include "train/trainer.h"

/* Sets the loss on the device to 0. */
void trainer_clear_loss(struct trainer *t);
/* Deals the rows of the step to the ranks. Returns the number of this rank's micro-batches, or -1.
 */
int trainer_share(struct trainer *t, const struct feed_step *s, struct err *e);

#endif
