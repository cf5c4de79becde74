/* SPDX-License-Identifier: Apache-2.0 */
/* Derives the values that depend on several keys. */
#include <limits.h>
#include <string.h>

#include "config/load.h"

#define C "sft_train.strategy_args.strategy_config."

static int fail(const struct loaded *l, const char *key, struct err *e, const char *text)
{
    const struct setting *s = setting_of(l, key);
    if (s) return node_fail(s->node, key, e, "%s", text);
    return err_set(e, ERR_CONFIG, "%s: %s: %s", l->c.path, key, text);
}

enum key_scope config_scope(const struct config *c)
{
    return config_scope_of(c->sft_train.strategy_args.strategy_name);
}

/* exp_name is the name of one folder in logging_dir. */
static int check_name(const struct loaded *l, struct err *e)
{
    static const char key[] = "exp_name";
    const char *name = l->c.exp_name;
    if (!*name) return fail(l, key, e, "is empty; it is the name of a folder in logging_dir");
    if (strchr(name, '/'))
        return fail(l, key, e,
                    "has a /, but is the name of one folder in logging_dir; folders above it "
                    "belong into logging_dir");
    if (!strcmp(name, ".") || !strcmp(name, ".."))
        return fail(l, key, e,
                    "is no name of a folder in logging_dir; for example: exp_name: run1");
    if (strlen(name) > NAME_MAX)
        return fail(l, key, e, "is longer than 255 bytes, the most that a folder's name may have");
    if (!text_is_printable(name))
        return fail(l, key, e, "has a control character, but is the name of a folder");
    return 0;
}

static int check_folders(const struct loaded *l, struct err *e)
{
    if (!*l->c.output_dir) return fail(l, "output_dir", e, "is empty; for example: ./output");
    if (!*l->c.logging_dir)
        return fail(l, "logging_dir", e, "is empty; for example: ./output/logs");
    return check_name(l, e);
}

/* Treats an empty string as not set. */
static void drop_empty(struct config *c)
{
    const char **fields[] = {&c->system_key,
                             &c->query_key,
                             &c->global_template,
                             &c->pretrain,
                             &c->resume_from_checkpoint,
                             &c->sft.allow,
                             &c->sft.template_vars,
                             &c->sft.history_key,
                             &c->sft.messages_key,
                             &c->sft.role_key,
                             &c->sft.content_key,
                             &c->sft.role_tags,
                             &c->sft.text_key,
                             &c->tracker_kwargs.log_dir,
                             &c->sft_train.model_args.model_name_or_path,
                             &c->sft_train.model_args.freeze_module_prefix,
                             &c->sft_train.model_args.lora_target,
                             &c->sft_train.model_args.additional_target,
                             &c->sft_train.model_args.adapter_name_or_path,
                             &c->sft_train.training_args.metric_for_best_model,
                             &c->sft_train.data_args.template};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (*fields[i] && !**fields[i]) *fields[i] = NULL;
}

static int derive_length(struct loaded *l, struct err *e)
{
    struct config *c = &l->c;
    if (!c->sequence_length && c->response_length)
        c->sequence_length = c->prompt_length + c->response_length;
    if (c->sequence_length) return 0;
    return fail(l, "sequence_length", e, "is not set; for example: sequence_length: 2048");
}

static int64_t zero_stage(const struct config *c)
{
    if (c->sft.zero_stage) return *c->sft.zero_stage - '0';
    switch (config_scope(c)) {
    case KEY_FSDP2:
        return c->sft_train.strategy_args.strategy_config.reshard_after_forward ? 3 : 2;
    case KEY_DEEPSPEED:
        return c->sft_train.strategy_args.strategy_config.zero_optimization.stage;
    default:
        return c->sft_train.strategy_args.strategy_config.use_distributed_optimizer;
    }
}

/* From stage 2 on a worker has no memory for a sum of its own micro-batches. */
static int check_sum(const struct loaded *l, struct err *e)
{
    const char *sum = l->c.sft.gradient_sum;
    if (!sum || strcmp(sum, "step") != 0 || l->c.run.zero_stage < 2) return 0;
    return fail(l, "sft.gradient_sum", e,
                "is step, but stages 2 and 3 of ZeRO add up gradients in each micro-batch, because "
                "they keep no more than a part of them; leave it out, or choose stage 0 or 1");
}

/* The workers that share one copy of the weights share out the experts among them. */
static int check_shard(const struct config *c, int64_t all, struct err *e)
{
    const int64_t size = c->run.shard_size, ep = c->run.expert_parallel_size;
    if (all % size)
        return err_set(e, ERR_CONFIG,
                       "%s: " C
                       "fsdp_size: %lld does not divide the %lld workers that share the weights; "
                       "choose a divisor",
                       c->path, (long long)size, (long long)all);
    if (size % ep == 0) return 0;
    return err_set(e, ERR_CONFIG,
                   "%s: " C "fsdp_size: %lld is not a multiple of ep_size %lld: the workers that "
                   "share one copy of the weights share out its experts; choose a multiple that "
                   "divides the %lld workers",
                   c->path, (long long)size, (long long)ep, (long long)all);
}

/* Workers that share one copy have the same experts in parts. */
static int check_same(struct loaded *l, struct err *e)
{
    const struct config *c = &l->c;
    const int64_t same = c->sft_train.strategy_args.strategy_config.efsdp_size;
    const int64_t size = c->run.shard_size, ep = c->run.expert_parallel_size;
    if (same && ep == 1) setting_idle(l, C "efsdp_size", "only with ep_size above 1");
    if (ep == 1 || !same || same == size / ep) return 0;
    return err_set(e, ERR_CONFIG,
                   "%s: " C "efsdp_size: %lld is not the %lld workers that share one copy of the "
                   "same experts, %lld / ep_size %lld; leave it out",
                   c->path, (long long)same, (long long)(size / ep), (long long)size,
                   (long long)ep);
}

/* A size up to 1, or from all data-parallel workers on, is all of them, as in ROLL. */
static int derive_zero(struct loaded *l, struct err *e)
{
    struct config *c = &l->c;
    const int64_t all = c->run.data_parallel_size * c->run.context_parallel_size;
    const int64_t size = c->sft_train.strategy_args.strategy_config.fsdp_size;
    c->run.zero_stage = zero_stage(c);
    c->run.shard_size = all;
    if (check_sum(l, e)) return -1;
    if (config_scope(c) != KEY_FSDP2) return 0;
    if (size > 1 && size < all) {
        if (c->run.zero_stage >= 2)
            c->run.shard_size = size;
        else
            setting_idle(l, C "fsdp_size", "only with stage 2 or 3 of ZeRO");
    }
    return check_shard(c, all, e) || check_same(l, e) ? -1 : 0;
}

/* One tensor-parallel worker has all rows. Megatron-LM, too, then turns sequence parallelism off
 * and says so. */
static void derive_rows(struct loaded *l, int64_t tp)
{
    struct config *c = &l->c;
    const bool wanted = c->sft_train.strategy_args.strategy_config.sequence_parallel;
    c->run.shard_rows = wanted && tp > 1;
    if (wanted && tp == 1)
        setting_idle(l, C "sequence_parallel", "only with tensor_model_parallel_size above 1");
}

/* Each expert is cut like the rest of its layer. */
static int check_cut(const struct config *c, struct err *e)
{
    const int64_t cut = c->sft_train.strategy_args.strategy_config.expert_tensor_parallel_size;
    if (!cut || cut == c->run.tensor_parallel_size) return 0;
    return err_set(e, ERR_CONFIG,
                   "%s: " C "expert_tensor_parallel_size: %lld is not tensor_model_parallel_size, "
                   "which is %lld; experts are split like their layer: leave it out",
                   c->path, (long long)cut, (long long)c->run.tensor_parallel_size);
}

/* Data-parallel and context-parallel workers share out the experts. */
static int derive_experts(struct loaded *l, struct err *e)
{
    struct config *c = &l->c;
    const enum key_scope scope = config_scope(c);
    const int64_t all = c->run.data_parallel_size * c->run.context_parallel_size;
    int64_t *ep = &c->run.expert_parallel_size;
    *ep = 1;
    c->run.expert_key = scope == KEY_FSDP2 ? "ep_size" : "expert_model_parallel_size";
    if (scope != KEY_MEGATRON && scope != KEY_FSDP2) return 0;
    *ep = scope == KEY_FSDP2
              ? c->sft_train.strategy_args.strategy_config.ep_size
              : c->sft_train.strategy_args.strategy_config.expert_model_parallel_size;
    if (all % *ep)
        return err_set(e, ERR_CONFIG,
                       "%s: " C "%s: %lld does not divide the %lld data-parallel x "
                       "context-parallel workers; choose a divisor",
                       c->path, c->run.expert_key, (long long)*ep, (long long)all);
    return scope == KEY_MEGATRON ? check_cut(c, e) : 0;
}

static int derive_layout(struct loaded *l, struct err *e)
{
    struct config *c = &l->c;
    const bool one = config_scope(c) != KEY_MEGATRON; /* a strategy without tensor parallelism */
    int64_t tp = one ? 1 : c->sft_train.strategy_args.strategy_config.tensor_model_parallel_size;
    int64_t pp = one ? 1 : c->sft_train.strategy_args.strategy_config.pipeline_model_parallel_size;
    int64_t cp = one ? c->sft_train.model_args.ulysses_size
                     : c->sft_train.strategy_args.strategy_config.context_parallel_size;
    int64_t world = (int64_t)c->sft_train.device_mapping.n;
    if (world % (tp * pp * cp))
        return err_set(e, ERR_CONFIG,
                       "%s: sft_train.device_mapping: %lld devices cannot be divided by %lld = "
                       "%lld (tensor) x %lld (pipeline) x %lld (context parallel)",
                       c->path, (long long)world, (long long)(tp * pp * cp), (long long)tp,
                       (long long)pp, (long long)cp);
    c->run.world_size = world;
    c->run.tensor_parallel_size = tp;
    c->run.pipeline_parallel_size = pp;
    c->run.virtual_pipeline_parallel_size =
        one ? 1 : c->sft_train.strategy_args.strategy_config.virtual_pipeline_model_parallel_size;
    c->run.context_parallel_size = cp;
    c->run.data_parallel_size = world / (tp * pp * cp);
    derive_rows(l, tp);
    if (derive_experts(l, e)) return -1;
    c->run.global_batch_size = c->run.data_parallel_size *
                               c->sft_train.training_args.gradient_accumulation_steps *
                               c->sft_train.training_args.per_device_train_batch_size;
    return derive_zero(l, e);
}

static const char *recompute_of(const struct config *c)
{
    const char *granularity = c->sft_train.strategy_args.strategy_config.recompute_granularity;
    if (c->sft.recompute) return c->sft.recompute;
    if (config_scope(c) != KEY_MEGATRON)
        return c->sft_train.model_args.disable_gradient_checkpointing ? "none" : "full";
    return granularity ? granularity : "none";
}

static const char *pack_of(const struct config *c)
{
    if (c->sft.pack_mode) return c->sft.pack_mode;
    return c->sft_train.use_sequence_packing ? "batch" : "none";
}

static int64_t smaller_positive(int64_t a, int64_t b)
{
    if (a <= 0 || b <= 0) return a > b ? (a > 0 ? a : 0) : (b > 0 ? b : 0);
    return a < b ? a : b;
}

int derive_run(struct loaded *l, struct err *e)
{
    struct config *c = &l->c;
    drop_empty(c);
    if (check_folders(l, e) || derive_length(l, e) || derive_layout(l, e) || schedule_check(l, e))
        return -1;
    c->run.dtype = c->sft_train.model_args.dtype;
    const char *param = c->sft_train.strategy_args.strategy_config.param_dtype;
    if (param && dtype_find(param, &c->run.dtype))
        return err_set(e, ERR_INTERNAL, "param_dtype: %s is no element type", param);
    const char *narrow = c->sft_train.strategy_args.strategy_config.bf16.enabled;
    if (narrow && strcmp(narrow, "true") == 0) c->run.dtype = DT_BF16;
    if (optimizer_derive(l, e) || best_derive(l, e)) return -1;
    c->run.model = c->pretrain ? c->pretrain : c->sft_train.model_args.model_name_or_path;
    if (!c->run.model) return fail(l, "pretrain", e, "is not set; give a model folder or a hub id");
    if (!c->prompt_key || !*c->prompt_key)
        return fail(l, "prompt_key", e, "names no column; for example: prompt_key: instruction");
    if (!c->response_key || !*c->response_key)
        return fail(l, "response_key", e, "names no column; for example: response_key: output");
    const char *own = c->sft_train.data_args.template;
    if (c->sft.spike_factor > 0 && c->sft.spike_factor <= 1)
        return fail(l, "sft.spike_factor", e, "is neither 0 nor above 1");
    c->run.template = c->global_template ? c->global_template : own ? own : "native";
    c->run.pack_mode = pack_of(c);
    c->run.recompute = recompute_of(c);
    c->run.max_steps = smaller_positive(c->max_steps, c->sft_train.training_args.max_steps);
    return 0;
}
