/* SPDX-License-Identifier: Apache-2.0 */
/* The folders of a run: what exists already, locking, where logs go, where to resume. */
#ifndef SFT_TRAIN_FOLDER_H
#define SFT_TRAIN_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "config/config.h"

struct run_folder {
    char *root;        /* <output_dir>/sft_train: checkpoints */
    char *logs;        /* <logging_dir>/<exp_name> */
    char *metrics;     /* logs/metrics.jsonl */
    char *log;         /* logs/log */
    char *tensorboard; /* folder of event files; NULL when not tracked there */
    char *resume;      /* checkpoint-N to continue from; NULL: none */
    uint64_t step;     /* N, else 0 */
    bool automatic;    /* resume was chosen, not named: an older one may take its place */
    struct buf aside;  /* names of incomplete checkpoints that were set aside; the caller tells */
    int lock;          /* of root; -1: not held */
    int logs_lock;     /* two runs must not write one metrics.jsonl either */
};
#define RUN_FOLDER_NONE ((struct run_folder){.lock = -1, .logs_lock = -1})
/* Creates and locks the folders and writes config.yaml. resume: NULL, "auto" or a checkpoint-N
 * folder. Without it, checkpoints of an earlier run are ERR_CREATE. */
int run_folder_open(struct run_folder *f, const struct config *c, const char *resume,
                    struct err *e);
/* f->resume turned out bad: it is set aside as damaged-checkpoint-N and f->resume becomes the one
 * before it, or NULL. So is, with "auto", whatever is newer than f->resume: it is not complete. */
int run_folder_fall_back(struct run_folder *f, struct err *e);
void run_folder_close(struct run_folder *f);

#endif
