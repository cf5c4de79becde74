/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of the best checkpoint and of early stopping: the checks of transformers'
 * TrainingArguments and EarlyStoppingCallback. */
#include <stdio.h>

#include "config/load.h"

#define T         "sft_train.training_args."
#define LOAD_BEST T "load_best_model_at_end"
#define PATIENCE  T "early_stopping_patience"
#define THRESHOLD T "early_stopping_threshold"

static int fail(const struct loaded *l, const char *key, struct err *e, const char *text)
{
    const struct setting *s = setting_of(l, key);
    return node_fail(s ? s->node : l->tree.root, key, e, "%s", text);
}

/* Each checkpoint has to have a validation loss. */
static int check_steps(const struct loaded *l, struct err *e)
{
    const long long eval = l->c.eval_steps, save = l->c.save_steps;
    char text[300];
    if (eval > 0 && save > 0 && save % eval == 0) return 0;
    if (eval <= 0)
        snprintf(text, sizeof text,
                 "needs validations, but eval_steps is %lld (save_steps is %lld); set eval_steps, "
                 "of which save_steps is a multiple",
                 eval, save);
    else
        snprintf(text, sizeof text,
                 "save_steps %lld is not a multiple of eval_steps %lld, so that checkpoints would "
                 "have no validation loss; for example: save_steps=%lld",
                 save, eval, (save / eval + 1) * eval);
    return fail(l, LOAD_BEST, e, text);
}

static int check_early(struct loaded *l, struct err *e)
{
    if (!l->c.sft_train.training_args.early_stopping_patience) {
        setting_idle(l, THRESHOLD, "only with early_stopping_patience");
        return 0;
    }
    if (!l->c.run.keeps_best)
        return fail(l, PATIENCE, e,
                    "needs metric_for_best_model: loss, or load_best_model_at_end: true");
    if (l->c.eval_steps > 0) return 0;
    return fail(l, PATIENCE, e, "needs validations, but eval_steps is 0; set eval_steps");
}

int best_derive(struct loaded *l, struct err *e)
{
    struct config *c = &l->c;
    const bool load = c->sft_train.training_args.load_best_model_at_end;
    c->run.keeps_best = load || c->sft_train.training_args.metric_for_best_model;
    if (load && check_steps(l, e)) return -1;
    return check_early(l, e);
}
