#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every operation of the CUDA plugin on the emulated device, against the reference in double, and
# twice: the same bytes. The PTX for sm_90a runs all cases; that for sm_80 leaves out the operations
# that take minutes.
source "$(dirname "$0")/../cli.sh"
export LD_LIBRARY_PATH=$O/emu
slow='attention attention_grad matmul'

# ran SM OPERATION...: writes the verdicts of these operations to $T/SM.OPERATION
ran() {
    EMU_SM=$1 timeout 900 "$O/gpu/ops" "${@:2}" >"$T/$1.$2" 2>&1 || echo "exit $?" >>"$T/$1.$2"
}
{
    ran 90 -attention -attention_grad -matmul
    ran 80 -attention -attention_grad -matmul
    ran 90 matmul
    ran 90 attention
} &
ran 90 attention_grad
wait
for f in "$T"/[89]0.*; do
    sm=$(basename "$f")
    sed -nE "s/^(not ok|ok) /&sm_${sm%%.*}: /p" "$f"
    equal "sm_${sm%%.*}: the run ${sm#*.} tells no fault" \
        "$(grep -E '^(emulator|exit|# WRONG)' "$f" | head -n 3)" ''
done
for op in $slow; do
    equal "sm_90: the cases of $op ran" "$(grep -c "^ok bf16 $op " "$T"/90.$op)" 1
done
exit $bad
