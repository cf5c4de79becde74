#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The table of layouts in grid.c, on 1 to 8 ranks: each trains as one rank does, plans the memory
# and sends the bytes that docs/parallel.md says, and layouts that add in the same order have the
# same bits. With a fault in the library the same program fails.
source "$(dirname "$0")/../cli.sh"
broken=$PWD/tests/dist/broken.tsv
cd "$T" || exit 70
if ! have_mpi; then
    skip 'grid: several ranks train' 'no MPI here'
    exit $bad
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
export MPIEXEC_TIMEOUT=300 # seconds after which mpirun ends a job that hangs
# grid PROGRAM RANKS ARGUMENT...: runs it on so many ranks
grid() { mpirun -q -np "$2" --bind-to none --oversubscribe "$O/dist/$1" cpu "${@:3}"; }

# ---- the table ----
for n in 1 2 3 4 6 8; do
    grid grid $n >"$n.out" 2>"$n.err" && rc=0 || rc=$?
    sed -nE 's/^(ok|not ok) /&grid: /p' $n.out
    equal "grid: $n ranks run all their layouts" "$rc" 0
done
cat ./*.out >all
[ $bad -eq 0 ] || grep '^#' all >&2

# ---- bits ----
# bits KEY: the runs with this key have one hash
bits() {
    awk -F'\t' -v key="$1" '$1 == "bits" && $2 == key' all >runs
    equal "grid: $1: the bits of $(wc -l <runs) runs" "$(cut -f3 runs | sort -u | wc -l)" 1
}
awk -F'\t' '$1 == "bits" { n[$2]++ } END { for (k in n) if (n[k] > 1) print k }' all | sort >keys
while read -r key; do bits "$key"; done <keys
check 'grid: pipelines and levels of ZeRO have bits to compare' [ "$(wc -l <keys)" -ge 5 ]
# levels KEY STAGES: the runs with this key in so many stages have all levels of ZeRO
levels() {
    equal "grid: $1: levels of ZeRO with the same bits, $2 stages" "$(awk -v key="$1" \
        '$1 == "bits" && $2 == key' all | sed -nE "s/.* pp $2 x .*ZeRO-(.).*/\1/p" | sort -u |
        tr -d '\n')" 0123
}
all=ep1,shard0,ranks-first
for key in llama,tp1,cp1,dp2,$all qwen2,tp1,cp1,dp2,$all lora,tp1,cp1,dp2,$all \
    llama,tp2,cp1,dp2,$all qwen3,tp2,cp1,dp2,$all mixtral,tp1,cp1,dp4,ep2,shard0,ranks-first; do
    levels $key 1
done
levels llama,tp1,cp1,dp2,$all 2
levels qwen2,tp1,cp1,dp2,ep1,shard0,ends,ranks-first 2
# digest KEY: the bits of its runs
digest() { awk -v key="$1" '$1 == "bits" && $2 == key { print $3; exit }' all; }
digest llama,tp1,cp1,dp2,ep1,shard0 >step
digest llama,tp1,cp1,dp2,$all >micro_batch
check 'grid: ZeRO-0 and ZeRO-1 by default have bits to compare' [ -s step ]
differ 'grid: sums over the ranks once a step have other bits' step micro_batch

# ---- faults ----
# found NAME RANKS FORM LAYOUT MESSAGE: the grid with this fault fails, for this reason
found() {
    grid "grid_$1" "$2" "$3" "$4" >"$1.out" 2>"$1.err" && rc=0 || rc=$?
    equal "grid: the fault '$1' is found" "$rc" 1
    check "grid: the fault '$1' is told" grep -Eq "^# $5" "$1.out"
}
while IFS=$'\t' read -r name _ _ n form layout message; do
    [[ $name == '#'* ]] || found "$name" "$n" "$form" "$layout" "$message"
done <"$broken"
exit $bad
