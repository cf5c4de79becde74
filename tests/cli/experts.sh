#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A mixture of experts through the commands: checkpoints have the tensors of the model's files,
# adapters, the auxiliary loss; refusals.
source "$(dirname "$0")/../train.sh"

model model torch_dtype='"float32"' model_type='"qwen3_moe"' num_experts=5 num_experts_per_tok=2 \
    moe_intermediate_size=24 norm_topk_prob=true num_hidden_layers=2 mlp_only_layers='[1]'
rows 1 12 >train.jsonl
samples train.jsonl >samples.sfts
sft-pack -q -l 256 -b 6 --epochs 1 samples.sfts -o train.sfts
config <<'END'
seed: 42
sequence_length: 256
save_steps: 100
logging_steps: 1
sft_train:
  model_args: {dtype: fp32}
  training_args:
    num_train_epochs: 1
    per_device_train_batch_size: 6
    gradient_accumulation_steps: 1
    learning_rate: 1.0e-2
    lr_scheduler_type: constant
END
last=2
M=sft_train.model_args
names() { sft-ckpt show "$1" | grep -o 'model.*weight' | LC_ALL=C sort; }

# ---- checkpoints ----
check 'checkpoint: a run succeeds' run a train.sfts
equal 'checkpoint: it has the tensors of the model' "$(names "$(checkpoint a)")" "$(names model)"
equal 'checkpoint: each expert has three' "$(names model | grep -c 'layers.0.mlp.experts')" 15
check 'checkpoint: a run of no learning succeeds' run still \
    sft_train.training_args.learning_rate=0 train.sfts
check 'checkpoint: without learning its values are those of the model' \
    sft-ckpt diff -q model "$(checkpoint still)"

model shared torch_dtype='"float32"' model_type='"qwen2_moe"' num_experts=3 num_experts_per_tok=2 \
    moe_intermediate_size=24 shared_expert_intermediate_size=40 num_hidden_layers=2
check 'checkpoint: a run with an expert of all tokens succeeds' run all pretrain=./shared train.sfts
equal 'checkpoint: it has the tensors of such a model' "$(names "$(checkpoint all)")" \
    "$(names shared)"
equal 'checkpoint: the expert of all tokens has four' \
    "$(names shared | grep -c 'layers.1.*shared')" 4
check 'checkpoint: a run of no learning of such a model succeeds' run calm pretrain=./shared \
    sft_train.training_args.learning_rate=0 train.sfts
check 'checkpoint: without learning its values are those of such a model' \
    sft-ckpt diff -q shared "$(checkpoint calm)"

# ---- the auxiliary loss ----
cp -r model balanced
jq '.output_router_logits = true | .router_aux_loss_coef = 0.5' model/config.json \
    >balanced/config.json
check 'auxiliary loss: a run with it succeeds' run b pretrain=./balanced train.sfts
# 0.5 times at least 2, the number of experts of a token, when it is balanced
equal 'auxiliary loss: the loss of a step has it' \
    "$(awk -v a="$(losses a | head -n 1)" -v b="$(losses b | head -n 1)" \
        'BEGIN { print (b - a > 0.9 && b - a < 2.5) }')" 1
differ 'auxiliary loss: it changes what is learned' "$(weights a)" "$(weights b)"
equal 'auxiliary loss: an evaluation has none' \
    "$(sft-eval -q --dtype fp32 -m balanced samples.sfts | jq .loss)" \
    "$(sft-eval -q --dtype fp32 -m model samples.sfts | jq .loss)"

check 'auxiliary loss: a run with its key succeeds' run key $M.moe_aux_loss_coef=0.5 train.sfts
same 'auxiliary loss: the key is as config.json' "$(weights b)" "$(weights key)"
check 'auxiliary loss: a run with its key at 0 succeeds' run none pretrain=./balanced \
    $M.moe_aux_loss_coef=0 train.sfts
same 'auxiliary loss: 0 is as none in config.json' "$(weights a)" "$(weights none)"
equal 'auxiliary loss: a finished run is resumed with the key' \
    "$(code run key $M.moe_aux_loss_coef=0.5 train.sfts --resume auto)" 0
tells 'auxiliary loss: another value is told on resume' \
    'moe_aux_loss_coef is 0.25, but was 0.5' key $M.moe_aux_loss_coef=0.25 train.sfts --resume auto
model dense torch_dtype='"float32"' num_hidden_layers=2
tells 'auxiliary loss: without experts it is told' 'moe_aux_loss_coef: the model has no experts' \
    plain pretrain=./dense $M.moe_aux_loss_coef=0.5 train.sfts

# ---- adapters ----
check 'adapter: all-linear is on attention, the router and the experts' \
    run lora $M.lora_target=all-linear train.sfts
adapter=$(checkpoint lora)/sft_train
equal 'adapter: those of router and experts are named as parameters' \
    "$(jq -r '.target_parameters[]' "$adapter/adapter_config.json" | cut -d. -f5- | paste -sd,)" \
    'gate.weight,experts.gate_up_proj,experts.down_proj'
equal 'adapter: gate and up have twice the rank' \
    "$(jq -c '[.r, .rank_pattern, .alpha_pattern]' "$adapter/adapter_config.json")" \
    '[8,{".*\\.gate_up_proj":16},{".*\\.gate_up_proj":32}]'
shape='s/.*layers\.0\.mlp\.([a-z_.]*lora_[AB])\.weight[^[]*\[?([0-9]+)[^0-9]+([0-9]+).*/\1 \2 \3/p'
equal "adapter: the file has peft's shapes" "$(sft-ckpt show "$adapter" | sed -nE "$shape" |
    sed 's/experts.base_layer/inner/' | paste -sd,)" \
    "$(printf '%s,' 'gate.lora_A 8 128' 'gate.lora_B 5 8' 'inner.lora_A 80 128' \
        'inner.lora_B 48 80' 'experts.lora_A 40 24')experts.lora_B 128 40"
check 'adapter: it is merged' sft-ckpt merge -q model "$adapter" -o merged
equal 'adapter: the merged model has the tensors of the model' "$(names merged)" "$(names model)"
loss_of() { sft-eval -q --dtype fp32 "$@" samples.sfts | jq .loss; }
equal 'adapter: the merged model has the loss of model and adapter' \
    "$(awk -v a="$(loss_of -m merged)" -v b="$(loss_of -m model --adapter "$adapter")" \
        'BEGIN { print (a - b < 1e-6 && b - a < 1e-6) }')" 1
equal 'adapter: which is not that of the model' \
    "$([ "$(loss_of -m merged)" = "$(loss_of -m model)" ] || echo other)" other
check 'adapter: half of a run' run half $M.lora_target=all-linear max_steps=1 train.sfts
check 'adapter: the other half' run half $M.lora_target=all-linear --resume auto train.sfts
check 'adapter: a resumed run is the same run' \
    sft-ckpt diff -q "$adapter" "$(checkpoint half)/sft_train"
check 'adapter: a run begins from one' run from pretrain=./model \
    "$M.adapter_name_or_path=$adapter" train.sfts
check 'adapter: gate and up alone have the outer name' \
    run gate "$M.lora_target='gate_proj,up_proj'" train.sfts
equal 'adapter: and no other tensors' "$(sft-ckpt show "$(checkpoint gate)" |
    grep -o 'mlp[.a-z_]*lora_[AB]' | paste -sd,)" 'mlp.experts.lora_A,mlp.experts.lora_B'
fails 'adapter: gate without up is refused' 78 'gate and up of experts have one adapter' \
    run x "$M.lora_target=gate_proj" train.sfts
fails 'adapter: dropout is refused' 78 'of experts have no dropout' \
    run x $M.lora_target=all-linear $M.lora_dropout=0.1 train.sfts
check 'adapter: attention may have dropout' \
    run q $M.lora_target=q_proj $M.lora_dropout=0.1 train.sfts
for name in experts.0.gate_proj layers.1.mlp.up_proj; do
    fails "adapter: lora_target $name is refused" 78 'lora_target: .* is not supported, nor is it' \
        run x "$M.lora_target='q_proj,$name'" train.sfts
done
for name in experts mlp.gate; do
    fails "adapter: additional_target $name is refused" 78 \
        'additional_target: .* is not supported, nor is it' \
        run x $M.lora_target=q_proj "$M.additional_target=$name" train.sfts
done
check 'adapter: the expert of all tokens has one' \
    run all.lora pretrain=./shared $M.lora_target=all-linear $M.lora_dropout=0.1 train.sfts
equal 'adapter: on four layers, the chosen experts have none' \
    "$(sft-ckpt show "$(checkpoint all.lora)" | grep -o 'layers.1.mlp.*lora_A' | cut -d. -f4- |
        sed 's/.lora_A//; s/shared_expert.//' | paste -sd,)" 'gate,gate_proj,up_proj,down_proj'
for name in gate experts.gate_proj; do
    fails "adapter: lora_target $name of such a model is refused" 78 \
        'lora_target: .* is not supported, nor is it' \
        run x pretrain=./shared "$M.lora_target='q_proj,$name'" train.sfts
done

# ---- refusals ----
jq '.router_jitter_noise = 0.1 | .model_type = "mixtral"' model/config.json >jitter.json
fails 'refusal: router_jitter_noise above 0' 65 'router_jitter_noise is not supported' \
    sft-ckpt init jitter.json -o x
jq '.clip_qkv = 8.0 | .model_type = "olmoe"' model/config.json >clip.json
fails 'refusal: clip_qkv that is not null' 65 'clip_qkv is not supported' \
    sft-ckpt init clip.json -o x
E=sft_train.strategy_args.strategy_config.expert_model_parallel_size
fails 'refusal: ranks that do not divide the workers cannot share out the experts' 78 \
    'expert_model_parallel_size: 2 does not divide the 1 data-parallel x context-parallel workers' \
    run x $E=2 train.sfts
fails 'refusal: ranks that do not divide the experts cannot share them out' 78 \
    "expert_model_parallel_size 2 does not divide the model's num_experts, which is 5" \
    sft-train --config config.yaml --plan $E=2 'sft_train.device_mapping=[0,1]'
exit $bad
