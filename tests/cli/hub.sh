#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Hub ids: every command takes org/name for a model that is in a cache, and gives what it gives for
# the folder; one that is in none is answered with the command that downloads it.
source "$(dirname "$0")/../train.sh"
export HF_HOME=$T/hf MODELSCOPE_CACHE=$T/ms
unset HF_HUB_CACHE HUGGINGFACE_HUB_CACHE

model model num_hidden_layers=1
rows 1 8 >train.jsonl
# cached ID FOLDER: puts the folder into the Hugging Face cache, as hf download does
cached() {
    local at=hf/hub/models--${1/\//--}
    mkdir -p "$at/refs" "$at/snapshots"
    echo 0123abc >"$at/refs/main"
    cp -r "$2" "$at/snapshots/0123abc"
}
cached org/name model
mkdir -p ms/models/org
cp -r model ms/models/org/scope

# both NAME COMMAND...: the command gives the same for the hub id as for the folder, where MODEL
# stands for one of them
both() {
    local name=$1
    shift
    "${@//MODEL/model}" >by_folder 2>by_folder.err && "${@//MODEL/org/name}" >by_id 2>by_id.err
    local rc=$?
    [ $rc -eq 0 ] && cmp -s <(timeless by_folder) <(timeless by_id) && { ok "$name"; return; }
    not_ok "$name" "exit $rc: $(head -n 2 by_id.err)"
}
both 'hub: sft-tokenize takes an id' sft-tokenize -q -m MODEL --prompt-key q --response-key a \
    train.jsonl -o -
cp by_id turns.sfts
both 'hub: sft-tokenize --ids takes an id' sft-tokenize -q --ids -m MODEL train.jsonl
both 'hub: sft-template takes an id' sft-template -q -m MODEL turns.sfts
cp by_id samples.sfts
both 'hub: sft-view --show takes an id' sft-view --show 1 -m MODEL samples.sfts
both 'hub: sft-eval takes an id' sft-eval -q --dtype fp32 -m MODEL samples.sfts
both 'hub: sft-ckpt diff takes an id' sft-ckpt diff MODEL model
sft-ckpt show org/name | cut -f 1-3 >by_id
same 'hub: sft-ckpt show takes an id' <(sft-ckpt show model | cut -f 1-3) by_id
check 'hub: sft-ckpt init takes an id of a configuration and of a tokenizer' \
    sft-ckpt init -q org/name --tokenizer org/name --seed 42 -o made
same 'hub: sft-ckpt init makes the same model' made/model.safetensors model/model.safetensors
same 'hub: sft-ckpt init copies the tokenizer' made/tokenizer.json model/tokenizer.json
equal 'hub: an id is found in the ModelScope cache' \
    "$(sft-view --show 0 -m org/scope samples.sfts)" "$(sft-view --show 0 -m model samples.sfts)"

# ---- adapters ----
config <<'END'
sequence_length: 128
save_steps: 0
sft_train:
  model_args: {dtype: fp32, lora_target: all-linear}
  training_args: {per_device_train_batch_size: 4, max_steps: 1, learning_rate: 1e-2}
END
sft-pack -q -l 128 -b 4 samples.sfts -o train.sfts
check 'hub: a run takes an id' run out pretrain=org/name train.sfts
last=1
cached org/lora "$(checkpoint out)/sft_train"
check 'hub: sft-ckpt merge takes ids' sft-ckpt merge -q org/name org/lora -o merged
sft-ckpt merge -q model "$(checkpoint out)" -o merged_here
same 'hub: sft-ckpt merge makes the same model' merged{,_here}/model.safetensors
both 'hub: sft-eval takes an id of an adapter' sft-eval -q --dtype fp32 -m MODEL \
    --adapter org/lora samples.sfts
fails 'hub: an id of an adapter in the place of a model is refused as one' 66 \
    'org/lora: an adapter; give its base model' sft-eval -q -m org/lora samples.sfts
check 'hub: a run starts from an id of an adapter' run more \
    sft_train.model_args.adapter_name_or_path=org/lora train.sfts

# ---- ids that are in no cache ----
here='org/none: neither a folder nor a model in .*/hf/hub; .* hf download org/none'
for command in "sft-tokenize -m org/none train.jsonl" "sft-template -m org/none turns.sfts" \
    "sft-view --show 0 -m org/none turns.sfts" "sft-eval -m org/none samples.sfts" \
    "sft-eval -m model --adapter org/none samples.sfts" "sft-ckpt show org/none" \
    "sft-ckpt diff model org/none" "sft-ckpt init org/none -o x" \
    "sft-ckpt init model --tokenizer org/none -o x" "sft-ckpt merge org/none org/lora -o x" \
    "sft-train --config config.yaml pretrain=org/none train.sfts"; do
    read -ra words <<<"$command"
    fails "hub: an id in no cache is answered with its download: $command" 66 "$here" "${words[@]}"
done
for command in "sft-tokenize -m ./no/model train.jsonl" "sft-eval -m /no/model samples.sfts" \
    "sft-ckpt show ./no/model" "sft-ckpt merge ../no/model org/lora -o x"; do
    read -ra words <<<"$command"
    fails "hub: a path to no folder is told as one: $command" 66 \
        'no/model: there is no such folder' "${words[@]}"
done
fails 'hub: a missing file of weights is told as one' 66 'none.safetensors: cannot open' \
    sft-ckpt show none.safetensors
exit $bad
