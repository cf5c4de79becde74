/* SPDX-License-Identifier: Apache-2.0 */
/* The best checkpoint of a run and early stopping, by the rules of transformers with the validation
 * loss as the metric. */
#ifndef SFT_TRAIN_BEST_H
#define SFT_TRAIN_BEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/json.h"

struct best_options {
    bool on;           /* false: the run has no best checkpoint */
    uint64_t patience; /* early_stopping_patience; 0: the run does not end early */
    double threshold;  /* early_stopping_threshold */
};
/* Checkpoints store this state: a resumed run must decide as one that was not interrupted. */
struct best {
    struct best_options o;
    uint64_t seen;   /* validations after an update */
    double least;    /* validation loss of all these; INFINITY: none was finite */
    uint64_t waited; /* validations in a row, up to the last, without an improvement */
    uint64_t step;   /* of the best checkpoint; 0: none */
    double loss;     /* its validation loss; INFINITY: none */
};

void best_init(struct best *b, const struct best_options *o);
/* Takes the loss of a validation after `step` updates. saved: the schedule of the run saves this
 * step; if the run ends early here, the step is saved in any case. */
void best_see(struct best *b, uint64_t step, double loss, bool saved);
/* True if the run ends early: `patience` validations in a row did not improve. */
bool best_ends(const struct best *b);
/* The best checkpoint is lost: the next that is saved with a validation takes its place. */
void best_forget(struct best *b);

/* Write the state as a JSON object, and read it; NULL is the state of a new run. */
void best_write(const struct best *b, struct buf *out);
int best_read(struct best *b, const struct json *state, struct err *e);

#endif
