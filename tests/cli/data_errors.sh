# SPDX-License-Identifier: Apache-2.0
# What goes wrong around the data commands: bad rows, outputs that fail, stages that fail.
source "$(dirname "$0")/../cli.sh"
model=share/tiny-tokenizer
tok() { sft-tokenize -q -m $model "$@"; }
bad_row() { # bad_row NAME PATTERN TEXT [OPTION...]
    printf '%s' "$3" >"$T/rows.json"
    fails "$1" 65 "$2" sft-tokenize -q -m $model "${@:4}" "$T/rows.json"
}
good='{"instruction":"a","output":"b"}'
fails 'missing file' 66 'none.json: cannot open: No such file' tok "$T/none.json"
fails 'a folder' 66 'is a folder' tok "$T"
bad_row 'empty file' 'rows.json: .*empty' ''
bad_row 'neither list nor lines' 'rows.json' 'hello there'
bad_row 'one object over lines is not rows' 'rows.json' '{"a":
1'
bad_row 'a list of numbers' 'rows.json: row 0' '[1, 2]'
bad_row 'cut short' 'rows.json: row 1' "[$good, {\"instruction\":\"a\",\"out"
bad_row 'bytes after the list' 'rows.json' "[$good] x"
bad_row 'a row without the response' \
    'rows.json: row 1 \(line 2\): no "output" \(the keys are "instruction", "answer"\); name it with --response-key' \
    "$good"$'\n{"instruction":"a","answer":"b"}'
bad_row 'a row without the prompt' 'row 0 .*no "instruction"' '{"output":"b"}'
bad_row 'a prompt that is null' 'row 0 .*"instruction" is null, not a string' '[{"instruction":null,"output":"b"}]'
bad_row 'a response that is a list' 'row 0 .*"output" is a list, not a string' '[{"instruction":"a","output":["b"]}]'
bad_row 'a column that is never there' 'no row has "inptu" \(--query-key\); the keys of the first row are "instruction", "output"' \
    "$good" --query-key inptu
bad_row 'not UTF-8' 'rows.json: row 0' "$(printf '{"instruction":"\xff","output":"b"}')"
bad_row 'a key twice' 'rows.json: row 0' '{"instruction":"a","instruction":"a","output":"b"}'
bad_row 'messages: no list' 'row 0 .*"messages" is not a list' '{"messages":{}}'
bad_row 'messages: no role' 'row 0 .*message 1: no "role" \(the keys are "content"\)' '{"messages":[{"role":"user","content":"a"},{"content":"b"}]}'
bad_row 'sharegpt: an unknown speaker' 'row 0 .*turn 0: "from" is not human' '{"conversations":[{"from":"nobody","value":"b"}]}'
bad_row 'sharegpt: a call that is not JSON' 'row 0 .*turn 0: the function call' '{"conversations":[{"from":"function_call","value":"f(1)"}]}'
fails 'no model' 64 '-m MODEL is needed' sft-tokenize "$T/rows.json"
fails 'a model that is not there' 66 'nowhere' sft-tokenize -q -m "$T/nowhere" "$T/rows.json"
fails 'an unknown option' 64 'did you mean --query-key' tok --qery-key x "$T/rows.json"

# ---- outputs ----
printf '%s\n' "$good" "$good" >"$T/good.jsonl"
tok "$T/good.jsonl" -o "$T/turns"
sft-template -q -m $model "$T/turns" -o "$T/samples"
fails 'an output folder that is not there' 73 'cannot create' tok "$T/good.jsonl" -o "$T/no/such/x"
commands=("sft-tokenize -q -m $model $T/good.jsonl" "sft-template -q -m $model $T/turns"
    "sft-pack -q -l 500 -b 1 $T/samples" "sft-view $T/turns")
for c in "${commands[@]}"; do
    name=${c%% *} rc=0
    $c >/dev/full 2>"$T/err" || rc=$?
    equal "$name: a full disk" "$rc $(grep -c 'No space left' "$T/err")" '74 1'
    [ "$name" = sft-view ] && continue
    if script -qec true /dev/null >/dev/null 2>&1; then
        rc=0
        out=$(script -qec "$c" /dev/null </dev/null 2>&1) || rc=$?
        equal "$name: refuses a terminal" "$rc $(grep -c 'not written to a terminal' <<<"$out")" '64 1'
    else
        skip "$name: refuses a terminal" 'no script(1)'
    fi
done
if [ "$(id -u)" -ne 0 ]; then
    mkdir "$T/ro" && chmod 555 "$T/ro"
    fails 'a folder that may not be written' 73 'cannot create' tok "$T/good.jsonl" -o "$T/ro/x"
    chmod 755 "$T/ro"
fi
echo old >"$T/kept"
tok "$T/rows.json" -o "$T/kept" 2>/dev/null
equal 'a failure leaves the old file' "$(cat "$T/kept")" old
equal 'and no other' "$(find "$T" -name '.kept*' | wc -l)" 0

# ---- stages that fail ----
sft-tokenize -q -m $model "$T/none.json" 2>/dev/null | sft-template -q -m $model >"$T/out" 2>"$T/err"
equal 'a stage that failed at once' "${PIPESTATUS[*]} $(cat "$T/err")" \
    '66 65 sft-template: <stdin>: ended early, after 0 bytes: the stage before it failed or was interrupted'
for i in $(seq 30000); do echo "$good"; done >"$T/late.jsonl"
echo '{"instruction":"a"}' >>"$T/late.jsonl"
sft-tokenize -q -m $model "$T/late.jsonl" 2>/dev/null | sft-template -q -m $model 2>"$T/err1" |
    sft-pack -q -l 500 -b 8 -o "$T/late" 2>"$T/err2"
equal 'a stage that failed late' "${PIPESTATUS[*]}" '65 65 65'
equal 'and its readers say so' "$(cat "$T/err1" "$T/err2" | grep -c 'the stage before it failed or was interrupted')" 2
check 'and leave no plan' [ ! -e "$T/late" ]
sft-view "$T/turns" | sft-view >/dev/null 2>"$T/err"
equal 'JSON into a stream reader' "$(grep -c 'is JSON, not a token stream' "$T/err")" 1
exit $bad
