#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What goes wrong around the trainer, the evaluation and every command's options: exit codes and
# messages. Bad input that other tests cover:
#   missing and empty file, neither list nor lines, a row without the response    data_errors.sh
#   a row over length                                                             pack.sh, pipeline.sh
#   a stream cut, flipped, continued, in any place                                stream_file (unit), stream_damage.sh
#   a stream for another tokenizer                                                template.sh, view.sh
#   a safetensors header that lies                                                safetensors_read (unit), ckpt.sh
#   a GGUF file cut short                                                         gguf_read (unit), ckpt.sh
#   an unknown key, a hub id that is not on disk                                  config.sh
#   an output folder in use, a file in its place, through the launcher            wrapper.sh
#   what else sft-train refuses of streams, checkpoints and options               train.sh
# Here: the same where sft-train and sft-eval meet it, and a full disk under a checkpoint.
source "$(dirname "$0")/../cli.sh"
export OMP_WAIT_POLICY=passive
commands=(sft-tokenize sft-template sft-pack sft-view sft-train sft-eval sft-ckpt sft-config)

# ---- options that every command has ----
for c in "${commands[@]}"; do
    command -v "$c" >/dev/null || { not_ok "$c" 'is not built'; continue; }
    for o in --help -h --version -V; do
        "$c" $o >"$T/text" 2>"$T/err"
        equal "$c $o" "$? $(wc -c <"$T/err") $([ -s "$T/text" ] && echo text)" '0 0 text'
    done
    equal "$c --help: at most 100 columns" "$("$c" --help | awk 'length > 100' | wc -l)" 0
    equal "$c --help: begins with its usage" "$("$c" --help | head -n 1 | grep -c "^usage: $c ")" 1
    equal "$c --version: one line" "$("$c" --version | grep -c "^$c [0-9]\|^sft.* [0-9]")" 1
    fails "$c: an unknown option, nearly --version" 64 "^$c: .*--verison.* did you mean --version\?" "$c" --verison
    fails "$c: an unknown option" 64 "^$c: .*--xyzzyx" "$c" --xyzzyx
    fails "$c: an unknown letter" 64 "^$c: .*-Z" "$c" -Z
    fails "$c: a value for a flag" 64 "^$c: .*--quiet takes no value" "$c" --quiet=x
    fails "$c: threads that are no number" 64 "^$c: .*'many' is not a whole number" "$c" -@ many
    fails "$c: an option without its value" 64 "^$c: .*needs a value" "$c" --threads
done

# ---- a job of a second ----
cat >"$T/config.json" <<'END'
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 2048, "hidden_size": 16,
 "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
 "max_position_embeddings": 256, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "hidden_act": "silu",
 "tie_word_embeddings": true, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32"}
END
tokenizer=share/tiny-tokenizer
sft-ckpt init -q "$T/config.json" --tokenizer $tokenizer --seed 1 -o "$T/model"
for i in 0 1 2 3 4 5; do echo "{\"instruction\": \"Say $i.\", \"output\": \"It is $i.\"}"; done >"$T/rows.jsonl"
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
stream() { # stream MODEL OUT PACK-OPTION...
    sft-tokenize -q -m "$1" "$T/rows.jsonl" | sft-template -q -m "$1" | sft-pack -q -o "$2" "${@:3}"
}
stream "$T/model" "$T/s" --mode none -l 200 -b 2
train() { # train STREAM OVERRIDE...
    sft-train -q --config "$T/job.yaml" output_dir="$T/out" logging_dir="$T/out/logs" "${@:2}" "$1"
}
evaluate() { sft-eval -q "$@"; }
nothing_left() { equal "$1: no checkpoint" "$(find "$T/out" -name 'checkpoint-*' -o -name '.checkpoint-*' 2>/dev/null)" ''; }

# ---- the configuration ----
fails 'train: a configuration that is missing' 66 'none.yaml' sft-train --config "$T/none.yaml" "$T/s"
fails 'train: an unknown key' 78 'save_stepz.*did you mean save_steps\?' train "$T/s" save_stepz=1
echo 'save_stpes: 3' | cat "$T/job.yaml" - >"$T/typo.yaml"
fails 'train: an unknown key in the file' 78 'typo.yaml:11: save_stpes: .*did you mean save_steps\?' \
    sft-train -q --config "$T/typo.yaml" "$T/s"
fails 'train: more than one worker' 78 "device_mapping='\[0\]'" train "$T/s" 'sft_train.device_mapping=[0,1]'
for f in ../shared/data/roll/*3*.yaml; do
    [ -e "$f" ] || { skip "ROLL's mixtures of experts" '../shared/data/roll is not there'; break; }
    fails "train: $(basename "$f")" 78 'mixture of experts \(MoE\) is not supported' sft-train --config "$f" "$T/s"
done
export HF_HOME=$T/hf MODELSCOPE_CACHE=$T/ms
unset HF_HUB_CACHE HUGGINGFACE_HUB_CACHE
fails 'train: a hub id that is not on disk' 66 'hf download org/name' train "$T/s" pretrain=org/name
fails 'train: a device that is not there' 69 'cuda' train "$T/s" sft.device=cuda
nothing_left 'refused configurations'

# ---- the model ----
spoil() { # spoil NAME: a copy of the model whose safetensors header claims more bytes than there are
    rm -rf "${T:?}/$1"
    cp -r "$T/model" "$T/$1"
    damage "$T/$1/model.safetensors" 0 '\xff\xff\xff\x7f\0\0\0\0'
}
spoil lies
fails 'train: a header that lies about its size' 65 'lies/model.safetensors: .*header' train "$T/s" pretrain="$T/lies"
fails 'eval: a header that lies about its size' 65 'lies/model.safetensors: .*header' evaluate -m "$T/lies" "$T/s"
fails 'show: a header that lies about its size' 65 'lies/model.safetensors: .*header' sft-ckpt show "$T/lies"
cp -r "$T/model" "$T/short"
truncate -s -1 "$T/short/model.safetensors"
fails 'train: weights cut short' 65 'short/model.safetensors' train "$T/s" pretrain="$T/short"
fails 'eval: weights cut short' 65 'short/model.safetensors' evaluate -m "$T/short" "$T/s"
cp -r "$T/model" "$T/wide"
sed -i 's/"hidden_size": 16/"hidden_size": 32/' "$T/wide/config.json"
fails 'train: weights of another shape' 65 'embed_tokens' train "$T/s" pretrain="$T/wide"
cp -r "$T/model" "$T/moe"
sed -i 's/"llama"/"qwen3_moe"/; s/"vocab_size"/"num_experts": 8, "vocab_size"/' "$T/moe/config.json"
fails 'train: a mixture of experts' 65 'MoE' train "$T/s" pretrain="$T/moe"
mkdir "$T/bare"
fails 'train: a folder without a model' 66 'bare' train "$T/s" pretrain="$T/bare"
fails 'eval: a folder that is missing' 66 'nowhere' evaluate -m "$T/nowhere" "$T/s"
printf 'GGUF\3\0\0\0\1\0\0\0' >"$T/cut.gguf"
fails 'convert: a GGUF file cut short' 65 'cut.gguf' sft-ckpt convert --from gguf "$T/cut.gguf" -o "$T/x"
nothing_left 'refused models'

# ---- the stream ----
# refuses FILE PLACE: neither command takes the stream, and no output folder is made
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
equal 'train, eval: a stream cut anywhere' "$left" ''
left=''
for at in 0 5 60 $((size / 2)) $((size - 100)) $((size - 10)) $((size - 1)); do
    cp "$T/s" "$T/flip"
    flip "$T/flip" $at
    refuses "$T/flip" $at
done
equal 'train, eval: a bit flipped' "$left" ''
{ cat "$T/s"; printf x; } >"$T/more"
rm -rf "$T/out"
fails 'train: bytes after the trailer' 65 'bytes after the trailer' train "$T/more"
fails 'eval: bytes after the trailer' 65 'bytes after the trailer' evaluate -m "$T/model" "$T/more"
fails 'train: JSON' 65 'is JSON' train "$T/rows.jsonl"
rm -rf "$T/out"
cp -r "$T/model" "$T/other"
sed -i '0,/"special": *true/s//"special": false/' "$T/other/tokenizer.json"
stream "$T/other" "$T/sother" --mode none -l 200 -b 2
fails 'train: a stream for another tokenizer' 65 'tokenizer' train "$T/sother"
fails 'train: validation for another tokenizer' 65 'tokenizer' train "$T/s" --val "$T/sother"
fails 'eval: a stream for another tokenizer' 65 'tokenizer' evaluate -m "$T/model" "$T/sother"
nothing_left 'refused streams'

# ---- the output folder ----
: >"$T/file"
fails 'train: a file in the place of the folder' 73 'file' train "$T/s" output_dir="$T/file"
fails 'train: a file on the way to the logs' 73 'file' train "$T/s" logging_dir="$T/file/logs" output_dir="$T/o1"
if [ "$(id -u)" -eq 0 ]; then
    fails 'train: a folder that cannot be made' 73 '/proc/' train "$T/s" output_dir=/proc/none
else
    mkdir -m 555 "$T/ro"
    fails 'train: a folder that cannot be written' 73 '/ro/' train "$T/s" output_dir="$T/ro/x"
fi
check 'a run' train "$T/s"
fails 'train: the folder holds a run' 73 'exists already; .*--resume auto.*output_dir=OTHER' train "$T/s"
equal 'which stays as it was' "$(find "$T/out/sft_train" -maxdepth 1 -name 'checkpoint-*' | wc -l)" 3
check 'its checkpoints verify' sft-ckpt verify "$T"/out/sft_train/checkpoint-*
mkdir -p "$T/locked/sft_train"
exec 9>"$T/locked/sft_train/.lock"
flock 9
fails 'train: the folder is in use' 73 'locked.*(in use|another)' train "$T/s" output_dir="$T/locked"
exec 9>&-
head -c $((size / 2)) "$T/s" | train - output_dir="$T/early" 2>"$T/err"
equal 'train: a pipe that ends early' "${PIPESTATUS[1]} $(grep -c 'ended early' "$T/err")" '65 1'

# ---- a disk that is full when a checkpoint is saved ----
# after_failure NAME RC FOLDER STEP: 74; checkpoint-STEP is the last, and whole; nothing temporary
after_failure() {
    equal "$1: the exit code" "$2" 74
    equal "$1: one message, which names the file" "$(grep -c "$3/.*safetensors: \|$3/.*: No space left" "$T/err") $(wc -l <"$T/err")" '1 1'
    equal "$1: what is there" "$(ls -A "$3/sft_train" | paste -sd' ')" ".lock $(seq -f 'checkpoint-%g' -s ' ' 1 "$4")"
    check "$1: the previous checkpoint is whole" sft-ckpt verify "$3/sft_train/checkpoint-$4"
    equal "$1: no temporary file" "$(find "$3" -name '*.tmp*' -o -name '.checkpoint*')" ''
}
for n in 1 2; do train "$T/s" output_dir="$T/limit" logging_dir="$T/limit/logs" max_steps=$n --resume auto; done >/dev/null 2>"$T/err"
rm -rf "$T/limit/sft_train/checkpoint-2"
(
    trap '' XFSZ
    ulimit -f 200
    train "$T/s" output_dir="$T/limit" logging_dir="$T/limit/logs" --resume auto >/dev/null 2>"$T/err"
)
after_failure 'a limit on file sizes' $? "$T/limit" 1
check 'with room again the run goes on' train "$T/s" output_dir="$T/limit" logging_dir="$T/limit/logs" --resume auto
equal 'to its end' "$(sft-ckpt ls "$T/limit" | grep -c complete)" 3
mkdir "$T/disk"
if mount -t tmpfs -o size=800k none "$T/disk" 2>/dev/null; then
    train "$T/s" output_dir="$T/disk/o" logging_dir="$T/disk/o/logs" >/dev/null 2>"$T/err"
    after_failure 'a full disk' $? "$T/disk/o" 1
    umount "$T/disk"
else
    skip 'a full disk' 'a tmpfs cannot be mounted here'
fi
exit $bad
