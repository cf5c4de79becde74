/* SPDX-License-Identifier: Apache-2.0 */
/* Which schedule takes which of lr_scheduler_kwargs: the signatures of get_*_schedule* in
 * transformers' optimization.py, whose mismatch is a TypeError there. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/opt.h"
#include "config/load.h"

#define TRAINING "sft_train.training_args.lr_scheduler_kwargs."
#define STRATEGY "sft_train.strategy_args.strategy_config.lr_scheduler_kwargs."

enum { MOST = 6 };
struct signature {
    const char *takes[MOST + 1];
};
static const struct signature signatures[] = {
    [CONFIG_LINEAR] = {{NULL}},
    [CONFIG_COSINE] = {{"num_cycles"}},
    [CONFIG_CONSTANT] = {{NULL}},
    [CONFIG_CONSTANT_WARMUP] = {{NULL}},
    [CONFIG_COSINE_RESTARTS] = {{"num_cycles"}},
    [CONFIG_POLYNOMIAL] = {{"lr_end", "power"}},
    [CONFIG_INVERSE_SQRT] = {{"timescale"}},
    [CONFIG_COSINE_MIN] = {{"num_cycles", "min_lr", "min_lr_rate"}},
    [CONFIG_COSINE_WARMUP_MIN] = {{"num_cycles", "min_lr", "min_lr_rate", "warmup_lr_rate"}},
    [CONFIG_WSD] = {{"num_decay_steps", "num_stable_steps", "warmup_type", "decay_type",
                     "min_lr_ratio", "num_cycles"}},
};

void schedule_unset(struct config_schedule_kwargs *k)
{
    *k = (struct config_schedule_kwargs){.num_cycles = NAN,
                                         .power = NAN,
                                         .lr_end = NAN,
                                         .min_lr = NAN,
                                         .min_lr_rate = NAN,
                                         .warmup_lr_rate = NAN,
                                         .min_lr_ratio = NAN,
                                         .timescale = -1,
                                         .num_decay_steps = -1,
                                         .num_stable_steps = -1,
                                         .decay_type = CONFIG_CURVE_COSINE};
}

/* The name of the schedule, of CONFIG_SCHEDULE_WORDS. */
static void schedule_name(enum config_schedule kind, char *out, size_t size)
{
    const char *p = CONFIG_SCHEDULE_WORDS;
    for (int i = 0; i < (int)kind; i++) p += strcspn(p, "|") + 1;
    snprintf(out, size, "%.*s", (int)strcspn(p, "|"), p);
}

/* The first schedule that takes it. */
static void owner_of(const char *kwarg, char *out, size_t size)
{
    snprintf(out, size, "no schedule");
    for (size_t k = 0; k < sizeof signatures / sizeof *signatures; k++)
        for (const char *const *w = signatures[k].takes; *w; w++)
            if (!strcmp(*w, kwarg)) {
                schedule_name((enum config_schedule)k, out, size);
                return;
            }
}

static int not_taken(const struct setting *s, const char *schedule, const struct signature *sig,
                     const char *name, struct err *e)
{
    char list[200] = "";
    size_t n = 0;
    for (const char *const *w = sig->takes; *w && n < sizeof list; w++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", *w);
    const char *near = opt_nearest(name, sig->takes);
    char owner[40];
    owner_of(name, owner, sizeof owner);
    if (near)
        return node_fail(s->node, s->path, e, "%s takes %s; did you mean %s?", schedule, list,
                         near);
    return node_fail(s->node, s->path, e, "%s takes %s; it is an argument of %s", schedule,
                     n ? list : "no arguments", owner);
}

static int check_setting(const struct setting *s, enum config_schedule kind, struct err *e)
{
    const struct signature *sig = &signatures[kind];
    char name[40];
    const char *leaf = strrchr(s->path, '.') + 1;
    if (s->idle || s->key->effect != KEY_USED ||
        (strncmp(s->path, TRAINING, sizeof TRAINING - 1) &&
         strncmp(s->path, STRATEGY, sizeof STRATEGY - 1)))
        return 0;
    for (const char *const *w = sig->takes; *w; w++)
        if (!strcmp(*w, leaf)) return 0;
    schedule_name(kind, name, sizeof name);
    return not_taken(s, name, sig, leaf, e);
}

static int fail(const struct loaded *l, struct err *e, const char *text)
{
    const struct setting *s = setting_of(l, "sft_train.training_args.lr_scheduler_type");
    char name[40];
    if (!s) s = setting_of(l, "sft_train.strategy_args.strategy_config.lr_scheduler_type");
    schedule_name(l->c.sft_train.training_args.lr_scheduler_type, name, sizeof name);
    return node_fail(s ? s->node : l->tree.root, s ? s->path : NULL, e, "%s %s", name, text);
}

int schedule_check(const struct loaded *l, struct err *e)
{
    const enum config_schedule kind = l->c.sft_train.training_args.lr_scheduler_type;
    const double rate = l->c.sft_train.training_args.learning_rate;
    const struct config_schedule_kwargs *k = &l->c.sft_train.training_args.lr_scheduler_kwargs;
    if (kind == CONFIG_PLATEAU || kind == CONFIG_GREEDY) return 0; /* never followed */
    for (size_t i = 0; i < l->count; i++)
        if (check_setting(&l->settings[i], kind, e)) return -1;
    if (kind == CONFIG_COSINE_MIN || kind == CONFIG_COSINE_WARMUP_MIN) {
        if (isnan(k->min_lr) && isnan(k->min_lr_rate))
            return fail(l, e, "needs one of min_lr and min_lr_rate in lr_scheduler_kwargs");
        if (!isnan(k->min_lr) && !isnan(k->min_lr_rate))
            return fail(l, e, "takes only one of min_lr and min_lr_rate");
        if (!isnan(k->min_lr) && rate <= 0)
            return fail(l, e, "with min_lr needs a learning_rate above 0");
    }
    if (kind == CONFIG_POLYNOMIAL && !(rate > (isnan(k->lr_end) ? 1e-7 : k->lr_end)))
        return fail(l, e, "needs a learning_rate above lr_end (1e-7 where that is not set)");
    if (kind == CONFIG_WSD && k->num_decay_steps < 0)
        return fail(l, e, "needs num_decay_steps in lr_scheduler_kwargs");
    return 0;
}
