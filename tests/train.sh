# SPDX-License-Identifier: Apache-2.0
# Helpers for the tests of sft-train, beside those in tests/cli.sh: small random models, rows to
# train on, a configuration, and the files of a run. The current folder is $T, the project's is
# $root.
source "$(dirname "${BASH_SOURCE[0]}")/cli.sh"
root=$PWD
cd "$T" || exit 70

# ---- the input of a run ----
# model DIR [KEY=VALUE...]: random weights of the example's shape, with these values in config.json
model() {
    local dir=$1 edit=. pair
    shift
    for pair; do edit+=" | .${pair%%=*} = ${pair#*=}"; done
    jq "$edit" "$root/examples/random-model.json" >"$dir.json"
    sft-ckpt init -q "$dir.json" --tokenizer "$root/share/tiny-tokenizer" --seed 42 -o "$dir"
}
# rows FIRST LAST: prints questions with answers of different lengths, as JSON Lines
rows() {
    local i
    for i in $(seq "$1" "$2"); do
        printf '{"q":"Say number %d and then some more words.","a":"The number is %d%s."}\n' \
            "$i" "$i" "$(printf ', word%.0s' $(seq 1 $((i % 7 + 1))))"
    done
}
# samples FILE: prints the samples of its rows
samples() {
    sft-tokenize -q -m model --prompt-key q --response-key a "$1" | sft-template -q -m model
}
# examples train|validation: prints the samples of the rows in examples/data
examples() {
    sft-tokenize -q -m model --query-key input "$root/examples/data/$1.json" |
        sft-template -q -m model
}
# config <<TEXT: writes config.yaml: a common part and the text, which ends within sft_train
config() {
    {
        cat <<'END'
exp_name: tiny
output_dir: ./out
logging_dir: ./out/logs
pretrain: ./model
prompt_key: q
response_key: a
END
        cat
        cat <<'END'
  data_args: {file_name: train.jsonl, template: native}
  strategy_args: {strategy_name: megatron_train}
  use_sequence_packing: true
END
    } >config.yaml
}
trainer=(sft-train)
quiet=-q # empty: the run prints its progress
# run DIR ARGUMENT...: a run of the trainer into that folder
run() {
    "${trainer[@]}" $quiet --config config.yaml "output_dir=$1" "logging_dir=$1/logs" "${@:2}"
}

# tells NAME PATTERN DIR ARGUMENT...: such a run succeeds and prints a line that matches
tells() {
    local rc
    rc=$(quiet='' code run "${@:3}")
    if [ "$rc" -eq 0 ]; then said "$1" "$2"
    else not_ok "$1" "exit $rc: $(tail -n 1 "$T/stderr")"; fi
}

# ---- the files of a run ----
last=3 # the last step of a run
# checkpoint DIR [STEP]: prints the folder of the last checkpoint, or of that step's; so do the next
# three for files in it
checkpoint() { echo "$1/sft_train/checkpoint-${2:-$last}"; }
weights() { echo "$(checkpoint "$@")/sft_train/model.safetensors"; }
adapter() { echo "$(checkpoint "$@")/sft_train/adapter_model.safetensors"; }
state() { echo "$(checkpoint "$@")/sft_train/state/optimizer.safetensors"; }
metrics() { echo "$1/logs/tiny/metrics.jsonl"; }
# values DIR KEY: prints the key's value in each line of the metrics that has the key
values() { jq -c --arg key "$2" 'select(has($key)) | .[$key]' "$(metrics "$1")"; }
# metric DIR KEY: the same for each step, null where the line does not have the key, in one line
metric() {
    jq -c --arg key "$2" 'select(has("system/step")) | .[$key]' "$(metrics "$1")" | tr '\n' ' '
}
losses() { values "$1" sft_train/loss; }
# reached DIR STEP: waits for that step in the metrics, as long as the process $job lives and for a
# minute at most
reached() {
    for _ in $(seq 1200); do
        ! grep -q "\"system/step\":$2," "$(metrics "$1")" 2>/dev/null || return 0
        kill -0 "$job" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}
# hidden DIR: prints temporary files and folders, which a run must not leave behind
hidden() { find "$1" -name '.*' ! -name .lock ! -name .run ! -path "$1" | tr '\n' ' '; }
# falls NAME DIR: the last loss of the run is lower than the first
falls() {
    if losses "$2" | awk 'NR == 1 { first = $1 } END { exit !($1 < first) }'
    then ok "$1"; else not_ok "$1" "$(losses "$2" | paste -sd' ')"; fi
}
# steady DIR: prints the metrics without those that measure time or memory
steady() {
    jq -c 'with_entries(select(.key | test("^time/|^system/rss$|^checkpoint/MB_per_s$|" +
        "^sft_train/(tokens_per_s|gflops|mfu)$") | not))' "$(metrics "$1")"
}
# changed FOLDER FOLDER: prints the names of the tensors whose values differ
changed() { sft-ckpt diff "$1" "$2" 2>/dev/null | awk -F'\t' '$2 == "values" { print $1 }' | sort; }
