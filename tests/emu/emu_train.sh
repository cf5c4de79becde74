#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sft-train and sft-eval with --device cuda on the emulated device: the losses are those of the CPU,
# two runs give the same bytes, and checkpoints change devices.
source "$(dirname "$0")/../train.sh"
shape=(hidden_size=64 intermediate_size=128 num_hidden_layers=2 head_dim=64 num_attention_heads=2
    num_key_value_heads=1 'torch_dtype="float32"')
model model "${shape[@]}"
model qwen3 "${shape[@]}" tie_word_embeddings=false 'model_type="qwen3"' \
    'architectures=["Qwen3ForCausalLM"]'
model qwen2 "${shape[@]}" 'model_type="qwen2"' 'architectures=["Qwen2ForCausalLM"]'
model granite "${shape[@]}" 'model_type="granite"' 'architectures=["GraniteForCausalLM"]' \
    embedding_multiplier=12.0 logits_scaling=0.6 residual_multiplier=0.22 attention_multiplier=0.1
model smollm3 "${shape[@]}" 'model_type="smollm3"' 'architectures=["SmolLM3ForCausalLM"]' \
    no_rope_layer_interval=2
model gemma2 "${shape[@]}" 'model_type="gemma2"' 'architectures=["Gemma2ForCausalLM"]' \
    query_pre_attn_scalar=64 attn_logit_softcapping=2.0 final_logit_softcapping=3.0 \
    sliding_window=12 'hidden_activation="gelu_pytorch_tanh"'
model olmo2 "${shape[@]}" 'model_type="olmo2"' 'architectures=["Olmo2ForCausalLM"]' \
    rms_norm_eps=1e-3
model glm "${shape[@]}" 'model_type="glm"' 'architectures=["GlmForCausalLM"]' \
    partial_rotary_factor=0.5 attention_bias=true pad_token_id=0
model experts "${shape[@]}" 'model_type="qwen3_moe"' 'architectures=["Qwen3MoeForCausalLM"]' \
    num_experts=6 num_experts_per_tok=2 moe_intermediate_size=40 norm_topk_prob=true \
    mlp_only_layers='[1]' output_router_logits=true router_aux_loss_coef=0.1
model shared "${shape[@]}" 'model_type="qwen2_moe"' 'architectures=["Qwen2MoeForCausalLM"]' \
    num_experts=4 num_experts_per_tok=2 moe_intermediate_size=24 mlp_only_layers='[0]' \
    shared_expert_intermediate_size=72
model stacked "${shape[@]}" 'model_type="granitemoeshared"' \
    'architectures=["GraniteMoeSharedForCausalLM"]' num_local_experts=3 num_experts_per_tok=2 \
    shared_intermediate_size=40 residual_multiplier=0.7
rows 1 40 >train.jsonl
last=5
samples train.jsonl | sft-pack -q -l 128 -b 8 -o train.sfts
head -n 4 train.jsonl >val.jsonl
samples val.jsonl | sft-pack -q -l 128 -b 8 -o val.sfts
config <<'END'
track_with: ""
sequence_length: 128
save_steps: 2
sft_train:
  model_args: {dtype: fp32}
  training_args: {learning_rate: 1.0e-3, per_device_train_batch_size: 2,
    gradient_accumulation_steps: 4, num_train_epochs: 1, adam_epsilon: 1.0e-5}
END
# on DEVICE DIR ARGUMENT...: a run; on "cuda" the emulated one
on() { LD_LIBRARY_PATH=$O/emu run "$2" --device "$1" "${@:3}" train.sfts; }
M=sft_train.model_args
# beside AREA TOLERANCE NAME ARGUMENT...: runs on both devices, the losses within the tolerance
beside() {
    check "$1: the CPU trains" on cpu "$3.cpu" "${@:4}"
    check "$1: the emulated device trains" on cuda "$3.cuda" "${@:4}"
    close "$1: each loss is that of the CPU" "$(losses "$3.cuda")" "$(losses "$3.cpu")" "$2"
}
beside 'fp32' 1e-6 fp32
beside 'fp32, norms of q and k' 1e-6 qwen3 pretrain=./qwen3
beside 'fp32, biases' 1e-6 qwen2 pretrain=./qwen2
beside 'fp32, experts' 1e-6 experts pretrain=./experts
beside 'adapter' 1e-6 lora $M.lora_target=all-linear $M.lora_rank=4
beside 'bf16' 2e-2 bf16 $M.dtype=bf16
beside 'bf16, experts' 2e-2 bf16-experts $M.dtype=bf16 pretrain=./experts
beside 'bf16, an expert of all tokens' 2e-2 bf16-shared $M.dtype=bf16 pretrain=./shared
beside 'bf16, recomputed' 2e-2 full $M.dtype=bf16 sft.recompute=full
beside 'bf16, stored' 2e-2 none $M.dtype=bf16 sft.recompute=none
beside 'bf16 alone' 2e-2 narrow $M.dtype=bf16 sft.master_dtype=bf16 sft.moments_dtype=bf16 \
    sft.gradient_dtype=bf16 sft.logits_dtype=bf16
same 'recompute: all of it changes no bit' "$(weights bf16.cuda)" "$(weights full.cuda)"
same 'recompute: none of it changes no bit' "$(weights bf16.cuda)" "$(weights none.cuda)"

# A step of SGD, at so high a rate that the new weights are the gradients times the rate.
one=(sft_train.training_args.{optim=sgd,learning_rate=1000,lr_scheduler_type=constant}
    max_grad_norm=0 max_steps=1)
# gradients AREA DIR ARGUMENT...: those of the first step are the CPU's, each to 1e-5 of its norm
gradients() {
    on cpu "$2.cpu" "${one[@]}" "${@:3}" >/dev/null
    on cuda "$2.cuda" "${one[@]}" "${@:3}" >/dev/null
    sft-ckpt diff "$2."{cuda,cpu}/sft_train/checkpoint-1/sft_train >"$2.diff"
    check "$1: each gradient is that of the CPU" awk '
        $2 != "values" || $4 > 1e-5 { print; bad = 1 } END { exit bad || NR < 9 }' "$2.diff"
}
gradients 'fp32' gradient
gradients 'fp32, norms of q and k' gradient3 pretrain=./qwen3
gradients 'fp32, biases' gradient2 pretrain=./qwen2
gradients 'fp32, factors' gradient-granite pretrain=./granite
gradients 'fp32, a layer without rotation' gradient-smollm3 pretrain=./smollm3
gradients 'fp32, caps and norms behind' gradient-gemma2 pretrain=./gemma2
gradients 'fp32, norms of rows' gradient-olmo2 pretrain=./olmo2
gradients 'fp32, a part of heads is rotated' gradient-glm pretrain=./glm
gradients 'fp32, experts' gradient-experts pretrain=./experts
gradients 'fp32, an expert of all tokens' gradient-shared pretrain=./shared
gradients 'fp32, stacked experts' gradient-stacked pretrain=./stacked
gradients 'adapter' gradient-lora $M.lora_target=all-linear $M.lora_rank=4

again() { EMU_SEED=7 on cuda again $M.dtype=bf16; }
check 'twice: a second run succeeds' again
same 'twice: the weights are the same in another order of streams and warps' \
    "$(weights bf16.cuda)" "$(weights again)"
same 'twice: the state is the same' "$(state bf16.cuda)" "$(state again)"

cp -r bf16.cuda cut && rm -r "$(checkpoint cut)"
check 'resume: a run without its last step goes on' on cuda cut --resume auto $M.dtype=bf16
same "resume: the weights are the uninterrupted run's" "$(weights bf16.cuda)" "$(weights cut)"
same "resume: the state is the uninterrupted run's" "$(state bf16.cuda)" "$(state cut)"
cp -r fp32.cuda there && rm -r "$(checkpoint there)"
check 'devices: a CPU goes on from the checkpoint of a GPU' on cpu there --resume auto
close 'devices: the loss is that of the CPU' "$(losses there)" "$(losses fp32.cpu)" 1e-6
cp -r fp32.cpu back && rm -r "$(checkpoint back)"
check 'devices: a GPU goes on from the checkpoint of a CPU' on cuda back --resume auto
close 'devices: the loss is that of the GPU' "$(losses back)" "$(losses fp32.cuda)" 1e-6

# evaluated DEVICE: prints the loss of the validation stream
evaluated() {
    LD_LIBRARY_PATH=$O/emu sft-eval -q -m "$(checkpoint fp32.cuda)" --device "$1" --dtype fp32 \
        val.sfts | jq .loss
}
close 'eval: the loss is that of the CPU' "$(evaluated cuda)" "$(evaluated cpu)" 1e-6
EMU_DEVICES=0 fails 'devices: none that answers is an error' 69 'cuda' on cuda none
exit $bad
