/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a checkpoint that saver.h wrote: first its place in the run, then its tensors. */
#ifndef SFT_SAVE_RESTORE_H
#define SFT_SAVE_RESTORE_H

#include "base/buf.h"
#include "base/json.h"
#include "save/layout.h"

/* The place of a checkpoint in its run: step, and the checksum of the stream's rows up to there. */
struct restore_cursor {
    uint64_t step, checksum;
    const struct json *guard, *settings; /* the texts of saver_point; NULL: absent */
    const struct json *best;             /* the same for the best checkpoint's state */
    const struct json *gpu;              /* what is recorded of the GPU; NULL: there was none */
    const struct json *tokenizer, *global_batch; /* of its stream; NULL: not recorded */
    char *path;                                  /* of run.json, for messages */
    struct arena tree;                           /* what they lie in */
};
/* Checks the hashes of a checkpoint-N folder and reads its place; *c is empty, and released with
 * restore_cursor_free in any case. ERR_DATA: the checkpoint is damaged; ERR_CONFIG: it is whole,
 * but its run.json is not valid. */
int restore_cursor_read(const char *checkpoint, struct restore_cursor *c, struct err *e);
/* Appends what is not as it was of the GPU and of CUDA, one line; nothing where all is. now: NULL
 * is the CPU. */
int restore_gpu_changes(const struct restore_cursor *c, const struct device_card *now,
                        struct buf *b, struct err *e);
void restore_cursor_free(struct restore_cursor *c);

/* Reads the weights (with an adapter: those that are trained) and the optimizer's state, `part`,
 * from a checkpoint whose hashes are checked. ERR_CONFIG: it is of another model or optimizer. */
int restore_tensors(const char *checkpoint, struct weights *w, const struct save_part *part,
                    int nparts, struct err *e);

#endif
