# SPDX-License-Identifier: Apache-2.0
# sft-view: its views of streams of every kind.
source "$(dirname "$0")/../cli.sh"
model=share/tiny-tokenizer
printf '{"instruction":"one","output":"first answer"}\n{"instruction":"two","output":"second\\tanswer\\u001b[31m\\u202e"}\n' >"$T/d.jsonl"
sft-tokenize -q -m $model "$T/d.jsonl" -o "$T/t"
sft-template -q -m $model "$T/t" -o "$T/s"
sft-pack -q -l 200 -b 2 --in-order "$T/s" -o "$T/p"
equal 'count' "$(sft-view --count "$T/t") $(sft-view -c "$T/s") $(sft-view -c "$T/p")" '2 2 1'
equal 'count of several' "$(sft-view -c "$T/t" "$T/p")" "2	$T/t
1	$T/p"
equal 'header' "$(sft-view -H "$T/p" | grep -c '^{"format":"sft-stream","version":1,.*"kind":"packed",.*}$')" 1
equal 'check says nothing' "$(sft-view --check "$T/t" "$T/s" "$T/p" 2>&1)" ''
equal 'checksum' "$(sft-view --checksum "$T/s")" "$(sft-view --checksum "$T/p")"
check 'checksum of another' [ "$(sft-view --checksum "$T/s")" != "$(sft-view --checksum "$T/t")" ]
equal 'packed' "$(sft-view "$T/p" | sed 's/[0-9-][0-9,-]*/N/g')" '{"ids":[N],"labels":[N],"source":[[N],[N]],"starts":[N],"step":N}'
equal 'a row is its samples' "$(sft-view "$T/p" | sed 's/.*"ids":\[\([^]]*\).*/\1/')" "$(sft-view "$T/s" | sed 's/.*"ids":\[\([^]]*\).*/\1/' | paste -sd,)"
equal 'stats' "$(sft-view --stats "$T/p" | grep -c '"kind":"packed","records":1,"samples":2,.*"length":{"min":.*"steps":1,.*"density":0\.')" 1
equal 'standard input' "$(sft-view <"$T/p")" "$(sft-view "$T/p")"
sft-view -o "$T/out" "$T/p"
equal 'a file' "$(cat "$T/out")" "$(sft-view "$T/p")"

# ---- painted ----
plain=$(sft-view --show 0 -m $model "$T/s")
equal 'show: brackets' "$(grep -c '⟦first answer' <<<"$plain")" 1
equal 'show: the question is outside' "$(grep -c '⟦[^⟧]*one' <<<"$plain")" 0
equal 'show: no colours in a pipe' "$(grep -c $'\033' <<<"$plain")" 0
equal 'show: colours when told' "$(sft-view --color always --show 0 -m $model "$T/s" | grep -c $'\033\[4;32mfirst answer')" 1
equal 'show: text cannot steer a terminal' "$(sft-view --show 1 -m $model "$T/s" | grep -c $'\033\|\u202e')" 0
equal 'show: samples are ruled off' "$(sft-view --show 0 -m $model "$T/p" | grep -c '^── sample [12] of 2 · file 0 row [01] · [0-9]* tokens, [0-9]* trained ──')" 2
equal 'show: turns' "$(sft-view --show 1 -m $model "$T/t" | grep -c '^── \(user\|assistant\) · [0-9]* tokens')" 2
printf '{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]%s}\n' \
    ',"tools":[],"chat_template_kwargs":{"n":1.50}' '' >"$T/b.jsonl"
sft-tokenize -q -m $model "$T/b.jsonl" -o "$T/b"
equal 'tools and variables of the template' "$(sft-view "$T/b" | sed 's/.*"a"}\]//')" \
    ',"tools":[],"chat_template_kwargs":{"n":1.50},"source":[[0,0]]}
,"source":[[0,1]]}'
equal 'show: tools and variables of the template' \
    "$(sft-view --show 0 -m $model "$T/b" | sed -n 2,5p | paste -sd' ')" \
    '── tools ── [] ── chat_template_kwargs ── {"n":1.50}'
equal 'show: neither' "$(sft-view --show 1 -m $model "$T/b" | grep -c 'tools\|kwargs')" 0
mkdir "$T/checkpoint-1" && cp -r $model "$T/checkpoint-1/sft_train"
equal 'show: the tokenizer of a checkpoint' "$(sft-view --show 0 -m "$T/checkpoint-1" "$T/s")" "$plain"
fails 'show: a record that is not there' 65 'has records 0 to 1' sft-view --show 2 -m $model "$T/s"
fails 'show: whose tokenizer?' 64 'needs -m MODEL' sft-view --show 0 "$T/s"
cp -r $model "$T/other"
sed -i '0,/"special": *true/s//"special": false/' "$T/other/tokenizer.json"
fails 'show: another tokenizer' 65 'made with another tokenizer' sft-view --show 0 -m "$T/other" "$T/s"
fails 'one view at a time' 64 'exclude each other' sft-view -c -H "$T/s"
cat "$T/s" | sft-view --show 0 -m $model >"$T/out"
equal 'show: reads a pipe to its end' "${PIPESTATUS[*]} $(head -n 1 "$T/out")" '0 0 record 0'
head -c 500 "$T/s" | sft-view --show 0 -m $model >"$T/out" 2>/dev/null
equal 'show: a pipe that ends early' "${PIPESTATUS[1]} $(wc -c <"$T/out")" '65 0'

# ---- as a filter ----
for i in $(seq 400); do cat "$T/d.jsonl"; done >"$T/many.jsonl"
sft-tokenize -q -m $model "$T/many.jsonl" -o "$T/many"
sft-view "$T/many" 2>"$T/err" | head -n 1 >"$T/out"
equal 'a closed pipe is no error message' "$(wc -l <"$T/out") $(cat "$T/err")" '1 '
exit $bad
