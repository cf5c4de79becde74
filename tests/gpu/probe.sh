#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The card and its libraries; a large product, and copies. Beside them what an H100 80GB HBM3 gave
# (docs/benchmarks.md).
. tests/gpu/common.sh
nvidia-smi >&2
"$O/gpu/probe" >"$W/probe" || exit
get() { sed -n "s/^$1\t//p" "$W/probe"; }
for key in gpu driver runtime cublaslt; do row "$key" "$(get $key)" ''; done
row 'memory' "$(get memory)" GiB
row 'memory that is free' "$(get free)" GiB
# clock FIELD WHAT UNIT: a row of a figure of nvidia-smi
clock() {
    local value
    value=$(nvidia-smi --query-gpu="$1" --format=csv,noheader,nounits -i 0 2>/dev/null) || value=
    if [ -n "$value" ]; then row "$2" "$value" "$3"
    else left_out "$2" 'nvidia-smi does not tell'; fi
}
clock driver_version 'release of the driver' ''
clock clocks.max.sm 'highest clock' MHz
clock power.limit 'limit of power' W
# shellcheck disable=SC2046
row 'bf16 product, 8192^3' "$(get product)" TF $(limit H100 710)
# shellcheck disable=SC2046
row 'copy of 1 GiB, read + written' "$(get 'copy 1 GiB')" GB/s $(limit H100 2822)
# shellcheck disable=SC2046
row 'copy of 4 GiB, read + written' "$(get 'copy 4 GiB')" GB/s $(limit H100 2983)
