#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make fuzz, in a tree of one source and one target: it builds what has changed, runs the seeds, and
# fails when a target does. The targets themselves run in the unit test fuzz_replay.
source "$(dirname "$0")/../cli.sh"
root=$PWD
cd "$T" || exit 70
if ! command -v clang >/dev/null; then
    skip 'fuzz: make fuzz builds and runs the targets' 'clang is missing'
    exit 0
fi
mkdir -p lib/base tests/fuzz/seeds/fuzz_one build/fuzz/build
cp -r "$root/Makefile" "$root/tools" .
cp "$O/config.mk" build/fuzz/build/
cat >lib/base/one.h <<'EOF'
#define ONE 1
int one(void);
EOF
cat >lib/base/one.c <<'EOF'
#include "base/one.h"
int one(void) { return ONE; }
EOF
cat >tests/fuzz/fuzz_one.c <<'EOF'
#include <stddef.h>
#include <stdint.h>
#include "base/one.h"
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint32_t h = 0; /* the fuzzer does not guess it */
    for (size_t i = 0; i < n; i++) h = (h ^ data[i]) * 0x9E3779B1U;
    if (h == SEED && one() != 1) __builtin_trap();
    return 0;
}
EOF
h=0
printf 'a seed' >tests/fuzz/seeds/fuzz_one/a
for byte in $(od -An -tu1 -v tests/fuzz/seeds/fuzz_one/a); do
    h=$((((h ^ byte) * 0x9E3779B1) & 0xFFFFFFFF))
done
sed -i "s/SEED/${h}U/" tests/fuzz/fuzz_one.c
# fuzz: runs the target; prints make's exit status
fuzz() { code make fuzz O=build FUZZ_SECONDS=1; }
equal 'fuzz: a target that finds nothing passes' "$(fuzz)" 0
equal 'fuzz: a run after no change builds nothing' "$(fuzz) $(grep -c '  link\|  cc' stdout)" '0 0'
check 'fuzz: a run prints the number of inputs' grep -Eq 'number_of_executed_units: +[0-9]' stdout
sed -i 's/ONE;/ONE + 1;/' lib/base/one.c
equal 'fuzz: a source that has changed is in the next run, which begins with the seeds' "$(fuzz)" 2
check 'fuzz: what a target found is kept' \
    bash -c 'cmp tests/fuzz/seeds/fuzz_one/a "$(echo build/fuzz/fuzz_one-crash-*)"'
sed -i 's/ONE + 1;/ONE;/' lib/base/one.c
sed -i 's/ONE 1/ONE 2/' lib/base/one.h
equal 'fuzz: a header that has changed is in the next run' "$(fuzz)" 2
sed -i 's/ONE 2/ONE 1/' lib/base/one.h
equal 'fuzz: without the fault the target passes again' "$(fuzz)" 0
exit $bad
