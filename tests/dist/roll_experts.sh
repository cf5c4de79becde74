#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ROLL's examples of a mixture of experts on eight workers, with every key that their files set:
# fsdp2_train with ulysses_size 2, and megatron_train with 2 stages of 8 chunks. Overridden is
# expert_model_parallel_size.
source "$(dirname "$0")/../roll.sh"
# common: prints what the files have in common
common() {
    cat <<'END'
hydra: {run: {dir: .}, output_subdir: null}
exp_name: "qwen3-30BA3B-sft-config"
seed: 42
logging_dir: ./output/logs
output_dir: ./output_sft
system_envs: {USE_MODELSCOPE: '1'}
num_gpus_per_node: 8
save_steps: 100
logging_steps: 1
eval_steps: 100
resume_from_checkpoint: false
pretrain: Qwen/Qwen3-30B-A3B-Base
prompt_key: instruction
query_key: input
response_key: output
END
}
# training STEPS: prints the head of sft_train; a worker's micro-batches in a step
training() {
    cat <<END
  training_args:
    num_train_epochs: 1
    per_device_train_batch_size: 1
    gradient_accumulation_steps: $1
    learning_rate: 5.0e-6
  data_args:
    file_name: ./data/code_alpaca_20k.json
    template: qwen2_5
    preprocessing_num_workers: 4
  use_sequence_packing: True
  device_mapping: list(range(0,8))
  infer_batch_size: 2
END
}
# fsdp2 CLASS KEYS: prints the file for fsdp2_train with these keys of its strategy_config
fsdp2() {
    common
    cat <<'END'
sequence_length: 2048
validation:
  data_args: {file_name: ./data/code_alpaca_500.json, template: qwen2_5}
sft_train:
  model_args: {dtype: bf16, ulysses_size: 2}
END
    training 1
    cat <<END
  strategy_args:
    strategy_name: fsdp2_train
    strategy_config:
      fsdp_size: 8
$2
      param_dtype: bf16
      reduce_dtype: bf16
      offload_policy: false
      reshard_after_forward: true
      wrap_policy:
        wrap_embeddings: true
        wrap_lm_output: true
        moe_experts: [$1]
        transformer_layer_cls_to_wrap: [Qwen3MoeAttention, Qwen3MoeSparseMoeBlock]
END
}
fsdp2 Qwen3MoeMLP '' >sft_config.yaml
{
    common
    cat <<'END'
track_with: ml_tracker
tracker_kwargs:
  project: ljy_fsdp-ep-exp_qwen3-30BA3B
  name: sft_megatron-pp2-ep4_bf16_4096
  notes: "scale aligner pipeline"
  tags: [pipeline, roll, Qwen3]
sequence_length: 4096
sft_train:
  model_args: {dtype: bf16}
END
    training 2
    cat <<'END'
  strategy_args:
    strategy_name: megatron_train
    strategy_config:
      tensor_model_parallel_size: 1
      pipeline_model_parallel_size: 2
      virtual_pipeline_model_parallel_size: 8
      expert_model_parallel_size: 4
      context_parallel_size: 1
      use_distributed_optimizer: true
      sequence_parallel: true
      moe_token_dispatcher_type: "alltoall"
      moe_grouped_gemm: true
      moe_layer_recompute: true
END
} >sft_config_megatron.yaml
model model 'architectures=["Qwen3MoeForCausalLM"]' 'model_type="qwen3_moe"' hidden_size=64 \
    intermediate_size=128 num_hidden_layers=16 num_attention_heads=4 num_key_value_heads=2 \
    head_dim=16 tie_word_embeddings=false rms_norm_eps=1e-6 rope_theta=1000000.0 num_experts=16 \
    num_experts_per_tok=4 moe_intermediate_size=32 norm_topk_prob=true max_position_embeddings=4096
validation=validation.data_args.file_name=../val.json
one=('sft_train.device_mapping=[0]')
equal 'fsdp2: one worker trains from the file' "$(code roll sft_config fsdp2-one $validation \
    "${one[@]}" sft_train.model_args.ulysses_size=1 $strategy.fsdp_size=1 \
    sft_train.training_args.gradient_accumulation_steps=4)" 0
equal 'fsdp2: its eight workers train' "$(code roll sft_config fsdp2 $validation)" 0
like_one 'fsdp2' fsdp2 8 fsdp2-one
equal 'megatron: one worker trains from the file' "$(code roll sft_config_megatron megatron-one \
    "${one[@]}" $strategy.pipeline_model_parallel_size=1 $strategy.expert_model_parallel_size=1 \
    $strategy.virtual_pipeline_model_parallel_size=1 $strategy.sequence_parallel=false \
    sft_train.training_args.gradient_accumulation_steps=8)" 0
equal 'megatron: its eight workers train' "$(code roll sft_config_megatron megatron \
    $strategy.expert_model_parallel_size=1)" 0
like_one 'megatron' megatron 8 megatron-one
exit $bad
