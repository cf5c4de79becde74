#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two commands that write the same file or folder at once, and the temporaries of a killed one. The
# first is held before its last rename (tests/preload/hold_rename.c) while the second runs.
if [ -w /dev/shm ]; then TEST_TMP=/dev/shm; fi # fsync costs nothing there
source "$(dirname "$0")/../train.sh"
hold=$O/test/hold_rename.so
# A sanitizer's run-time library must be loaded before a program built with it; tools beside the
# commands (head) are built without it, and may leak.
asan=$(ldd "$(type -P sft-ckpt)" | awk '/libasan/ { print $3 }')
[ -z "$asan" ] || export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0

# ---- the input of the commands ----
small=(hidden_size=64 intermediate_size=64 num_hidden_layers=1)
model model "${small[@]}"
rows 1 6 >train.jsonl
"$O/test/hf_convert" make m.gguf
peft=$root/tests/golden/peft/list
init() {
    env --default-signal=HUP sft-ckpt init -q model.json --tokenizer model --seed "$1" -o "$2"
}
convert() { sft-ckpt convert -q m.gguf -o "$2"; }
merge() { sft-ckpt merge -q "$peft/base" "$peft/adapter" -o "$2"; }
tokenize() {
    head -n "$1" train.jsonl |
        env --default-signal=HUP sft-tokenize -q -m model --prompt-key q --response-key a -o "$2"
}

# held VARIANT TARGET COMMAND: starts the command and waits until it is about to rename; its process
# is in $job
held() {
    (export LD_PRELOAD="$asan $hold" HOLD=$2; "$3" "$1" "$2"; echo $? >"$2.rc") 2>"$2.err" &
    job=$!
    for _ in $(seq 3000); do
        [ ! -s "$2.held" ] || return 0
        kill -0 $job 2>/dev/null || break
        sleep 0.01
    done
    not_ok "$3: the command is held before its rename" "$(head -n 1 "$2.err")"
    return 1
}
# go_on TARGET: lets the command go on and waits for its end; its exit code is in $ended
go_on() { rm -f "$1.held"; wait $job; ended=$(<"$1.rc"); }
# content FILE|FOLDER: prints names and hashes
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
    equal "$c: the first that ends has the folder, the other exits with 73" "$rc $ended" '0 73'
    equal "$c: the other tells it in one line" \
        "$(grep -c '^sft-ckpt: new: exists already' new.err) $(wc -l <new.err)" '1 1'
    same "$c: the folder is the first one's, whole" before want
    content new >after
    same "$c: the folder stays the first one's" after want
    equal "$c: no temporary folder is left" "$(temporaries)" 0
    fails "$c: a third is refused before it begins" 73 '^sft-ckpt: new: exists already' $c 1 new
    rm -rf new* one two
done
differ 'init: two seeds give two models' want other
for _ in 1 2 3; do
    for seed in 1 2; do (init $seed new 2>>err; echo $? >rc$seed) & done
    wait
    equal 'two at once: one of them has the whole folder' \
        "$(sort rc1 rc2 | paste -sd' ') $(code sft-ckpt show new) $(ls new |
            wc -l) $(temporaries)" \
        '0 73 0 4 0'
    rm -rf new
done
equal 'two at once: one of them has the folder, the other tells why' \
    "$(grep -c 'exists already' err) $(wc -l <err)" '3 3'

# ---- files: each is whole, and the last that is renamed stays ----
tokenize 3 three && tokenize 6 six
held 3 new tokenize
rc=$(code tokenize 6 new)
same "file: the second writer's is whole" new six
go_on new
equal 'file: both writers succeed' "$rc $ended" '0 0'
same "file: the first writer's replaces it, whole" new three
equal 'file: no temporary file is left' "$(temporaries)" 0
rm -f new*

# ---- temporaries of a killed one ----
for c in init tokenize; do
    held 1 new $c || continue
    kill -KILL "$(<new.held)"
    go_on new
    equal "$c, killed: its temporary is left, and not the target" "$(temporaries) $([ -e new ] &&
            echo new)" '1 '
    held 1 new $c || continue
    equal "$c, killed: the next one removes that temporary" "$(temporaries)" 1
    check "$c: a third beside it leaves its temporary alone" $c 1 new
    [ "$c" != init ] || rm -rf new
    go_on new
    equal "$c: the second ends well beside the third" $ended 0
    equal "$c: no temporary is left by either" "$(temporaries)" 0
    rm -rf new*
    for sig in TERM HUP; do
        held 1 new $c || continue
        kill -$sig "$(<new.held)"
        go_on new
        equal "$c, SIG$sig: neither temporary nor target is left" "$(temporaries) $([ -e new ] &&
                echo new)" '0 '
        rm -f new*
    done
done
exit $bad
