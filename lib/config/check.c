/* SPDX-License-Identifier: Apache-2.0 */
/* Refuses settings that would change results if they were ignored, and unsupported layouts. */
#include <stdio.h>
#include <string.h>

#include "config/load.h"

/* Writes advice for a refused key: the first word of `only`. */
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

/* The overrides "key=value" that an error message suggests. */
struct advice {
    char text[700];
    size_t n;
};
static void advise(struct advice *a, const char *key, int64_t current, int64_t wanted)
{
    if (current == wanted || a->n >= sizeof a->text) return;
    a->n += (size_t)snprintf(a->text + a->n, sizeof a->text - a->n, " sft_train.%s=%lld", key,
                             (long long)wanted);
}

/* Writes the overrides for one process with the same global batch. */
static void one_process(const struct config *c, struct advice *a)
{
    const bool ulysses = config_scope(c) != KEY_MEGATRON;
    const int64_t more = c->sft_train.training_args.gradient_accumulation_steps;
    *a = (struct advice){0};
    a->n = (size_t)snprintf(a->text, sizeof a->text, "sft_train.device_mapping='[0]'");
    advise(a, "strategy_args.strategy_config.tensor_model_parallel_size",
           c->run.tensor_parallel_size, 1);
    advise(a, "strategy_args.strategy_config.pipeline_model_parallel_size",
           c->run.pipeline_parallel_size, 1);
    advise(a, "strategy_args.strategy_config.virtual_pipeline_model_parallel_size",
           c->run.virtual_pipeline_parallel_size, 1);
    advise(a,
           ulysses ? "model_args.ulysses_size"
                   : "strategy_args.strategy_config.context_parallel_size",
           c->run.context_parallel_size, 1);
    char expert[100];
    snprintf(expert, sizeof expert, "strategy_args.strategy_config.%s", c->run.expert_key);
    advise(a, expert, c->run.expert_parallel_size, 1);
    advise(a, "training_args.gradient_accumulation_steps", more, more * c->run.data_parallel_size);
}

static int check_chunks(const struct config *c, struct err *e)
{
    const long long chunks = c->run.virtual_pipeline_parallel_size;
    if (chunks == 1 || c->run.pipeline_parallel_size > 1) return 0;
    return err_set(e, ERR_CONFIG,
                   "%s: virtual_pipeline_model_parallel_size %lld needs a "
                   "pipeline_model_parallel_size above 1, which is 1; set the first to 1",
                   c->path, chunks);
}

static void start_line(char *out, size_t n, const struct config_start *s, long long workers)
{
    if (s->srun)
        snprintf(out, n, "srun --mpi=pmix -n %lld %s", workers, s->command);
    else if (workers == 1)
        snprintf(out, n, "%s", s->command);
    else
        snprintf(out, n, "mpirun -np %lld --bind-to none %s", workers, s->command);
}

static int check_processes(const struct config *c, const struct config_start *s, struct err *e)
{
    const long long workers = c->run.world_size;
    struct advice a;
    char type[2000];
    if (workers == s->processes) return 0;
    start_line(type, sizeof type, s, workers);
    if (workers == 1)
        return err_set(e, ERR_CONFIG,
                       "%s: sft_train.device_mapping: one worker, but %d processes were started; "
                       "type: %s",
                       c->path, s->processes, type);
    one_process(c, &a);
    return err_set(e, ERR_CONFIG,
                   "%s: sft_train.device_mapping: %lld workers, but %d process%s started; type: "
                   "%s; or, for one process with the same global batch, add: %s",
                   c->path, workers, s->processes, s->processes > 1 ? "es were" : " was", type,
                   a.text);
}

int config_check_trainable(const struct config *c, const struct config_start *s, struct err *e)
{
    const struct loaded *l = (const struct loaded *)c;
    for (size_t i = 0; i < l->count; i++)
        if (check_setting(&l->settings[i], e)) return -1;
    if (check_chunks(c, e)) return -1;
    return s->processes ? check_processes(c, s, e) : 0;
}
