/* SPDX-License-Identifier: Apache-2.0 */
/* Learning rates: the schedules of transformers, to the last bit of their formulas. */
#ifndef SFT_TRAIN_SCHED_H
#define SFT_TRAIN_SCHED_H

#include <stdint.h>

/* transformers' names. */
enum sched_type {
    SCHED_LINEAR,
    SCHED_COSINE,
    SCHED_CONSTANT,
    SCHED_CONSTANT_WITH_WARMUP,
    SCHED_COSINE_WITH_RESTARTS,
    SCHED_POLYNOMIAL,
    SCHED_INVERSE_SQRT,
    SCHED_COSINE_WITH_MIN_LR,
    SCHED_COSINE_WARMUP_WITH_MIN_LR,
    SCHED_WARMUP_STABLE_DECAY
};
enum sched_curve { SCHED_CURVE_LINEAR, SCHED_CURVE_COSINE, SCHED_CURVE_1_SQRT };

/* A schedule as it is configured. A real number that is not set is NAN, a count -1: what stands for
 * it depends on the type. */
struct sched_options {
    enum sched_type type;
    double learning_rate;
    double warmup_steps; /* below 1: a part of all steps; 0: warmup_ratio tells */
    double warmup_ratio; /* a part of all steps, rounded up */
    double num_cycles, power, lr_end, min_lr, min_lr_rate, warmup_lr_rate, min_lr_ratio;
    int64_t timescale, num_decay_steps, num_stable_steps;
    enum sched_curve warmup_type, decay_type;
};
struct sched {
    enum sched_type type;
    double rate;          /* learning_rate, which a factor multiplies */
    double warmup, steps; /* whole numbers; steps: of the run */
    double cycles;        /* num_cycles */
    double least;         /* last factor of a decay: min_lr / rate, min_lr_rate or min_lr_ratio */
    double first;         /* warmup_lr_rate; NAN: not set */
    double power, end;    /* of the polynomial; end is a rate */
    double timescale;     /* of the inverse square root, in steps */
    double stable, decay; /* steps of warmup_stable_decay; stable may be below 0 */
    enum sched_curve warmup_curve, decay_curve;
};
/* The schedule over the steps of a run. */
struct sched sched_make(const struct sched_options *o, uint64_t steps);
/* The rate of update k, from 1: learning_rate times transformers' lambda(k - 1). */
double sched_rate(const struct sched *s, uint64_t k);

#endif
