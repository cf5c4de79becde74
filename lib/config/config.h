/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of a run: ROLL's sft_config.yaml and the mapping `sft:`, typed and checked. */
#ifndef SFT_CONFIG_CONFIG_H
#define SFT_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/dtype.h"
#include "base/err.h"

/* The words of a key, as a YAML file has them. The configuration keeps the word; what acts on it
 * has the enum, and lib/options the one table from the word to it. */
#define CONFIG_DTYPE_WORDS "fp32|bf16|fp16" /* of enum dtype */
#define CONFIG_STRATEGY_WORDS                                                                      \
    "hf_infer|vllm|sglang|megatron_infer|megatron_train|fsdp2_train|fsdp2_infer|"                  \
    "deepspeed_train"
#define CONFIG_SCHEDULE_WORDS                                                                      \
    "linear|cosine|constant|constant_with_warmup|cosine_with_restarts|polynomial|inverse_sqrt|"    \
    "reduce_lr_on_plateau|cosine_with_min_lr|cosine_warmup_with_min_lr|warmup_stable_decay|greedy"
/* The schedules that sft-train can follow: config_check_trainable refuses the two others, which
 * follow the loss. */
#define CONFIG_SCHEDULE_TRAINABLE                                                                  \
    "linear|cosine|constant|constant_with_warmup|cosine_with_restarts|polynomial|inverse_sqrt|"    \
    "cosine_with_min_lr|cosine_warmup_with_min_lr|warmup_stable_decay"
/* transformers' names; sft-train takes the first three. */
#define CONFIG_OPTIM_WORDS                                                                         \
    "adamw_torch|adamw_torch_fused|sgd|adamw_torch_xla|adamw_torch_npu_fused|adafactor|"           \
    "adamw_anyprecision|adamw_torch_4bit|adamw_torch_8bit|ademamix|adagrad|adamw_bnb_8bit|"        \
    "adamw_8bit|ademamix_8bit|lion_8bit|lion_32bit|paged_adamw_32bit|paged_adamw_8bit|"            \
    "paged_ademamix_32bit|paged_ademamix_8bit|paged_lion_32bit|paged_lion_8bit|rmsprop|"           \
    "rmsprop_bnb|rmsprop_bnb_8bit|rmsprop_bnb_32bit|galore_adamw|galore_adamw_8bit|"               \
    "galore_adafactor|lomo|adalomo|grokadamw|schedule_free_radam|schedule_free_adamw|"             \
    "schedule_free_sgd|apollo_adamw|stable_adamw"
#define CONFIG_CURVE_WORDS     "linear|cosine|1-sqrt"
#define CONFIG_PACK_WORDS      "batch|dense|none"
#define CONFIG_OVER_WORDS      "error|drop|cut"
#define CONFIG_DEVICE_WORDS    "auto|cpu|cuda"
#define CONFIG_RECOMPUTE_WORDS "none|selective|full"
#define CONFIG_ZERO_WORDS      "0|1|2|3"
#define CONFIG_SUM_WORDS       "step|micro_batch"
#define CONFIG_SPIKE_WORDS     "warn|skip|stop"
#define CONFIG_MASK_WORDS      "turn|content|roll"
#define CONFIG_ARGUMENTS_WORDS "json|text"

struct config_optimizer {
    const char *kind; /* of CONFIG_OPTIMIZER_WORDS */
    double momentum, dampening;
    bool nesterov;
};
#define CONFIG_OPTIMIZER_WORDS "adamw|sgd"

/* The arguments of a schedule, with the names of transformers. A real number that is not set is
 * NAN, a count -1; the default depends on the schedule. */
struct config_schedule_kwargs {
    double num_cycles, power, lr_end, min_lr, min_lr_rate, warmup_lr_rate, min_lr_ratio;
    int64_t timescale, num_decay_steps, num_stable_steps;
    const char *warmup_type, *decay_type; /* of CONFIG_CURVE_WORDS */
};

struct config_strings {
    const char **v;
    size_t n;
};
struct config_ints {
    int64_t *v;
    size_t n;
};

/* Fields are grouped as in the YAML and have the default where the file sets no value. A string
 * that is not set is NULL. Use `run` first: it has the values that depend on several keys. The
 * configuration owns all memory. */
struct config {
    const char *path; /* the file, as typed */

    const char *exp_name;    /* default: the name of the file without .yaml */
    const char *output_dir;  /* ./output */
    const char *logging_dir; /* ./output/logs */
    const char *track_with;  /* "tensorboard", "stdout", "" or the name of another tracker */
    struct {
        const char *log_dir; /* NULL: logging_dir/tensorboard */
    } tracker_kwargs;
    const char *pretrain;        /* as written; use run.model */
    const char *global_template; /* NULL: sft_train.data_args.template */
    const char *system_key, *prompt_key, *query_key, *response_key; /* NULL: no such column */
    const char *resume_from_checkpoint; /* NULL: no; "auto" (also for true); else a path */
    int64_t seed;
    int64_t sequence_length, prompt_length, response_length;
    int64_t save_steps;       /* >= 0; 0: only after the last step */
    int64_t eval_steps;       /* >= 0; 0: only before the first and after the last step */
    int64_t logging_steps;    /* >= 1 */
    int64_t max_steps;        /* <= 0: none; see run.max_steps */
    int64_t max_ckpt_to_keep; /* 0: all */
    double max_grad_norm;     /* 0: no clipping */

    struct {
        struct {
            struct config_strings file_name;
        } data_args;
    } validation;

    struct {
        struct {
            const char *model_name_or_path;   /* pretrain goes before it */
            enum dtype dtype;                 /* see run.dtype */
            const char *freeze_module_prefix; /* NULL: all is trained */
            const char *lora_target;          /* NULL: no adapter, but for adapter_name_or_path */
            const char *additional_target, *adapter_name_or_path; /* NULL: none */
            int64_t lora_rank;
            double lora_alpha; /* 0: twice the rank */
            double lora_dropout;
            double moe_aux_loss_coef; /* NAN: as the model's config.json says */
            bool disable_gradient_checkpointing;
            int64_t ulysses_size;
        } model_args;
        struct {
            double num_train_epochs; /* > 0, may have a fraction */
            double learning_rate, weight_decay, adam_beta1, adam_beta2, adam_epsilon;
            const char *lr_scheduler_type; /* of CONFIG_SCHEDULE_WORDS */
            struct config_schedule_kwargs lr_scheduler_kwargs;
            const char *optim;      /* see run.optimizer */
            const char *optim_args; /* NULL: none */
            double warmup_steps;    /* below 1: a part of all; goes before warmup_ratio when > 0 */
            double warmup_ratio;    /* of all steps, rounded up */
            int64_t per_device_train_batch_size, gradient_accumulation_steps;
            int64_t dataloader_num_workers; /* steps that are prefetched */
            int64_t max_steps;              /* <= 0: none; see run.max_steps */
            bool load_best_model_at_end;
            const char *metric_for_best_model; /* NULL: not set; see run.keeps_best */
            int64_t early_stopping_patience;   /* validations; 0: the run does not end early */
            double early_stopping_threshold;
        } training_args;
        struct {
            struct config_strings file_name;
            const char *template;              /* see run.template */
            int64_t preprocessing_num_workers; /* 0: all CPUs */
        } data_args;
        struct {
            const char *strategy_name; /* of CONFIG_STRATEGY_WORDS */
            struct {
                /* megatron_train */
                int64_t tensor_model_parallel_size, pipeline_model_parallel_size,
                    virtual_pipeline_model_parallel_size, context_parallel_size,
                    expert_model_parallel_size, expert_tensor_parallel_size; /* 0: not set */
                const char *recompute_granularity; /* NULL, "full" or "selective" */
                bool use_distributed_optimizer;    /* see run.zero_stage */
                bool sequence_parallel;            /* see run.shard_rows */
                const char *optimizer;             /* NULL, "adam" or "sgd" */
                /* fsdp2_train */
                const char *param_dtype;     /* NULL, or a word of CONFIG_DTYPE_WORDS */
                int64_t fsdp_size;           /* see run.shard_size */
                int64_t ep_size, efsdp_size; /* see run.expert_parallel_size; 0: not set */
                bool reshard_after_forward;
                /* deepspeed_train */
                struct {
                    int64_t stage;
                } zero_optimization; /* see run.zero_stage */
                struct {
                    const char *enabled; /* NULL, "true", "false" or "auto" */
                } bf16;
            } strategy_config;
        } strategy_args;
        bool use_sequence_packing;
        int64_t infer_batch_size;
        struct config_ints device_mapping; /* at least one */
    } sft_train;

    struct {
        const char *pack_mode;   /* NULL: from use_sequence_packing; see run.pack_mode */
        const char *over_length; /* of CONFIG_OVER_WORDS */
        bool shuffle;
        const char *mask;          /* of CONFIG_MASK_WORDS */
        const char *allow;         /* NULL: none; what sft-template's --allow takes */
        const char *template_vars; /* NULL: none; a JSON object, what sft-template's --vars takes */
        const char *arguments;     /* of CONFIG_ARGUMENTS_WORDS */
        /* Options of sft-tokenize: names of columns and members, NULL: not given. */
        const char *history_key, *messages_key, *role_key, *content_key, *role_tags, *text_key;
        bool skip_bad;      /* of sft-tokenize and sft-template */
        const char *device; /* of CONFIG_DEVICE_WORDS */
        int64_t threads;    /* 0: what affinity and cgroup allow */
        enum dtype master_dtype, moments_dtype, gradient_dtype, logits_dtype;
        const char *recompute;    /* NULL: from the strategy; see run.recompute */
        const char *zero_stage;   /* NULL, or a word of CONFIG_ZERO_WORDS; see run.zero_stage */
        const char *gradient_sum; /* NULL: as the stage says, or a word of CONFIG_SUM_WORDS */
        bool rslora;              /* the scale of an adapter is alpha / sqrt(r) */
        bool skip_nonfinite;
        double spike_factor;        /* 0: off; else above 1 */
        int64_t spike_window;       /* steps */
        const char *spike_action;   /* of CONFIG_SPIKE_WORDS */
        const char *sample_prompts; /* NULL: none; a file of prompts that the run answers */
        int64_t sample_tokens;      /* the most of an answer */
        bool async_save;
        int64_t staging;            /* MiB */
        int64_t collective_timeout; /* seconds */
    } sft;

    /* Values that depend on several of the keys above. */
    struct {
        const char *model;     /* folder or hub id, to be given to hf_folder_find */
        const char *template;  /* "native", another name, or a .jinja file */
        enum dtype dtype;      /* of computation */
        const char *pack_mode; /* of CONFIG_PACK_WORDS */
        const char *recompute; /* of CONFIG_RECOMPUTE_WORDS */
        struct config_optimizer optimizer;
        int64_t max_steps; /* updates after which the run ends; 0: none */
        bool keeps_best;   /* the checkpoint with the least validation loss is known, and kept */
        int64_t world_size, data_parallel_size, tensor_parallel_size, pipeline_parallel_size,
            virtual_pipeline_parallel_size, context_parallel_size, expert_parallel_size;
        const char *expert_key;    /* the key of strategy_config that gives the last one */
        int64_t zero_stage;        /* 0 to 3: what data-parallel workers have in parts */
        int64_t shard_size;        /* data-parallel workers that share one copy of it */
        bool shard_rows;           /* tensor-parallel workers have parts of the stream's rows */
        int64_t global_batch_size; /* samples per step (rows in mode dense) */
    } run;
};

/* Reads path, applies n overrides "a.b=value" in order, resolves ${...} and checks every key.
 * Returns 0 with *out, which config_free releases; or -1 with ERR_NOINPUT for a missing file,
 * ERR_CONFIG and "FILE:LINE: key: what" otherwise. */
int config_load(const char *path, char *const *overrides, size_t n, struct config **out,
                struct err *e);
void config_free(struct config *c); /* NULL is fine */

/* True when the argument is an override and not a file: dotted identifiers, then '='. */
bool config_is_override(const char *arg);

/* How this program was started. */
struct config_start {
    int processes;       /* 0: their number is not checked */
    const char *command; /* the command line of one process, as typed */
    bool srun;           /* srun of Slurm started the processes */
};
/* Returns 0 when this program, started like this, can train the configuration. Else -1 with
 * ERR_CONFIG and a message that names the key and what to type: an override, or the command under
 * mpirun or srun. Reads no file. */
int config_check_trainable(const struct config *c, const struct config_start *s, struct err *e);

/* Append the resolved configuration with its defaults to b: as YAML that loads to the same
 * configuration, or as one JSON object. */
int config_write_yaml(const struct config *c, struct buf *b, struct err *e);
int config_write_json(const struct config *c, struct buf *b, struct err *e);

/* One value as text, a line for each element of a list; an empty line when it is not set. A line
 * ends with the byte `end`, '\n' or NUL. key is a path of the YAML, or the name of
 * a derived value: "model_path", "global_batch_size", ... ERR_CONFIG when there is no such key. */
int config_get(const struct config *c, const char *key, char end, struct buf *b, struct err *e);

/* A key that is set without effect: in which file and line (0: by an override), and the reason. */
struct config_idle {
    const char *key, *file, *why;
    unsigned line;
};
/* Calls f, which may be NULL, for each such key. Returns the number of these keys. */
size_t config_no_effect(const struct config *c, void (*f)(void *arg, const struct config_idle *k),
                        void *arg);

/* Returns the key of an adapter's setting, such as lora_rank, that the file sets without any word
 * of lora_target, so that the whole model is trained as in ROLL; NULL when there is none. */
const char *config_lora_unused(const struct config *c);

/* The mapping sft.run of a config.yaml, which identifies the run that wrote the file; config_load()
 * ignores it. A missing string is NULL. */
struct config_run {
    const char *id;         /* the same for all processes of the run */
    const char *output;     /* output_dir of the run, absolute */
    const char *logs;       /* the folder of the file, absolute */
    const char *process;    /* the last process of the run: process id, */
    const char *host;       /*   host, */
    const char *started;    /*   and start time in UTC */
    const char *output_dir; /* the key output_dir, as in the file */
    struct arena memory;    /* owns the strings that config_run_read sets */
};
/* Adds the mapping, without output_dir, to the output of config_write_yaml(). */
int config_run_put(struct config *c, const struct config_run *r, struct err *e);
/* Reads the mapping and output_dir of a file that config_write_yaml() wrote. All strings are NULL
 * for a file that is not YAML. Returns 0, then config_run_free() releases *r; or -1. */
int config_run_read(const char *path, struct config_run *r, struct err *e);
void config_run_free(struct config_run *r);

#endif
