#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The data stages, on the demo's records many times over.
. tests/bench/common.sh
note 'data stages'
jq -c '.[]' examples/data/train.json >"$B/once.jsonl"
for _ in $(seq 60); do cat "$B/once.jsonl"; done >"$B/rows.jsonl"
bytes=$(stat -c %s "$B/rows.jsonl")
rate() { # rate COMMAND...: MB of JSON a second, the best of three
    local best=0 t0 t1
    for _ in 1 2 3; do
        t0=$EPOCHREALTIME
        "$@"
        t1=$EPOCHREALTIME
        best=$(awk "BEGIN { r = $bytes / ($t1 - $t0) / 1e6; print (r > $best ? r : $best) }")
    done
    echo "$best"
}
tokenize() { sft-tokenize -q -m "$model" "${columns[@]}" -o "$B/turns" "$B/rows.jsonl"; }
template() { sft-template -q -m "$model" -o "$B/samples" "$B/turns"; }
pack() { sft-pack -q -l $length -b 64 --mode dense -o "$B/packed" "$B/samples"; }
pipe() {
    sft-tokenize -q -m "$model" "${columns[@]}" "$B/rows.jsonl" | sft-template -q -m "$model" |
        sft-pack -q -l $length -b 64 --mode dense -o "$B/packed"
}
jq -cn '[$ARGS.positional[] | tonumber] | {tokenize_MB_s: .[0], template_MB_s: .[1],
    pack_MB_s: .[2], pipe_MB_s: .[3], dense_density: .[4]}' --args \
    "$(rate tokenize)" "$(rate template)" "$(rate pack)" "$(rate pipe)" \
    "$(sft-view --stats "$B/packed" | jq .density)"
