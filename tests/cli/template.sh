# SPDX-License-Identifier: Apache-2.0
# sft-template: labels as JSON, counts, refusals; threads change no byte.
source "$(dirname "$0")/../cli.sh"
model=share/tiny-tokenizer
awk 'BEGIN { for (i = 0; i < 5000; i++) printf "{\"instruction\":\"question %d\",\"output\":\"%0*d\"}\n", i, i % 60 + 1, i }' >"$T/d.jsonl"
sft-tokenize -q -m $model "$T/d.jsonl" -o "$T/turns"
sft-template -q -m $model "$T/turns" -@ 1 -o "$T/1"
for n in 2 8; do
    sft-template -q -m $model -@ $n "$T/turns" -o "$T/n"
    same "-@ $n" "$T/1" "$T/n"
done
sft-tokenize -q -m $model "$T/d.jsonl" | sft-template -q -m $model >"$T/n"
same 'a pipe' "$T/1" "$T/n"
check 'zstd accepts it' zstd -tq "$T/1"
equal 'a sample a row' "$(sft-view --count "$T/1")" 5000
line=$(sft-view "$T/1" | head -n 1)
equal 'record' "$(sed 's/[0-9-][0-9,-]*/N/g' <<<"$line")" '{"ids":[N],"labels":[N],"source":[[N]]}'
ids=$(sed 's/.*"ids":\[\([^]]*\)\].*/\1/' <<<"$line") labels=$(sed 's/.*"labels":\[\([^]]*\)\].*/\1/' <<<"$line")
equal 'labels are the ids or -100' "$(paste -d, <(tr , '\n' <<<"$ids") <(tr , '\n' <<<"$labels") | awk -F, '$2 != -100 && $1 != $2' | wc -l)" 0
equal 'as many labels as ids' "$(tr , '\n' <<<"$ids" | wc -l)" "$(tr , '\n' <<<"$labels" | wc -l)"
equal 'the question is untrained' "$(tr , '\n' <<<"$labels" | head -n 1)" -100
sft-template -q -m $model --mask roll "$T/turns" -o "$T/roll"
equal 'the mask enters the header' "$(sft-view -H "$T/roll" | grep -c '"mask":"roll"')" 1
equal 'the stages' "$(sft-view -H "$T/1" | grep -o '"command":"[a-z-]*"' | tr '\n' ' ')" '"command":"sft-tokenize" "command":"sft-template" '
equal 'summary' "$(sft-template -m $model "$T/turns" 2>&1 >/dev/null | grep -c '5000 samples, .* trained')" 1

# ---- several streams ----
head -n 2 "$T/d.jsonl" >"$T/two.jsonl"
sft-tokenize -q -m $model "$T/two.jsonl" -o "$T/two"
equal 'files count on' "$(sft-template -q -m $model "$T/two" "$T/two" | sft-view | sed 's/.*"source"://' | tr '\n' ' ')" \
    '[[0,0]]} [[0,1]]} [[1,0]]} [[1,1]]} '

# ---- rows with nothing to learn ----
printf '{"instruction":"a","output":""}\n{"instruction":"a","output":"b"}\n' >"$T/e.jsonl"
sft-tokenize -q -m $model "$T/e.jsonl" -o "$T/e"
equal 'untrained rows are named' "$(sft-template -m $model "$T/e" 2>&1 >/dev/null | grep -c '1 of 2 samples have no trained token: file:row 0:0')" 1
equal 'and kept' "$(sft-template -q -m $model "$T/e" | sft-view --count)" 2
head -n 1 "$T/e.jsonl" >"$T/n.jsonl"
sft-tokenize -q -m $model "$T/n.jsonl" -o "$T/none"
fails 'nothing at all to learn' 65 '1 of 1 samples have no trained token: file:row 0:0; .*--allow empty' sft-template -q -m $model "$T/none"
check 'unless allowed' sft-template -q -m $model --allow empty "$T/none" -o "$T/x"

# ---- templates ----
cat >"$T/nostop.jinja" <<'J'
{%- for m in messages %}{{ m.role }}: {{ m.content }}
{% endfor %}
J
fails 'a stop token that is never trained' 65 '5000 of 5000 samples never train the token that ends .* 0:0, 0:1, 0:2, 0:3, 0:4, \.\.\.; .*--allow stop' \
    sft-template -q -m $model -t "$T/nostop.jinja" "$T/turns" -o "$T/none.sfts"
check 'nothing was written' [ ! -e "$T/none.sfts" ]
check 'unless allowed' sft-template -q -m $model -t "$T/nostop.jinja" --allow stop,bos "$T/turns" -o "$T/x"
equal 'the path of a template is not in the stream' "$(sft-view -H "$T/x" | grep -c "$T")" 0
printf '{{ raise_exception("only questions about " + messages[0].role) }}' >"$T/raise.jinja"
fails 'a template that refuses' 65 'file 0 row 0: .*only questions about user' sft-template -q -m $model -t "$T/raise.jinja" "$T/turns"
printf '{%% for' >"$T/broken.jinja"
fails 'a template that does not parse' 65 'broken.jinja' sft-template -q -m $model -t "$T/broken.jinja" "$T/turns"
fails 'an unknown template' 64 'nosuch' sft-template -q -m $model -t nosuch "$T/turns"
fails 'an unknown word' 64 "'stops' is not one of" sft-template -q -m $model --allow stops "$T/turns"
fails 'a stream of another kind' 65 'is a stream of samples, not of turns; sft-tokenize makes those' sft-template -q -m $model "$T/1"

# ---- another tokenizer ----
cp -r $model "$T/other"
sed -i '0,/"special": *true/s//"special": false/' "$T/other/tokenizer.json"
fails 'a stream for another tokenizer' 65 'was made with another tokenizer than that of .*other' sft-template -q -m "$T/other" "$T/turns"
sft-tokenize -q -m "$T/other" "$T/two.jsonl" -o "$T/twoother"
fails 'streams of two tokenizers' 65 'is for another tokenizer than' sft-template -q -m $model "$T/two" "$T/twoother"
exit $bad
