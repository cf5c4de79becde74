/* SPDX-License-Identifier: Apache-2.0 */
/* Derives the optimizer from the arguments of Hugging Face and Megatron. */
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "config/load.h"

#define OPTIM      "sft_train.training_args.optim"
#define OPTIM_ARGS "sft_train.training_args.optim_args"
#define MEGATRON   "sft_train.strategy_args.strategy_config.optimizer"

/* OptimizerConfig.sgd_momentum of Megatron-LM, which ROLL does not expose; torch.optim.SGD has 0.
 */
static const double megatron_momentum = 0.9;

static int fail(const struct loaded *l, const char *key, struct err *e, const char *text)
{
    const struct setting *s = setting_of(l, key);
    return node_fail(s ? s->node : l->tree.root, key, e, "%s", text);
}

static int truth(const char *word, bool *v)
{
    *v = config_word_in(word, "true|True|1|yes");
    return *v || config_word_in(word, "false|False|0|no") ? 0 : -1;
}

static bool part_of_one(const char *text, double *v)
{
    return num_f64(text, v) == 0 && *v >= 0 && *v <= 1;
}

/* Stores one "key=value". Returns NULL, or the error. */
static const char *argument(struct config_optimizer *o, const char *key, const char *value)
{
    if (!strcmp(key, "momentum"))
        return part_of_one(value, &o->momentum) && o->momentum < 1
                   ? NULL
                   : "momentum has to be at least 0 and below 1";
    if (!strcmp(key, "dampening"))
        return part_of_one(value, &o->dampening) ? NULL : "dampening has to be from 0 to 1";
    if (!strcmp(key, "nesterov"))
        return truth(value, &o->nesterov) == 0 ? NULL : "nesterov has to be true or false";
    if (!strcmp(key, "weight_decay")) return "set weight_decay in training_args";
    return "sgd takes momentum, dampening and nesterov, as in momentum=0.9,nesterov=true";
}

/* Parses "momentum=0.9, nesterov=true", as transformers does: blanks are ignored. */
static const char *arguments(struct config_optimizer *o, const char *text)
{
    char word[64];
    for (const char *p = text; *p;) {
        size_t n = 0;
        for (; *p && *p != ','; p++) {
            if (*p == ' ') continue;
            if (n + 1 == sizeof word) return "an argument is too long";
            word[n++] = *p;
        }
        word[n] = 0;
        if (*p == ',' && !*++p) return "an argument is missing after the last comma";
        char *eq = strchr(word, '=');
        if (!eq) return "write key=value, with commas between them";
        *eq = 0;
        const char *problem = argument(o, word, eq + 1);
        if (problem) return problem;
    }
    return NULL;
}

/* A computation in fp32 has nothing in bf16 beside it, except moments. */
static int narrow_types(struct loaded *l, struct err *e)
{
    const struct config *c = &l->c;
    const struct {
        const char *key, *what;
        enum dtype type;
    } all[] = {{"sft.master_dtype", "master weights", c->sft.master_dtype},
               {"sft.gradient_dtype", "gradients", c->sft.gradient_dtype},
               {"sft.logits_dtype", "logits", c->sft.logits_dtype}};
    if (c->run.dtype != DT_F32) return 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char why[160];
        snprintf(why, sizeof why,
                 "bf16: what is computed in fp32 has its %s in fp32; leave it out, or set "
                 "sft_train.model_args.dtype=bf16",
                 all[i].what);
        if (all[i].type == DT_BF16) return fail(l, all[i].key, e, why);
    }
    return 0;
}

int optimizer_derive(struct loaded *l, struct err *e)
{
    struct config *c = &l->c;
    struct config_optimizer *o = &c->run.optimizer;
    const char *megatron = c->sft_train.strategy_args.strategy_config.optimizer;
    const char *args = c->sft_train.training_args.optim_args;
    const bool sgd = !strcmp(megatron ? megatron : c->sft_train.training_args.optim, "sgd");
    o->kind = sgd ? "sgd" : "adamw";
    if (sgd && megatron) o->momentum = megatron_momentum;
    if (args && *args) {
        if (!sgd) return fail(l, OPTIM_ARGS, e, "AdamW takes none; leave it out");
        const char *problem = arguments(o, args);
        if (problem) return fail(l, OPTIM_ARGS, e, problem);
    }
    if (o->nesterov && (o->momentum <= 0 || o->dampening > 0))
        return fail(l, OPTIM_ARGS, e, "nesterov needs a momentum and no dampening");
    return narrow_types(l, e);
}
