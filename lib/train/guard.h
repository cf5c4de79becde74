/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: what to do about a step whose loss or gradient is not finite, whose loss is far above
 * those before it, or that has no trained token. They look before the update, so that the weights
 * are still good. */
#ifndef SFT_TRAIN_GUARD_H
#define SFT_TRAIN_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "data/feed.h"

enum guard_action { GUARD_WARN, GUARD_SKIP, GUARD_STOP };
enum {
    GUARD_LEAST = 5,   /* losses that a median is taken of, at least */
    GUARD_WINDOW = 256 /* and at most */
};
struct guard_options {
    bool skip_nonfinite;
    double spike_factor; /* a spike is above this times the median; 0: none is */
    uint32_t window;     /* of the losses of so many steps, GUARD_LEAST to GUARD_WINDOW */
    enum guard_action spike_action;
};
/* Part of the state of a run: a resumed one must judge as if it had not been interrupted. */
struct guard {
    struct guard_options o;
    double losses[GUARD_WINDOW]; /* the last finite ones; loss i lies at i modulo the window */
    uint64_t seen;               /* finite losses so far */
    uint64_t skipped;            /* steps without an update so far */
};
/* What is wrong with a step. */
struct guard_finding {
    bool found, skip; /* skip: no update shall be made */
    double median;    /* of the losses before a spike; NAN: it is none */
    char text[600];   /* one line that names the step and some of its rows */
};

void guard_init(struct guard *g, const struct guard_options *o);
/* step: from 1, the update that is about to be made. 0 with *f filled; ERR_NONFINITE when the run
 * shall end. A step without a trained token is always left out, whatever loss and norm are. */
int guard_check(struct guard *g, uint64_t step, const struct feed_step *s, double loss, double norm,
                struct guard_finding *f, struct err *e);
/* [[file,row],...] of all samples of the step. */
void guard_rows(const struct feed_step *s, struct buf *b);

/* The guard's state as a JSON object, and back; an absent one (NULL) is that of a fresh run. */
void guard_write(const struct guard *g, struct buf *b);
int guard_read(struct guard *g, const struct json *state, struct err *e);

#endif
