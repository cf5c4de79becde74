# SPDX-License-Identifier: Apache-2.0
# sft-view: its views of streams of every kind.
source "$(dirname "$0")/../cli.sh"
model=share/tiny-tokenizer
cat >"$T/d.jsonl" <<'J'
{"instruction":"one","output":"first answer"}
{"instruction":"two","output":"second\tanswer\u001b[31m\u202e"}
J
sft-tokenize -q -m $model "$T/d.jsonl" -o "$T/t"
sft-template -q -m $model "$T/t" -o "$T/s"
sft-pack -q -l 200 -b 2 --in-order "$T/s" -o "$T/p"
equal 'count: it is the number of records' \
    "$(sft-view --count "$T/t") $(sft-view -c "$T/s") $(sft-view -c "$T/p")" '2 2 1'
equal 'count: several streams have a line each' "$(sft-view -c "$T/t" "$T/p")" "2	$T/t
1	$T/p"
equal 'header: -H prints one JSON object' \
    "$(sft-view -H "$T/p" | jq -c '[.format, .version, .kind]')" '["sft-stream",1,"packed"]'
equal 'check: a whole stream says nothing' \
    "$(code sft-view --check "$T/t" "$T/s" "$T/p") $(cat "$T/stdout" "$T/stderr")" '0 '
sums=$(sft-view --checksum "$T/s" "$T/p" "$T/t" | cut -f 1 | grep -E '^[0-9a-f]{16}$')
equal 'checksum: samples have the same in a plan' "$(head -n 2 <<<"$sums" | uniq | wc -w)" 1
equal 'checksum: conversations have another' "$(uniq <<<"$sums" | wc -w)" 2
equal 'packed: a row has ids, labels, sources, starts and its step' \
    "$(sft-view "$T/p" | jq -c '[keys_unsorted, .source, (.starts | length), .step]')" \
    '[["ids","labels","source","starts","step"],[[0,0],[0,1]],2,0]'
equal 'packed: the ids of a row are those of its samples' "$(sft-view "$T/p" | jq -c .ids)" \
    "$(sft-view "$T/s" | jq -sc 'map(.ids) | add')"
equal 'stats: they have numbers of records, samples, steps and density' \
    "$(sft-view --stats "$T/p" |
        jq -c '[.kind, .records, .samples, .length.min > 0, .steps, .density < 1]')" \
    '["packed",1,2,true,1,true]'
equal 'input: standard input gives the same as a file' "$(sft-view <"$T/p")" "$(sft-view "$T/p")"
sft-view -o "$T/out" "$T/p"
equal 'output: -o writes the same into a file' "$(cat "$T/out")" "$(sft-view "$T/p")"

# ---- painted ----
plain=$(sft-view --show 0 -m $model "$T/s")
equal 'show: trained text stands in brackets' "$(grep -c '⟦first answer' <<<"$plain")" 1
equal 'show: the question stands outside' "$(grep -c '⟦[^⟧]*one' <<<"$plain")" 0
equal 'show: a pipe gets no colours' "$(grep -c $'\033' <<<"$plain")" 0
equal 'show: --color always paints trained text' \
    "$(sft-view --color always --show 0 -m $model "$T/s" | grep -c $'\033\[4;32mfirst answer')" 1
sft-view --show 1 -m $model "$T/s" >"$T/out"
equal 'show: text cannot steer a terminal' \
    "$(grep -c 'second.*answer' "$T/out") $(grep -c $'\033\|\u202e' "$T/out")" '1 0'
equal 'show: the samples of a row are ruled off' \
    "$(sft-view --show 0 -m $model "$T/p" |
        grep -c '^── sample [12] of 2 · file 0 row [01] · [0-9]* tokens, [0-9]* trained ──')" 2
equal 'show: the turns of a conversation are ruled off' \
    "$(sft-view --show 1 -m $model "$T/t" | grep -c '^── \(user\|assistant\) · [0-9]* tokens')" 2
printf '{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]%s}\n' \
    ',"tools":[],"chat_template_kwargs":{"n":1.50}' '' >"$T/b.jsonl"
sft-tokenize -q -m $model "$T/b.jsonl" -o "$T/b"
equal 'variables: tools and kwargs are in the JSON' "$(sft-view "$T/b" | sed 's/.*"a"}\]//')" \
    ',"tools":[],"chat_template_kwargs":{"n":1.50},"source":[[0,0]]}
,"source":[[0,1]]}'
equal 'show: tools and kwargs are shown' \
    "$(sft-view --show 0 -m $model "$T/b" | sed -n 2,5p | paste -sd' ')" \
    '── tools ── [] ── chat_template_kwargs ── {"n":1.50}'
equal 'show: a conversation without tools and kwargs shows none' \
    \
    "$(code sft-view --show 1 -m $model "$T/b") $(grep -c 'tools\|kwargs' "$T/stdout")" '0 0'
mkdir "$T/checkpoint-1" && cp -r $model "$T/checkpoint-1/sft_train"
equal "show: a checkpoint's folder gives the tokenizer" \
    "$(sft-view --show 0 -m "$T/checkpoint-1" "$T/s")" "$plain"
fails 'show: a record that does not exist is refused' 65 'has records 0 to 1' sft-view --show 2 \
    -m $model "$T/s"
fails 'show: a call without -m is refused' 64 'needs -m MODEL' sft-view --show 0 "$T/s"
cp -r $model "$T/other"
other_tokenizer "$T/other"
fails 'show: another tokenizer is refused' 65 'made with another tokenizer' sft-view --show 0 \
    -m "$T/other" "$T/s"
fails 'refusal: two views in one call are refused' 64 'exclude each other' sft-view -c -H "$T/s"
cat "$T/s" | sft-view --show 0 -m $model >"$T/out"
equal 'show: a pipe is read to its end' "${PIPESTATUS[*]} $(head -n 1 "$T/out")" '0 0 record 0'
head -c 500 "$T/s" | sft-view --show 0 -m $model >"$T/out" 2>/dev/null
equal 'show: a pipe that ends early exits with 65' "${PIPESTATUS[1]} $(wc -c <"$T/out")" '65 0'

# ---- as a filter ----
for i in $(seq 400); do cat "$T/d.jsonl"; done >"$T/many.jsonl"
sft-tokenize -q -m $model "$T/many.jsonl" -o "$T/many"
sft-view "$T/many" 2>"$T/err" | head -n 1 >"$T/out"
equal 'filter: a closed pipe is no error' "$(wc -l <"$T/out") $(cat "$T/err")" '1 '
exit $bad
