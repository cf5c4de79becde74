#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Saving: MB/s of a checkpoint that is written while the next step runs, and of the last one, when
# nothing else runs, beside dd with fsync of the same bytes on the same disk; three rounds of each
# in turn, medians.
. tests/bench/common.sh
note 'saving, three times'
[ -e "$B/train.sfts" ] || training_stream "$B/train.sfts"

# rate RUN STEP: prints the MB/s of that checkpoint
rate() { sed -n "s|.*checkpoint-$2: .* \([0-9]*\) MB/s\$|\1|p" "$B/$1-log"/*/log; }
# copy FILE: prints the MB/s of dd
copy() {
    local start=$EPOCHREALTIME
    dd if="$1" of="$B/dd" bs=8M conv=fsync 2>/dev/null
    awk "BEGIN { print $(stat -c %s "$1") / ($EPOCHREALTIME - $start) * 1e-6 }"
    rm "$B/dd"
}
for i in 1 2 3; do
    (train save$i 2 save_steps=1) >/dev/null 2>&1
    state=$B/save$i-out/sft_train/checkpoint-2/sft_train/state/optimizer.safetensors
    echo "$(rate save$i 1) $(rate save$i 2) $(copy "$state")" \
        "$(jq -s '.[1]["time/checkpoint"], .[1]["time/step_train"]' \
            "$B/save$i-log"/*/metrics.jsonl | tr '\n' ' ')" \
        "$(du -sm "$B/save$i-out/sft_train/checkpoint-2" | cut -f 1)"
    rm -rf "$B/save$i-out"
done >"$B/save"
jq -Rs 'def median: sort | .[length / 2 | floor];
    [split("\n")[] | select(length > 0) | split(" ") | map(select(. != "") | tonumber)] |
    {rounds: length, MiB: .[0][5], beside_training_MB_s: (map(.[0]) | median),
     alone_MB_s: (map(.[1]) | median), dd_MB_s: (map(.[2]) | median),
     beside_training_over_dd: (map(.[0] / .[2]) | median),
     alone_over_dd: (map(.[1] / .[2]) | median), waited_s: (map(.[3]) | median),
     step_s: (map(.[4]) | median)}' "$B/save"
