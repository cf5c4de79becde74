/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of a run: steps, validation, metrics, checkpoints. */
#ifndef SFT_TRAIN_LOOP_H
#define SFT_TRAIN_LOOP_H

#include "data/feed_check.h"
#include "save/saver.h"
#include "track/track.h"
#include "train/best.h"
#include "train/eta.h"
#include "train/sched.h"
#include "train/trainer.h"

/* Functions of the caller; each may be NULL. */
struct loop_hooks {
    void *arg;
    void (*say)(void *arg, const char *text);  /* a warning */
    void (*note)(void *arg, const char *text); /* information */
    /* progress, with the seconds that the run still takes */
    void (*step)(void *arg, uint64_t done, uint64_t total, const char *note, double left);
    /* what goes on beside the steps, and how much of it is done (all 0: not known) */
    void (*doing)(void *arg, const char *what, uint64_t done, uint64_t all);
    /* Answers the prompts of the run, after each validation or when one would be due; called on all
     * ranks; all have it or none. */
    int (*answer)(void *arg, struct err *e);
    bool (*stop)(void *arg); /* true: end after this step, with a checkpoint */
};
/* The number of steps, and how often they are followed by something else. */
struct loop_options {
    uint64_t max_steps;     /* updates of the run; 0: as many as the stream has steps */
    uint64_t eval_steps;    /* between validations and answers; 0: only before the first step and
                               after the last */
    uint64_t save_steps;    /* between checkpoints; 0: only after the last */
    uint64_t logging_steps; /* between steps that metrics.jsonl marks; at least 1 */
};
struct loop {
    struct loop_options o;
    struct trainer *trainer;
    struct feed *train;
    struct model_vocab vocab; /* of the streams */
    const char *validation;   /* path of a stream, read anew each time; NULL: none */
    struct feed_wanted validation_wanted;
    struct track *track;
    struct saver *saver;
    const char *settings; /* JSON text, for the checkpoints */
    struct best *best;    /* initialized, or as the checkpoint to continue from has it */
    struct sched sched;
    double peak;    /* highest FLOP/s of this device's matrix products so far; begin with 0 */
    unsigned peaks; /* measurements so far */
    struct eta eta; /* set by loop_run */
    struct loop_hooks hooks;
};
struct loop_result {
    uint64_t steps, tokens, label_tokens; /* done by this process */
    double seconds, flops;                /* of training steps */
    double loss;                          /* of the last step with a trained token; NAN: none */
    double val_before, val_after;         /* NAN: none */
    char *checkpoint;                     /* the last one written; mem_free() */
    double saved_bytes, saving;           /* of all checkpoints, with the seconds of writing them */
    bool stopped;                         /* hooks.stop asked for it; the run can be resumed */
    bool early;                           /* best_ends: the run is done before its last step */
};
/* The steps of the whole run: those of the stream, or max_steps when that is fewer. */
uint64_t loop_steps(const struct loop_options *o, const struct stream_header *h);
/* Runs the steps after trainer->step, which the stream `train` has been moved to. No checkpoint is
 * written before a weight has changed; a run that changes none is ERR_DATA, or ERR_NONFINITE where
 * the guard left out every step. A validation loss that is not finite is ERR_NONFINITE, unless the
 * guard's skip_nonfinite is set. A run whose checkpoint says that it ended early does no step. */
int loop_run(struct loop *l, struct loop_result *r, struct err *e);

#endif
