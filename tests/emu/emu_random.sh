#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Random shapes of the operations of a layer on the emulated device, for the PTX of both
# architectures: errors as tests/gpu/random.c says. EMU_SHAPES is the seed of the shapes.
source "$(dirname "$0")/../cli.sh"
export LD_LIBRARY_PATH=$O/emu
seed=${EMU_SHAPES:-1}
for sm in 80 90; do
    EMU_SM=$sm timeout 900 "$O/gpu/random" "$seed" >"$T/$sm" 2>&1 || echo "exit $?" >>"$T/$sm" &
done
wait
for sm in 80 90; do
    sed -nE "s/^(not ok|ok) /&sm_$sm, seed $seed: /p" "$T/$sm"
    equal "sm_$sm, seed $seed: the run tells no fault" \
        "$(grep -E '^(emulator|exit|# WRONG)' "$T/$sm" | head -n 3)" ''
    equal "sm_$sm, seed $seed: seventeen operations ran in both types" \
        "$(grep -cE '^ok (fp32|bf16) ' "$T/$sm")" 34
done
exit $bad
