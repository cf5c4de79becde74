/* SPDX-License-Identifier: Apache-2.0 */
/* The checkpoints of a run: a Hugging Face folder of the weights, and state/ with all that the next
 * step depends on. restore.h reads them. */
#ifndef SFT_TRAIN_STATE_H
#define SFT_TRAIN_STATE_H

#include "train/trainer.h"

struct state_options {    /* of rank 0, which writes; the others need none but async */
    const char *root;     /* <output_dir>/sft_train */
    const char *source;   /* model folder whose config.json and tokenizer files are copied */
    uint64_t keep;        /* so many checkpoints remain; 0: all */
    const char *settings; /* of settings_write */
    const struct peft_config *adapter; /* not NULL: what is saved is an adapter's folder */
    bool async; /* training goes on while one is written, as far as the device can */
};
struct state;
/* Of an allocated trainer with staging memory, on each rank; its updates then wait for what is
 * being saved. The strings belong to the caller, who closes the state before the trainer. */
struct state *state_open(struct trainer *t, const struct state_options *o, struct err *e);
void state_close(struct state *s); /* waits for a save under way; NULL is fine */

/* Begins to write checkpoint-<t->step>, after the rows that f has given so far. All ranks call it
 * together, and succeed or fail together. -1: this save, or the one before it, failed; what it left
 * is removed, and earlier checkpoints are untouched. */
int state_save(struct state *s, const struct feed *f, struct err *e);
/* As saver_poll and saver_wait, of this rank: reports come to the one that writes. */
int state_poll(struct state *s, struct saver_report *r, struct err *e);
int state_wait(struct state *s, struct saver_report *r, struct err *e);
/* Seconds since the last call for which training stood still. */
double state_stalled(struct state *s);

#endif
