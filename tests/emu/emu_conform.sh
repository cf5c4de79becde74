#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The emulator leaves the bytes that an H100 left, for each PTX form that it has. A form that it has
# not is refused by name.
source "$(dirname "$0")/../cli.sh"
program=$O/conform/conform
build() {
    mkdir -p "$(dirname "$program")" &&
        JOBS=$(nproc) OPT=-O0 tests/emu/build_conform 90 "$program"
}
[ -x "$program" ] || check 'conform: the program is built' build
export LD_LIBRARY_PATH=$O/emu
families='approx async atom barrier bits bulk cluster control cvt float half int ldmatrix mem misc mma
    setp tma warp wgmma'
refusals='has no instruction'
for f in $families; do
    golden=tests/golden/ptx/$f.txt
    "$program" "$f" --against "$golden" >"$T/out" 2>"$T/verdicts"
    equal "$f: no form leaves other bytes than an H100" \
        "$(grep '^DIFFERS' "$T/verdicts" | head -n 3)" ''
    equal "$f: a form that fails is one that the emulator has not" \
        "$(grep '^failed' "$T/out" | grep -vE "$refusals" | head -n 3)" ''
    held=$(grep -cE '^(ok|unchecked) ' "$T/verdicts")
    check "$f: some forms are held to the bytes ($held of $(grep -c '^form' "$golden"))" \
        [ "$held" -gt 0 ]
done
exit $bad
