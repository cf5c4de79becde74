/* SPDX-License-Identifier: Apache-2.0 */
/* transformers 5.23, optimization.py: each function here is the lambda of the get_*_schedule* named
 * above it, with the operations in the same order, so that results agree to the last bit. `at` is
 * its current_step. */
#include "train/sched.h"

#include <math.h>

static double or_default(double v, double value) { return isnan(v) ? value : v; }
static double at_least_one(double x) { return x > 1 ? x : 1; }

/* TrainingArguments.get_warmup_steps, with warmup_ratio as it was before transformers 5. */
static double warmup_of(const struct sched_options *o, double steps)
{
    if (o->warmup_steps >= 1) return floor(o->warmup_steps);
    return ceil(steps * (o->warmup_steps > 0 ? o->warmup_steps : o->warmup_ratio));
}

struct sched sched_make(const struct sched_options *o, uint64_t steps)
{
    const double cycles = o->type == SCHED_COSINE_WITH_RESTARTS ? 1 : 0.5;
    struct sched s = {.type = o->type,
                      .rate = o->learning_rate,
                      .warmup = warmup_of(o, (double)steps),
                      .steps = (double)steps,
                      .cycles = or_default(o->num_cycles, cycles),
                      .least = or_default(o->min_lr_rate, or_default(o->min_lr_ratio, 0)),
                      .first = o->warmup_lr_rate,
                      .power = or_default(o->power, 1),
                      .end = or_default(o->lr_end, 1e-7),
                      .decay = (double)o->num_decay_steps,
                      .warmup_curve = o->warmup_type,
                      .decay_curve = o->decay_type};
    if (!isnan(o->min_lr)) s.least = o->min_lr / s.rate;
    s.timescale = o->timescale > 0 ? (double)o->timescale : s.warmup > 0 ? s.warmup : 10000;
    s.stable =
        o->num_stable_steps >= 0 ? (double)o->num_stable_steps : s.steps - s.warmup - s.decay;
    return s;
}

/* The part of the steps after warm-up that is done, 0 to 1. */
static double progress(const struct sched *s, double at)
{
    return (at - s->warmup) / at_least_one(s->steps - s->warmup);
}

/* Maps a factor from [0, 1] to [least, 1]. */
static double above_least(const struct sched *s, double factor)
{
    return fmax(0, factor * (1 - s->least) + s->least);
}

/* get_linear_schedule_with_warmup */
static double linear(const struct sched *s, double at)
{
    return fmax(0, (s->steps - at) / at_least_one(s->steps - s->warmup));
}

/* get_cosine_schedule_with_warmup, get_cosine_with_min_lr_schedule_with_warmup */
static double cosine(const struct sched *s, double at)
{
    return above_least(s, 0.5 * (1 + cos(M_PI * s->cycles * 2 * progress(s, at))));
}

/* get_cosine_with_hard_restarts_schedule_with_warmup */
static double restarts(const struct sched *s, double at)
{
    double p = progress(s, at);
    return p >= 1 ? 0 : fmax(0, 0.5 * (1 + cos(M_PI * fmod(s->cycles * p, 1))));
}

/* get_polynomial_decay_schedule_with_warmup */
static double polynomial(const struct sched *s, double at)
{
    if (at > s->steps || s->steps <= s->warmup) return s->end / s->rate;
    double left = 1 - (at - s->warmup) / (s->steps - s->warmup);
    return ((s->rate - s->end) * pow(left, s->power) + s->end) / s->rate;
}

/* get_inverse_sqrt_schedule */
static double inverse_sqrt(const struct sched *s, double at)
{
    double shift = s->timescale - s->warmup;
    return 1 / sqrt((at + shift) / s->timescale);
}

/* get_cosine_with_min_lr_schedule_with_warmup_lr_rate: warm-up ends on learning_rate itself, and
 * the last step has the last rate. */
static double cosine_from(const struct sched *s, double at)
{
    if (at < s->warmup)
        return isnan(s->first) ? (at + 1) / at_least_one(s->warmup)
                               : s->first + (1 - s->first) * at / at_least_one(s->warmup - 1);
    double p = (at - s->warmup + 1) / at_least_one(s->steps - s->warmup);
    return above_least(s, 0.5 * (1 + cos(M_PI * s->cycles * 2 * p)));
}

/* get_wsd_schedule */
static double stable_then_decay(const struct sched *s, double at)
{
    if (at < s->warmup) {
        double p = at / at_least_one(s->warmup);
        double curve = s->warmup_curve == SCHED_CURVE_LINEAR   ? p
                       : s->warmup_curve == SCHED_CURVE_COSINE ? 0.5 * (1 - cos(M_PI * p))
                                                               : 1 - sqrt(1 - p);
        return above_least(s, curve);
    }
    if (at < s->warmup + s->stable) return 1;
    if (at >= s->warmup + s->stable + s->decay) return s->least;
    double p = (at - s->warmup - s->stable) / at_least_one(s->decay);
    double curve = s->decay_curve == SCHED_CURVE_LINEAR ? 1 - p
                   : s->decay_curve == SCHED_CURVE_COSINE
                       ? 0.5 * (1 + cos(M_PI * s->cycles * 2 * p))
                       : 1 - sqrt(p);
    return above_least(s, curve);
}

static double factor(const struct sched *s, double at)
{
    if (s->type == SCHED_WARMUP_STABLE_DECAY) return stable_then_decay(s, at);
    if (s->type == SCHED_COSINE_WARMUP_WITH_MIN_LR) return cosine_from(s, at);
    if (s->type != SCHED_CONSTANT && at < s->warmup) return at / at_least_one(s->warmup);
    switch (s->type) {
    case SCHED_LINEAR:
        return linear(s, at);
    case SCHED_COSINE:
    case SCHED_COSINE_WITH_MIN_LR:
        return cosine(s, at);
    case SCHED_COSINE_WITH_RESTARTS:
        return restarts(s, at);
    case SCHED_POLYNOMIAL:
        return polynomial(s, at);
    case SCHED_INVERSE_SQRT:
        return inverse_sqrt(s, at);
    default: /* constant, constant_with_warmup */
        return 1;
    }
}

double sched_rate(const struct sched *s, uint64_t k) { return s->rate * factor(s, (double)k - 1); }
