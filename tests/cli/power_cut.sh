#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A power cut at each operation of a command that writes: the operations are recorded with their
# data, and the folder is rebuilt as a file system may have left it, in which only what was synced
# is certain. Names without bytes, zeros, torn bytes, and names or writes that are lost by chance
# are tried (tests/fault/power.h). What was there before or is finished stays whole; the next
# command succeeds; a run that is continued ends with the same bytes. SWEEP=1: a cut at every
# operation (minutes); SWEEP=N: at every N-th.
source "$(dirname "$0")/../faults.sh"
if ! traceable; then
    skip 'power cut: only what was synced is certain' 'a process cannot be traced here'
    exit
fi
power=$O/test/power
stride=7 chances=1 # of files; runs have more operations
[ -z "${SWEEP:-}" ] || stride=$SWEEP chances=4

# cut AREA FOLDER COMMAND...: records the command, which changes the folder, and checks each state
# by the script `check`, which finds it in that folder and prints what is wrong
cut() {
    local name=$1 folder=$2 wrong n
    shift 2
    rm -rf before whole
    cp -r "$folder" before
    "$fault" -w recording "$folder" "$@" >stdout 2>stderr </dev/null ||
        not_ok "power cut, $name: the command succeeds without one" "$(head -n 1 stderr)"
    mv "$folder" whole
    "$power" -s $stride -c $chances before recording "$folder" 'bash ./check' >states 2>&1
    n=$(awk '$1 == "states" { print $2 }' states)
    wrong=$(sed '/^states /d; s/ /_/g' states | paste -sd' ')
    score "power cut, $name: each state is whole, and the next command succeeds" "${n:-0}" \
        "${wrong:+ $wrong}"
    rm -rf "$folder"
}

# ---- a file that is replaced, and a folder ----
tiny_run
tokenize=(sft-tokenize -q -m model -@ 1 --prompt-key q --response-key a -o out/sub/result)
mkdir -p out/sub
rows 1 2 | "${tokenize[@]}"
cp out/sub/result old
cat >check <<END
exec 2>&1
cmp -s out/sub/result old || cmp -s out/sub/result whole/sub/result || echo neither
rows=train.jsonl
${tokenize[@]} \$rows || echo 'the next fails'
cmp -s out/sub/result whole/sub/result || echo differs
[ "\$(ls -A out/sub)" = result ] || ls -A out/sub
END
cut 'a file that is replaced' out "${tokenize[@]}" train.jsonl
mkdir out
cat >check <<END
exec 2>&1
[ ! -e out/new/result ] || diff -r out/new/result whole/new/result
sft-ckpt init -q model.json --tokenizer model -o out/new/result >said 2>&1 || {
    grep -q 'exists already' said || cat said; }
diff -r out whole
END
cut 'a new folder in a new folder' out sft-ckpt init -q model.json --tokenizer model \
    -o out/new/result

# ---- runs ----
# trained AREA SETTING...: checks a run with these settings
trained() {
    local name=$1 train=(sft-train -q -@ 1 --config config.yaml output_dir=p/k logging_dir=p/k/logs)
    train+=("${@:2}")
    mkdir p
    {
        echo 'exec 2>&1; shopt -s nullglob'
        declare -f metrics steady hidden timeless
        cat <<END
for c in p/k/sft_train/checkpoint-*; do sft-ckpt verify -q \$c; done
${train[*]@Q} --resume auto train.sfts >said || { echo "the next fails: \$?"; exit; }
cmp p/k/sft_train/checkpoint-3/sft_train/manifest.json \
    whole/k/sft_train/checkpoint-3/sft_train/manifest.json
sft-ckpt verify -q p/k/sft_train/checkpoint-3
[ ! -e whole/k/sft_train/best ] || {
    diff -r p/k/sft_train/best whole/k/sft_train/best
    diff <(timeless p/k/logs/tiny/samples.jsonl) <(timeless whole/k/logs/tiny/samples.jsonl); }
[ "\$(steady p/k)" = "\$(steady whole/k)" ] || echo 'other metrics'
[ -z "\$(hidden p/k)" ] || hidden p/k
END
    } >check
    cut "$name" p "${train[@]}" train.sfts
}
[ -n "${SWEEP:-}" ] || stride=$((97 * thin)) chances=0
trained 'a run'
echo '{"prompt": "Say"}' >prompts.jsonl
trained 'a run that keeps the newest and the best' max_ckpt_to_keep=1 eval_steps=1 \
    sft.sample_prompts=prompts.jsonl sft.sample_tokens=3 \
    sft_train.training_args.load_best_model_at_end=true --val train.sfts
exit $bad
