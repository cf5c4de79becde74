#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Rows and text compressed with zstd and gzip: the same streams as without, and damage.
source "$(dirname "$0")/../cli.sh"
model=share/tiny-tokenizer
tok() { sft-tokenize -q -m $model "$@"; }
# little ARGUMENT...: sft-tokenize within 1.5 GB of addresses; the sanitizers reserve more
little() {
    (
        sanitized || ulimit -v 1500000
        exec sft-tokenize "$@"
    )
}
for i in $(seq 4000); do echo "{\"instruction\":\"Say $i $((i * i)).\",\"output\":\"$i\"}"; done \
    >"$T/rows"
half=$(($(stat -c %s "$T/rows") / 2))
tok "$T/rows" -o "$T/plain.sfts"

# forms NAME COMPRESS: what holds for a kind of compression; COMPRESS reads and writes
forms() {
    local name=$1 packed=$T/$1
    shift
    "$@" <"$T/rows" >"$packed"
    tok "$packed" -o "$T/x.sfts"
    same "$name: the stream is that of the plain rows" "$T/plain.sfts" "$T/x.sfts"
    tok - <"$packed" >"$T/x.sfts"
    same "$name: standard input may be compressed" "$T/plain.sfts" "$T/x.sfts"
    { head -c $half "$T/rows" | "$@"; tail -c +$((half + 1)) "$T/rows" | "$@"; } >"$T/joined"
    tok "$T/joined" -o "$T/x.sfts"
    same "$name: joined files are one" "$T/plain.sfts" "$T/x.sfts"
    tok --ids "$packed" >"$T/ids" && tok --ids "$T/rows" >"$T/plain.ids"
    same "$name: --ids reads it" "$T/plain.ids" "$T/ids"
    for part in 3 2; do
        head -c $(($(stat -c %s "$packed") / part)) "$packed" >"$T/cut"
        fails "$name: a cut at 1/$part is told" 65 \
            'cut: the compressed data ends early; it has been cut short' \
            sft-tokenize -q -m $model -o "$T/none" "$T/cut"
    done
    head -c -1 "$packed" >"$T/cut"
    fails "$name: a missing last byte is told" 65 'cut: the compressed data ends early' \
        sft-tokenize -q -m $model -o "$T/none" "$T/cut"
    { cat "$packed"; echo trailing; } >"$T/more"
    fails "$name: other bytes behind it are told" 65 "more: the $name data is damaged" \
        sft-tokenize -q -m $model -o "$T/none" "$T/more"
    cp "$packed" "$T/flipped"
    flip "$T/flipped" $(($(stat -c %s "$packed") / 2))
    fails "$name: damage is told" 65 'flipped: ' \
        sft-tokenize -q -m $model -o "$T/none" "$T/flipped"
    "$@" <"$T/plain.sfts" >"$T/other"
    fails "$name: other contents are told" 65 'other: is neither a JSON array nor JSON Lines' \
        sft-tokenize -q -m $model -o "$T/none" "$T/other"
    : | "$@" >"$T/empty"
    fails "$name: no rows are told" 65 'empty: is empty' \
        sft-tokenize -q -m $model -o "$T/none" "$T/empty"
    head -c 100000000 /dev/zero | tr '\0' ' ' | "$@" >"$T/blanks"
    fails "$name: a stream that expands takes little memory" 65 'blanks: is empty' \
        little -@ 1 -q -m $model -o "$T/none" "$T/blanks"
}
forms zstd zstd -q --check
forms zstd zstd -q --check --long=27
zstd -q --long=30 <"$T/rows" >"$T/wide"
fails 'zstd: a window beyond 128 MiB is refused' 65 \
    'wide: the zstd data is damaged: Frame requires too much memory' \
    sft-tokenize -q -m $model -o "$T/none" "$T/wide"
if ldd "$(command -v sft-tokenize)" | grep -q libz.so; then
    forms gzip gzip -nq
else
    gzip -n <"$T/rows" >"$T/gzip"
    fails 'gzip: without zlib the message tells what to do' 65 \
        'gzip: is gzip-compressed, and this program was built without zlib; .*gzip -dc' \
        sft-tokenize -q -m $model -o "$T/none" "$T/gzip"
fi
exit $bad
