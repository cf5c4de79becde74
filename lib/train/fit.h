/* SPDX-License-Identifier: Apache-2.0 */
/* The options with which a run fits into memory. */
#ifndef SFT_TRAIN_FIT_H
#define SFT_TRAIN_FIT_H

#include "train/trainer.h"

/* Finds options that cost least beside *o and whose plan has at most `bytes` bytes: a sharded
 * optimizer, more recomputation, then smaller micro-batches, then smaller buffers for saving and
 * reading, and only then what changes the result: a less exact state of the optimizer. rows: rows
 * of length o->length that o->tokens holds; fewer rows divide it. true with *out filled; false when
 * no such options are enough. */
bool trainer_fit(const struct trainer_options *o, int64_t rows, const struct model *m,
                 struct mesh *mesh, struct device *d, uint64_t bytes, struct trainer_options *out);

#endif
