/* SPDX-License-Identifier: Apache-2.0 */
/* Learning rates: the schedules of transformers, to the last bit of their formulas. */
#ifndef SFT_TRAIN_SCHED_H
#define SFT_TRAIN_SCHED_H

#include <stdint.h>

enum sched_kind { SCHED_LINEAR, SCHED_COSINE, SCHED_CONSTANT, SCHED_CONSTANT_WARMUP };
struct sched {
    enum sched_kind kind;
    double rate;            /* the highest */
    uint64_t warmup, steps; /* of the run */
};
/* warmup_steps when > 0, else warmup_ratio of the steps rounded up. */
struct sched sched_make(enum sched_kind kind, double rate, uint64_t steps, uint64_t warmup_steps,
                        double warmup_ratio);
/* Of update k, from 1. */
double sched_rate(const struct sched *s, uint64_t k);

#endif
