#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The emulator leaves the bytes that an H100 left, for each of the PTX forms in tests/golden/ptx.
source "$(dirname "$0")/../cli.sh"
program=$O/conform/conform
build() {
    mkdir -p "$(dirname "$program")" &&
        JOBS=$(nproc) OPT=-O0 tests/emu/build_conform 90 "$program"
}
[ -x "$program" ] || check 'conform: the program is built' build
export LD_LIBRARY_PATH=$O/emu
for golden in tests/golden/ptx/*.txt; do
    f=$(basename "$golden" .txt)
    "$program" "$f" --against "$golden" >"$T/out" 2>"$T/verdicts"
    equal "$f: no form leaves other bytes than an H100" \
        "$(grep -E '^(DIFFERS|WRONG)' "$T/verdicts" | head -n 3)" ''
    equal "$f: no form fails" "$(grep '^failed' "$T/out" | head -n 3)" ''
    equal "$f: every form of the golden file is held to its bytes" \
        "$(grep -cE '^(ok|unchecked) ' "$T/verdicts")" "$(grep -c '^form' "$golden")"
done
exit $bad
