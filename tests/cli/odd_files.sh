#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Files of models and runs that are not what they should be: FIFOs in the place of files, files of
# another size than the manifest says, and files that may not grow. Each is told at once.
source "$(dirname "$0")/../train.sh"
# in_time COMMAND...: a command that waits for a FIFO or reads a terabyte does not end by itself
in_time() { timeout 60 "$@"; }
model model num_hidden_layers=1
rows 1 8 >train.jsonl
samples train.jsonl | sft-pack -q -l 128 -b 4 -o train.sfts
config <<'END'
sequence_length: 128
sft_train:
  model_args: {dtype: fp32}
  training_args:
    per_device_train_batch_size: 4
    gradient_accumulation_steps: 1
    max_steps: 1
END
check 'odd files: a run of one step ends' run out train.sfts
last=1

# ---- a FIFO in a folder ----
# piped AREA CODE NAME COMMAND...: with a FIFO in the place of that file in the folder m, a copy of
# the model, the command names the file and ends with the code
piped() {
    rm -rf m
    cp -r model m
    rm -f "m/$3"
    mkdir -p "$(dirname "m/$3")"
    mkfifo "m/$3"
    fails "$1: a FIFO in the place of $3 is refused" "$2" \
        "$(basename "$3"): is not a regular file" in_time "${@:4}"
}
tokens=(sft-tokenize -q -m m --prompt-key q --response-key a train.jsonl)
for name in tokenizer.json tokenizer_config.json special_tokens_map.json chat_template.jinja \
    additional_chat_templates/tool_use.jinja; do
    piped 'tokenizer' 66 $name "${tokens[@]}"
done
for name in config.json model.safetensors; do
    piped 'model' 66 $name sft-eval -q -m m train.sfts
done
piped 'model' 66 model.safetensors sft-ckpt show m
rm m/model.safetensors
mkfifo m/model.safetensors.index.json
fails 'model: a FIFO in the place of the index is refused' 66 'index.json: is not a regular file' \
    in_time sft-ckpt show m
piped 'model' 66 added_tokens.json sft-ckpt init m --tokenizer m -o new
rm -rf m
cp -r model m
piped 'model' 66 generation_config.json sft-eval -q -m m --prompt Hi --max-tokens 1
rm -rf m
cp -r "$(checkpoint out)/sft_train" m
rm m/manifest.json
mkfifo m/manifest.json
fails 'checkpoint: a FIFO in the place of the manifest is refused' 66 \
    'manifest.json: is not a regular file' in_time sft-ckpt verify m
check 'odd files: the rows may come from a FIFO' bash -c \
    'sft-tokenize -q -m model --prompt-key q --response-key a <(cat train.jsonl) -o t.sfts'
check 'odd files: the configuration may come from a FIFO' \
    bash -c 'sft-config <(cat config.yaml) --get sequence_length'

# ---- files of another size or kind than the manifest says ----
mkdir bad
long=bad/checkpoint-1
cp -r "$(checkpoint out)" $long
truncate -s 1T $long/sft_train/model.safetensors
size='model.safetensors: has 1099511627776 bytes, the manifest says'
fails 'verify: a terabyte is refused by its size, unread' 65 "$size" in_time sft-ckpt verify $long
resume=(sft-train -q --config config.yaml output_dir=out logging_dir=out/logs --resume $long)
resume+=(train.sfts)
fails 'verify: the resumed run refuses it in the same way' 65 "$size" \
    in_time "${resume[@]}"
ln -sf /dev/zero $long/sft_train/model.safetensors
fails 'verify: a link to a device is refused' 65 'model.safetensors: is not a regular file' \
    in_time sft-ckpt verify $long
cp "$(weights out)" kept
rm $long/sft_train/model.safetensors
cp kept $long/sft_train/model.safetensors
check 'verify: the checkpoint with its own file again is whole' sft-ckpt verify $long
flip $long/sft_train/model.safetensors 900000
truncate -s 1T $long/sft_train/tokenizer.json
fails 'verify: sizes are compared before the first hash' 65 'tokenizer.json: has 1099511627776' \
    in_time sft-ckpt verify $long

# ---- a file that becomes shorter while it is mapped ----
# shrinks AREA FILE COMMAND...: FILE, in the folder m, is cut to its half when it is mapped
shrinks() {
    rm -rf m new
    cp -r model m
    fails "$1: a file that becomes shorter is told" 74 "$2: became shorter while it was read" \
        env LD_PRELOAD="$O/test/shrink_map.so" SHRINK="$PWD/m/$2" "${@:3}"
}
# A sanitizer's library must be loaded first, and maps memory by its own functions.
if ! sanitized; then
    weights=model.safetensors
    shrinks 'weights that are evaluated' $weights sft-eval -q -m m train.sfts
    shrinks 'weights that are trained' $weights sft-train -q --config config.yaml pretrain=./m \
        output_dir=out3 logging_dir=out3/logs train.sfts
    equal 'shrink: the run leaves no checkpoint' "$(find out3 -name 'checkpoint-*')" ''
    shrinks 'weights that are compared' $weights sft-ckpt diff model m
    shrinks "a tokenizer's file" tokenizer.json sft-tokenize -q -m m --prompt-key q \
        --response-key a -o new train.jsonl
    shrinks "a tokenizer's file that is copied" tokenizer.json sft-ckpt init -q model \
        --tokenizer m -o new
    equal 'shrink: no output is made' "$(find . -name '*new*' | wc -l)" 0
fi

# ---- a limit on the size of files ----
# limited COMMAND...: runs it with files of at most 8 KiB
limited() { (ulimit -f 8; exec "$@"); }
awk 'BEGIN { srand(1); for (i = 0; i < 4000; i++) printf "%c", 97 + int(rand() * 26); print "" }' \
    >text
for _ in 1 2 3 4; do cat text; done >words
into_file() { limited sft-tokenize --ids -q -m model words >ids; }
rc=$(code into_file)
equal 'limit: standard output over the limit is an I/O error' "$rc" 74
said 'limit: the message names standard output' '^sft-tokenize: <stdout>: .*[Ff]ile too large'
fails 'limit: a file over the limit is an I/O error' 74 'new.*[Ff]ile too large' \
    limited sft-ckpt init -q model -o new
equal 'limit: nothing of the refused folder is left' "$(find . -name '*new*' | wc -l)" 0
fails 'limit: a checkpoint over the limit is an I/O error' 74 'out2.*[Ff]ile too large' \
    limited sft-train -q --config config.yaml output_dir=out2 logging_dir=out2/logs train.sfts
exit $bad
