#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ROLL's example for eight workers: tensor 2, pipeline 2, context 2, sequence parallel, distributed
# optimizer, sequence packing, with every key that its file sets, through run_sft_pipeline.sh on
# CPU ranks.
source "$(dirname "$0")/../roll.sh"
cat >sft_config.yaml <<'END'
hydra: {run: {dir: .}, output_subdir: null}
exp_name: "qwen2.5-7B-sft-config"
seed: 42
logging_dir: ./output/logs
output_dir: ./output_sft
system_envs: {USE_MODELSCOPE: '1'}
track_with: tensorboard
tracker_kwargs: {log_dir: ./rl_examples/llm/tensorboard/roll_exp/rlvr}
num_gpus_per_node: 8
save_steps: 100
logging_steps: 1
eval_steps: 10
resume_from_checkpoint: false
sequence_length: 2048
pretrain: Qwen/Qwen2.5-7B
prompt_key: instruction
query_key: input
response_key: output
validation:
  data_args: {file_name: data/code_alpaca_20k.json, template: qwen2_5}
sft_train:
  model_args: {dtype: bf16}
  training_args:
    num_train_epochs: 1
    per_device_train_batch_size: 2
    gradient_accumulation_steps: 16
    learning_rate: 5.0e-6
  data_args:
    file_name: data/code_alpaca_20k.json
    template: qwen2_5
    preprocessing_num_workers: 4
  strategy_args:
    strategy_name: megatron_train
    strategy_config:
      tensor_model_parallel_size: 2
      sequence_parallel: true
      pipeline_model_parallel_size: 2
      use_distributed_optimizer: true
      context_parallel_size: 2
  use_sequence_packing: True
  device_mapping: list(range(0,8))
  infer_batch_size: 2
END
model model 'architectures=["Qwen2ForCausalLM"]' 'model_type="qwen2"' hidden_size=64 \
    intermediate_size=128 num_hidden_layers=4 num_attention_heads=4 num_key_value_heads=2 \
    tie_word_embeddings=false rms_norm_eps=1e-6 rope_theta=1000000.0
events() { find "$1/rl_examples/llm/tensorboard/roll_exp/rlvr" -name 'events.*' | wc -l; }
alone=('sft_train.device_mapping=[0]' $strategy.tensor_model_parallel_size=1
    $strategy.pipeline_model_parallel_size=1 $strategy.context_parallel_size=1
    $strategy.sequence_parallel=false)
equal 'ROLL: one worker trains from its file' "$(code roll sft_config one "${alone[@]}")" 0
equal 'ROLL, data for context parallelism: its eight workers train' "$(code roll sft_config data \
    $strategy.context_parallel_size=1 sft_train.training_args.gradient_accumulation_steps=8)" 0
like_one 'ROLL, data for context parallelism' data 8 one
equal 'ROLL, data for context parallelism: it has events for TensorBoard' "$(events data)" 1
equal 'ROLL: its eight workers train from the unmodified file' "$(code roll sft_config eight)" 0
like_one 'ROLL' eight 8 one
equal 'ROLL: it has events for TensorBoard' "$(events eight)" 1
exit $bad
