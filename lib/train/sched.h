/* SPDX-License-Identifier: Apache-2.0 */
/* Learning rates: the schedules of transformers, to the last bit of their formulas. */
#ifndef SFT_TRAIN_SCHED_H
#define SFT_TRAIN_SCHED_H

#include <stdint.h>

#include "config/config.h"

struct sched {
    enum config_schedule kind;
    double rate;          /* learning_rate, which a factor multiplies */
    double warmup, steps; /* whole numbers; steps: of the run */
    double cycles;        /* num_cycles */
    double least;         /* the factor that decay ends at: min_lr / rate, min_lr_ratio */
    double first;         /* warmup_lr_rate; NAN: not set */
    double power, end;    /* of the polynomial; end is a rate */
    double timescale;     /* of the inverse square root, in steps */
    double stable, decay; /* steps of warmup_stable_decay; stable may be below 0 */
    enum config_curve warmup_curve, decay_curve;
};
/* The schedule that training_args of c tells, over the steps of a run. warmup_steps when > 0 (a
 * part of the steps when below 1), else warmup_ratio of the steps; parts are rounded up.
 * config_check_trainable has passed c. */
struct sched sched_make(const struct config *c, uint64_t steps);
/* Of update k, from 1: rate times transformers' lambda(k - 1). */
double sched_rate(const struct sched *s, uint64_t k);

#endif
