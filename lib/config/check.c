/* SPDX-License-Identifier: Apache-2.0 */
/* What sft-train refuses: settings whose absence would change results, and layouts it cannot run.
 */
#include <stdio.h>
#include <string.h>

#include "config/load.h"

/* The last word of `only` that can be typed: what a refused key would have to be. */
static void suggest(const char *only, char *out, size_t size)
{
    size_t n = strcspn(only, "|");
    if (n)
        snprintf(out, size, "; leave it out or set it to %.*s", (int)n, only);
    else
        snprintf(out, size, "; leave it out");
}

static int check_setting(const struct setting *s, struct err *e)
{
    const struct config_key *k = s->key;
    const struct node *v = s->shown;
    char shown[80], advice[200];
    if (s->idle || !k->only) return 0;
    if (v->kind == NODE_SCALAR ? config_word_in(v->text, k->only) : v->count == 0) return 0;
    suggest(k->only, advice, sizeof advice);
    const char *why = k->effect == KEY_LIMIT ? k->doc : "this value is not supported yet";
    return node_fail(s->node, s->path, e, "%s: %s%s", value_quote(v, shown), why, advice);
}

/* The overrides that make one worker of many, with the global batch kept. */
static void one_worker(const struct config *c, char *out, size_t size)
{
    bool fsdp = c->sft_train.strategy_args.strategy_name == CONFIG_FSDP2;
    const struct {
        const char *key;
        int64_t now, then;
    } sizes[] = {
        {"strategy_args.strategy_config.tensor_model_parallel_size", c->run.tensor_parallel_size,
         1},
        {"strategy_args.strategy_config.pipeline_model_parallel_size",
         c->run.pipeline_parallel_size, 1},
        {"strategy_args.strategy_config.context_parallel_size",
         fsdp ? 1 : c->run.context_parallel_size, 1},
        {"model_args.ulysses_size", fsdp ? c->run.context_parallel_size : 1, 1},
        {"training_args.gradient_accumulation_steps",
         c->sft_train.training_args.gradient_accumulation_steps,
         c->sft_train.training_args.gradient_accumulation_steps * c->run.data_parallel_size},
    };
    int n = snprintf(out, size, "sft_train.device_mapping='[0]'");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && n > 0 && (size_t)n < size; i++)
        if (sizes[i].now != sizes[i].then)
            n += snprintf(out + n, size - (size_t)n, " sft_train.%s=%lld", sizes[i].key,
                          (long long)sizes[i].then);
}

int config_check_trainable(const struct config *c, int world_size, struct err *e)
{
    const struct loaded *l = (const struct loaded *)c;
    char overrides[600];
    for (int rest = 0; rest < 2; rest++)
        for (size_t i = 0; i < l->count; i++)
            if (l->settings[i].key->first != rest && check_setting(&l->settings[i], e)) return -1;
    if (c->run.world_size > 1) {
        one_worker(c, overrides, sizeof overrides);
        return err_set(e, ERR_CONFIG,
                       "%s: sft_train.device_mapping: %lld workers, but only one is supported yet; "
                       "add: %s",
                       c->path, (long long)c->run.world_size, overrides);
    }
    if (world_size > 1)
        return err_set(e, ERR_CONFIG,
                       "%s: started as %d processes, but only one is supported yet; start it "
                       "without mpirun or with -np 1",
                       c->path, world_size);
    return 0;
}
