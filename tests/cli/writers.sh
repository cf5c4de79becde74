#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two commands that write the same file or folder at once, and what one leaves that is killed. The first
# is held before its last rename (tests/preload/hold_rename.c) while the second runs.
if [ -w /dev/shm ]; then TEST_TMP=/dev/shm; fi # fsync costs nothing there
source "$(dirname "$0")/../train.sh"
hold=${O:-build}/test/hold_rename.so
[[ $hold == /* ]] || hold=$root/$hold
tests=$(dirname "$hold")
# A sanitizer's run-time library must be loaded before what is built with it; the tools beside the
# commands (head) are not, and may leak.
asan=$(ldd "$(type -P sft-ckpt)" | awk '/libasan/ { print $3 }')
[ -z "$asan" ] || export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0

# ---- what they write from ----
small=(hidden_size=64 intermediate_size=64 num_hidden_layers=1)
model model "${small[@]}"
rows 1 6 >train.jsonl
"$tests/hf_convert" make m.gguf
peft=$root/tests/golden/peft/list
init() { sft-ckpt init -q model.json --tokenizer model --seed "$1" -o "$2"; }
convert() { sft-ckpt convert -q m.gguf -o "$2"; }
merge() { sft-ckpt merge -q "$peft/base" "$peft/adapter" -o "$2"; }
tokenize() { head -n "$1" train.jsonl | sft-tokenize -q -m model --prompt-key q --response-key a -o "$2"; }

# held VARIANT TARGET COMMAND: starts it, and waits until it is about to rename; $job
held() {
    (export LD_PRELOAD="$asan $hold" HOLD=$2; "$3" "$1" "$2"; echo $? >"$2.rc") 2>"$2.err" &
    job=$!
    for _ in $(seq 3000); do
        [ ! -s "$2.held" ] || return 0
        kill -0 $job 2>/dev/null || break
        sleep 0.01
    done
    not_ok "$3: is held" "$(head -n 1 "$2.err")"
    return 1
}
# go_on TARGET: $ended is what it ends with
go_on() { rm -f "$1.held"; wait $job; ended=$(<"$1.rc"); }
# content FILE|FOLDER: names and bytes
content() { find "$1" -type f | LC_ALL=C sort | xargs sha256sum | sed "s|$1||"; }
temporaries() { find . -maxdepth 1 -name '*tmp*' | wc -l; }

# ---- folders: the first that is renamed stays as it is ----
for c in init convert merge; do
    $c 1 one && content one >want
    [ "$c" != init ] || { init 2 two && content two >other; }
    held 2 new $c || continue
    rc=$(code $c 1 new)
    content new >before
    go_on new
    equal "$c: the one that comes first to its end has the folder" "$rc $ended" '0 73'
    equal "$c: the other says so in one line" "$(grep -c '^sft-ckpt: new: exists already' new.err) $(wc -l <new.err)" '1 1'
    same "$c: the folder is the one's, whole" before want
    content new >after
    same "$c: and stays it" after want
    equal "$c: nothing else is left" "$(temporaries)" 0
    fails "$c: a third is refused before it begins" 73 '^sft-ckpt: new: exists already' $c 1 new
    rm -rf new* one two
done
differ 'two seeds, two models' want other
for _ in 1 2 3; do
    for seed in 1 2; do (init $seed new 2>>err; echo $? >rc$seed) & done
    wait
    [ "$(sort rc1 rc2 | tr '\n' ' ')" = '0 73 ' ] && sft-ckpt show new >/dev/null && [ "$(ls new | wc -l)" -eq 4 ] &&
        [ "$(temporaries)" -eq 0 ] || not_ok 'two at once' "$(sort rc1 rc2 | tr '\n' ' ')$(ls -A new)"
    rm -rf new
done
equal 'two at once: one of them has it, the other says why' "$(grep -c 'exists already' err) $(wc -l <err)" '3 3'

# ---- files: each is whole, and the last that is renamed stays ----
tokenize 3 three && tokenize 6 six
held 3 new tokenize
rc=$(code tokenize 6 new)
same 'a file: the second is whole' new six
go_on new
equal 'a file: both succeed' "$rc $ended" '0 0'
same 'a file: the first is whole' new three
equal 'a file: nothing else is left' "$(temporaries)" 0
rm -f new*

# ---- what a killed one leaves ----
for c in init tokenize; do
    held 1 new $c || continue
    kill -KILL "$(<new.held)"
    go_on new
    equal "$c, killed: leaves what it wrote, and not the target" "$(temporaries) $([ -e new ] && echo new)" '1 '
    held 1 new $c || continue
    equal "$c: the next one removes it" "$(temporaries)" 1
    check "$c: a third beside it does not take what it writes" $c 1 new
    [ "$c" != init ] || rm -rf new
    go_on new
    equal "$c: so that it ends well" $ended 0
    equal "$c: nothing is left" "$(temporaries)" 0
    rm -rf new*
    for sig in TERM HUP; do
        held 1 new $c || continue
        kill -$sig "$(<new.held)"
        go_on new
        equal "$c, SIG$sig: nothing is left" "$(temporaries) $([ -e new ] && echo new)" '0 '
        rm -f new*
    done
done
exit $bad
