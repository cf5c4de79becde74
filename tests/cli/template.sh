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

mkdir -p "$T/checkpoint-3/sft_train" && cp $model/* "$T/checkpoint-3/sft_train"
equal 'a checkpoint folder is a model' \
    "$(sft-template -q -m "$T/checkpoint-3" "$T/turns" | sft-view --checksum)" \
    "$(sft-view --checksum "$T/1")"

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

# ---- masks, weights, variables ----
cat >"$T/note.jinja" <<'J'
{%- if mood %}{{ '<|im_start|>system\n' + mood + '<|im_end|>\n' }}{% endif -%}
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}
{%- if m.role == 'assistant' %}{{ '(note) ' }}{% endif %}{{ m.content }}
{%- for c in m.tool_calls or [] %}{{ '[' + c.function.name + ' ' + c.function.arguments|tojson + ']' }}{% endfor %}
{{- '<|im_end|>\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
J
turns_of() { printf '%s\n' "$@" >"$T/rows.jsonl" && sft-tokenize -q -m $model "$T/rows.jsonl" -o "$T/rows"; }
shown() { sft-view --show "${1:-0}" -m $model; } # what is trained stands in brackets
trained() { shown | tr '\n' '~' | grep -o '⟦[^⟧]*⟧' | tr -d '⟦⟧' | tr '~' '\n'; }
plain='{"messages":[{"role":"user","content":"Port?"},{"role":"assistant","content":"22."}]}'
turns_of "$plain"
template() { sft-template -q -m $model -t "$T/note.jinja" "$@" "$T/rows"; }
equal 'mask turn: from the prompt to the stop' "$(template | trained)" '(note) 22.<|im_end|>'
equal 'mask turn: is the default' "$(template --mask turn | sft-view)" "$(template | sft-view)"
equal 'mask content: the message and the stop' "$(template --mask content | trained)" '22.<|im_end|>'
equal 'mask: its name enters the header' \
    "$(template --mask content | sft-view -H | jq -r '.stages[1].mask')" content
equal 'var: reaches the template' "$(template --var 'mood="Be calm."' | shown | grep -c 'Be calm')" 1
equal 'var: enters the header' \
    "$(template --var 'mood="Be calm."' | sft-view -H | jq -c '.stages[1].vars')" '{"mood":"Be calm."}'
equal 'vars: an object, over which --var holds' \
    "$(template --vars '{"mood":"Be calm.","a":1}' --var 'mood="Be brisk."' | sft-view -H | jq -c '.stages[1].vars')" \
    '{"mood":"Be brisk.","a":1}'
fails 'vars: needs an object' 64 'is not a JSON object' template --vars '[1]'
fails 'vars: none of the conversation' 64 'tools is set from' template --vars '{"tools":[]}'
fails 'var: needs JSON' 64 'is not JSON .*"in quotes"' template --var mood=calm
fails 'var: needs a name' 64 'is not NAME=JSON' template --var '1x=2'
fails 'var: is given once' 64 'given twice' template --var a=1 --var a=2
fails 'var: is not one of the conversation' 64 'set from the conversation' template --var 'tools=[]'
turns_of '{"messages":[{"role":"user","content":"Port?"},{"role":"assistant","content":"80.","weight":0},{"role":"user","content":"No."},{"role":"assistant","content":"22."}]}'
equal 'weight: 0 is not trained' "$(template | trained)" '(note) 22.<|im_end|>'
equal 'weight: and ROLL reads none, which is told' \
    "$(sft-template -m $model --mask roll "$T/rows" 2>&1 >/dev/null | grep -c '1 messages have a weight that is not used')" 1
turns_of '{"messages":[{"role":"user","content":"Port?"},{"role":"assistant","content":"","tool_calls":[{"function":{"name":"scan","arguments":"{\"a\": 1}"}}]}]}'
equal 'arguments: text is decoded' "$(template | trained)" '(note) [scan {"a": 1}]<|im_end|>'
equal 'arguments: or kept' "$(template --arguments text | trained)" '(note) [scan "{\"a\": 1}"]<|im_end|>'
printf '%s' '{% for m in messages %}<|im_start|>{{ m.role }}|{{ m.content }}' >"$T/text.jinja"
printf '%s' '{% for c in m.tool_calls or [] %}{{ c.function.arguments }}{% endfor %}<|im_end|>{% endfor %}' >>"$T/text.jinja"
equal 'arguments: stay text where the template prints them' \
    "$(sft-template -q -m $model -t "$T/text.jinja" "$T/rows" | shown | grep -o '{.*}')" '{"a": 1}'
equal 'arguments: are counted' \
    "$(sft-template -m $model -t "$T/note.jinja" "$T/rows" 2>&1 >/dev/null | grep -c '1 calls have their arguments as JSON text')" 1

# ---- what is not rendered ----
cat >"$T/known.jinja" <<'J'
{%- for m in messages %}{% if m.role in ['user', 'assistant'] %}
{{- '<|im_start|>' + m.role + '\n' + m.content.split('</plan>')[-1] + '<|im_end|>\n' }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
J
known() { sft-template -m $model -t "$T/known.jinja" "$@" "$T/rows"; }
turns_of "$plain" \
    '{"messages":[{"role":"critic","content":"Be brief."},{"role":"user","content":"Port?"},{"role":"assistant","content":"<plan>x</plan>22."}]}'
fails 'unrendered: fails and names the first' 65 \
    '1 of 2 samples have a message, .*: file:row 0:1; first in file 0 row 1: message 0 \(critic\); .*--allow unrendered' \
    known -o "$T/lost"
check 'unrendered: writes nothing' [ ! -e "$T/lost" ]
check 'unrendered: may be allowed' known -q --allow unrendered -o "$T/lost"
equal 'unrendered: is in the trailer' "$(sft-view --stats "$T/lost" | jq -c .notes)" \
    '{"left_messages":1,"left_parts":1}'
equal 'unrendered: goes on into the plan' \
    "$(sft-pack -q -l 200 -b 2 "$T/lost" | sft-view --stats | jq -c .notes.left_messages)" 1
equal 'unrendered: the summary tells each kind' \
    "$(known --allow unrendered 2>&1 >/dev/null | grep -c 'not rendered by the template: 1 messages, 1 parts of messages')" 1
equal 'unrendered: -v names each' \
    "$(known -v --allow unrendered 2>&1 >/dev/null | grep -cE 'file 0 row 1: not rendered: (message 0 \(critic\)|a part of message 2 \(assistant\))')" 2
turns_of '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":""},{"role":"user","content":"b"},{"role":"assistant","content":"c"}]}'
equal 'empty answers: are counted in the trailer' "$(known -q | sft-view --stats | jq -c .notes)" '{"empty_answers":1}'
equal 'empty answers: are told' "$(known 2>&1 >/dev/null | grep -c '1 answers are empty and not trained')" 1
equal 'empty answers: -v names the row' "$(known -v 2>&1 >/dev/null | grep -c 'file 0 row 0: 1 empty answers')" 1
cat >"$T/behind.jinja" <<'J'
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}
{%- if m.thinking %}{{ '(' + m.thinking + ')\n' }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
J
turns_of '{"messages":[{"role":"user","content":"a"},{"role":"assistant","thinking":"x","content":"b"}]}'
behind() { sft-template -m $model -t "$T/behind.jinja" "$@" "$T/rows"; }
equal 'outside: text behind the end of its turn is not trained' "$(behind -q | trained)" 'b<|im_end|>'
equal 'outside: it is told' "$(behind 2>&1 >/dev/null | grep -c '1 pieces of the assistant.s text are after')" 1
equal 'outside: and counted in the trailer' "$(behind -q | sft-view --stats | jq -c .notes)" '{"outside_turns":1}'
printf '%s' '{% if messages|length < 2 or add_generation_prompt %}{{ raise_exception("no") }}{% endif %}' >"$T/head.jinja"
printf '%s' '{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}' >>"$T/head.jinja"
turns_of "$plain"
fails 'head: a turn without a prompt before it fails' 65 'without the generation prompt before it.*--allow head' \
    sft-template -q -m $model -t "$T/head.jinja" "$T/rows"
check 'head: unless allowed' sft-template -q -m $model -t "$T/head.jinja" --allow head "$T/rows" -o "$T/x"

# ---- templates with names ----
mkdir "$T/named" && cp $model/* "$T/named"
named() { jq --argjson t "$1" '.chat_template = $t' $model/tokenizer_config.json >"$T/named/tokenizer_config.json"; }
text() { sft-template -q -m "$T/named" --allow unrendered,empty "$@" "$T/rows" | shown | sed -n 3p; }
named '[{"name":"default","template":"plain"},{"name":"tool_use","template":"tools {{ tools|length }}"},{"name":"rag","template":"rag"}]'
turns_of "$plain"
equal 'names: default without tools' "$(text)" plain
equal 'names: -t takes one' "$(text -t rag)" rag
fails 'names: an unknown one lists them' 64 'own default, rag, tool_use' sft-template -q -m "$T/named" -t tool "$T/rows"
turns_of "${plain%\}},\"tools\":[{\"name\":\"f\"}]}"
equal 'names: tool_use with tools' "$(text)" 'tools 1'
turns_of "${plain%\}},\"tools\":[]}"
equal 'names: and with an empty list' "$(text)" 'tools 0'
named '[{"name":"rag","template":"rag"},{"name":"other","template":"x"}]'
fails 'names: none is default' 65 'none is called default; name one with -t: other, rag' \
    sft-template -q -m "$T/named" "$T/rows"
named '[{"name":"tool_use","template":"tools"},{"name":"other","template":"x"}]'
equal 'names: tool_use alone serves rows with tools' "$(text)" tools
turns_of "$plain"
fails 'names: and no others' 65 'row 0: .*none is called default' sft-template -q -m "$T/named" "$T/rows"
exit $bad
