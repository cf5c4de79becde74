/* SPDX-License-Identifier: Apache-2.0 */
/* The options with which a run fits into memory. */
#ifndef SFT_TRAIN_FIT_H
#define SFT_TRAIN_FIT_H

#include "train/trainer.h"

/* The bytes that a plan may take: of the device's memory, and of the host's, which is the device's
 * too unless it is a GPU; then host is not read. */
struct trainer_room {
    uint64_t device, host;
};
bool trainer_has_room(const struct plan *p, const struct device *d,
                      const struct trainer_room *room);

/* Finds options that cost least beside *o and whose plan has the room: on several ranks ZeRO-1, more
 * recomputation, then smaller micro-batches, then smaller buffers for saving and reading, then all
 * of these with ZeRO-3, and only then what changes the result: a less exact state of the optimizer.
 * rows: rows of length o->length that o->tokens holds; fewer rows divide it. true with *out filled;
 * false when no such options are enough. */
bool trainer_fit(const struct trainer_options *o, int64_t rows, const struct model *m,
                 struct mesh *mesh, struct device *d, const struct trainer_room *room,
                 struct trainer_options *out);

#endif
