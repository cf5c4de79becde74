#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A product through tensor copies, a ring of mbarriers and wgmma is right on the emulator, whatever
# the order of its warps; each fault put into it is found and told.
source "$(dirname "$0")/../cli.sh"
nvcc=$(sed -n 's/^NVCC := //p' "$O/config.mk")
ring=$T/ring
build() {
    "$nvcc" -std=c++17 -O3 -lineinfo --no-compress -gencode arch=compute_90a,code=compute_90a \
        -cudart shared -o "$ring" tests/emu/ring.cu
}
check 'ring: the program is built' build
export LD_LIBRARY_PATH=$O/emu
for seed in 1 2 3 4 5 6 7 8; do
    equal "ring: C is right with seed $seed" "$(EMU_SEED=$seed "$ring" good 2>&1)" right
done
# found VARIANT MESSAGE, an extended regular expression
found() {
    timeout 60 "$ring" "$1" >"$T/out" 2>&1
    if grep -qE "$2" "$T/out"; then ok "ring: $1 is found and told"
    else not_ok "ring: $1 is found and told" "$(tail -n 1 "$T/out")"; fi
}
found no-proxy-fence 'ring\.cu:[0-9]+: .*stored to [0-9]+ .*no fence\.proxy\.async'
found no-init-fence 'ring\.cu:[0-9]+: .*no fence\.mbarrier_init'
found no-register-fence 'ring\.cu:[0-9]+: .*no wgmma\.fence'
found loose-wait 'ring\.cu:[0-9]+: .*a race .*wgmma.* read'
found no-empty-wait 'ring\.cu:[0-9]+: .*(a race|arrivals at the mbarrier)'
found wrong-parity 'ring\.cu:[0-9]+: .*(a race .*copy of line|nothing was stored)'
found wrong-swizzle '^wrong: C'
found too-many-bytes 'warp 4 waits at .*ring\.cu:[0-9]+'
found too-many-bytes 'phase 0: 0 arrivals and 16 bytes miss'
found too-few-bytes 'ring\.cu:[0-9]+: .*(a race .*copy of line|nothing was stored)'
found warp-missing 'ring\.cu:[0-9]+: .*warps 0x8 of the warpgroup do not execute it'
found no-bulk-wait 'ring\.cu:[0-9]+: .*the block ends while the copy'
found no-start 'ring\.cu:[0-9]+: .*(no barrier came after|no mbarrier was initialised)'
exit $bad
