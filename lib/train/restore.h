/* SPDX-License-Identifier: Apache-2.0 */
/* Continuing from a checkpoint: weights, the optimizer's state, the step, and the stream's place.
 */
#ifndef SFT_TRAIN_RESTORE_H
#define SFT_TRAIN_RESTORE_H

#include "train/trainer.h"

struct restore_cursor {
    uint64_t step, checksum; /* of the stream's rows up to there */
    struct buf settings;     /* text of settings_write; empty: it has none. For buf_free */
};
/* Restores weights (of an adapter's run: those that it trains), moments and step from a
 * checkpoint-N folder, after checking its hashes: ERR_DATA when it is damaged; ERR_CONFIG when it
 * is whole, but of another model. */
int restore_load(struct trainer *t, const char *checkpoint, struct restore_cursor *cursor,
                 struct err *e);
/* Brings f, freshly opened, to the cursor; ERR_CONFIG when its rows are others. */
int restore_seek(struct feed *f, const struct restore_cursor *cursor, struct err *e);

#endif
