# SPDX-License-Identifier: Apache-2.0
# Every command that reads a stream refuses a damaged one, and then leaves no output.
source "$(dirname "$0")/../cli.sh"
model=share/tiny-tokenizer
awk 'BEGIN {
    for (i = 0; i < 200; i++)
        printf "{\"instruction\":\"question %d\",\"output\":\"%0*d\"}\n", i, i % 60 + 1, i
    }' >"$T/d.jsonl"
sft-tokenize -q -m $model "$T/d.jsonl" -o "$T/turns"
sft-template -q -m $model "$T/turns" -o "$T/samples"
sft-pack -q -l 500 -b 8 "$T/samples" -o "$T/packed"
# run KIND FILE: runs the command that reads streams of that kind
run() {
    case $1 in
    turns) sft-template -q -m $model -o "$T/out" "$2" ;;
    samples) sft-pack -q -l 500 -b 8 -o "$T/out" "$2" ;;
    packed) sft-view -q --check "$2" ;;
    esac
}
# The unit test stream_file damages every byte and bit; here each command meets the places that
# differ.
for kind in turns samples packed; do
    size=$(stat -c %s "$T/$kind") left=''
    for at in 0 1 4 8 100 $((size / 2)) $((size - 300)) $((size - 13)) $((size - 8)) \
        $((size - 1)); do
        head -c $at "$T/$kind" >"$T/cut"
        run $kind "$T/cut" >"$T/stdout" 2>"$T/stderr"
        rc=$?
        [ $rc -eq 65 ] && [ ! -e "$T/out" ] && [ ! -s "$T/stdout" ] &&
            grep -Eq 'cut: (cut short|the file is empty)' "$T/stderr" || left+=" $at:$rc"
    done
    equal "$kind: a stream cut anywhere is refused and leaves no output" "$left" ''
    left=''
    for at in 0 5 60 $((size / 2)) $((size - 100)) $((size - 10)) $((size - 1)); do
        cp "$T/$kind" "$T/flip"
        flip "$T/flip" $at
        run $kind "$T/flip" >"$T/stdout" 2>"$T/stderr"
        rc=$?
        [ $rc -eq 65 ] && [ ! -e "$T/out" ] && [ ! -s "$T/stdout" ] || left+=" $at:$rc"
    done
    equal "$kind: a stream with a flipped bit is refused and leaves no output" "$left" ''
    { cat "$T/$kind"; printf x; } >"$T/more"
    fails "$kind: bytes after the trailer are refused" 65 \
        "more: bytes after the trailer, from byte $size" run $kind "$T/more"
    cat "$T/$kind" "$T/$kind" >"$T/more"
    fails "$kind: two streams in one file are refused" 65 'bytes after the trailer' run $kind \
        "$T/more"
done
: >"$T/empty"
fails 'stream: an empty file is refused' 65 'empty: the file is empty' sft-view "$T/empty"
fails 'stream: a missing file is no input' 66 'none: cannot open' sft-view "$T/none"
fails 'stream: JSON names sft-tokenize' 65 \
    'is JSON, not a token stream; convert it with sft-tokenize' \
    sft-pack -q -l 9 -b 9 "$T/d.jsonl"
fails 'stream: a program is no stream' 65 'is not a token stream' sft-view "$(command -v bash)"
printf '\x50\x2a\x4d\x18\x00\x00\x00\x00' >"$T/skip"
fails 'stream: a skippable frame of another kind is no stream' 65 'is not a token stream' sft-view \
    "$T/skip"
exit $bad
