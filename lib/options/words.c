/* SPDX-License-Identifier: Apache-2.0 */
/* Words of the configuration and the values that they stand for. */
#include "options/words.h"

#include <string.h>

#include "options/options.h"

const struct option_word option_recomputes[] = {{"none", RECOMPUTE_NONE},
                                                {"selective", RECOMPUTE_SELECTIVE},
                                                {"full", RECOMPUTE_FULL},
                                                {NULL, 0}};
const struct option_word option_spike_actions[] = {
    {"warn", GUARD_WARN}, {"skip", GUARD_SKIP}, {"stop", GUARD_STOP}, {NULL, 0}};
const struct option_word option_schedules[] = {
    {"linear", SCHED_LINEAR},
    {"cosine", SCHED_COSINE},
    {"constant", SCHED_CONSTANT},
    {"constant_with_warmup", SCHED_CONSTANT_WITH_WARMUP},
    {"cosine_with_restarts", SCHED_COSINE_WITH_RESTARTS},
    {"polynomial", SCHED_POLYNOMIAL},
    {"inverse_sqrt", SCHED_INVERSE_SQRT},
    {"cosine_with_min_lr", SCHED_COSINE_WITH_MIN_LR},
    {"cosine_warmup_with_min_lr", SCHED_COSINE_WARMUP_WITH_MIN_LR},
    {"warmup_stable_decay", SCHED_WARMUP_STABLE_DECAY},
    {NULL, 0}};
const struct option_word option_curves[] = {{"linear", SCHED_CURVE_LINEAR},
                                            {"cosine", SCHED_CURVE_COSINE},
                                            {"1-sqrt", SCHED_CURVE_1_SQRT},
                                            {NULL, 0}};
const struct option_word option_optimizers[] = {
    {"adamw", OPTIMIZER_ADAMW}, {"sgd", OPTIMIZER_SGD}, {NULL, 0}};

int option_find(const struct option_word *table, const char *key, const char *word, int *value,
                struct err *e)
{
    for (const struct option_word *w = table; w->word; w++)
        if (strcmp(w->word, word) == 0) return *value = w->value, 0;
    return err_set(e, ERR_INTERNAL, "%s: nothing acts on the word %s", key, word);
}

const char *option_recompute(enum recompute r)
{
    const struct option_word *w = option_recomputes;
    while (w->word && w->value != (int)r) w++;
    return w->word ? w->word : "none";
}
