#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Faults around the trainer, the evaluation and every command's options: exit codes and messages.
# Bad input that other tests cover:
#   an empty file, no list and no lines, a missing key   data_errors.sh
#   a row over length                                    pack.sh, pipeline.sh
#   a stream cut, flipped, continued, in any place       stream_file (unit), stream_damage.sh
#   a stream for another tokenizer                       template.sh, view.sh
#   a safetensors header that lies                       safetensors_read (unit), ckpt.sh
#   a GGUF file cut short                                gguf_read (unit), ckpt.sh
#   an unknown key, a hub id that is not on the disk     config.sh
#   an output folder in use, a file in its place         wrapper.sh
#   other streams, checkpoints and options of sft-train  train.sh
# This test has the same where sft-train and sft-eval meet it, and a full disk under a checkpoint.
source "$(dirname "$0")/../cli.sh"
export OMP_WAIT_POLICY=passive

# ---- options that every command has ----
for c in "${commands[@]}"; do
    command -v "$c" >/dev/null || { not_ok "options: $c is built" 'is not built'; continue; }
    for o in --help -h --version -V; do
        "$c" $o >"$T/text" 2>"$T/err"
        equal "options: $c $o prints text to standard output alone" \
            "$? $(wc -c <"$T/err") $([ -s "$T/text" ] && echo text)" '0 0 text'
    done
    equal "options: $c --help has lines of at most 100 columns" \
        "$("$c" --help | awk 'length > 100' | wc -l)" 0
    equal "options: $c --help begins with its usage" \
        "$("$c" --help | head -n 1 | grep -c "^usage: $c ")" 1
    equal "options: $c --version prints the command's version" \
        "$("$c" --version | grep -c "^$c [0-9]\|^sft.* [0-9]")" 1
    fails "options: $c names --version for --verison" 64 \
        "^$c: .*--verison.* did you mean --version\?" "$c" --verison
    fails "options: $c refuses an unknown option" 64 "^$c: .*--xyzzyx" "$c" --xyzzyx
    fails "options: $c refuses an unknown letter" 64 "^$c: .*-Z" "$c" -Z
    fails "options: $c refuses a value for a flag" 64 "^$c: .*--quiet takes no value" "$c" --quiet=x
    fails "options: $c refuses a number of threads that is none" 64 \
        "^$c: .*'many' is not a whole number" "$c" -@ many
    fails "options: $c refuses an option without its value" 64 "^$c: .*needs a value" "$c" --threads
done

# ---- a job of a second ----
cat >"$T/config.json" <<'END'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 2048,
 "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
 "num_key_value_heads": 1, "max_position_embeddings": 256, "rms_norm_eps": 1e-05, "rope_theta":
 10000.0, "hidden_act": "silu", "tie_word_embeddings": true, "bos_token_id": 1, "eos_token_id":
 2, "torch_dtype": "float32"}
END
tokenizer=share/tiny-tokenizer
sft-ckpt init -q "$T/config.json" --tokenizer $tokenizer --seed 1 -o "$T/model"
for i in 0 1 2 3 4 5; do echo "{\"instruction\": \"Say $i.\", \"output\": \"It is $i.\"}"; done \
    >"$T/rows.jsonl"
cat >"$T/job.yaml" <<END
exp_name: job
pretrain: $T/model
sequence_length: 200
save_steps: 1
sft_train:
  model_args: {dtype: fp32}
  training_args: {per_device_train_batch_size: 2, gradient_accumulation_steps: 1}
  data_args: {file_name: $T/rows.jsonl}
  strategy_args: {strategy_name: megatron_train}
sft: {device: cpu, threads: 1}
END
# stream MODEL OUT PACK-OPTION...: packs the rows with the tokenizer of the model
stream() {
    sft-tokenize -q -m "$1" "$T/rows.jsonl" | sft-template -q -m "$1" | sft-pack -q -o "$2" "${@:3}"
}
stream "$T/model" "$T/s" --mode none -l 200 -b 2
# train STREAM OVERRIDE...
train() {
    sft-train -q --config "$T/job.yaml" output_dir="$T/out" logging_dir="$T/out/logs" "${@:2}" "$1"
}
evaluate() { sft-eval -q "$@"; }
# nothing_left AREA: no checkpoint is in the output folder
nothing_left() {
    equal "$1: no checkpoint is made" \
        "$(find "$T/out" -name 'checkpoint-*' -o -name '.checkpoint-*' 2>/dev/null)" ''
}

# ---- the configuration ----
fails 'configuration: a missing file is refused' 66 'none.yaml' sft-train --config "$T/none.yaml" \
    "$T/s"
fails 'configuration: an unknown override names the nearest key' 78 \
    'save_stepz.*did you mean save_steps\?' train "$T/s" save_stepz=1
echo 'save_stpes: 3' | cat "$T/job.yaml" - >"$T/typo.yaml"
fails 'configuration: an unknown key in the file names its line' 78 \
    'typo.yaml:11: save_stpes: .*did you mean save_steps\?' \
    sft-train -q --config "$T/typo.yaml" "$T/s"
fails 'configuration: more workers than processes are refused' 78 "device_mapping='\[0\]'" train \
    "$T/s" 'sft_train.device_mapping=[0,1]'
roll=../shared/data/roll
if [ -e $roll ]; then
    fails "configuration: ROLL's parallel experts of fsdp2_train need their workers" 78 \
        'strategy_config.ep_size=1' \
        sft-train --config $roll/qwen3-30BA3B-sft_fsdp2_ep.yaml "$T/s"
    fails "configuration: ROLL's parallel experts of megatron_train need their workers" 78 \
        'expert_model_parallel_size=1' \
        sft-train --config $roll/qwen3-30BA3B-sft_megatron.yaml "$T/s"
else
    skip "configuration: ROLL's parallel experts" "$roll is not there"
fi
export HF_HOME=$T/hf MODELSCOPE_CACHE=$T/ms
unset HF_HUB_CACHE HUGGINGFACE_HUB_CACHE
fails 'configuration: a hub id that is not on the disk is refused' 66 'hf download org/name' train \
    "$T/s" pretrain=org/name
fails 'configuration: a device that is missing is refused' 69 'cuda' train "$T/s" sft.device=cuda
nothing_left 'configuration refused'

# ---- the model ----
# spoil DIR: makes a copy of the model whose safetensors header claims more bytes than there are
spoil() {
    rm -rf "${T:?}/$1"
    cp -r "$T/model" "$T/$1"
    damage "$T/$1/model.safetensors" 0 '\xff\xff\xff\x7f\0\0\0\0'
}
spoil lies
fails 'model: sft-train refuses a header that claims more than the file has' 65 \
    'lies/model.safetensors: .*header' train "$T/s" pretrain="$T/lies"
fails 'model: sft-eval refuses a header that claims more than the file has' 65 \
    'lies/model.safetensors: .*header' evaluate -m "$T/lies" "$T/s"
fails 'model: sft-ckpt show refuses a header that claims more than the file has' 65 \
    'lies/model.safetensors: .*header' sft-ckpt show "$T/lies"
cp -r "$T/model" "$T/short"
truncate -s -1 "$T/short/model.safetensors"
fails 'model: sft-train refuses weights cut short' 65 'short/model.safetensors' train "$T/s" \
    pretrain="$T/short"
fails 'model: sft-eval refuses weights cut short' 65 'short/model.safetensors' evaluate \
    -m "$T/short" "$T/s"
cp -r "$T/model" "$T/wide"
edit "$T/wide/config.json" '.hidden_size = 32'
fails 'model: sft-train refuses weights of another shape' 65 'embed_tokens' train "$T/s" \
    pretrain="$T/wide"
cp -r "$T/model" "$T/moe"
edit "$T/moe/config.json" '.model_type = "deepseek_v3" | .n_routed_experts = 8'
fails 'model: sft-train refuses a mixture of experts' 65 'MoE' train "$T/s" pretrain="$T/moe"
mkdir "$T/bare"
fails 'model: sft-train refuses a folder without a model' 66 'bare' train "$T/s" pretrain="$T/bare"
fails 'model: sft-eval refuses a missing folder' 66 'nowhere' evaluate -m "$T/nowhere" "$T/s"
printf 'GGUF\3\0\0\0\1\0\0\0' >"$T/cut.gguf"
fails 'model: sft-ckpt convert refuses a GGUF file cut short' 65 'cut.gguf' sft-ckpt convert \
    --from gguf "$T/cut.gguf" -o "$T/x"
nothing_left 'model refused'

# ---- the stream ----
# refuses FILE PLACE: adds to $left what is wrong: a command that takes the stream or makes the
# output folder
refuses() {
    local c rc
    rm -rf "$T/out"
    for c in "train $1" "evaluate -m $T/model $1"; do
        $c >"$T/stdout" 2>"$T/stderr" && rc=0 || rc=$?
        [ $rc -eq 65 ] && [ ! -s "$T/stdout" ] && [ "$(wc -l <"$T/stderr")" -eq 1 ] &&
            [ ! -e "$T/out" ] || left+=" ${c%% *}@$2:$rc"
    done
}
size=$(stat -c %s "$T/s") left=''
for at in 0 1 8 100 $((size / 2)) $((size - 100)) $((size - 1)); do
    head -c $at "$T/s" >"$T/cut"
    refuses "$T/cut" $at
done
equal 'stream: sft-train and sft-eval refuse one that is cut anywhere' "$left" ''
left=''
for at in 0 5 60 $((size / 2)) $((size - 100)) $((size - 10)) $((size - 1)); do
    cp "$T/s" "$T/flip"
    flip "$T/flip" $at
    refuses "$T/flip" $at
done
equal 'stream: sft-train and sft-eval refuse one with a flipped bit' "$left" ''
{ cat "$T/s"; printf x; } >"$T/more"
rm -rf "$T/out"
fails 'stream: sft-train refuses bytes after the trailer' 65 'bytes after the trailer' train \
    "$T/more"
fails 'stream: sft-eval refuses bytes after the trailer' 65 'bytes after the trailer' evaluate \
    -m "$T/model" "$T/more"
fails 'stream: sft-train refuses JSON' 65 'is JSON' train "$T/rows.jsonl"
rm -rf "$T/out"
cp -r "$T/model" "$T/other"
other_tokenizer "$T/other"
stream "$T/other" "$T/sother" --mode none -l 200 -b 2
fails 'stream: sft-train refuses one of another tokenizer' 65 'tokenizer' train "$T/sother"
fails 'stream: sft-train refuses a validation stream of another tokenizer' 65 'tokenizer' train \
    "$T/s" --val "$T/sother"
fails 'stream: sft-eval refuses one of another tokenizer' 65 'tokenizer' evaluate -m "$T/model" \
    "$T/sother"
nothing_left 'stream refused'

# ---- the output folder ----
: >"$T/file"
fails 'output: a file in the place of the output folder is refused' 73 'file' train "$T/s" \
    output_dir="$T/file"
fails 'output: a file on the way to the logs is refused' 73 'file' train "$T/s" \
    logging_dir="$T/file/logs" output_dir="$T/o1"
if [ "$(id -u)" -eq 0 ]; then
    fails 'output: a folder that cannot be made is refused' 73 '/proc/' train "$T/s" \
        output_dir=/proc/none
else
    mkdir -m 555 "$T/ro"
    fails 'output: a folder that cannot be written is refused' 73 '/ro/' train "$T/s" \
        output_dir="$T/ro/x"
fi
check 'output: a run into an empty folder succeeds' train "$T/s"
fails 'output: a folder with an earlier run is refused, with both ways on' 73 \
    'exists already; .*--resume auto.*output_dir=OTHER' train "$T/s"
equal 'output: the earlier run keeps its checkpoints' \
    "$(find "$T/out/sft_train" -maxdepth 1 -name 'checkpoint-*' | wc -l)" 3
check "output: the earlier run's checkpoints verify" sft-ckpt verify "$T"/out/sft_train/checkpoint-*
mkdir -p "$T/locked/sft_train"
exec 9>"$T/locked/sft_train/.lock"
flock 9
fails 'output: a folder in use is refused' 73 'locked.*(in use|another)' train "$T/s" \
    output_dir="$T/locked"
exec 9>&-
head -c $((size / 2)) "$T/s" | train - output_dir="$T/early" 2>"$T/err"
equal 'output: a pipe that ends early is told' \
    "${PIPESTATUS[1]} $(grep -c 'ended early' "$T/err")" '65 1'

# ---- a disk that is full when a checkpoint is saved ----
# after_failure AREA RC FOLDER STEP: the run ended with 74, its last checkpoint is that of STEP and
# whole, and no temporary file is there
after_failure() {
    equal "$1: the exit code is that of an I/O error" "$2" 74
    equal "$1: one message names the file" \
        "$(grep -c "$3/.*safetensors: \|$3/.*: No space left" "$T/err") $(wc -l <"$T/err")" '1 1'
    equal "$1: only complete checkpoints are left" "$(ls -A "$3/sft_train" | paste -sd' ')" \
        ".lock $(seq -f 'checkpoint-%g' -s ' ' 1 "$4")"
    check "$1: the previous checkpoint verifies" sft-ckpt verify "$3/sft_train/checkpoint-$4"
    equal "$1: no temporary file is left" "$(find "$3" -name '*.tmp*' -o -name '.checkpoint*')" ''
}
for n in 1 2; do
    check "disk: a run ends after step $n" train "$T/s" output_dir="$T/limit" \
        logging_dir="$T/limit/logs" max_steps=$n --resume auto
done
rm -rf "$T/limit/sft_train/checkpoint-2"
(
    trap '' XFSZ
    ulimit -f 200
    train "$T/s" output_dir="$T/limit" logging_dir="$T/limit/logs" \
        --resume auto >/dev/null 2>"$T/err"
)
after_failure 'disk, a limit on file sizes' $? "$T/limit" 1
check 'disk: a run goes on when there is room again' train "$T/s" output_dir="$T/limit" \
    logging_dir="$T/limit/logs" --resume auto
equal 'disk: the run that went on has all its checkpoints' \
    "$(sft-ckpt ls "$T/limit" | grep -cw complete)" 3
mkdir "$T/disk"
if mount -t tmpfs -o size=800k none "$T/disk" 2>/dev/null; then
    train "$T/s" output_dir="$T/disk/o" logging_dir="$T/disk/o/logs" >/dev/null 2>"$T/err"
    after_failure 'disk, full under a checkpoint' $? "$T/disk/o" 1
    umount "$T/disk"
else
    skip 'disk: a full disk under a checkpoint is told' 'a tmpfs cannot be mounted here'
fi
exit $bad
