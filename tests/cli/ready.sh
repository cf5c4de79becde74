#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A run tests what it needs later before it waits for rows and computes: weights, tokenizer, room on
# the disk. The output of --check.
source "$(dirname "$0")/../train.sh"
model model num_hidden_layers=1
rows 1 16 >train.jsonl
samples train.jsonl | sft-pack -q -l 128 -b 4 -o train.sfts
config <<'END'
sequence_length: 128
track_with: ""
save_steps: 1
sft_train:
  model_args: {dtype: fp32}
  training_args: {per_device_train_batch_size: 4, learning_rate: 1e-3}
END
last=4
check 'ready: a run of four steps ends' run out train.sfts

# ---- before the rows come: the FIFO has no writer, so a run that opens it waits for ever ----
mkfifo pipe
# early NAME CODE PATTERN ARGUMENT...: such a run from the FIFO ends at once with this code
early() {
    local name=$1 wanted=$2 pattern=$3
    shift 3
    fails "$name" "$wanted" "$pattern" timeout 60 sft-train -q --config config.yaml \
        output_dir=early logging_dir=early/logs "$@" pipe
}
cp -r model other
rm other/model.safetensors
early 'ready: a model without weights is refused before its rows come' 66 \
    'other: contains neither model.safetensors' pretrain=./other
cp -r model/model.safetensors other
jq '.vocab_size = 2000' model/config.json >other/config.json
early 'ready: a tensor of another shape is refused before its rows come' 65 \
    'embed_tokens.weight": has shape \[2048, .*config.json needs \[2000' pretrain=./other
jq '.num_hidden_layers = 2' model/config.json >other/config.json
early 'ready: a missing tensor is refused before its rows come' 65 \
    'model.layers.1.*is missing' pretrain=./other
model two num_hidden_layers=2
cp two/model.safetensors other
cp model/config.json other
early 'ready: a tensor of another model is refused before its rows come' 65 \
    'does not belong to the model' pretrain=./other
early 'ready: an adapter needs the weights of its base too' 65 'does not belong to the model' \
    pretrain=./other sft_train.model_args.lora_target=all-linear
check 'ready: a run that continues needs no weights of the model' run out pretrain=./other \
    --resume auto train.sfts

# ---- room on the disk ----
if sanitized; then
    skip 'room: a checkpoint that does not fit is refused' "a sanitizer's library must be first"
else
    one=$(sft-train --config config.yaml --plan --json | jq '.checkpoint | add')
    # with_room BYTES COMMAND...: the command finds that much room on every disk
    with_room() { env LD_PRELOAD="$O/test/small_disk.so" ROOM="$1" "${@:2}"; }
    fails 'room: a checkpoint that does not fit is refused before the rows come' 74 \
        'early/new: a checkpoint takes .* MiB of the disk are free; ' with_room $((one - 1)) \
        timeout 60 sft-train -q --config config.yaml output_dir=early/new logging_dir=l pipe
    # room_for NAME WANTED BYTES ARGUMENT...: the number of warnings of a run with that much room
    room_for() {
        rm -rf new
        equal "$1" "$(code with_room "$3" sft-train --config config.yaml output_dir=new \
            logging_dir=new/logs "${@:4}" train.sfts) $(grep -c 'will not fit' stderr)" "0 $2"
    }
    room_for 'room: four checkpoints that fit need no word' 0 $((4 * one))
    room_for 'room: four that do not fit are told' 1 $((4 * one - 1))
    said 'room: the warning names the key that helps' \
        '4 checkpoints of .* will not fit: .* max_ckpt_to_keep=2 takes less'
    room_for 'room: the key helps' 0 $((4 * one - 1)) max_ckpt_to_keep=2
    room_for 'room: larger save_steps help' 0 $((4 * one - 1)) save_steps=2
    room_for 'room: the last checkpoint alone fits' 0 "$one" save_steps=0
fi

# ---- --check ----
checked() { sft-train "$@" --config config.yaml output_dir=check logging_dir=check/l --check; }
equal 'check: a run that can begin is told by the status alone' "$(checked 2>&1; echo $?)" 0
equal 'check: -v names keys without effect' "$(checked -v rpc_timeout=1 2>&1 |
    grep -c 'rpc_timeout .*has no effect')" 1
rank=sft_train.model_args.lora_rank=4
equal 'check: a warning is printed' "$(checked $rank 2>&1 | grep -c 'but not lora_target')" 1
equal 'check: -q prints no warning' "$(checked -q $rank 2>&1)" ''
cp model/* other
echo '{}' >other/tokenizer.json
fails 'check: a tokenizer that cannot be read is refused' 65 'other/tokenizer.json: ' \
    checked pretrain=./other
exit $bad
