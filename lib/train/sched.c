/* SPDX-License-Identifier: Apache-2.0 */
/* transformers, optimization.py: get_{linear,cosine,constant}_schedule*; update k uses lambda(k-1).
 */
#include "train/sched.h"

#include <math.h>

struct sched sched_make(enum sched_kind kind, double rate, uint64_t steps, uint64_t warmup_steps,
                        double warmup_ratio)
{
    struct sched s = {.kind = kind, .rate = rate, .warmup = warmup_steps, .steps = steps};
    if (!warmup_steps) s.warmup = (uint64_t)ceil((double)steps * warmup_ratio);
    return s;
}

static double at_least_one(double x) { return x > 1 ? x : 1; }

double sched_rate(const struct sched *s, uint64_t k)
{
    const double at = (double)k - 1, warmup = (double)s->warmup, steps = (double)s->steps;
    if (s->kind != SCHED_CONSTANT && at < warmup) return s->rate * (at / at_least_one(warmup));
    if (s->kind == SCHED_LINEAR)
        return s->rate * fmax(0, (steps - at) / at_least_one(steps - warmup));
    if (s->kind == SCHED_COSINE) {
        double progress = (at - warmup) / at_least_one(steps - warmup);
        return s->rate * fmax(0, 0.5 * (1 + cos(M_PI * 0.5 * 2 * progress)));
    }
    return s->rate;
}
