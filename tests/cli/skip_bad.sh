# SPDX-License-Identifier: Apache-2.0
# --skip-bad: which rows are skipped, how they are told, and what stays an error.
source "$(dirname "$0")/../cli.sh"
model=share/tiny-tokenizer
row() { printf '{"instruction":"%s","output":"b"}' "$1"; }
# rows OPTION...: prints the file and row of each conversation, and writes messages to $T/told
rows() {
    sft-tokenize -m $model "$@" 2>"$T/told" | sft-view | jq -c '.source[0]' | paste -sd' '
}
tells() {
    if grep -Eq -- "$2" "$T/told"; then ok "$1"; else not_ok "$1" "$(head -c 400 "$T/told")"; fi
}
# ---- JSON Lines ----
{ row a; echo; echo '{"instruction":"x"}'; echo '{"instruction": oops}'; row c; echo
    echo 17; echo '{"instruction":"y","output":7}'; echo '{"instruction":"a","output":"b'
    echo '{"instruction":{},"output":"b"}'; echo '{}'; row z; } >"$T/lines"
fails 'lines: without the option the first bad row is an error' 65 \
    'lines: row 1 \(line 2\): no "output"' sft-tokenize -m $model -o "$T/none" "$T/lines"
equal 'lines: good rows stay, with their indices' "$(rows --skip-bad "$T/lines")" \
    '[0,0] [0,3] [0,9]'
tells 'lines: a row that cannot be read is named with its place and reason' \
    '^sft-tokenize: skipped: .*lines: row 2 \(line 3\): column 17: not a JSON value'
tells 'lines: a row of another form is named with its place and reason' \
    '^sft-tokenize: skipped: .*lines: row 5 \(line 6\): "output" is a number, not a string'
tells 'lines: the end tells how many there are' \
    '^sft-tokenize: 7 of 10 rows are bad and were skipped: file:row 0:1, 0:2, 0:4, 0:5, 0:6, \.'
equal 'lines: the first five are named' "$(grep -c 'skipped: ' "$T/told")" 6
rows -v --skip-bad "$T/lines" >"$T/none"
equal 'lines: -v names all' "$(grep -c 'skipped: .*lines: row' "$T/told")" 7
equal 'lines: -q tells nothing' "$(rows -q --skip-bad "$T/lines" | wc -l; cat "$T/told")" 1
check 'lines: the exit status is 0' sft-tokenize -q -m $model --skip-bad -o "$T/s" "$T/lines"
equal 'lines: the trailer counts them' "$(sft-view --stats "$T/s" | jq -c .notes)" \
    '{"skipped_rows":7}'
equal 'lines: the header tells the option' "$(sft-view -H "$T/s" | jq -c '.stages[0].skip_bad')" \
    true
check 'lines: a stream without bad rows is whole' \
    sft-tokenize -q -m $model --skip-bad -o "$T/none" <(row a)
equal 'lines: nothing is told where no row is bad' \
    "$(row a | rows --skip-bad; grep -c 'skipped' "$T/told")" $'[0,0]\n0'
row q >"$T/one"
equal 'lines: files are told apart' "$(rows --skip-bad "$T/one" "$T/lines" "$T/one")" \
    '[0,0] [1,0] [1,3] [1,9] [2,0]'
tells 'lines: a row is named with its file' 'file:row 1:1, 1:2'
fails 'lines: no good row is an error' 65 \
    'all 2 rows are bad; the first: .*: row 0 \(line 1\): no "instruction"' \
    sft-tokenize -q -m $model --skip-bad -o "$T/none" <(printf '%s\n' '{"a":1}' '{}')
fails 'lines: a file that is no JSON is an error' 65 'neither a JSON array nor JSON Lines' \
    sft-tokenize -q -m $model --skip-bad -o "$T/none" <(echo hello)

# ---- arrays ----
printf '[%s,\n{"instruction":"x", "output":},\n%s,{"b":"]}"}]' "$(row a)" "$(row c)" >"$T/array"
equal 'array: rows whose end is known are skipped' "$(rows --skip-bad "$T/array")" '[0,0] [0,2]'
tells 'array: a row that cannot be read is named' 'array: row 1 \(line 2\): column 30: not a JSON'
tells 'array: a row of another form is named' 'array: row 3 \(line 3\): no "instruction"'
fails 'array: one that ends early is an error' 65 'ends inside the array' \
    sft-tokenize -q -m $model --skip-bad -o "$T/none" <(printf '[%s,{"instruction":"a"' "$(row a)")
fails 'array: a missing comma is an error' 65 "expected ','" \
    sft-tokenize -q -m $model --skip-bad -o "$T/none" <(printf '[%s %s]' "$(row a)" "$(row a)")
fails 'array: a missing file is an error' 66 'none.json' \
    sft-tokenize -q -m $model --skip-bad -o "$T/none" "$T/none.json"

# ---- sft-template ----
printf '%s' "{% for m in messages %}{% if m.content == 'no' %}{{ raise_exception('not that') }}" \
    '{% endif %}{{ "<|im_start|>" + m.role + "\n" + m.content + "<|im_end|>" }}{% endfor %}' \
    '{% if add_generation_prompt %}{{ "<|im_start|>assistant\n" }}{% endif %}' >"$T/t.jinja"
for q in a no b no c no no no no d; do row $q; echo; done >"$T/q"
sft-tokenize -q -m $model "$T/q" -o "$T/turns"
render() { sft-template -m $model -t "$T/t.jinja" "$@" "$T/turns" 2>"$T/told"; }
fails 'template: without the option the first refusal is an error' 65 \
    'file 0 row 1: .*refuses this conversation: not that' \
    sft-template -m $model -t "$T/t.jinja" "$T/turns"
equal 'template: the others stay' \
    "$(render --skip-bad | sft-view | jq -c '.source[0]' | paste -sd' ')" \
    '[0,0] [0,2] [0,4] [0,9]'
tells 'template: a refusal is named' '^sft-template: skipped: file 0 row 1: .*: not that$'
tells 'template: the end tells how many there are' \
    '^sft-template: 6 of 10 rows are bad and were skipped: file:row 0:1, 0:3, 0:5, 0:6, 0:7, \.\.\.'
for n in 1 3; do render --skip-bad -q -@ $n -o "$T/by$n"; done
same 'template: the number of threads does not change the stream' "$T/by1" "$T/by3"
equal 'template: the trailer counts them' "$(sft-view --stats "$T/by1" | jq .notes.skipped_rows)" 6
for q in no no; do row $q; echo; done | sft-tokenize -q -m $model -o "$T/turns"
fails 'template: nothing left is an error' 65 'all 2 rows are bad; the first: file 0 row 0: ' \
    sft-template -q --skip-bad -m $model -t "$T/t.jinja" "$T/turns"
exit $bad
