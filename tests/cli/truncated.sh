#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each kind of file that a command reads is cut short: the command ends with the code of bad data
# and one line, and makes nothing. The prefixes that are whole files are those that are listed.
# SWEEP=1: at every byte, of tensors at every 61st (minutes).
source "$(dirname "$0")/../faults.sh"
mkdir out

# ---- small files of each kind ----
kinds 3
# a tokenizer without merges
jq -c '.model.merges = [] | .model.vocab |= with_entries(select(.value < 300))' \
    model/tokenizer.json >small.json
mkdir small && cp model/*.json small && mv small.json small/tokenizer.json
jq -s . train.jsonl >list.json
gzip -nk list.json
tokenize=(sft-tokenize -q -@ 1 --prompt-key q --response-key a)

# ---- cuts ----
# lengths SIZE [DENSE]: prints the lengths to which a file of that size is cut; behind its first
# DENSE bytes few
lengths() {
    local dense=${2:-$1} step=61
    [ "$dense" -le "$1" ] || dense=$1
    if [ -n "${SWEEP:-}" ]; then seq 0 $((dense - 1))
    else
        step=$((1 + ($1 - dense) / 3))
        seq 0 $((1 + dense / 12)) $((dense - 1))
    fi
    [ "$dense" -eq "$1" ] || { seq "$dense" $step $(($1 - 1)); echo $(($1 - 1)); }
}
# cuts FILE [-d DENSE] [-w WHOLE] CODE COMMAND...: checks the command with the file cut short. WHOLE
# is an extended regular expression of lengths at which the file is whole.
cuts() {
    local file=$1 dense='' legal='' code n rc wrong='' all
    shift
    [ "$1" != -d ] || { dense=$2; shift 2; }
    [ "$1" != -w ] || { legal=$2; shift 2; }
    code=$1
    shift
    cp "$file" whole
    # JSON is whole without the newline at its end.
    [[ $file != *.json || -n $(tail -c 1 whole) ]] ||
        legal+=${legal:+|}$(($(stat -c %s whole) - 1))
    mapfile -t all < <(lengths "$(stat -c %s whole)" $dense)
    for n in "${all[@]}"; do
        head -c "$n" whole >"$file"
        rc=0
        "$@" >stdout 2>stderr </dev/null || rc=$?
        if [ $rc -eq 0 ] && [[ -n $legal && $n =~ ^($legal)$ ]]; then :
        elif [[ ! $rc =~ ^($code)$ ]]; then wrong+=" $n:$rc"
        elif [ "$(wc -l <stderr)" -ne 1 ]; then wrong+=" $n:$(word "$(head -n 3 stderr)")"
        elif [ -n "$(ls -A out)" ]; then wrong+=" $n:output"; fi
        rm -rf out/*
    done
    cp whole "$file"
    score "truncated, ${file##*/}: $1 refuses it, cut anywhere" ${#all[@]} "$wrong"
}
cuts turns.sfts 65 sft-template -q -m model -o out/x turns.sfts
cuts samples.sfts 65 sft-pack -q -l 128 -b 2 -o out/x samples.sfts
cuts train.sfts 65 sft-view -q --check train.sfts
cuts train.sfts 65 sft-train -q --config config.yaml output_dir=out/k logging_dir=out/k train.sfts
cuts list.json 65 "${tokenize[@]}" -m model -o out/x list.json
cuts list.json.gz 65 "${tokenize[@]}" -m model -o out/x list.json.gz
# A list of rows one a line is whole at the end of each line, with or without the newline.
ends=$(awk '{ n += length + 1; print n - 1; print n }' train.jsonl | paste -sd'|')
cuts train.jsonl -w "$ends" 65 "${tokenize[@]}" -m model -o out/x train.jsonl
cuts small/tokenizer.json 65 sft-tokenize --ids -q -m small train.jsonl
cuts small/tokenizer_config.json 65 sft-tokenize --ids -q -m small train.jsonl
cuts model/config.json 65 sft-eval -q -@ 1 -m model samples.sfts
cuts model/model.safetensors -d 1100 65 sft-ckpt show model
cuts sharded/model.safetensors.index.json 65 sft-ckpt show sharded
cuts m.gguf -d 3000 65 sft-ckpt convert -q m.gguf -o out/x
cuts adapter/adapter_config.json 65 sft-ckpt merge -q model adapter -o out/x
cuts adapter/adapter_model.safetensors -d 900 65 sft-ckpt merge -q model adapter -o out/x
state=$(checkpoint tuned)/sft_train
resume=(sft-train -q -@ 1 --config config.yaml output_dir=tuned logging_dir=tuned/logs)
resume+=(--resume "$(checkpoint tuned)" train.sfts)
cuts "$state/manifest.json" 65 sft-ckpt verify "$(checkpoint tuned)"
cuts "$state/state/run.json" 65 "${resume[@]}"
cuts "$state/state/optimizer.safetensors" -d 100 65 sft-ckpt verify "$(checkpoint tuned)"
# A line of metrics that is not whole is counted; the page is made of the others.
cuts logs/metrics.jsonl -w '[0-9]+' '0|65' sft-report -q logs
# Beginnings of these may be whole: they must not crash it.
cuts config.yaml -w '[0-9]+' 78 sft-config config.yaml
printf '%s' '{% for m in messages %}{{ m.role + "x" | trim }}{% if m.content is defined %}' \
    '{{ m.content[0:] }}{% endif %}{% endfor %}' >t.jinja
cuts t.jinja -w '[0-9]+' '65|78' sft-template -q -m model -t ./t.jinja -o out/x turns.sfts
exit $bad
