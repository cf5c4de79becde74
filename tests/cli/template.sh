# SPDX-License-Identifier: Apache-2.0
# sft-template: labels as JSON, counts, refusals; threads change no byte.
source "$(dirname "$0")/../cli.sh"
model=share/tiny-tokenizer
awk 'BEGIN {
    for (i = 0; i < 5000; i++)
        printf "{\"instruction\":\"question %d\",\"output\":\"%0*d\"}\n", i, i % 60 + 1, i
    }' >"$T/d.jsonl"
sft-tokenize -q -m $model "$T/d.jsonl" -o "$T/turns"
sft-template -q -m $model "$T/turns" -@ 1 -o "$T/1"
for n in 2 8; do
    sft-template -q -m $model -@ $n "$T/turns" -o "$T/n"
    same "bytes: they are the same with -@ $n" "$T/1" "$T/n"
done
sft-tokenize -q -m $model "$T/d.jsonl" | sft-template -q -m $model >"$T/n"
same 'bytes: they are the same through a pipe' "$T/1" "$T/n"
check 'bytes: zstd accepts the stream' zstd -tq "$T/1"
equal 'samples: each row gives one' "$(sft-view --count "$T/1")" 5000
line=$(sft-view "$T/1" | head -n 1)
equal 'samples: each has ids, labels and its source' \
    "$(jq -c '[keys_unsorted, (.ids + .labels | all(type == "number")), .source]' <<<"$line")" \
    '[["ids","labels","source"],true,[[0,0]]]'
equal 'labels: each is its id or -100' \
    "$(jq -c '[.ids, .labels] | transpose | map(select(.[1] != .[0] and .[1] != -100))' \
        <<<"$line")" '[]'
equal 'labels: there are as many as ids' \
    "$(jq '(.ids | length) == (.labels | length)' <<<"$line")" true
equal 'labels: the question is not trained' "$(jq '.labels[0]' <<<"$line")" -100
equal 'labels: the answer is trained' "$(jq '.labels | any(. != -100)' <<<"$line")" true
sft-template -q -m $model --mask roll "$T/turns" -o "$T/roll"
equal 'header: it has the mask' "$(sft-view -H "$T/roll" | jq -r '.stages[1].mask')" roll
equal 'header: it has both stages' \
    "$(sft-view -H "$T/1" | jq -c '[.stages[].command]')" '["sft-tokenize","sft-template"]'
equal 'summary: it counts samples and trained tokens' \
    "$(sft-template -m $model "$T/turns" 2>&1 >/dev/null | grep -c '5000 samples, .* trained')" 1

mkdir -p "$T/checkpoint-3/sft_train" && cp $model/* "$T/checkpoint-3/sft_train"
equal "model: a checkpoint's folder is taken" \
    "$(sft-template -q -m "$T/checkpoint-3" "$T/turns" | sft-view --checksum)" \
    "$(sft-view --checksum "$T/1")"

# ---- several streams ----
head -n 2 "$T/d.jsonl" >"$T/two.jsonl"
sft-tokenize -q -m $model "$T/two.jsonl" -o "$T/two"
equal 'files: their numbers count on over several streams' \
    "$(sft-template -q -m $model "$T/two" "$T/two" | sft-view | jq -sc '[.[].source[]]')" \
    '[[0,0],[0,1],[1,0],[1,1]]'

# ---- rows with nothing to learn ----
printf '{"instruction":"a","output":""}\n{"instruction":"a","output":"b"}\n' >"$T/e.jsonl"
sft-tokenize -q -m $model "$T/e.jsonl" -o "$T/e"
equal 'empty: untrained samples are counted and named' \
    "$(sft-template -m $model "$T/e" 2>&1 >/dev/null |
        grep -c '1 of 2 samples have no trained token: file:row 0:0')" 1
equal 'empty: untrained samples are kept' "$(sft-template -q -m $model "$T/e" | sft-view --count)" 2
head -n 1 "$T/e.jsonl" >"$T/n.jsonl"
sft-tokenize -q -m $model "$T/n.jsonl" -o "$T/none"
fails 'empty: a stream without a trained token is refused' 65 \
    '1 of 1 samples have no trained token: file:row 0:0; .*--allow empty' sft-template \
    -q -m $model "$T/none"
check 'empty: --allow empty takes it' sft-template -q -m $model --allow empty "$T/none" -o "$T/x"

# ---- templates ----
cat >"$T/nostop.jinja" <<'J'
{%- for m in messages %}{{ m.role }}: {{ m.content }}
{% endfor %}
J
fails 'stop: a template that never trains the stop token is refused' 65 \
    '5000 of 5000 samples never .* 0:0, 0:1, 0:2, 0:3, 0:4, \.\.\.; .*--allow stop' \
    sft-template -q -m $model -t "$T/nostop.jinja" "$T/turns" -o "$T/none.sfts"
check 'stop: the refused stream is not written' [ ! -e "$T/none.sfts" ]
check 'stop: --allow stop,bos takes it' sft-template -q -m $model -t "$T/nostop.jinja" \
    --allow stop,bos "$T/turns" -o "$T/x"
equal 'template: its path is not in the stream' \
    "$(sft-view -H "$T/x" | jq -c --arg path "$T" '[.kind, (tostring | contains($path))]')" \
    '["samples",false]'
printf '{{ raise_exception("only questions about " + messages[0].role) }}' >"$T/raise.jinja"
fails 'template: one that raises an error fails with the row' 65 \
    'file 0 row 0: .*only questions about user' sft-template -q -m $model -t "$T/raise.jinja" \
    "$T/turns"
printf '{%% for' >"$T/broken.jinja"
fails 'template: one that does not parse is refused' 65 'broken.jinja' sft-template -q -m $model \
    -t "$T/broken.jinja" "$T/turns"
fails 'template: an unknown name is refused' 64 'nosuch' sft-template -q -m $model -t nosuch \
    "$T/turns"
fails 'template: an unknown word of --allow is refused' 64 "'stops' is not one of" sft-template \
    -q -m $model --allow stops "$T/turns"
fails 'template: a stream of samples is refused' 65 \
    'is a stream of samples, not of turns; sft-tokenize makes those' sft-template -q -m $model \
    "$T/1"

# ---- another tokenizer ----
cp -r $model "$T/other"
other_tokenizer "$T/other"
fails 'tokenizer: a stream made with another one is refused' 65 \
    'was made with another tokenizer than that of .*other' sft-template -q -m "$T/other" "$T/turns"
sft-tokenize -q -m "$T/other" "$T/two.jsonl" -o "$T/twoother"
fails 'tokenizer: streams of two tokenizers are refused' 65 'is for another tokenizer than' \
    sft-template -q -m $model "$T/two" "$T/twoother"

# ---- masks, weights, variables ----
cat >"$T/note.jinja" <<'J'
{%- if mood %}{{ '<|im_start|>system\n' + mood + '<|im_end|>\n' }}{% endif -%}
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}
{%- if m.role == 'assistant' %}{{ '(note) ' }}{% endif %}{{ m.content }}
{%- for c in m.tool_calls or [] %}
{{- '[' + c.function.name + ' ' + c.function.arguments|tojson + ']' }}{% endfor %}
{{- '<|im_end|>\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
J
# turns_of ROW...: writes the conversations of these rows, JSON on any number of lines, into $T/rows
turns_of() {
    printf '%s\n' "$@" | jq -c . >"$T/rows.jsonl"
    sft-tokenize -q -m $model "$T/rows.jsonl" -o "$T/rows"
}
# shown [RECORD]: prints a record of the stream on standard input, trained text in brackets
shown() { sft-view --show "${1:-0}" -m $model; }
# trained: prints the trained text of the first record of the stream on standard input
trained() { shown | tr '\n' '~' | grep -o '⟦[^⟧]*⟧' | tr -d '⟦⟧' | tr '~' '\n'; }
plain='{"messages":[{"role":"user","content":"Port?"},{"role":"assistant","content":"22."}]}'
turns_of "$plain"
template() { sft-template -q -m $model -t "$T/note.jinja" "$@" "$T/rows"; }
equal 'mask: turn trains from the prompt to the stop' "$(template | trained)" '(note) 22.<|im_end|>'
equal 'mask: turn is the default' "$(template --mask turn | sft-view)" "$(template | sft-view)"
equal 'mask: content trains the message and the stop' "$(template --mask content | trained)" \
    '22.<|im_end|>'
equal 'mask: its name is in the header' \
    "$(template --mask content | sft-view -H | jq -r '.stages[1].mask')" content
equal '--var: it reaches the template' \
    "$(template --var 'mood="Be calm."' | shown | grep -c 'Be calm')" 1
equal '--var: it is in the header' \
    "$(template --var 'mood="Be calm."' | sft-view -H | jq -c '.stages[1].vars')" \
    '{"mood":"Be calm."}'
equal '--vars: it takes an object, and --var goes before it' \
    "$(template --vars '{"mood":"Be calm.","a":1}' --var 'mood="Be brisk."' | sft-view -H |
        jq -c '.stages[1].vars')" \
    '{"mood":"Be brisk.","a":1}'
fails '--vars: a list is refused' 64 'is not a JSON object' template --vars '[1]'
fails "--vars: a name of the conversation's is refused" 64 'tools is set from' template \
    --vars '{"tools":[]}'
fails '--var: text without quotes is refused' 64 'is not JSON .*"in quotes"' template \
    --var mood=calm
fails '--var: a name that is none is refused' 64 'is not NAME=JSON' template --var '1x=2'
fails '--var: the same name twice is refused' 64 'given twice' template --var a=1 --var a=2
fails "--var: a name of the conversation's is refused" 64 'set from the conversation' template \
    --var 'tools=[]'
turns_of '{"messages":[{"role":"user","content":"Port?"},
    {"role":"assistant","content":"80.","weight":0},
    {"role":"user","content":"No."},{"role":"assistant","content":"22."}]}'
equal 'weight: a message of weight 0 is not trained' "$(template | trained)" '(note) 22.<|im_end|>'
equal 'weight: the mask roll does not read it and tells so' \
    "$(sft-template -m $model --mask roll "$T/rows" 2>&1 >/dev/null |
        grep -c '1 messages have a weight that is not used')" 1
turns_of '{"messages":[{"role":"user","content":"Port?"},{"role":"assistant","content":"",
    "tool_calls":[{"function":{"name":"scan","arguments":"{\"a\": 1}"}}]}]}'
equal 'arguments: JSON text is decoded' "$(template | trained)" '(note) [scan {"a": 1}]<|im_end|>'
equal 'arguments: --arguments text keeps the text' "$(template --arguments text | trained)" \
    '(note) [scan "{\"a\": 1}"]<|im_end|>'
cat >"$T/text.jinja" <<'J'
{% for m in messages %}<|im_start|>{{ m.role }}|{{ m.content }}
{%- for c in m.tool_calls or [] %}{{ c.function.arguments }}{% endfor %}<|im_end|>{% endfor %}
J
equal 'arguments: they stay text where the template prints them' \
    "$(sft-template -q -m $model -t "$T/text.jinja" "$T/rows" | shown | grep -o '{.*}')" '{"a": 1}'
equal 'arguments: decoded ones are counted' \
    "$(sft-template -m $model -t "$T/note.jinja" "$T/rows" 2>&1 >/dev/null |
        grep -c '1 calls have their arguments as JSON text')" 1

# ---- parts that the template does not render ----
cat >"$T/known.jinja" <<'J'
{%- for m in messages %}{% if m.role in ['user', 'assistant'] %}
{{- '<|im_start|>' + m.role + '\n' + m.content.split('</plan>')[-1] + '<|im_end|>\n' }}
{%- endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
J
known() { sft-template -m $model -t "$T/known.jinja" "$@" "$T/rows"; }
turns_of "$plain" \
    '{"messages":[{"role":"critic","content":"Be brief."},{"role":"user","content":"Port?"},
    {"role":"assistant","content":"<plan>x</plan>22."}]}'
fails 'unrendered: a message that the template drops is refused and named' 65 \
    '1 of 2 samples .* 0:1; first in file 0 row 1: message 0 \(critic\); .*--allow unrendered' \
    known -q -o "$T/lost"
check 'unrendered: the refused stream is not written' [ ! -e "$T/lost" ]
check 'unrendered: --allow unrendered takes it' known -q --allow unrendered -o "$T/lost"
equal 'unrendered: the trailer counts it' "$(sft-view --stats "$T/lost" | jq -c .notes)" \
    '{"left_messages":1,"left_parts":1}'
equal "unrendered: the plan's trailer counts it" \
    "$(sft-pack -q -l 200 -b 2 "$T/lost" | sft-view --stats | jq -c .notes.left_messages)" 1
equal 'unrendered: the summary counts each kind' \
    "$(known --allow unrendered 2>&1 >/dev/null |
        grep -c 'not rendered by the template: 1 messages, 1 parts of messages')" 1
equal 'unrendered: each is named at -v' \
    "$(known -v --allow unrendered 2>&1 >/dev/null |
        grep -c -e 'file 0 row 1: not rendered: message 0 (critic)' \
            -e 'file 0 row 1: not rendered: a part of message 2 (assistant)')" 2
turns_of '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":""},
    {"role":"user","content":"b"},{"role":"assistant","content":"c"}]}'
equal 'empty answers: the trailer counts them' "$(known -q | sft-view --stats | jq -c .notes)" \
    '{"empty_answers":1}'
equal 'empty answers: the summary counts them' \
    "$(known 2>&1 >/dev/null | grep -c '1 answers are empty and not trained')" 1
equal 'empty answers: the row is named at -v' \
    "$(known -v 2>&1 >/dev/null | grep -c 'file 0 row 0: 1 empty answers')" 1
cat >"$T/behind.jinja" <<'J'
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}
{%- if m.thinking %}{{ '(' + m.thinking + ')\n' }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
J
turns_of '{"messages":[{"role":"user","content":"a"},
    {"role":"assistant","thinking":"x","content":"b"}]}'
behind() { sft-template -m $model -t "$T/behind.jinja" "$@" "$T/rows"; }
equal 'outside: text behind the end of its turn is not trained' "$(behind -q | trained)" \
    'b<|im_end|>'
equal 'outside: the summary counts such text' \
    "$(behind 2>&1 >/dev/null | grep -c '1 pieces of the assistant.s text are after')" 1
equal 'outside: the trailer counts such text' "$(behind -q | sft-view --stats | jq -c .notes)" \
    '{"outside_turns":1}'
printf '%s' \
    '{% if messages|length < 2 or add_generation_prompt %}{{ raise_exception("no") }}{% endif %}' \
    >"$T/head.jinja"
printf '%s' '{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}' \
    >>"$T/head.jinja"
turns_of "$plain"
fails 'head: a turn without a prompt before it is refused' 65 \
    'without the generation prompt before it.*--allow head' \
    sft-template -q -m $model -t "$T/head.jinja" "$T/rows"
check 'head: --allow head takes it' sft-template -q -m $model -t "$T/head.jinja" --allow head \
    "$T/rows" -o "$T/x"

# ---- templates with names ----
mkdir "$T/named" && cp $model/* "$T/named"
# named TEMPLATES: gives the model in $T/named this list of templates
named() {
    jq --argjson t "$1" '.chat_template = $t' $model/tokenizer_config.json \
        >"$T/named/tokenizer_config.json"
}
# text OPTION...: prints the rendered text of the first row
text() {
    sft-template -q -m "$T/named" --allow unrendered,empty "$@" "$T/rows" | shown | sed -n 3p
}
named '[{"name":"default","template":"plain"},
    {"name":"tool_use","template":"tools {{ tools|length }}"},{"name":"rag","template":"rag"}]'
turns_of "$plain"
equal 'names: the default template is for rows without tools' "$(text)" plain
equal 'names: -t takes a template by its name' "$(text -t rag)" rag
fails 'names: an unknown one lists those there are' 64 'own default, rag, tool_use' sft-template \
    -q -m "$T/named" -t tool "$T/rows"
turns_of "${plain%\}},\"tools\":[{\"name\":\"f\"}]}"
equal 'names: tool_use is for rows with tools' "$(text)" 'tools 1'
turns_of "${plain%\}},\"tools\":[]}"
equal 'names: tool_use is for an empty list of tools too' "$(text)" 'tools 0'
named '[{"name":"rag","template":"rag"},{"name":"other","template":"x"}]'
fails 'names: without a default one must be named' 65 \
    'none is called default; name one with -t: other, rag' \
    sft-template -q -m "$T/named" "$T/rows"
named '[{"name":"tool_use","template":"tools"},{"name":"other","template":"x"}]'
equal 'names: tool_use alone is for rows with tools' "$(text)" tools
turns_of "$plain"
fails 'names: tool_use alone is not for rows without tools' 65 'row 0: .*none is called default' \
    sft-template -q -m "$T/named" "$T/rows"
exit $bad
