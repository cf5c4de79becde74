#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An adapter and the weights that it was trained on: other ones are refused or told.
source "$(dirname "$0")/../train.sh"

last=2
model model torch_dtype='"float32"'
rows 1 12 >train.jsonl
samples train.jsonl | sft-pack -q -l 256 -b 6 --epochs 1 -o train.sfts
config <<'END'
seed: 42
sequence_length: 256
save_steps: 2
sft_train:
  model_args: {dtype: fp32, lora_target: "q_proj,v_proj", lora_rank: 4}
  training_args:
    num_train_epochs: 1
    per_device_train_batch_size: 1
    gradient_accumulation_steps: 6
    learning_rate: 1.0e-2
  device_mapping: list(range(0,1))
END
run one train.sfts >/dev/null
adapter=$(checkpoint one)
id() { jq -r .xxh128 "$(checkpoint "$1")/sft_train/base_weights.json"; }

# ---- the identity ----
check 'identity: the checkpoint has one' grep -Eqx '[0-9a-f]{32}' <<<"$(id one)"
check 'identity: the manifest has its file' sft-ckpt verify "$adapter"
cp -r model copy && run two pretrain=copy train.sfts >/dev/null
equal 'identity: a copy of the base has the same' "$(id two)" "$(id one)"
# changed DIR TENSOR BYTE: a copy of the base in which one byte of that tensor is another one
changed() {
    cp -r model "$1"
    flip "$1/model.safetensors" $(($(tensor_at model/model.safetensors "$2") + $3))
}
up=model.layers.1.mlp.up_proj.weight
middle=$(sft-ckpt show --json model | jq ".tensors[] | select(.name == \"$up\").bytes / 2")
changed other $up "$middle"
run three pretrain=other train.sfts >/dev/null
equal 'identity: another byte in the middle of a tensor gives another' \
    "$([ "$(id three)" = "$(id one)" ]; echo $?)" 1
changed norm model.norm.weight 0

# ---- merge ----
check 'merge: an adapter and its base are merged' sft-ckpt merge model "$adapter" -o merged
check 'merge: a copy of the base is as good' sft-ckpt merge copy "$adapter" -o merged2
same 'merge: it gives the same weights' merged/model.safetensors merged2/model.safetensors
fails 'merge: a base with other weights is refused' 65 \
    'checkpoint-2: was trained on other weights than those of other; give its base, ./model, or' \
    sft-ckpt merge other "$adapter" -o x
fails 'merge: a base whose smallest tensor is another one is refused' 65 \
    'trained on other weights' sft-ckpt merge norm "$adapter" -o x
equal 'merge: --force merges it' "$(code sft-ckpt merge --force other "$adapter" -o forced)" 0
said 'merge: --force says what it does' 'checkpoint-2: was trained on other weights than those of'
equal 'merge: a forced one has the adapter and the other base' \
    "$(sft-ckpt diff merged forced | cut -f1)" $up
cp -r "$adapter/sft_train" plain && rm plain/base_weights.json
check 'merge: an adapter that does not tell its base is merged' \
    sft-ckpt merge other plain -o merged3
same 'merge: it gives what --force gives' forced/model.safetensors merged3/model.safetensors
cp -r "$adapter/sft_train" bad && echo '{"version":1}' >bad/base_weights.json
fails 'merge: an identity that is damaged is refused' 65 'base_weights.json: xxh128 is missing' \
    sft-ckpt merge model bad -o x
cp -r "$adapter/sft_train" later && edit later/base_weights.json '.version = 2 | .xxh128 = [1]'
check 'merge: an identity of a later version tells nothing' sft-ckpt merge other later -o merged4

# ---- other verbs and commands ----
check 'export: an adapter keeps the identity' sft-ckpt export "$adapter" -o out
same 'export: it is that of the checkpoint' out/base_weights.json \
    "$adapter/sft_train/base_weights.json"
fails 'export: merging into other weights is refused' 65 'trained on other weights' \
    sft-ckpt export "$adapter" --merge other -o x
check 'export: --force merges them' sft-ckpt export "$adapter" --merge other --force -o out2
same 'export: it gives what merge gives' forced/model.safetensors out2/model.safetensors
fails 'average: adapters of two bases are refused' 65 'were trained on different base models' \
    sft-ckpt average "$adapter" "$(checkpoint three)" -o x
check 'average: adapters of one base have a mean' sft-ckpt average "$adapter" "$(checkpoint two)" \
    -o mean
equal 'evaluation: the base of an adapter is evaluated' \
    "$(code sft-eval -m model --adapter "$adapter" train.sfts)" 0
equal 'evaluation: nothing is told of it' "$(grep -c 'other weights' stderr)" 0
equal 'evaluation: other weights are evaluated, too' \
    "$(code sft-eval -m other --adapter "$adapter" train.sfts)" 0
said 'evaluation: it is told' 'checkpoint-2: was trained on other weights than those of other'
equal 'output: a refusal leaves no file' "$(ls -A | grep -c -e '^x' -e tmp)" 0
exit $bad
