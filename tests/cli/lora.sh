#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sft-train with lora_target: checkpoints are adapter folders, a resumed run is the same run,
# merging gives the same losses; refusals.
source "$(dirname "$0")/../train.sh"

last=4
model model torch_dtype='"float32"'
rows 1 24 >train.jsonl
rows 30 35 >val.jsonl
samples train.jsonl | sft-pack -q -l 256 -b 6 --epochs 1 -o train.sfts
samples train.jsonl | sft-pack -q -l 256 -b 6 --epochs 1 --mode none -o single.sfts
samples val.jsonl | sft-pack -q -l 256 -b 8 -o val.sfts

config <<'END'
seed: 42
sequence_length: 256
save_steps: 2
logging_steps: 1
sft_train:
  model_args: {dtype: fp32, lora_target: "q_proj,v_proj,up_proj", lora_rank: 4, lora_dropout: 0.1}
  training_args:
    num_train_epochs: 1
    per_device_train_batch_size: 1
    gradient_accumulation_steps: 6
    learning_rate: 1.0e-2
    lr_scheduler_type: constant
  device_mapping: list(range(0,1))
END
M=sft_train.model_args
eval_loss() { sft-eval -q --dtype fp32 "$@" | jq .loss; }

# ---- a run ----
check 'checkpoint: a run with an adapter succeeds' run one --val val.sfts train.sfts
equal 'checkpoint: it is an adapter folder with the tokenizer' \
    "$(ls "$(checkpoint one)/sft_train" | paste -sd' ')" \
    "adapter_config.json adapter_model.safetensors base_weights.json manifest.json state $(
        echo tokenizer.json tokenizer_config.json)"
equal 'checkpoint: it has two matrices for each adapted layer' \
    "$(sft-ckpt show "$(checkpoint one)" |
        grep -c 'base_model.model.model.layers.*lora_[AB].weight.F32')" \
    "$(( $(sft-ckpt show model | grep -c 'q_proj.weight') * 6 ))"
equal 'checkpoint: it has no other tensor' "$(sft-ckpt show "$(checkpoint one)" | grep -vc lora_)" 1
check 'checkpoint: sft-ckpt verifies it' sft-ckpt verify "$(checkpoint one)"
check 'repeat: a second run succeeds' run two --val val.sfts train.sfts
same 'repeat: it writes the same adapter' "$(adapter one)" "$(adapter two)"
check 'packing: a run of a sample a row succeeds' run alone sft_train.use_sequence_packing=false \
    single.sfts
close 'packing: the losses do not depend on it, with dropout' "$(losses one | tail -n 1)" \
    "$(losses alone | tail -n 1)" 1e-6
check 'dropout: a run without it succeeds' run still "$M.lora_dropout=0" train.sfts
close 'dropout: before the first update the adapter does nothing' "$(losses one | head -n 1)" \
    "$(losses still | head -n 1)" 1e-7
differ 'dropout: it changes the adapter' "$(adapter one)" "$(adapter still)"

# ---- memory ----
plan() { sft-train -q --config config.yaml --plan --json "$@" | jq ".classes.$class.bytes"; }
for class in gradients moments; do
    equal "memory: the plan's $class are a tenth of full training's at most" \
        "$(( $(plan) * 10 < $(plan "$M.lora_target=null") ))" 1
done

# ---- resume ----
check 'resume: a run to step 2 succeeds' run half max_steps=2 train.sfts
check 'resume: the run goes on to its end' run half --resume auto train.sfts
same "resume: the adapter equals the uninterrupted run's" "$(adapter one)" "$(adapter half)"
same "resume: the state equals the uninterrupted run's" "$(state one)" "$(state half)"
fails 'resume: another rank is refused' 78 'made with rank 4' run half --resume auto \
    "$M.lora_rank=2" train.sfts
fails 'resume: fewer adapted layers are refused' 78 \
    'has matrices for layers that this run does not adapt' run half --resume auto \
    "$M.lora_target=q_proj" train.sfts
fails 'resume: more adapted layers are refused' 78 \
    'has no model.layers.0.self_attn.k_proj.lora_A.weight, which this run trains' \
    run half --resume auto "$M.lora_target='q_proj,k_proj,v_proj,up_proj'" train.sfts
fails 'resume: one more whole module is refused' 78 \
    'has no model.norm.weight, which this run trains' run half --resume auto \
    "$M.additional_target=model.norm" train.sfts
fails 'resume: a run without the adapter is refused' 78 'made with an adapter' run half \
    --resume auto "$M.lora_target=null" train.sfts
fails 'resume: another scale is refused' 78 'made with rank 4' run half --resume auto \
    sft.rslora=true train.sfts
sft-ckpt init -q model.json --tokenizer "$root/share/tiny-tokenizer" --seed 7 -o other
fails 'resume: a base with other weights of the same shapes is refused' 78 \
    "half/sft_train/checkpoint-4: its adapter was trained on other weights than those of ./other" \
    run half --resume auto pretrain=./other train.sfts
fails 'refusal: an adapter in the place of the model is refused' 66 \
    'checkpoint-4: an adapter; give its base model as pretrain, and this as .*adapter_name' \
    run x pretrain="$(checkpoint half)" train.sfts

# ---- eval and merge ----
val=$(values one sft_train/val_loss | tail -n 1)
close "evaluation: sft-eval with the adapter gives the run's validation loss" "$val" \
    "$(eval_loss -m model --adapter "$(checkpoint one)" val.sfts)" 1e-7
check 'merge: an adapter of a checkpoint is merged' sft-ckpt merge model "$(checkpoint one)" \
    -o merged
close "merge: the merged model has the run's validation loss" "$val" \
    "$(eval_loss -m merged val.sfts)" 1e-6
check 'merge: the base model has another loss' \
    awk "BEGIN { exit !($(eval_loss -m model val.sfts) > $val) }"
check 'evaluation: a prompt is completed with the adapter' sft-eval -q -m model \
    --adapter "$(checkpoint one)" --prompt hello --max-tokens 3
fails 'evaluation: an adapter in the place of the model is refused' 66 'an adapter; give its base' \
    sft-eval -m "$(checkpoint one)" val.sfts
fails 'evaluation: a model in the place of the adapter is refused' 66 'no adapter' sft-eval \
    -m model --adapter model val.sfts

# ---- the adapted layers ----
# targets DIR: prints the adapted layers of the run's checkpoint
targets() {
    sft-ckpt show "$(checkpoint "$1")" |
        sed -n 's/^base_model.model.model.layers.\(.*\).lora_A.weight.*/\1/p' | paste -sd' '
}
check 'targets: a pattern is taken' run pattern \
    "$M.lora_target='.*\\.0\\.(mlp\\.down|self_attn\\.[ko])_proj'" train.sfts
equal 'targets: a pattern adapts the layers that it matches as a whole' "$(targets pattern)" \
    '0.self_attn.k_proj 0.self_attn.o_proj 0.mlp.down_proj'
listed() { jq -c '.target_modules | sort' "$(checkpoint "$@")/sft_train/adapter_config.json"; }
# layers REGEX: prints the layers of the model whose names match, as a JSON list
layers() {
    sft-ckpt show model | grep -o "^model.layers[^ ]*\($1\)_proj" |
        jq -Rnc '[inputs] | sort'
}
equal "targets: the adapter's file names the layers one by one" "$(listed pattern)" \
    "$(layers '\.0\.mlp\.down\|\.0\.self_attn\.[ko]')"
check 'targets: a pattern that matches more than layers is taken' run blocks max_steps=1 \
    "$M.lora_target='model\.layers\.1\.self_attn.*'" train.sfts
equal "targets: the adapter's file names layers only" "$(listed blocks 1)" \
    "$(layers '\.1\.self_attn\.[qkvo]')"
check 'targets: a list with names that are no layers is taken' run names max_steps=1 \
    "$M.lora_target='q_proj,mlp,norm'" train.sfts
equal "targets: the adapter's file leaves out names that are no layers" "$(listed names 1)" \
    "$(layers 'q')"
check 'targets: all-linear with whole modules is taken' run all "$M.lora_target=all-linear" \
    "$M.additional_target='norm,embed_tokens'" sft.rslora=true "$M.lora_dropout=0" train.sfts
equal 'targets: all-linear adapts all seven layers' "$(targets all | wc -w)" \
    "$(( $(sft-ckpt show model | grep -c 'q_proj.weight') * 7 ))"
equal 'targets: whole modules are in the checkpoint' \
    "$(sft-ckpt show "$(checkpoint all)" | grep -v lora_ | grep -c 'norm.weight\|embed_tokens')" \
    "$(sft-ckpt show model | grep -c 'norm.weight\|embed_tokens')"
check 'merge: an adapter with whole modules is merged' sft-ckpt merge model "$(checkpoint all)" \
    -o merged-all
close 'merge: the merged model has the loss of base and adapter' \
    "$(eval_loss -m model --adapter "$(checkpoint all)" val.sfts)" \
    "$(eval_loss -m merged-all val.sfts)" 1e-6
samples train.jsonl | sft-pack -q -l 256 -b 24 -o once.sfts
check 'beginning: a run begins from an adapter' run from "$M.lora_target=null" \
    "$M.adapter_name_or_path=$(checkpoint all)" \
    sft_train.training_args.gradient_accumulation_steps=24 max_steps=1 once.sfts
equal 'beginning: it trains the modules of that adapter' \
    "$(sft-ckpt show "$(checkpoint from 1)" | cut -f1,3)" \
    "$(sft-ckpt show "$(checkpoint all)" | cut -f1,3)"
close "beginning: its first loss is the adapter's last" "$(losses from)" \
    "$(eval_loss -m merged-all once.sfts)" 1e-6
begin=("$M.lora_target=null" "$M.adapter_name_or_path=$(checkpoint one)" max_steps=1 train.sfts)
tells 'beginning: on a base with other weights, the run warns' \
    "^sft-train: $(checkpoint one): was trained on other weights than those of ./other$" odd \
    pretrain=./other "${begin[@]}"
tells 'beginning: on its own base, the run starts' 'steps, .* trained of' own "${begin[@]}"
equal 'beginning: nothing is said there of other weights' \
    "$(grep -c 'other weights' "$T/stderr")" 0

fails 'resume: one whole module less is refused' 78 \
    'has model.[a-z_0-9.]*norm.weight, which this run does not train; leave additional_target' \
    run all --resume auto \
    "$M.lora_target=all-linear" sft.rslora=true "$M.lora_dropout=0" \
    "$M.additional_target=embed_tokens" train.sfts
check 'resume: a run without an adapter succeeds' run whole max_steps=1 "$M.lora_target=null" \
    train.sfts
fails 'resume: an adapter is refused for a run that began without' 78 'made without an adapter' \
    run whole --resume auto train.sfts

# ---- settings without an effect ----
tells 'warning: whole modules without an adapter have no effect' \
    'additional_target has no effect without lora_target' w1 "$M.lora_target=null" \
    "$M.additional_target=norm" max_steps=1 train.sfts
tells 'warning: frozen modules beside an adapter have no effect' \
    'freeze_module_prefix has no effect beside an adapter' w2 \
    "$M.freeze_module_prefix=model.layers.0" max_steps=1 train.sfts
cp config.yaml with.yaml
sed -i 's/lora_target: "[^"]*", //' config.yaml
tells 'warning: a rank without a target trains the whole model' \
    'lora_rank is set, but not lora_target: there is no adapter, and the whole model is trained' \
    w4 max_steps=1 train.sfts
equal 'warning: that model is whole' "$(sft-ckpt show "$(checkpoint w4 1)" | grep -c lora_)" 0
cp with.yaml config.yaml
tells 'warning: a name that is no layer is told' 'no layer is named mlp' w3 \
    "$M.lora_target='q_proj,mlp'" max_steps=1 train.sfts

# ---- refusals ----
fails 'refusal: a target that no layer has is refused' 78 'no layer has such a name' run x \
    "$M.lora_target=query" train.sfts
fails 'refusal: a whole module that does not exist is refused' 78 'no module is named wte' run x \
    "$M.additional_target=wte" train.sfts
fails 'refusal: an adapter of lm_head is refused' 78 'lm_head is not supported' run x \
    "$M.lora_target='q_proj,lm_head'" train.sfts
fails 'refusal: a pattern in a dialect that is not supported is refused' 78 'not supported' run x \
    "$M.lora_target='(?P<x>q_proj)'" train.sfts
fails 'refusal: a pattern that does not compile is refused' 78 'lora_target' run x \
    "$M.lora_target='.*(q_proj'" train.sfts
fails 'refusal: a run that does not fit is told what would fit' 71 'it fits with:' run x \
    "$M.lora_target='.*(q|v)_proj'" "$M.additional_target=norm" \
    sft_train.training_args.per_device_train_batch_size=65536 train.sfts
fails 'refusal: a folder without an adapter is refused' 66 'adapter_name_or_path' run x \
    "$M.adapter_name_or_path=model" train.sfts
exit $bad
