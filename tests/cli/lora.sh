#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sft-train with lora_target: checkpoints are adapter folders, a resumed run is the same run, merging
# gives the same losses; and what is refused.
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
check 'a run' run one --val val.sfts train.sfts
equal 'a checkpoint is an adapter folder' "$(ls "$(checkpoint one)/sft_train" | paste -sd' ')" \
    'adapter_config.json adapter_model.safetensors manifest.json state tokenizer.json tokenizer_config.json'
equal 'its tensors are the adapter' "$(sft-ckpt show "$(checkpoint one)" | grep -c 'base_model.model.model.layers.*lora_[AB].weight.F32')" \
    "$(( $(sft-ckpt show model | grep -c 'q_proj.weight') * 6 ))"
equal 'and nothing else' "$(sft-ckpt show "$(checkpoint one)" | grep -vc lora_)" 1
check 'verify' sft-ckpt verify "$(checkpoint one)"
check 'again' run two --val val.sfts train.sfts
same 'the same bytes' "$(adapter one)" "$(adapter two)"
check 'without packing' run alone sft_train.use_sequence_packing=false single.sfts
close 'the same losses without packing, dropout or not' "$(losses one | tail -n 1)" "$(losses alone | tail -n 1)" 1e-6
check 'without dropout' run still "$M.lora_dropout=0" train.sfts
close 'before the first update the adapter does nothing' "$(losses one | head -n 1)" "$(losses still | head -n 1)" 1e-7
differ 'dropout changes the run' "$(adapter one)" "$(adapter still)"

# ---- memory ----
plan() { sft-train -q --config config.yaml --plan --json "$@" | grep -o "\"$class\":{\"buffers\":[0-9]*,\"bytes\":[0-9]*" | grep -o '[0-9]*$'; }
for class in gradients moments; do
    equal "the plan: $class are a tenth at most" "$(( $(plan) * 10 < $(plan "$M.lora_target=null") ))" 1
done

# ---- resume ----
check 'to step 2' run half max_steps=2 train.sfts
check 'and on' run half --resume auto train.sfts
same 'the same adapter' "$(adapter one)" "$(adapter half)"
same 'the same state' "$(state one)" "$(state half)"
fails 'resume with another rank' 78 'made with rank 4' run half --resume auto "$M.lora_rank=2" train.sfts
fails 'resume with fewer layers' 78 'has matrices for layers that this run does not adapt' run half --resume auto "$M.lora_target=q_proj" train.sfts
fails 'resume with more layers' 78 'has no model.layers.0.self_attn.k_proj.lora_A.weight, which this run trains' \
    run half --resume auto "$M.lora_target='q_proj,k_proj,v_proj,up_proj'" train.sfts
fails 'resume with a module more' 78 'has no model.norm.weight, which this run trains' run half --resume auto "$M.additional_target=model.norm" train.sfts
fails 'resume without the adapter' 78 'made with an adapter' run half --resume auto "$M.lora_target=null" train.sfts
fails 'resume with another scale' 78 'made with rank 4' run half --resume auto sft.rslora=true train.sfts

# ---- eval and merge ----
val=$(values one sft_train/val_loss | tail -n 1)
close 'sft-eval with the adapter gives the run'"'"'s validation loss' "$val" "$(eval_loss -m model --adapter "$(checkpoint one)" val.sfts)" 1e-7
check 'merge' sft-ckpt merge model "$(checkpoint one)" -o merged
close 'the merged model has that loss' "$val" "$(eval_loss -m merged val.sfts)" 1e-6
check 'which is not the base'"'"'s' [ "$(eval_loss -m model val.sfts)" != "$val" ]
check 'a prompt' sft-eval -q -m model --adapter "$(checkpoint one)" --prompt hello --max-tokens 3
fails 'an adapter as the model' 66 'an adapter; give its base' sft-eval -m "$(checkpoint one)" val.sfts
fails 'a model as the adapter' 66 'no adapter' sft-eval -m model --adapter model val.sfts

# ---- what is adapted ----
targets() { sft-ckpt show "$(checkpoint "$1")" | sed -n 's/^base_model.model.model.layers.\(.*\).lora_A.weight.*/\1/p' | paste -sd' '; }
check 'a pattern' run pattern "$M.lora_target='.*\\.0\\.(mlp\\.down|self_attn\\.[ko])_proj'" train.sfts
equal 'adapts what it matches as a whole' "$(targets pattern)" '0.self_attn.k_proj 0.self_attn.o_proj 0.mlp.down_proj'
listed() { jq -c '.target_modules | sort' "$(checkpoint "$@")/sft_train/adapter_config.json"; }
layers() { sft-ckpt show model | grep -o "^model.layers[^ ]*\($1\)_proj" | sort | jq -Rsc 'split("\n")[:-1] | sort'; }
equal 'and its folder names them one by one' "$(listed pattern)" "$(layers '\.0\.mlp\.down\|\.0\.self_attn\.[ko]')"
check 'a pattern of more than layers' run blocks max_steps=1 "$M.lora_target='model\.layers\.1\.self_attn.*'" train.sfts
equal 'and its folder names layers only' "$(listed blocks 1)" "$(layers '\.1\.self_attn\.[qkvo]')"
check 'names that are no layers' run names max_steps=1 "$M.lora_target='q_proj,mlp,norm'" train.sfts
equal 'and its folder has them not' "$(listed names 1)" "$(layers 'q')"
check 'all-linear, with whole modules' run all "$M.lora_target=all-linear" "$M.additional_target='norm,embed_tokens'" sft.rslora=true "$M.lora_dropout=0" train.sfts
equal 'adapts all' "$(targets all | wc -w)" "$(( $(sft-ckpt show model | grep -c 'q_proj.weight') * 7 ))"
equal 'and has the modules' "$(sft-ckpt show "$(checkpoint all)" | grep -v lora_ | grep -c 'norm.weight\|embed_tokens')" \
    "$(sft-ckpt show model | grep -c 'norm.weight\|embed_tokens')"
check 'merge whole modules' sft-ckpt merge model "$(checkpoint all)" -o merged-all
close 'the same loss' "$(eval_loss -m model --adapter "$(checkpoint all)" val.sfts)" "$(eval_loss -m merged-all val.sfts)" 1e-6
samples train.jsonl | sft-pack -q -l 256 -b 24 -o once.sfts
check 'begin from an adapter' run from "$M.lora_target=null" "$M.adapter_name_or_path=$(checkpoint all)" \
    sft_train.training_args.gradient_accumulation_steps=24 max_steps=1 once.sfts
equal 'the same modules' "$(sft-ckpt show "$(checkpoint from 1)" | cut -f1,3)" "$(sft-ckpt show "$(checkpoint all)" | cut -f1,3)"
close 'it begins where that ended' "$(losses from)" "$(eval_loss -m merged-all once.sfts)" 1e-6

fails 'resume with a module less' 78 'has model.[a-z_0-9.]*norm.weight, which this run does not train; leave additional_target' run all --resume auto \
    "$M.lora_target=all-linear" sft.rslora=true "$M.lora_dropout=0" "$M.additional_target=embed_tokens" train.sfts
check 'a run without an adapter' run whole max_steps=1 "$M.lora_target=null" train.sfts
fails 'resume it with one' 78 'made without an adapter' run whole --resume auto train.sfts

# ---- what comes to nothing ----
tells 'whole modules without an adapter' 'additional_target has no effect without lora_target' w1 "$M.lora_target=null" "$M.additional_target=norm" max_steps=1 train.sfts
tells 'frozen modules beside an adapter' 'freeze_module_prefix has no effect beside an adapter' w2 "$M.freeze_module_prefix=model.layers.0" max_steps=1 train.sfts
tells 'a name that is no layer' 'no layer is named mlp' w3 "$M.lora_target='q_proj,mlp'" max_steps=1 train.sfts

# ---- refusals ----
fails 'no such layer' 78 'no layer has such a name' run x "$M.lora_target=query" train.sfts
fails 'no such module' 78 'no module is named wte' run x "$M.additional_target=wte" train.sfts
fails 'an adapter of lm_head' 78 'lm_head is not supported' run x "$M.lora_target='q_proj,lm_head'" train.sfts
fails 'a pattern that differs' 78 'not supported' run x "$M.lora_target='(?P<x>q_proj)'" train.sfts
fails 'a pattern that is wrong' 78 'lora_target' run x "$M.lora_target='.*(q_proj'" train.sfts
fails 'too large: what would fit' 71 'it fits with:' run x "$M.lora_target='.*(q|v)_proj'" "$M.additional_target=norm" \
    sft_train.training_args.per_device_train_batch_size=65536 train.sfts
fails 'no adapter there' 66 'adapter_name_or_path' run x "$M.adapter_name_or_path=model" train.sfts
exit $bad
