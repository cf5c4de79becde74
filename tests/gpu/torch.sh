#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# PyTorch on the same shapes as the group bench: transformers, SDPA, fused AdamW, clipping, the best
# of the micro-batches that fit; beside what it gave on an H100.
. tests/gpu/common.sh
if ! device=$(torch_device); then
    left_out 'training by PyTorch' "$device"
    exit
fi
h100() {
    case $1 in
    'torch 0.5B') echo 77359 ;;
    'torch 1.5B') echo 36452 ;;
    'torch 3B') echo 20697 ;;
    'torch 7B') echo 9935 ;;
    'torch A3B') echo - ;; # not measured there
    'compile 0.5B') echo 121589 ;;
    'compile 1.5B') echo 49346 ;;
    esac
}
torch_group "$group" 140
# result LINE: its fields "SIZE|HOW|RATE|NOTE" of the lines
# "RESULT torch 0.5B eager, 16 x 1024 x 4: 77359 tok/s, 239.5 TF, MFU 24.2 %, peak 61.2 GB" and
# "RESULT torch 0.5B packed row of 8192 (22 documents, block mask): 187 ms, 43872 tok/s without ..."
result() {
    sed -n 's/^RESULT torch \([^ ]*\) \(.*\): \(.*, \)*\([0-9]*\) tok\/s\(.*\)/\1|\2|\4|\3\5/p' "$@"
}
while IFS='|' read -r size how rate note; do
    case $how in
    packed*) row "$size, $how" "$rate" tokens/s - - "$note" ;;
    *)
        # shellcheck disable=SC2046
        row "$size, $how" "$rate" tokens/s $(limit H100 "$(h100 "$group $size")") "$note"
        ;;
    esac
done < <(result "$W/$group.txt")
for size in 0.5B 1.5B 3B 7B A3B; do
    [ -n "$(h100 "$group $size")" ] && ! grep -q "^RESULT torch $size " "$W/$group.txt" &&
        left_out "$size" "it had no time, or failed: $group.log"
done
grep -q '^RESULT' "$W/$group.txt" || verdict 'PyTorch trains' FAIL "$(tail -n 1 "$W/$group.txt")"
