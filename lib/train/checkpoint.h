/* SPDX-License-Identifier: Apache-2.0 */
/* The trainer's side of checkpoints: save/saver.h writes them and save/restore.h reads them. */
#ifndef SFT_TRAIN_CHECKPOINT_H
#define SFT_TRAIN_CHECKPOINT_H

#include "save/restore.h"
#include "save/saver.h"
#include "train/best.h"
#include "train/trainer.h"

/* A saver of an allocated trainer with staging memory, on each rank; updates then wait for what is
 * being saved. o: async, and what the rank that writes needs; the rest is set here. */
struct saver *checkpoint_open(struct trainer *t, struct saver_options o, struct err *e);
/* Before trainer_close; waits for a save under way. s NULL is fine. */
void checkpoint_close(struct trainer *t, struct saver *s);
/* As saver_save: begins to write checkpoint-<t->step>, after the rows that f has handed out.
 * settings: a JSON text. */
int checkpoint_save(struct trainer *t, struct saver *s, const struct feed *f, const struct best *b,
                    const char *settings, struct err *e);
/* Restores weights (with an adapter: those that are trained), the optimizer's state, the guard and
 * the step from a checkpoint-N folder. *c is the checkpoint's cursor, released with
 * restore_cursor_free in any case. ERR_DATA: the checkpoint is damaged; ERR_CONFIG: it is whole,
 * but this run cannot use it. */
int checkpoint_load(struct trainer *t, const char *checkpoint, struct restore_cursor *c,
                    struct err *e);

#endif
