/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of strategy_config under deepspeed_train, a configuration of DeepSpeed: that of ROLL
 * before 0.3.0. */
#include "config/keys.h"

#define C        "sft_train.strategy_args.strategy_config."
#define Z        "zero_optimization."
#define F(field) TO(sft_train.strategy_args.strategy_config.field)

#define BUFFERS "the memory plan sets the buffers"
#define PLACE   "it changes where a value lies, not the result; nothing is offloaded"
#define BATCH   "training_args determines the global batch"
#define ENGINE  "the engine is not DeepSpeed"
#define NARROW  "compressed exchanges would change results"

#define DEEP(...)                                                                                  \
    {                                                                                              \
        .scope = KEY_DEEPSPEED, __VA_ARGS__                                                        \
    }
#define DUSE(p, t, ...)  DEEP(.path = C p, .type = t, .effect = KEY_USED, __VA_ARGS__)
#define DIDLE(p, t, why) DEEP(.path = C p, .type = t, .effect = KEY_IDLE, .doc = why)
#define DLIMIT(p, t, ok, why)                                                                      \
    DEEP(.path = C p, .type = t, .effect = KEY_LIMIT, .only = ok, .doc = why)

const struct config_key config_keys_deepspeed[] = {
    DUSE(Z "stage", KEY_INT, F(zero_optimization.stage), .dflt = "0", .lo = 0, .hi = 3,
         .doc = "What each worker has only a part of: 1 the optimizer's state, 2 also the "
                "gradients, 3 also the weights"),
    DUSE("bf16.enabled", KEY_WORD, F(bf16.enabled), .words = "true|false|auto",
         .doc = "true: computes in bf16; else model_args.dtype is used"),
    DEEP(.path = C "fp16.enabled", .type = KEY_WORD, .words = "true|false|auto",
         .effect = KEY_LIMIT, .only = "false|auto", .doc = "fp16 is not supported; use bf16"),
    DIDLE("fp16.auto_cast", KEY_ANY, "only with fp16, which is not supported"),
    DIDLE("fp16.loss_scale", KEY_ANY, "only with fp16, which is not supported"),
    DIDLE("fp16.loss_scale_window", KEY_ANY, "only with fp16, which is not supported"),
    DIDLE("fp16.initial_scale_power", KEY_ANY, "only with fp16, which is not supported"),
    DIDLE("fp16.hysteresis", KEY_ANY, "only with fp16, which is not supported"),
    DIDLE("fp16.consecutive_hysteresis", KEY_ANY, "only with fp16, which is not supported"),
    DIDLE("fp16.min_loss_scale", KEY_ANY, "only with fp16, which is not supported"),
    DLIMIT(Z "zero_quantized_weights", KEY_BOOL, "false", NARROW),
    DLIMIT(Z "zero_quantized_nontrainable_weights", KEY_BOOL, "false", NARROW),
    DLIMIT(Z "zero_quantized_gradients", KEY_BOOL, "false", NARROW),
    DLIMIT("compression_training", KEY_ANY, "", "compression of the model is not supported"),
    DLIMIT("curriculum_learning", KEY_ANY, "", "the plan of the stream decides each step"),
    DLIMIT("data_efficiency", KEY_ANY, "", "the plan of the stream decides each step"),
    DLIMIT("progressive_layer_drop", KEY_ANY, "", "layers are not dropped"),
    DLIMIT("sparse_attention", KEY_ANY, "", "attention reads all tokens of a sample"),
    DLIMIT("amp", KEY_ANY, "", "Apex is not supported; use bf16"),

    DIDLE(Z "offload_optimizer.*", KEY_ANY, PLACE),
    DIDLE(Z "offload_param.*", KEY_ANY, PLACE),
    DIDLE(Z "cpu_offload", KEY_ANY, PLACE),
    DIDLE(Z "cpu_offload_params", KEY_ANY, PLACE),
    DIDLE(Z "cpu_offload_use_pin_memory", KEY_ANY, PLACE),
    DIDLE(Z "overlap_comm", KEY_ANY, "exchanges always overlap with the computation"),
    DIDLE(Z "contiguous_gradients", KEY_ANY, BUFFERS),
    DIDLE(Z "reduce_scatter", KEY_ANY, BUFFERS),
    DIDLE(Z "reduce_bucket_size", KEY_ANY, "a bucket is a layer"),
    DIDLE(Z "use_multi_rank_bucket_allreduce", KEY_ANY, "a bucket is a layer"),
    DIDLE(Z "allgather_partitions", KEY_ANY, BUFFERS),
    DIDLE(Z "allgather_bucket_size", KEY_ANY, "a bucket is a layer"),
    DIDLE(Z "sub_group_size", KEY_ANY, BUFFERS),
    DIDLE(Z "round_robin_gradients", KEY_ANY, BUFFERS),
    DIDLE(Z "memory_efficient_linear", KEY_ANY, BUFFERS),
    DIDLE(Z "zero_hpz_partition_size", KEY_ANY, PLACE),
    DIDLE(Z "mics_shard_size", KEY_ANY, PLACE),
    DIDLE(Z "mics_hierarchical_params_gather", KEY_ANY, PLACE),
    DIDLE(Z "stage3_prefetch_bucket_size", KEY_ANY, "a layer is gathered ahead"),
    DIDLE(Z "stage3_param_persistence_threshold", KEY_ANY, BUFFERS),
    DIDLE(Z "stage3_model_persistence_threshold", KEY_ANY, BUFFERS),
    DIDLE(Z "stage3_max_live_parameters", KEY_ANY, BUFFERS),
    DIDLE(Z "stage3_max_reuse_distance", KEY_ANY, BUFFERS),
    DIDLE(Z "stage3_use_all_reduce_for_fetch_params", KEY_ANY, BUFFERS),
    DIDLE(Z "stage3_module_granularity_threshold", KEY_ANY, BUFFERS),
    DIDLE(Z "stage3_gather_16bit_weights_on_model_save", KEY_ANY, "checkpoints are always whole"),
    DIDLE(Z "stage3_gather_fp16_weights_on_model_save", KEY_ANY, "checkpoints are always whole"),
    DIDLE(Z "elastic_checkpoint", KEY_ANY, "checkpoints fit every layout"),
    DIDLE(Z "load_from_fp32_weights", KEY_ANY, "checkpoints fit every layout"),
    DIDLE(Z "ignore_unused_parameters", KEY_ANY, ENGINE),
    DIDLE(Z "legacy_stage1", KEY_ANY, ENGINE),
    DIDLE(Z "log_trace_cache_warnings", KEY_ANY, ENGINE),
    DIDLE("bf16.immediate_grad_update", KEY_ANY, ENGINE),
    DIDLE("train_batch_size", KEY_ANY, BATCH),
    DIDLE("train_micro_batch_size_per_gpu", KEY_ANY, BATCH),
    DIDLE("gradient_accumulation_steps", KEY_ANY, BATCH),
    DIDLE("gradient_clipping", KEY_ANY, "max_grad_norm is used"),
    DIDLE("optimizer.*", KEY_ANY, "training_args has the optimizer"),
    DIDLE("scheduler.*", KEY_ANY, "training_args has the schedule"),
    DIDLE("communication_data_type", KEY_ANY, "gradients are summed in fp32"),
    DIDLE("data_types.grad_accum_dtype", KEY_ANY, "sft.gradient_dtype is used"),
    DIDLE("prescale_gradients", KEY_ANY, "gradients are sums, which nothing scales"),
    DIDLE("gradient_predivide_factor", KEY_ANY, "gradients are sums, which nothing scales"),
    DIDLE("sparse_gradients", KEY_ANY, ENGINE),
    DIDLE("activation_checkpointing.*", KEY_ANY, "sft.recompute is used"),
    DIDLE("aio.*", KEY_ANY, PLACE),
    DIDLE("checkpoint.*", KEY_ANY, ENGINE),
    DIDLE("comms_logger.*", KEY_ANY, "--trace shows the exchanges"),
    DIDLE("flops_profiler.*", KEY_ANY, ENGINE),
    DIDLE("tensorboard.*", KEY_ANY, "track_with is used"),
    DIDLE("wandb.*", KEY_ANY, "track_with is used"),
    DIDLE("csv_monitor.*", KEY_ANY, "track_with is used"),
    DIDLE("steps_per_print", KEY_ANY, "logging_steps is used"),
    DIDLE("wall_clock_breakdown", KEY_ANY, ENGINE),
    DIDLE("memory_breakdown", KEY_ANY, ENGINE),
    DIDLE("dump_state", KEY_ANY, ENGINE),
    DIDLE("zero_allow_untested_optimizer", KEY_ANY, ENGINE),
    DIDLE("zero_force_ds_cpu_optimizer", KEY_ANY, ENGINE),
    DIDLE("disable_allgather", KEY_ANY, ENGINE),
};
const size_t config_keys_deepspeed_count =
    sizeof config_keys_deepspeed / sizeof *config_keys_deepspeed;
