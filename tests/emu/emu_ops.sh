#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every operation of the CUDA plugin on the emulated device, against the reference in double, and
# twice: the same bytes; but the PTX for sm_80 runs attention and products once.
source "$(dirname "$0")/../cli.sh"
export LD_LIBRARY_PATH=$O/emu
slow='attention attention_grad matmul'

# ran SM ARGUMENT...: writes the verdicts of gpu/ops with these arguments to $T/SM ARGUMENT...
ran() {
    EMU_SM=$1 timeout 900 "$O/gpu/ops" "${@:2}" >"$T/$*" 2>&1 || echo "exit $?" >>"$T/$*"
}
export -f ran
export T
# Two at a time, those that take longest first.
xargs -P 2 -I '{}' bash -c 'ran {}' <<'END'
90 --fp32 attention_grad
90 --bf16 attention_grad
80 --fp32 --once attention_grad
80 --bf16 --once attention_grad
90 --fp32 attention
90 --bf16 attention
80 --fp32 --once attention
80 --bf16 --once attention
90 matmul
80 --once matmul
90 -attention -attention_grad -matmul
80 -attention -attention_grad -matmul
END
for f in "$T"/[89]0\ *; do
    run=$(basename "$f")
    sed -nE "s/^(not ok|ok) /&sm_${run%% *}: /p" "$f"
    equal "sm_${run%% *}: the run ${run#* } tells no fault" \
        "$(grep -E '^(emulator|exit|# WRONG)' "$f" | head -n 3)" ''
done
for op in $slow; do
    for sm in 80 90; do
        equal "sm_$sm: the cases of $op ran" \
            "$(cat "$T/$sm"\ * | grep -cE "^ok (fp32|bf16) $op ")" 2
    done
done
exit $bad
