#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sft-train with lora_target: checkpoints are adapter folders, a resumed run is the same run, merging
# gives the same losses; and what is refused.
source "$(dirname "$0")/../cli.sh"
root=$PWD
cd "$T" || exit 70

sft-ckpt init -q "$root/examples/random-model.json" --tokenizer "$root/share/tiny-tokenizer" --seed 42 --dtype fp32 -o model
topic() { printf '{"q":"Say number %d and then some more words.","a":"The number is %d, %s."}\n' "$1" "$1" "$2"; }
for i in $(seq 1 24); do topic "$i" "$(printf 'word%.0s ' $(seq 1 $((i % 7 + 1))))"; done >train.jsonl
for i in $(seq 30 35); do topic "$i" again; done >val.jsonl
samples() { sft-tokenize -q -m model --prompt-key q --response-key a "$1" | sft-template -q -m model; }
samples train.jsonl | sft-pack -q -l 256 -b 6 --epochs 1 -o train.sfts
samples train.jsonl | sft-pack -q -l 256 -b 6 --epochs 1 --mode none -o single.sfts
samples val.jsonl | sft-pack -q -l 256 -b 8 -o val.sfts

cat >config.yaml <<'END'
exp_name: tiny
seed: 42
output_dir: ./out
logging_dir: ./out/logs
pretrain: ./model
sequence_length: 256
prompt_key: q
response_key: a
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
  data_args: {file_name: train.jsonl, template: native}
  strategy_args: {strategy_name: megatron_train}
  use_sequence_packing: true
  device_mapping: list(range(0,1))
END
train() { # train DIR [ARGUMENT...] STREAM
    local dir=$1
    shift
    sft-train -q --config config.yaml "output_dir=$dir" "logging_dir=$dir/logs" "$@"
}
M=sft_train.model_args
steps() { echo "$1/sft_train/checkpoint-$2"; }
loss() { sed -n 's/.*"sft_train\/loss":\([^,]*\),.*/\1/p' "$1/logs/tiny/metrics.jsonl"; }
eval_loss() { sft-eval -q --dtype fp32 "$@" | sed -n 's/.*"loss":\([^,]*\),.*/\1/p'; }
near() { # near NAME A B TOLERANCE
    if awk -v a="$2" -v b="$3" -v t="$4" 'BEGIN { d = a - b; exit !(a != "" && d <= t && -d <= t) }'
    then ok "$1"; else not_ok "$1" "$2 and $3"; fi
}

# ---- a run ----
check 'a run' train one --val val.sfts train.sfts
c=$(steps one 4)/sft_train
equal 'a checkpoint is an adapter folder' "$(ls "$c" | paste -sd' ')" \
    'adapter_config.json adapter_model.safetensors manifest.json state tokenizer.json tokenizer_config.json'
equal 'its tensors are the adapter' "$(sft-ckpt show "$(steps one 4)" | grep -c 'base_model.model.model.layers.*lora_[AB].weight.F32')" \
    "$(( $(sft-ckpt show model | grep -c 'q_proj.weight') * 6 ))"
equal 'and nothing else' "$(sft-ckpt show "$(steps one 4)" | grep -vc lora_)" 1
check 'verify' sft-ckpt verify "$(steps one 4)"
check 'again' train two --val val.sfts train.sfts
same 'the same bytes' "$c/adapter_model.safetensors" "$(steps two 4)/sft_train/adapter_model.safetensors"
check 'without packing' train alone sft_train.use_sequence_packing=false single.sfts
near 'the same losses without packing, dropout or not' "$(loss one | tail -n 1)" "$(loss alone | tail -n 1)" 1e-5
check 'without dropout' train still "$M.lora_dropout=0" train.sfts
near 'before the first update the adapter does nothing' "$(loss one | head -n 1)" "$(loss still | head -n 1)" 1e-6
if [ "$(loss one | tail -n 1)" != "$(loss still | tail -n 1)" ]; then ok 'dropout changes the run'; else not_ok 'dropout changes the run'; fi

# ---- memory ----
plan() { sft-train -q --config config.yaml --plan --json "$@" | grep -o "\"$class\":{\"buffers\":[0-9]*,\"bytes\":[0-9]*" | grep -o '[0-9]*$'; }
for class in gradients moments; do
    equal "the plan: $class are a tenth at most" "$(( $(plan) * 10 < $(plan "$M.lora_target=null") ))" 1
done

# ---- resume ----
check 'to step 2' train half max_steps=2 train.sfts
check 'and on' train half --resume auto train.sfts
same 'the same adapter' "$c/adapter_model.safetensors" "$(steps half 4)/sft_train/adapter_model.safetensors"
same 'the same state' "$c/state/optimizer.safetensors" "$(steps half 4)/sft_train/state/optimizer.safetensors"
fails 'resume with another rank' 78 'made with rank 4' train half --resume auto "$M.lora_rank=2" train.sfts
fails 'resume with another scale' 78 'made with rank 4' train half --resume auto sft.rslora=true train.sfts

# ---- eval and merge ----
val=$(sed -n 's/.*"sft_train\/val_loss":\([^,]*\)[,}].*/\1/p' one/logs/tiny/metrics.jsonl | tail -n 1)
near 'sft-eval with the adapter gives the run'"'"'s validation loss' "$val" "$(eval_loss -m model --adapter "$(steps one 4)" val.sfts)" 1e-6
check 'merge' sft-ckpt merge model "$(steps one 4)" -o merged
near 'the merged model has that loss' "$val" "$(eval_loss -m merged val.sfts)" 1e-5
if [ "$(eval_loss -m model val.sfts)" != "$val" ]; then ok 'which is not the base'"'"'s'; else not_ok 'which is not the base'"'"'s'; fi
check 'a prompt' sft-eval -q -m model --adapter "$(steps one 4)" --prompt hello --max-tokens 3
fails 'an adapter as the model' 66 'an adapter; give its base' sft-eval -m "$(steps one 4)" val.sfts
fails 'a model as the adapter' 66 'no adapter' sft-eval -m model --adapter model val.sfts

# ---- what is adapted ----
targets() { sft-ckpt show "$(steps "$1" 4)" | sed -n 's/^base_model.model.model.layers.\(.*\).lora_A.weight.*/\1/p' | paste -sd' '; }
check 'a pattern' train pattern "$M.lora_target='.*\\.0\\.(mlp\\.down|self_attn\\.[ko])_proj'" train.sfts
equal 'adapts what it matches as a whole' "$(targets pattern)" '0.self_attn.k_proj 0.self_attn.o_proj 0.mlp.down_proj'
listed() { jq -c '.target_modules | sort' "$(steps "$1" "${2:-4}")/sft_train/adapter_config.json"; }
layers() { sft-ckpt show model | grep -o "^model.layers[^ ]*\($1\)_proj" | sort | jq -Rsc 'split("\n")[:-1] | sort'; }
equal 'and its folder names them one by one' "$(listed pattern)" "$(layers '\.0\.mlp\.down\|\.0\.self_attn\.[ko]')"
check 'a pattern of more than layers' train blocks max_steps=1 "$M.lora_target='model\.layers\.1\.self_attn.*'" train.sfts
equal 'and its folder names layers only' "$(listed blocks 1)" "$(layers '\.1\.self_attn\.[qkvo]')"
check 'names that are no layers' train names max_steps=1 "$M.lora_target='q_proj,mlp,norm'" train.sfts
equal 'and its folder has them not' "$(listed names 1)" "$(layers 'q')"
check 'all-linear, with whole modules' train all "$M.lora_target=all-linear" "$M.additional_target='norm,embed_tokens'" sft.rslora=true "$M.lora_dropout=0" train.sfts
equal 'adapts all' "$(targets all | wc -w)" "$(( $(sft-ckpt show model | grep -c 'q_proj.weight') * 7 ))"
equal 'and has the modules' "$(sft-ckpt show "$(steps all 4)" | grep -v lora_ | grep -c 'norm.weight\|embed_tokens')" \
    "$(sft-ckpt show model | grep -c 'norm.weight\|embed_tokens')"
check 'merge whole modules' sft-ckpt merge model "$(steps all 4)" -o merged-all
near 'the same loss' "$(eval_loss -m model --adapter "$(steps all 4)" val.sfts)" "$(eval_loss -m merged-all val.sfts)" 1e-5
samples train.jsonl | sft-pack -q -l 256 -b 24 -o once.sfts
check 'begin from an adapter' train from "$M.lora_target=null" "$M.adapter_name_or_path=$(steps all 4)" \
    sft_train.training_args.gradient_accumulation_steps=24 max_steps=1 once.sfts
equal 'the same modules' "$(sft-ckpt show "$(steps from 1)" | cut -f1,3)" "$(sft-ckpt show "$(steps all 4)" | cut -f1,3)"
near 'it begins where that ended' "$(loss from)" "$(eval_loss -m merged-all once.sfts)" 1e-5

# ---- refusals ----
fails 'no such layer' 78 'no layer has such a name' train x "$M.lora_target=query" train.sfts
fails 'no such module' 78 'no module is named wte' train x "$M.additional_target=wte" train.sfts
fails 'an adapter of lm_head' 78 'lm_head is not supported' train x "$M.lora_target='q_proj,lm_head'" train.sfts
fails 'a pattern that differs' 78 'not supported' train x "$M.lora_target='(?P<x>q_proj)'" train.sfts
fails 'a pattern that is wrong' 78 'lora_target' train x "$M.lora_target='.*(q_proj'" train.sfts
fails 'no adapter there' 66 'adapter_name_or_path' train x "$M.adapter_name_or_path=model" train.sfts
exit $bad
