/* SPDX-License-Identifier: Apache-2.0 */
/* Checks lr_scheduler_kwargs against the schedule: the signatures of get_*_schedule* in
 * optimization.py of transformers, where a mismatch is a TypeError. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/opt.h"
#include "config/load.h"

#define TRAINING "sft_train.training_args.lr_scheduler_kwargs."
#define STRATEGY "sft_train.strategy_args.strategy_config.lr_scheduler_kwargs."

enum { MOST = 6 };
struct signature {
    const char *schedule, *takes[MOST + 1];
};
static const struct signature signatures[] = {
    {"linear", {NULL}},
    {"cosine", {"num_cycles"}},
    {"constant", {NULL}},
    {"constant_with_warmup", {NULL}},
    {"cosine_with_restarts", {"num_cycles"}},
    {"polynomial", {"lr_end", "power"}},
    {"inverse_sqrt", {"timescale"}},
    {"cosine_with_min_lr", {"num_cycles", "min_lr", "min_lr_rate"}},
    {"cosine_warmup_with_min_lr", {"num_cycles", "min_lr", "min_lr_rate", "warmup_lr_rate"}},
    {"warmup_stable_decay",
     {"num_decay_steps", "num_stable_steps", "warmup_type", "decay_type", "min_lr_ratio",
      "num_cycles"}},
};
enum { SIGNATURES = sizeof signatures / sizeof *signatures };

/* NULL for a schedule that is never followed. */
static const struct signature *signature_of(const char *schedule)
{
    for (size_t i = 0; i < SIGNATURES; i++)
        if (!strcmp(signatures[i].schedule, schedule)) return &signatures[i];
    return NULL;
}

static bool takes(const struct signature *sig, const char *kwarg)
{
    for (const char *const *w = sig->takes; *w; w++)
        if (!strcmp(*w, kwarg)) return true;
    return false;
}

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
                                         .warmup_type = "linear",
                                         .decay_type = "cosine"};
}

/* The first schedule that takes it. */
static const char *owner_of(const char *kwarg)
{
    for (size_t k = 0; k < SIGNATURES; k++)
        if (takes(&signatures[k], kwarg)) return signatures[k].schedule;
    return "no schedule";
}

static int not_taken(const struct setting *s, const struct signature *sig, const char *name,
                     struct err *e)
{
    char list[200] = "";
    size_t n = 0;
    for (const char *const *w = sig->takes; *w && n < sizeof list; w++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", *w);
    const char *near = opt_nearest(name, sig->takes);
    if (near)
        return node_fail(s->node, s->path, e, "%s takes %s; did you mean %s?", sig->schedule, list,
                         near);
    return node_fail(s->node, s->path, e, "%s takes %s; it is an argument of %s", sig->schedule,
                     n ? list : "no arguments", owner_of(name));
}

static int check_setting(const struct setting *s, const struct signature *sig, struct err *e)
{
    if (s->idle || s->key->effect != KEY_USED ||
        (strncmp(s->path, TRAINING, sizeof TRAINING - 1) &&
         strncmp(s->path, STRATEGY, sizeof STRATEGY - 1)))
        return 0;
    const char *leaf = strrchr(s->path, '.') + 1; /* the prefixes end in one */
    if (takes(sig, leaf)) return 0;
    return not_taken(s, sig, leaf, e);
}

static int fail(const struct loaded *l, struct err *e, const char *text)
{
    const struct setting *s = setting_of(l, "sft_train.training_args.lr_scheduler_type");
    if (!s) s = setting_of(l, "sft_train.strategy_args.strategy_config.lr_scheduler_type");
    return node_fail(s ? s->node : l->tree.root, s ? s->path : NULL, e, "%s %s",
                     l->c.sft_train.training_args.lr_scheduler_type, text);
}

int schedule_check(const struct loaded *l, struct err *e)
{
    const struct signature *sig = signature_of(l->c.sft_train.training_args.lr_scheduler_type);
    const double rate = l->c.sft_train.training_args.learning_rate;
    const struct config_schedule_kwargs *k = &l->c.sft_train.training_args.lr_scheduler_kwargs;
    if (!sig) return 0;
    for (size_t i = 0; i < l->count; i++)
        if (check_setting(&l->settings[i], sig, e)) return -1;
    if (takes(sig, "min_lr")) {
        if (isnan(k->min_lr) && isnan(k->min_lr_rate))
            return fail(l, e, "needs one of min_lr and min_lr_rate in lr_scheduler_kwargs");
        if (!isnan(k->min_lr) && !isnan(k->min_lr_rate))
            return fail(l, e, "takes only one of min_lr and min_lr_rate");
        if (!isnan(k->min_lr) && rate <= 0)
            return fail(l, e, "with min_lr needs a learning_rate above 0");
    }
    if (takes(sig, "lr_end") && !(rate > (isnan(k->lr_end) ? 1e-7 : k->lr_end)))
        return fail(l, e, "needs a learning_rate above lr_end (1e-7 where that is not set)");
    if (takes(sig, "num_decay_steps") && k->num_decay_steps < 0)
        return fail(l, e, "needs num_decay_steps in lr_scheduler_kwargs");
    return 0;
}
