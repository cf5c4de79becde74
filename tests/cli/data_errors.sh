# SPDX-License-Identifier: Apache-2.0
# Faults around the data commands: bad rows, outputs that fail, stages that fail.
source "$(dirname "$0")/../cli.sh"
model=share/tiny-tokenizer
tok() { sft-tokenize -q -m $model "$@"; }
# bad_row NAME PATTERN TEXT [OPTION...]: this text in the place of rows is bad data
bad_row() {
    printf '%s' "$3" >"$T/rows.json"
    fails "$1" 65 "$2" sft-tokenize -q -m $model "${@:4}" "$T/rows.json"
}
good='{"instruction":"a","output":"b"}'
fails 'input: a missing file is refused' 66 'none.json: cannot open: No such file' tok \
    "$T/none.json"
fails 'input: a folder in the place of a file is refused' 66 'is a folder' tok "$T"
bad_row 'rows: an empty file is refused' 'rows.json: .*empty' ''
bad_row 'rows: text that is neither list nor lines is refused' 'rows.json' 'hello there'
bad_row 'rows: one object over several lines is refused' 'rows.json' '{"a":
1'
bad_row 'rows: a list of numbers is refused' 'rows.json: row 0' '[1, 2]'
bad_row 'rows: a list cut short is refused with its row' 'rows.json: row 1' \
    "[$good, {\"instruction\":\"a\",\"out"
bad_row 'rows: bytes after the list are refused' 'rows.json' "[$good] x"
bad_row 'rows: a row without the response names the option that maps it' \
    'row 1 \(line 2\): no "output" \(.* "instruction", "answer"\); name it with --response-key' \
    "$good"$'\n{"instruction":"a","answer":"b"}'
bad_row 'rows: a row without the prompt is refused' 'row 0 .*no "instruction"' '{"output":"b"}'
bad_row 'rows: a prompt that is null is refused' 'row 0 .*"instruction" is null, not a string' \
    '[{"instruction":null,"output":"b"}]'
bad_row 'rows: a response that is a list is refused' 'row 0 .*"output" is a list, not a string' \
    '[{"instruction":"a","output":["b"]}]'
bad_row 'rows: a mapped column that no row has is refused' \
    'no row has "sytem" \(--system-key\); the keys of the first row are "instruction", "output"' \
    "$good" --system-key sytem
bad_row 'rows: bytes that are not UTF-8 are refused' 'rows.json: row 0' \
    "$(printf '{"instruction":"\xff","output":"b"}')"
bad_row 'rows: a key that occurs twice is refused' 'rows.json: row 0' \
    '{"instruction":"a","instruction":"a","output":"b"}'
bad_row 'rows: messages that are no list are refused' \
    'row 0 .*"messages" is an object, not a list of messages' \
    '{"messages":{}}'
bad_row 'rows: a message without a role is refused' \
    'row 0 .*message 1: no "role" \(the keys are "content"\)' \
    '{"messages":[{"role":"user","content":"a"},{"content":"b"}]}'
bad_row 'rows: a turn of an unknown speaker is refused' \
    'row 0 .*turn 0: "from" is "nobody", not human' \
    '{"conversations":[{"from":"nobody","value":"b"}]}'
bad_row 'rows: a function call that is not JSON is refused' 'row 0 .*turn 0: the function call' \
    '{"conversations":[{"from":"function_call","value":"f(1)"}]}'
fails 'options: a call without -m is refused' 64 '-m MODEL is needed' sft-tokenize "$T/rows.json"
fails 'options: a missing model is refused' 66 'nowhere' sft-tokenize -q -m "$T/nowhere" \
    "$T/rows.json"
fails 'options: an unknown option names the nearest' 64 'did you mean --query-key' tok \
    --qery-key x "$T/rows.json"

# ---- outputs ----
printf '%s\n' "$good" "$good" >"$T/good.jsonl"
tok "$T/good.jsonl" -o "$T/turns"
sft-template -q -m $model "$T/turns" -o "$T/samples"
fails 'output: a missing folder is refused' 73 'cannot create' tok "$T/good.jsonl" -o "$T/no/such/x"
commands=("sft-tokenize -q -m $model $T/good.jsonl" "sft-template -q -m $model $T/turns"
    "sft-pack -q -l 500 -b 1 $T/samples" "sft-view $T/turns")
for c in "${commands[@]}"; do
    name=${c%% *} rc=0
    $c >/dev/full 2>"$T/err" || rc=$?
    equal "output: $name tells of a full disk" "$rc $(grep -c 'No space left' "$T/err")" '74 1'
    [ "$name" = sft-view ] && continue
    if script -qec true /dev/null >/dev/null 2>&1; then
        rc=0
        out=$(script -qec "$c" /dev/null </dev/null 2>&1) || rc=$?
        equal "output: $name refuses a terminal" \
            "$rc $(grep -c 'not written to a terminal' <<<"$out")" '64 1'
    else
        skip "output: $name refuses a terminal" 'no script(1)'
    fi
done
if [ "$(id -u)" -ne 0 ]; then
    mkdir "$T/ro" && chmod 555 "$T/ro"
    fails 'output: a folder without write permission is refused' 73 'cannot create' tok \
        "$T/good.jsonl" -o "$T/ro/x"
    chmod 755 "$T/ro"
fi
echo old >"$T/kept"
rc=$(code tok "$T/rows.json" -o "$T/kept")
equal 'output: a failure leaves the old file' "$rc $(cat "$T/kept")" '65 old'
equal 'output: a failure leaves no temporary file' "$(find "$T" -name '.kept*' | wc -l)" 0

# ---- stages that fail ----
sft-tokenize -q -m $model "$T/none.json" 2>/dev/null |
    sft-template -q -m $model >"$T/out" 2>"$T/err"
equal 'pipe: a stage that fails at once fails its reader, which says so' \
    "${PIPESTATUS[*]} $(cat "$T/err")" \
    "66 65 sft-template: <stdin>: ended early, after 0 bytes: $(
        echo the stage before it failed or was interrupted)"
for i in $(seq 30000); do echo "$good"; done >"$T/late.jsonl"
echo '{"instruction":"a"}' >>"$T/late.jsonl"
sft-tokenize -q -m $model "$T/late.jsonl" 2>/dev/null | sft-template -q -m $model 2>"$T/err1" |
    sft-pack -q -l 500 -b 8 -o "$T/late" 2>"$T/err2"
equal 'pipe: a stage that fails late fails all after it' "${PIPESTATUS[*]}" '65 65 65'
equal 'pipe: each reader says that its input ended early' \
    "$(cat "$T/err1" "$T/err2" | grep -c 'the stage before it failed or was interrupted')" 2
check 'pipe: a failed stage leaves no plan' [ ! -e "$T/late" ]
sft-view "$T/turns" | sft-view >/dev/null 2>"$T/err"
equal 'pipe: JSON in the place of a stream is refused' \
    "${PIPESTATUS[*]} $(grep -c 'is JSON, not a token stream' "$T/err")" '0 65 1'
exit $bad
