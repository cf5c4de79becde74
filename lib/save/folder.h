/* SPDX-License-Identifier: Apache-2.0 */
/* The folders of a run: their names and locks, what exists in them, and the checkpoint to resume
 * from. */
#ifndef SFT_SAVE_FOLDER_H
#define SFT_SAVE_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/mem.h"

/* The part of a config.yaml that tells which run wrote it. A string is NULL when it is absent. */
struct run_owner {
    const char *id;      /* the same for all processes of the run */
    const char *output;  /* its output_dir, absolute */
    const char *logs;    /* the folder of the file, absolute */
    const char *process; /* the last process of the run: its number, its machine, */
    const char *host;    /*   and when it began, in UTC */
    const char *started;
    const char *output_dir; /* as it was typed; never written */
    struct arena memory;    /* of the strings, after read */
};
/* The names in a configuration, and how its config.yaml is read and written. */
struct run_names {
    const char *output_dir, *logging_dir, *exp_name;
    bool tensorboard;   /* event files are written */
    const char *events; /* the folder of their folders; NULL: logging_dir/tensorboard */
    /* *o = the owner that the file names, with memory for arena_free; empty when it names none. */
    int (*read)(void *arg, const char *path, struct run_owner *o, struct err *e);
    /* Appends the text of config.yaml with this owner. */
    int (*write)(void *arg, const struct run_owner *o, struct buf *text, struct err *e);
    void *arg;
};
struct run_folder {
    char *output;      /* <output_dir> */
    char *root;        /* <output_dir>/sft_train: checkpoints */
    char *logs;        /* <logging_dir>/<exp_name> */
    char *metrics;     /* logs/metrics.jsonl */
    char *samples;     /* logs/samples.jsonl */
    char *log;         /* logs/log */
    char *tensorboard; /* folder of event files; NULL when not tracked there */
    char *id;          /* of the run: the same for all processes that continue it */
    char *resume;      /* checkpoint-N to continue from; NULL: none */
    uint64_t step;     /* N, else 0 */
    bool automatic;    /* resume was chosen, not named: an older one may replace it */
    bool again;        /* the run begins anew where an earlier attempt left logs */
    struct buf aside;  /* names of incomplete checkpoints that were set aside, for a message */
    struct buf
        kept; /* new names of an earlier attempt's metrics.jsonl and config.yaml, for a message */
    int lock; /* of root; -1: none, or the process that started this one holds it */
    int logs_lock; /* of the logs: two runs must not write one metrics.jsonl */
};
#define RUN_FOLDER_NONE ((struct run_folder){.lock = -1, .logs_lock = -1})
/* Creates and locks the folders, and writes config.yaml with the run's id.
 * resume: NULL, "auto" or a checkpoint-N folder. Without it, checkpoints of an earlier run are
 * ERR_CREATE; so are logs of another run in any case. lent: as of io_lock_named(). */
int run_folder_open(struct run_folder *f, const struct run_names *n, const char *resume,
                    const char *lent, struct err *e);
/* Makes the checks of run_folder_open, but creates only root and its lock file. Releases the lock,
 * unless it was lent. *resumes: there is a checkpoint to continue from. */
int run_folder_check(const struct run_names *n, const char *resume, const char *lent, bool *resumes,
                     struct err *e);
/* Sets f->resume, which turned out damaged, aside as damaged-checkpoint-N; f->resume becomes the
 * checkpoint before it, or NULL. */
int run_folder_fall_back(struct run_folder *f, const struct run_names *n, struct err *e);
void run_folder_close(struct run_folder *f);

#endif
