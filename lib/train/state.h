/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints of a run: a Hugging Face folder of the weights, and state/ with all that the next
 * step depends on. */
#ifndef SFT_TRAIN_STATE_H
#define SFT_TRAIN_STATE_H

#include "train/trainer.h"

struct state_context {
    const char *root;    /* <output_dir>/sft_train */
    const char *source;  /* model folder whose config.json and tokenizer files are copied */
    enum hf_dtype dtype; /* of the saved weights: HF_BF16 or HF_F32 */
};
/* Writes checkpoint-<t->step> after the rows that f has given so far. path, if not NULL: free(). */
int state_save(struct trainer *t, const struct state_context *c, const struct feed *f, char **path,
               struct err *e);
/* Restores weights, moments and step from a checkpoint-N folder, after checking its hashes. */
struct state_cursor {
    uint64_t step, checksum; /* of the stream's rows up to there */
};
int state_load(struct trainer *t, const char *checkpoint, struct state_cursor *cursor,
               struct err *e);
/* Brings f, freshly opened, to the cursor; ERR_CONFIG when its rows are others. */
int state_seek(struct feed *f, const struct state_cursor *cursor, struct err *e);

#endif
