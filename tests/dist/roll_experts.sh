#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The examples of a mixture of experts on eight workers, which have every key of ROLL's: fsdp2_train
# with ulysses_size 2, the same where all eight share out the experts, and megatron_train with 2
# stages of 8 chunks and 4 workers that share out the experts.
source "$(dirname "$0")/../roll.sh"
cp "$root"/examples/qwen3-30BA3B-sft_fsdp2/*.yaml .
model model 'architectures=["Qwen3MoeForCausalLM"]' 'model_type="qwen3_moe"' hidden_size=64 \
    intermediate_size=128 num_hidden_layers=16 num_attention_heads=4 num_key_value_heads=2 \
    head_dim=16 tie_word_embeddings=false rms_norm_eps=1e-6 rope_theta=1000000.0 num_experts=16 \
    num_experts_per_tok=4 moe_intermediate_size=32 norm_topk_prob=true max_position_embeddings=4096
one=('sft_train.device_mapping=[0]')
equal 'fsdp2: one worker trains from the file' "$(code roll sft_config fsdp2-one \
    "${one[@]}" sft_train.model_args.ulysses_size=1 $strategy.fsdp_size=1 \
    sft_train.training_args.gradient_accumulation_steps=4)" 0
equal 'fsdp2: its eight workers train' "$(code roll sft_config fsdp2)" 0
like_one 'fsdp2' fsdp2 8 fsdp2-one
equal 'fsdp2, ep 8: its eight workers train' "$(code roll sft_config_ep fsdp2-ep)" 0
like_one 'fsdp2, ep 8' fsdp2-ep 8 fsdp2-one
equal 'megatron: one worker trains from the file' "$(code roll sft_config_megatron megatron-one \
    "${one[@]}" $strategy.pipeline_model_parallel_size=1 $strategy.expert_model_parallel_size=1 \
    $strategy.virtual_pipeline_model_parallel_size=1 $strategy.sequence_parallel=false \
    sft_train.training_args.gradient_accumulation_steps=8)" 0
equal 'megatron: its eight workers train, of which four share out the experts' \
    "$(code roll sft_config_megatron megatron)" 0
like_one 'megatron' megatron 8 megatron-one
exit $bad
