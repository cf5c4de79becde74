#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The rate of attention beside PyTorch's: its fastest backend, and FlashAttention 2, which is also
# what it has for packed documents.
. tests/gpu/common.sh
if device=$(torch_device); then torch_group attention 100
else left_out "PyTorch's attention" "$device"; fi
# theirs BACKENDS MODEL SHAPE fwd|bwd: as best_rate, of what PyTorch gave here
theirs() { [ ! -e "$W/attention.txt" ] || best_rate "$W/attention.txt" "$@"; }
# beside MODEL SHAPE fwd|bwd TF MS: rows of that rate
beside() {
    local what="$1, $2: $3" best flash
    best=$(theirs 'sdpa-cudnn sdpa-flash sdpa-default varlen-flash' "$1" "$2" "$3")
    flash=$(theirs 'sdpa-flash varlen-flash' "$1" "$2" "$3")
    if [ -z "$best" ]; then
        row "$what" "$4" TF - - "$5 ms"
        return
    fi
    row "$what" "$4" TF "PyTorch's best" "${best%% *}" "$5 ms; ${best#* }"
    row "$what" "$4" TF "PyTorch's flash 2" "${flash%% *}" "${flash#* }"
}
"$O/gpu/attention" >"$W/rates" || exit
while IFS=$'\t' read -r model shape forward_ms forward backward_ms backward; do
    beside "$model" "$shape" fwd "$forward" "$forward_ms"
    beside "$model" "$shape" bwd "$backward" "$backward_ms"
done <"$W/rates"
