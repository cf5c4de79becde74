#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The rates of the other operations at the shapes of Qwen2.5 7B, 8192 tokens: the bytes a second of
# those that each must move, of which 85 % of a copy's rate is asked; products in TF, beside what
# cuBLASLt's first algorithm gave on an H100.
. tests/gpu/common.sh
h100() {
    case $1 in
    'gate_up forward') echo 672 ;;
    'gate_up dgrad') echo 696 ;;
    'gate_up wgrad, fp32') echo 669 ;;
    'down forward, fp32') echo 717 ;;
    'qkv with bias') echo 653 ;;
    *) echo - ;; # not measured there
    esac
}
"$O/gpu/rates" >"$W/rates" || exit
while IFS=$'\t' read -r kind name ms rate share; do
    # shellcheck disable=SC2046
    case $kind-$name in
    rate-copy_rows) row "$name" "$rate" GB/s $(limit H100 2812) "$ms ms" ;;
    rate-*) row "$name" "$share" '% of copy' $(limit min 85) "$ms ms, $rate GB/s" ;;
    product-*) row "product, $name" "$rate" TF $(limit H100 "$(h100 "$name")") "$ms ms" ;;
    esac
done <"$W/rates"
