/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of strategy_config: megatron_train has those of TrainingArguments of mcore_adapter,
 * which include every field of Hugging Face's TrainingArguments; fsdp2_train has others. */
#include "config/keys.h"
#include "config/keys_schedule.h"

#define C        "sft_train.strategy_args.strategy_config."
#define T        "sft_train.training_args."
#define F(field) TO(sft_train.strategy_args.strategy_config.field)
#define A(field) TO(sft_train.training_args.field), .as = T #field

#define DISPATCH        "each token goes to the workers that have its experts (alltoall)"
#define DROPLESS        "experts (MoE) compute every token that chooses them"
#define GROUPED         "the experts of a layer are always one grouped product"
#define REPLAY          "a replay of the choice of experts (MoE) is not supported"
#define ROUTED          "the auxiliary loss is that of transformers: sft_train.model_args.moe_aux_loss_coef"
#define FUSED           "kernels are fused where that is faster, with the same result"
#define LAYOUT          "it changes where a value is computed, not the result"
#define ENGINE          "the engine is not Megatron"
#define HF              "a field of Hugging Face's Trainer, which ROLL does not read"
#define KWARG_DOC(text) "As in training_args.lr_scheduler_kwargs, which it overrides"
#define TWICE           "set it in training_args, which determines the global batch"

#define MEGA(...)                                                                                  \
    {                                                                                              \
        .scope = KEY_MEGATRON, __VA_ARGS__                                                         \
    }
#define MUSE(p, t, ...)  MEGA(.path = C p, .type = t, .effect = KEY_USED, __VA_ARGS__)
#define MIDLE(p, t, why) MEGA(.path = C p, .type = t, .effect = KEY_IDLE, .doc = why)
#define MLIMIT(p, t, ok, why)                                                                      \
    MEGA(.path = C p, .type = t, .effect = KEY_LIMIT, .only = ok, .doc = why)
#define TRAINER(p) MIDLE(p, KEY_ANY, HF)

const struct config_key config_keys_megatron[] = {
    MUSE("tensor_model_parallel_size", KEY_INT, F(tensor_model_parallel_size), .dflt = "1", .lo = 1,
         .hi = 65536, .doc = "Workers that split each layer"),
    MUSE("pipeline_model_parallel_size", KEY_INT, F(pipeline_model_parallel_size), .dflt = "1",
         .lo = 1, .hi = 65536, .doc = "Pipeline stages, each with a part of the layers"),
    MUSE("virtual_pipeline_model_parallel_size", KEY_INT, F(virtual_pipeline_model_parallel_size),
         .dflt = "1", .lo = 1, .hi = 65536,
         .doc = "Chunks of layers of each pipeline stage, which run interleaved"),
    MUSE("context_parallel_size", KEY_INT, F(context_parallel_size), .dflt = "1", .lo = 1,
         .hi = 65536, .doc = "Workers that split each sample of a row"),
    MUSE("recompute_granularity", KEY_WORD, F(recompute_granularity), .words = "full|selective",
         .doc = "Activations recomputed in the backward pass, unless sft.recompute is set"),
    MUSE("use_distributed_optimizer", KEY_BOOL, F(use_distributed_optimizer), .dflt = "false",
         .doc = "Shards master weights and moments over the workers, with the same result"),
    MUSE("sequence_parallel", KEY_BOOL, F(sequence_parallel), .dflt = "false",
         .doc = "Cuts the rows of activations among the workers that split each layer"),
    MUSE("learning_rate", KEY_REAL, A(learning_rate), .lo = 0, .hi = 1e3,
         .doc = "As training_args.learning_rate, and goes before it"),
    MUSE("lr_scheduler_type", KEY_WORD, A(lr_scheduler_type), .words = CONFIG_SCHEDULE_WORDS,
         .only = CONFIG_SCHEDULE_TRAINABLE,
         .doc = "As training_args.lr_scheduler_type, and goes before it"),
    MUSE("warmup_steps", KEY_REAL, A(warmup_steps), .lo = 0, .hi = MAX_COUNT,
         .doc = "As training_args.warmup_steps, which it overrides"),
    MUSE("warmup_ratio", KEY_REAL, A(warmup_ratio), .lo = 0, .hi = 1,
         .doc = "As training_args.warmup_ratio, which it overrides"),
    MUSE("weight_decay", KEY_REAL, A(weight_decay), .lo = 0, .hi = 1e3,
         .doc = "As training_args.weight_decay, which it overrides"),
    MUSE("adam_beta1", KEY_REAL, A(adam_beta1), .lo = 0, .hi = 0.99999999,
         .doc = "As training_args.adam_beta1, which it overrides"),
    MUSE("adam_beta2", KEY_REAL, A(adam_beta2), .lo = 0, .hi = 0.99999999,
         .doc = "As training_args.adam_beta2, which it overrides"),
    MUSE("adam_epsilon", KEY_REAL, A(adam_epsilon), .lo = 1e-30, .hi = 1,
         .doc = "As training_args.adam_epsilon, which it overrides"),
#define ROW(name, type, ...)                                                                       \
    MUSE("lr_scheduler_kwargs." name, type, .as = T "lr_scheduler_kwargs." name, __VA_ARGS__)
    SCHEDULE_KWARGS(ROW, KWARG_DOC),
#undef ROW
    MLIMIT("lr_scheduler_kwargs.max_lr", KEY_REAL, "", "learning_rate is the highest rate"),
    MLIMIT("lr_scheduler_kwargs.init_lr", KEY_REAL, "", "warm-up starts at 0"),
    MLIMIT("lr_scheduler_kwargs.lr_decay_steps", KEY_INT, "", "a schedule is as long as the run"),
    MLIMIT("lr_scheduler_kwargs.wsd_decay_steps", KEY_INT, "",
           "Megatron's name for num_decay_steps of transformers; use that name"),
    MLIMIT("lr_scheduler_kwargs.lr_wsd_decay_style", KEY_STR, "",
           "Megatron's name for decay_type of transformers; use that name"),
    MUSE("optimizer", KEY_WORD, F(optimizer), .words = "adam|sgd",
         .doc = "Overrides training_args.optim; sgd has Megatron's momentum of 0.9"),
    MUSE("expert_model_parallel_size", KEY_INT, F(expert_model_parallel_size), .dflt = "1", .lo = 1,
         .hi = 65536,
         .doc = "Workers that share out the experts of each layer; they divide the data-parallel x "
                "context-parallel ones"),
    MUSE("expert_tensor_parallel_size", KEY_INT, F(expert_tensor_parallel_size), .lo = 1,
         .hi = 65536, .doc = "Workers that split each expert: tensor_model_parallel_size"),
    MLIMIT("moe_aux_loss_coeff", KEY_REAL, "0.0", ROUTED),
    MIDLE("moe_grouped_gemm", KEY_BOOL, GROUPED), MIDLE("moe_layer_recompute", KEY_BOOL, LAYOUT),
    MLIMIT("moe_expert_capacity_factor", KEY_REAL, "", DROPLESS),
    MLIMIT("moe_pad_expert_input_to_capacity", KEY_BOOL, "false", DROPLESS),
    MLIMIT("moe_token_drop_policy", KEY_STR, "", DROPLESS),
    MIDLE("moe_shared_expert_overlap", KEY_BOOL, LAYOUT),
    MLIMIT("moe_enable_routing_replay", KEY_BOOL, "false", REPLAY),
    MIDLE("moe_router_dtype", KEY_STR, "the router computes in fp32"),
    MIDLE("moe_token_dispatcher_type", KEY_STR, DISPATCH),
    MLIMIT("mtp_num_layers", KEY_INT, "0", "multi-token prediction is not supported"),
    MLIMIT("fp8", KEY_STR, "", "fp8 is not supported"),
    MIDLE("fp8_recipe", KEY_STR, "only with fp8, which is not supported"),
    MLIMIT("fp8_param", KEY_BOOL, "false", "fp8 is not supported"),
    MLIMIT("additional_configs", KEY_ANY, "", "arguments of Megatron itself are not supported"),
    MLIMIT("per_device_train_batch_size", KEY_INT, "", TWICE),
    MLIMIT("gradient_accumulation_steps", KEY_INT, "", TWICE),
    MLIMIT("neftune_noise_alpha", KEY_REAL, "", "noise on embeddings is not supported"),

    MIDLE("account_for_embedding_in_pipeline_split", KEY_BOOL, LAYOUT),
    MIDLE("account_for_loss_in_pipeline_split", KEY_BOOL, LAYOUT),
    MIDLE("pipeline_model_parallel_layout", KEY_ANY, LAYOUT),
    MIDLE("overlap_p2p_comm", KEY_BOOL, LAYOUT),
    MIDLE("variable_seq_lengths", KEY_BOOL, "rows may always differ in length"),
    MIDLE("recompute_method", KEY_STR, "recompute_granularity is used"),
    MIDLE("recompute_modules", KEY_ANY, "recompute_granularity is used"),
    MIDLE("recompute_num_layers", KEY_INT, "recompute_granularity is used"),
    MIDLE("bias_activation_fusion", KEY_BOOL, FUSED), MIDLE("apply_rope_fusion", KEY_BOOL, FUSED),
    MIDLE("cross_entropy_loss_fusion", KEY_BOOL, FUSED),
    MIDLE("calculate_per_token_loss", KEY_BOOL, "the loss is always the mean over all tokens"),
    MIDLE("transformer_impl", KEY_STR, ENGINE), MIDLE("cuda_graph_impl", KEY_STR, ENGINE),
    MIDLE("cuda_graph_scope", KEY_STR, ENGINE), MIDLE("compile_warmup", KEY_BOOL, ENGINE),
    MIDLE("distrib_optim_fully_reshardable", KEY_BOOL, "checkpoints fit every layout"),
    MIDLE("distrib_optim_fully_reshardable_mem_efficient", KEY_BOOL,
          "checkpoints fit every layout"),
    MIDLE("accumulate_allreduce_grads_in_fp32", KEY_BOOL, "gradients are always summed in fp32"),
    MIDLE("overlap_grad_reduce", KEY_BOOL, LAYOUT), MIDLE("delay_grad_reduce", KEY_BOOL, LAYOUT),
    MIDLE("overlap_param_gather", KEY_BOOL, LAYOUT),
    MIDLE("check_for_nan_in_loss_and_grad", KEY_BOOL,
          "a loss that is not finite ends the run; see sft.skip_nonfinite"),
    MIDLE("ddp_average_in_collective", KEY_BOOL, LAYOUT), MIDLE("ddp_bucket_size", KEY_INT, LAYOUT),
    MIDLE("optimizer_cpu_offload", KEY_BOOL, LAYOUT),
    MIDLE("optimizer_offload_fraction", KEY_REAL, LAYOUT),
    MIDLE("save_hf_model", KEY_BOOL, "every checkpoint is a Hugging Face folder"),
    MIDLE("save_merged_model", KEY_BOOL, "sft-ckpt merge merges an adapter into its base model"),
    MIDLE("save_only_model", KEY_BOOL, "every checkpoint can be resumed"),
    MIDLE("ckpt_format", KEY_STR, "there is one checkpoint format"),
    MIDLE("ckpt_d2h_non_blocking", KEY_BOOL, "sft.async_save is used"),
    MIDLE("sequence_packing", KEY_BOOL, "sft_train.use_sequence_packing is used"),
    MIDLE("dataloader_num_workers", KEY_INT, "training_args.dataloader_num_workers is used"),
    MIDLE("num_train_epochs", KEY_REAL, "training_args.num_train_epochs is used"),
    MIDLE("max_steps", KEY_INT, "training_args.max_steps is used"),
    MIDLE("max_grad_norm", KEY_REAL, "the top-level max_grad_norm is used"),
    MIDLE("seed", KEY_INT, "the top-level seed is used"),
    MIDLE("bf16", KEY_BOOL, "model_args.dtype is used"),
    MIDLE("fp16", KEY_BOOL, "model_args.dtype is used"),
    /* clang-format off */
    TRAINER("output_dir"), TRAINER("overwrite_output_dir"), TRAINER("do_train"),
    TRAINER("do_eval"), TRAINER("do_predict"), TRAINER("evaluation_strategy"),
    TRAINER("eval_strategy"), TRAINER("prediction_loss_only"),
    TRAINER("per_device_eval_batch_size"), TRAINER("per_gpu_train_batch_size"),
    TRAINER("per_gpu_eval_batch_size"), TRAINER("eval_accumulation_steps"), TRAINER("eval_delay"),
    TRAINER("eval_steps"), TRAINER("eval_on_start"), TRAINER("eval_do_concat_batches"),
    TRAINER("eval_use_gather_object"), TRAINER("batch_eval_metrics"),
    TRAINER("include_for_metrics"), TRAINER("include_inputs_for_metrics"),
    TRAINER("torch_empty_cache_steps"), TRAINER("optim"), TRAINER("optim_args"),
    TRAINER("optim_target_modules"), TRAINER("adafactor"), TRAINER("group_by_length"),
    TRAINER("length_column_name"), TRAINER("train_sampling_strategy"), TRAINER("log_level"),
    TRAINER("log_level_replica"), TRAINER("log_on_each_node"), TRAINER("logging_dir"),
    TRAINER("logging_strategy"), TRAINER("logging_first_step"), TRAINER("logging_steps"),
    TRAINER("logging_nan_inf_filter"), TRAINER("save_strategy"), TRAINER("save_steps"),
    TRAINER("save_total_limit"), TRAINER("save_safetensors"), TRAINER("save_on_each_node"),
    TRAINER("restore_callback_states_from_checkpoint"), TRAINER("enable_jit_checkpoint"),
    TRAINER("no_cuda"), TRAINER("use_cpu"), TRAINER("use_mps_device"), TRAINER("data_seed"),
    TRAINER("jit_mode_eval"), TRAINER("use_ipex"), TRAINER("fp16_opt_level"),
    TRAINER("half_precision_backend"), TRAINER("fp16_backend"), TRAINER("bf16_full_eval"),
    TRAINER("fp16_full_eval"), TRAINER("tf32"), TRAINER("local_rank"), TRAINER("ddp_backend"),
    TRAINER("ddp_timeout"), TRAINER("ddp_find_unused_parameters"), TRAINER("ddp_bucket_cap_mb"),
    TRAINER("ddp_broadcast_buffers"), TRAINER("ddp_static_graph"), TRAINER("tpu_num_cores"),
    TRAINER("tpu_metrics_debug"), TRAINER("debug"), TRAINER("dataloader_drop_last"),
    TRAINER("dataloader_prefetch_factor"),
    TRAINER("dataloader_pin_memory"), TRAINER("dataloader_persistent_workers"),
    TRAINER("dataloader_multiprocessing_context"), TRAINER("dataloader_in_order"),
    TRAINER("past_index"), TRAINER("run_name"), TRAINER("project"), TRAINER("trackio_space_id"),
    TRAINER("trackio_bucket_id"), TRAINER("trackio_static_space_id"), TRAINER("disable_tqdm"),
    TRAINER("remove_unused_columns"), TRAINER("label_names"), TRAINER("load_best_model_at_end"),
    TRAINER("metric_for_best_model"), TRAINER("greater_is_better"), TRAINER("ignore_data_skip"),
    TRAINER("fsdp"), TRAINER("fsdp_min_num_params"), TRAINER("fsdp_config"),
    TRAINER("fsdp_transformer_layer_cls_to_wrap"), TRAINER("accelerator_config"),
    TRAINER("parallelism_config"), TRAINER("deepspeed"), TRAINER("label_smoothing_factor"),
    TRAINER("report_to"), TRAINER("skip_memory_metrics"), TRAINER("use_legacy_prediction_loop"),
    TRAINER("push_to_hub"), TRAINER("resume_from_checkpoint"), TRAINER("hub_model_id"),
    TRAINER("hub_strategy"), TRAINER("hub_token"), TRAINER("hub_private_repo"),
    TRAINER("hub_always_push"), TRAINER("hub_revision"), TRAINER("push_to_hub_model_id"),
    TRAINER("push_to_hub_organization"), TRAINER("push_to_hub_token"), TRAINER("mp_parameters"),
    TRAINER("gradient_checkpointing"), TRAINER("gradient_checkpointing_kwargs"),
    TRAINER("activation_checkpointing"), TRAINER("activation_checkpointing_kwargs"),
    TRAINER("auto_find_batch_size"), TRAINER("full_determinism"), TRAINER("torchdynamo"),
    TRAINER("ray_scope"), TRAINER("torch_compile"), TRAINER("torch_compile_backend"),
    TRAINER("torch_compile_mode"), TRAINER("dispatch_batches"), TRAINER("split_batches"),
    TRAINER("include_tokens_per_second"), TRAINER("include_num_input_tokens_seen"),
    TRAINER("use_liger_kernel"), TRAINER("liger_kernel_config"), TRAINER("use_cache"),
    TRAINER("average_tokens_across_devices"),
    /* clang-format on */
};
const size_t config_keys_megatron_count =
    sizeof config_keys_megatron / sizeof *config_keys_megatron;

#define FSDP(...)                                                                                  \
    {                                                                                              \
        .scope = KEY_FSDP2, __VA_ARGS__                                                            \
    }
#define FUSE(p, t, ...)  FSDP(.path = C p, .type = t, .effect = KEY_USED, __VA_ARGS__)
#define FIDLE(p, t, why) FSDP(.path = C p, .type = t, .effect = KEY_IDLE, .doc = why)

const struct config_key config_keys_fsdp2[] = {
    FUSE("param_dtype", KEY_WORD, F(param_dtype), .words = CONFIG_DTYPE_WORDS, .only = "fp32|bf16",
         .doc = "Type of the computation, overrides model_args.dtype; master weights: "
                "sft.master_dtype"),
    FUSE("fsdp_size", KEY_INT, F(fsdp_size), .dflt = "1", .lo = -1, .hi = 65536,
         .doc = "Workers that share one copy of the weights; up to 1, or all workers: all of them"),
    FUSE("reshard_after_forward", KEY_BOOL, F(reshard_after_forward), .dflt = "true",
         .doc = "true: each worker has a part of the weights (ZeRO-3); false: it has them whole, "
                "and parts of gradients and state (ZeRO-2)"),
    FUSE("ep_size", KEY_INT, F(ep_size), .dflt = "1", .lo = 1, .hi = 65536,
         .doc = "Workers that share out the experts of each layer; they divide fsdp_size, or all "
                "workers"),
    FUSE("efsdp_size", KEY_INT, F(efsdp_size), .lo = 1, .hi = 65536,
         .doc = "Workers that share one copy of the same experts: fsdp_size, or all workers, / "
                "ep_size"),
    FIDLE("moe_use_grouped_mm", KEY_BOOL, GROUPED),
    FIDLE("apply_expert_patch", KEY_BOOL, GROUPED),
    FIDLE("wrap_policy.moe_experts", KEY_STRS, LAYOUT),
    FIDLE("reduce_dtype", KEY_STR, "gradients are always summed in fp32"),
    FIDLE("offload_policy", KEY_ANY, LAYOUT),
    FIDLE("reduce_scatter_during_grad_accumulation", KEY_BOOL, LAYOUT),
    FIDLE("apply_tiled_mlp", KEY_BOOL, FUSED),
    FIDLE("tiled_num_shards", KEY_INT, FUSED),
    FIDLE("model_type", KEY_STR, "config.json of the model is used"),
    FIDLE("async_save_ckpt", KEY_BOOL, "sft.async_save is used"),
    FIDLE("save_only_model", KEY_BOOL, "every checkpoint can be resumed"),
    FIDLE("wrap_policy.transformer_layer_cls_to_wrap", KEY_STRS, LAYOUT),
    FIDLE("wrap_policy.wrap_embeddings", KEY_BOOL, LAYOUT),
    FIDLE("wrap_policy.wrap_lm_output", KEY_BOOL, LAYOUT),
};
const size_t config_keys_fsdp2_count = sizeof config_keys_fsdp2 / sizeof *config_keys_fsdp2;
