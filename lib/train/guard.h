/* SPDX-License-Identifier: Apache-2.0 */
/* The guard finds steps whose loss or gradient is not finite, whose loss is far above those before
 * it, or that have no trained token. It runs before the update, so that the weights are still good.
 */
#ifndef SFT_TRAIN_GUARD_H
#define SFT_TRAIN_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "data/feed.h"

enum guard_action { GUARD_WARN, GUARD_SKIP, GUARD_STOP };
enum {
    GUARD_LEAST = 5,   /* fewest losses of a median */
    GUARD_WINDOW = 256 /* most losses of a median */
};
struct guard_options {
    bool skip_nonfinite;
    double spike_factor; /* a loss above this times the median is a spike; 0: none is */
    uint32_t window;     /* losses of the median, GUARD_LEAST to GUARD_WINDOW */
    enum guard_action spike_action;
};
/* Checkpoints store this state: a resumed run must decide as one that was not interrupted. */
struct guard {
    struct guard_options o;
    double losses[GUARD_WINDOW]; /* the last finite losses; loss i lies at i modulo the window */
    uint64_t seen;               /* finite losses so far */
    uint64_t skipped;            /* steps without an update so far */
};
/* The result of checking a step. */
struct guard_finding {
    bool found, skip; /* found: a fault; skip: the update is left out */
    double median;    /* of the losses before a spike; NAN: the fault is no spike */
    char text[600];   /* one line that names the step and some of its rows */
};

void guard_init(struct guard *g, const struct guard_options *o);
/* Checks the update `step`, counted from 1, before it is made. 0 with *f filled; ERR_NONFINITE when
 * the run ends. A step without a trained token is always left out. */
int guard_check(struct guard *g, uint64_t step, const struct feed_step *s, double loss, double norm,
                struct guard_finding *f, struct err *e);
/* Appends [[file,row],...] for all samples of the step. */
void guard_rows(const struct feed_step *s, struct buf *b);

/* Write the guard's state as a JSON object, and read it; NULL is the state of a new run. */
void guard_write(const struct guard *g, struct buf *b);
int guard_read(struct guard *g, const struct json *state, struct err *e);

#endif
