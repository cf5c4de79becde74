# SPDX-License-Identifier: Apache-2.0
# Helpers for the tests that make system calls fail, beside those in tests/train.sh. The tracer is
# tests/fault/fault.c. SWEEP=1: every fault at every call, in the place of a sample; SWEEP=N: every
# N-th.
# SCORE=FILE: a line "WHAT<tab>INJECTED<tab>HELD" for each check of many faults is added to it.
if [ -w /dev/shm ]; then TEST_TMP=/dev/shm; fi # fsync costs nothing there
source "$(dirname "${BASH_SOURCE[0]}")/train.sh"
fault=$O/test/fault
# The tracer stops a leak checker, which wants to trace too. A sanitizer's commands are slow, and
# meet a smaller sample.
thin=1
if sanitized; then
    export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
    thin=4
fi
shopt -s nullglob

# traceable: the kernel lets a process trace another one here
traceable() { "$fault" "$T" true 2>/dev/null; }
# score NAME INJECTED WRONG: the check of so many faults, of which WRONG lists those that were not
# held, a word for each
score() {
    local -a wrong
    read -ra wrong <<<"$3"
    local missed=$((${#wrong[@]} < $2 ? ${#wrong[@]} : $2))
    [ -z "${SCORE:-}" ] || printf '%s\t%d\t%d\n' "$1" "$2" $(($2 - missed)) >>"$SCORE"
    if [ "$2" -gt 0 ] && [ -z "$3" ]; then ok "$1 ($2 faults)"
    else not_ok "$1" "$2 faults:$3"; fi
}
# word TEXT: prints it as one word, without the names that change from run to run
word() { tr -s ' \n' '__' <<<"$1" | sed -E 's/_$//' | head -c 160; }
# each_fault COUNT KIND...: prints "N KIND" for each fault of so many calls: every $SWEEP-th, or of
# the sample every $sparse-th
sparse=5
each_fault() {
    local n kind i=0 count=$1 every=${SWEEP:-$((sparse * thin))} least
    shift
    # at least one: the first kind at the last call
    least=$((count * $# < every ? (count - 1) * $# + 1 : 0))
    for ((n = 1; n <= count; n++)); do
        for kind; do
            i=$((i + 1))
            if [ $((i % every)) -eq 0 ] || [ "$i" -eq $least ]; then echo "$n $kind"; fi
        done
    done
}
# faulty N KIND FOLDER COMMAND...: runs the command with that fault; its exit code is in $rc. KIND
# is that of the tracer; "+" before it: from there on; "r:" before it: of the calls that read.
faulty() {
    local n=$1 kind=$2 folder=$3 options=()
    shift 3
    [[ $kind != +* ]] || options+=(-a)
    [[ $kind != r:* ]] || options+=(-r)
    kind=${kind#+}
    rc=0
    "$fault" ${stdout:+-o} "${options[@]}" -n "$n" -f "${kind#r:}" "$folder" "$@" \
        >stdout 2>stderr </dev/null || rc=$?
}
# calls FOLDER [OPTION] COMMAND...: runs the command; the number of its calls is in $count, its exit
# code in $rc
calls() {
    local folder=$1 options=()
    shift
    [ "$1" != -r ] || { options=(-r); shift; }
    rc=0
    "$fault" ${stdout:+-o} "${options[@]}" -l list "$folder" "$@" >stdout 2>stderr </dev/null ||
        rc=$?
    count=$(wc -l <list)
}
# told KIND: the command wrote one line, which names the fault
told() {
    local -a lines
    mapfile -t lines <stderr
    case $1 in
        *ENOSPC) [ ${#lines[@]} -eq 1 ] && [[ ${lines[0]} == *'No space left'* ]] ;;
        *EIO) [ ${#lines[@]} -eq 1 ] && [[ ${lines[0]} == *'nput/output error'* ]] ;;
        *) [ ${#lines[@]} -eq 0 ] ;;
    esac
}

# ---- the files of a tiny model ----
# tiny ROWS: a model of one layer and so many rows, from their text to the steps of a run
tiny() {
    model model hidden_size=16 intermediate_size=16 num_hidden_layers=1
    rows 1 "$1" >train.jsonl
    sft-tokenize -q -@ 1 -m model --prompt-key q --response-key a -o turns.sfts train.jsonl
    sft-template -q -m model -o samples.sfts turns.sfts
    sft-pack -q -l 128 -b 2 -o train.sfts samples.sfts
}
# tiny_run: the same for a run of three steps, which saves after each
tiny_run() {
    tiny 6
    config <<'END'
track_with: tensorboard
sequence_length: 128
save_steps: 1
sft_train:
  model_args: {dtype: fp32}
  training_args:
    per_device_train_batch_size: 1
    gradient_accumulation_steps: 2
    num_train_epochs: 1
    learning_rate: 1.0e-3
END
}
# kinds ROWS: a small file of each kind that a command reads: those of `tiny`, a run of one step in
# `tuned`, its adapter, the model in parts and as GGUF, logs
kinds() {
    tiny "$1"
    config <<'END'
sequence_length: 128
sft_train:
  model_args: {dtype: fp32, lora_target: all-linear}
  training_args: {per_device_train_batch_size: 1, gradient_accumulation_steps: 2, max_steps: 1}
END
    run tuned -@ 1 train.sfts >/dev/null
    last=1
    cp -r "$(checkpoint tuned)/sft_train" adapter
    cp -r model sharded && mv sharded/model.safetensors sharded/model-00001-of-00001.safetensors
    sft-ckpt show model | awk -F'\t' '/^model\./ { print $1 }' | jq -R . | jq -s '{weight_map:
        (map({key: ., value: "model-00001-of-00001.safetensors"}) | from_entries)}' \
        >sharded/model.safetensors.index.json
    "$O/test/hf_convert" make m.gguf
    mkdir logs && cp config.yaml logs
    echo '{"system/step":1,"sft_train/loss":2,"sft_train/tokens_per_s":5}' >logs/metrics.jsonl
}
