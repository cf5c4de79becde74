#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every operation of the CUDA plugin on the emulated device, against the reference in double, and
# twice: the same bytes. The PTX for sm_90a runs all cases; that for sm_80 leaves out the operations
# that take minutes.
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
90 --fp32 attention
90 --bf16 attention
90 matmul
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
    equal "sm_90: the cases of $op ran" "$(cat "$T"/90\ * | grep -cE "^ok (fp32|bf16) $op ")" 2
done
exit $bad
