#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The PTX forms: the bytes that they leave are kept in $results/ptx, one file a family, as they can
# go into tests/golden/ptx, and are compared with those there, which an H100 left.
. tests/gpu/common.sh
program=$O/conform/conform
mkdir -p "$results/ptx"
# kept FAMILY: writes its bytes; a row of the forms that fail or are not what the host computes
kept() {
    "$program" "$1" >"$results/ptx/$1.txt" 2>"$W/$1" || return
    cat "$W/$1" >&2
    row "$1: forms that fail" "$(grep -c '^failed' "$W/$1")" of\ $(($(wc -l <"$W/$1"))) max 0
    row "$1: forms that are wrong" "$(grep -c '^WRONG' "$W/$1")" '' max 0 \
        "$(grep -m 1 '^WRONG' "$W/$1")"
}
# compared FAMILY: a row of the forms that left other bytes than those that are kept
compared() {
    "$program" "$1" --against "tests/golden/ptx/$1.txt" 2>"$W/$1.against" >&2 || return
    row "$1: forms other than an H100's" "$(grep -c '^DIFFERS' "$W/$1.against")" '' max 0 \
        "$(grep -m 1 '^DIFFERS' "$W/$1.against")"
}
families=$("$program" --families)
[ -z "$tiny" ] || families='ldmatrix warp'
for f in $families; do
    if ! kept "$f" || ! compared "$f"; then
        verdict "$f: the family runs" FAIL "$(tail -n 1 "$W/$f")"
    fi
done
