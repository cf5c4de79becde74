# SPDX-License-Identifier: Apache-2.0
# Forms of rows: lists of messages by other names, prompt and completion, history, plain text,
# contents of parts; and what each becomes: the trained text, and the ids of plain text.
source "$(dirname "$0")/../cli.sh"
model=share/tiny-tokenizer
first() { sft-tokenize -q -m $model "$@" | sft-view; }
told() { sft-tokenize -m $model "$@" 2>&1 >/dev/null; }
# messages OPTION...: prints the messages of the rows on standard input, a line for each row
messages() { first "$@" | jq -c '[.messages[] | [.role, .content]]'; }
# trained OPTION...: prints the trained text of the rows on standard input
trained() {
    sft-tokenize -q -m $model | sft-template -q -m $model "$@" | sft-view --show 0 -m $model |
        tail -n +3 | grep -zoP '(?s)⟦\K.*?(?=⟧)' | tr -d '\0'
}
# refuses NAME PATTERN ROW OPTION...: the row is bad data
refuses() {
    printf '%s\n' "$3" >"$T/bad.jsonl"
    fails "$1" 65 "bad.jsonl: row 0 \\(line 1\\): $2" \
        sft-tokenize -m $model -o "$T/none" "${@:4}" "$T/bad.jsonl"
}
talk='[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]'
pair='[["user","q"],["assistant","a"]]'

# ---- lists of messages by other names ----
equal 'names: conversations may have role and content' \
    "$(echo "{\"conversations\":$talk}" | messages)" "$pair"
equal 'names: messages may have from and value' \
    "$(echo '{"messages":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}' | messages)" \
    "$pair"
equal 'names: --messages-key names the column' \
    "$(echo "{\"chat\":$talk,\"messages\":[]}" | messages --messages-key chat)" "$pair"
said=$(echo "{\"chat\":$talk,\"messages\":[1]}" | told --messages-key chat)
equal 'names: the other column is told as unused' "$(grep -c '"messages" in 1' <<<"$said")" 1
row='{"chat":[{"who":"human","say":"q","x":1},{"who":"gpt","say":"a","role":"no"}]}'
named=(--messages-key chat --role-key who --content-key say)
equal 'names: --role-key and --content-key name the members' \
    "$(messages "${named[@]}" <<<"$row")" "$pair"
equal 'names: other members are kept, except one that has the name of the role' \
    "$(first "${named[@]}" <<<"$row" | jq -c '[.messages[] | .x, .role]')" \
    '[1,"user",null,"assistant"]'
row='{"messages":[{"role":"client","content":"q"},{"role":"bot","content":"a"}]}'
equal 'names: a role is taken as it is' "$(messages <<<"$row")" '[["client","q"],["bot","a"]]'
equal 'names: --role-tags says what roles mean' \
    "$(messages --role-tags client=user,bot=assistant <<<"$row")" "$pair"
row='{"conversations":[{"from":"human","value":"q"},{"from":"act","value":"{\"name\":\"f\"}"}]}'
equal 'names: a tag may mean a call' \
    "$(first --role-tags act=function_call <<<"$row" | jq -c '.messages[1]')" \
    '{"role":"assistant","content":"","tool_calls":[{"type":"function","function":{"name":"f"}}]}'
refuses 'names: an unknown role of sharegpt is refused with the option' \
    'turn 1: "from" is "act", not human.*--role-tags .act=user. gives it a meaning' "$row"
refuses 'names: a missing column is refused with the option' \
    'no "chat" \(the keys are "messages"\); name the column with --messages-key' \
    "{\"messages\":$talk}" --messages-key chat
refuses 'names: a missing role is refused with the option' \
    'message 0: no "role" \(the keys are "who"\); name the member with --role-key' \
    '{"messages":[{"who":"x"}]}'
refuses 'names: a missing content is refused with the option' \
    'message 0: no "say" .*; name the member with --content-key' "{\"messages\":$talk}" \
    --content-key say
refuses 'names: an empty list of messages is refused' '"messages" is an empty list' \
    '{"messages":[]}'
for tags in bot bot=boss =user a=user,a=tool; do
    fails "names: --role-tags $tags is refused" 64 '^sft-tokenize: --role-tags: ' \
        sft-tokenize -m $model --role-tags "$tags" "$T/bad.jsonl"
done
version=$(sft-tokenize --version | awk 'NR == 1 { print $2 }')
tagged() { echo "{\"messages\":$talk}" | sft-tokenize -q -m $model "$@" | sft-view -H; }
equal 'names: the stream tells them' \
    "$(tagged --role-tags x=user --role-key role | jq -c '.stages[0]')" \
    '{"command":"sft-tokenize","version":"'"$version"'","format":"auto",'$(
    )'"prompt_key":"instruction","response_key":"output","role_key":"role","role_tags":"x=user"}'

# ---- rows that are lists ----
equal 'lists: a list on each line is a row' "$(printf '%s\n' "$talk" "$talk" | messages)" \
    "$pair"$'\n'"$pair"
equal 'lists: lists in an array are rows' "$(echo "[$talk,$talk]" | messages | wc -l)" 2
refuses 'lists: one list of messages is no file of rows' \
    'is one message, not a row; a row is a list of messages' "$talk"

# ---- history ----
row='{"instruction":"q","output":"a","past":[["q1","a1"],["q2","a2"]]}'
equal 'history: --history-key puts earlier pairs before the question' \
    "$(messages --history-key past <<<"$row")" \
    '[["user","q1"],["assistant","a1"],["user","q2"],["assistant","a2"],'"${pair:1}"
equal 'history: it is told with its option' \
    "$(sed s/past/history/ <<<"$row" | told |
        grep -c 'not used; --history-key history takes it')" 1
for v in null '""' '[]'; do
    equal "history: $v is none" \
        "$(echo '{"instruction":"q","output":"a","past":'$v'}' | messages --history-key past)" \
        "$pair"
done
refuses 'history: a pair needs two strings' \
    '"past": entry 1: its answer is a number, not a string' \
    '{"instruction":"q","output":"a","past":[["x","y"],["q",7]]}' --history-key past
refuses 'history: an entry needs two elements' '"past": entry 0: is not a question and an answer' \
    '{"instruction":"q","output":"a","past":[["x"]]}' --history-key past
refuses 'history: a text is no history' '"past" is a string, not a list of questions' \
    '{"instruction":"q","output":"a","past":"x"}' --history-key past
equal 'history: a column that no row has is told' \
    "$(echo '{"instruction":"q","output":"a"}' | told --history-key past |
        grep -c 'no row has "past" (--history-key); the keys of the first row are "instr')" 1
equal 'query: a column that no row has is told' \
    "$(echo '{"instruction":"q","output":"a"}' | told --query-key input |
        grep -c 'no row has "input" (--query-key); the keys of the first row are "instr')" 1
check 'query: a column that no row has is no error' \
    sft-tokenize -q -m $model --query-key input -o "$T/none" - <<<'{"instruction":"q","output":"a"}'

# ---- prompt and completion ----
row='{"prompt":[{"role":"user","content":"q0"},{"role":"assistant","content":"a0"},
    {"role":"user","content":"q"}],"completion":[{"role":"assistant","content":"a"}]}'
row=$(tr -d '\n' <<<"$row")
equal 'prompt: two lists of messages are one conversation' "$(messages <<<"$row")" \
    '[["user","q0"],["assistant","a0"],["user","q"],["assistant","a"]]'
equal 'prompt: answers in the prompt are not trained' "$(trained <<<"$row")" 'a<|im_end|>'
equal 'prompt: an answer in the prompt may set its weight' \
    "$(sed 's/"a0"/"a0","weight":1/' <<<"$row" | trained)" 'a0<|im_end|>a<|im_end|>'
equal 'prompt: null is no weight' "$(sed 's/"a0"/"a0","train":null/' <<<"$row" | trained)" \
    'a<|im_end|>'
equal 'prompt: lists have tools' \
    "$(sed 's/^{/{"tools":[{"name":"f"}],/' <<<"$row" | first | jq -c .tools)" '[{"name":"f"}]'
texts='{"prompt":"The sky is","completion":" blue."}'
equal 'prompt: two texts are plain text' "$(messages <<<"$texts")" \
    '[["","The sky is"],[""," blue."]]'
equal 'prompt: the completion and EOS are trained' "$(trained <<<"$texts")" ' blue.<|im_end|>'
equal 'prompt: the mask has no influence' \
    "$(trained --mask roll <<<"$texts")$(trained --mask content <<<"$texts")" \
    ' blue.<|im_end|> blue.<|im_end|>'
equal 'prompt: named columns are a question and an answer' \
    "$(messages --prompt-key prompt --response-key completion <<<"$texts")" \
    '[["user","The sky is"],["assistant"," blue."]]'
equal 'prompt: named columns may be lists of messages' \
    "$(echo "{\"p\":$talk,\"c\":$talk}" | messages --prompt-key p --response-key c | jq length)" 4
refuses 'prompt: a text and a list are refused' \
    '"prompt" is a string and "completion" is a list; both are strings, or both lists' \
    '{"prompt":"x","completion":[]}'
refuses 'prompt: a bad message tells its list' 'completion: message 0: is a number, not an object' \
    '{"prompt":[],"completion":[7]}'
refuses 'prompt: plain text takes no system prompt' \
    '"sys" is filled beside plain text, which takes no system prompt' \
    '{"prompt":"x","completion":"y","sys":"S"}' --system-key sys

# ---- plain text ----
ids() { sft-tokenize -q -m "$1" "${@:2}" | sft-template -q -m "$1" | sft-view | jq -c .ids; }
eos=$(printf '%s' '<|im_end|>' | sft-tokenize --ids -m $model)
words=$(printf '%s' 'Deep blue.' | sft-tokenize --ids -m $model | sed 's/ /,/g')
equal 'text: all of it is trained, and EOS' "$(echo '{"text":"Deep blue."}' | trained)" \
    'Deep blue.<|im_end|>'
equal 'text: the ids are those of the text and EOS' \
    "$(echo '{"text":"Deep blue."}' | ids $model)" "[$words,$eos]"
equal 'text: EOS is not doubled' "$(echo '{"text":"Deep blue.<|im_end|>"}' | ids $model)" \
    "[$words,$eos]"
equal 'text: --text-key names the column' \
    "$(echo '{"body":"Deep blue."}' | ids $model --format text --text-key body)" "[$words,$eos]"
equal 'text: rows with an instruction and an answer are alpaca' \
    "$(echo '{"instruction":"q","output":"a","text":"t"}' | messages)" "$pair"
equal 'text: an empty text is told' \
    "$(printf '%s\n' '{"text":""}' '{"text":"x"}' | told | grep -c ' 1 with an empty response')" 1
mkdir "$T/bare" && cp $model/* "$T/bare"
edit "$T/bare/tokenizer_config.json" 'del(.chat_template)'
equal 'text: a model without a template will do' \
    "$(echo '{"text":"Deep blue."}' | ids "$T/bare")" "[$words,$eos]"
echo "{\"messages\":$talk}" | sft-tokenize -q -m "$T/bare" -o "$T/turns"
fails 'text: messages need a template' 65 \
    'row 0: the model.s files hold no chat template; give one with -t' \
    sft-template -m "$T/bare" "$T/turns"
edit "$T/bare/tokenizer.json" '.post_processor = {"type":"Sequence","processors":[
    {"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false,"use_regex":true},
    {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<|im_start|>","type_id":0}},
    {"Sequence":{"id":"A","type_id":0}}],"pair":[],
    "special_tokens":{"<|im_start|>":{"id":"<|im_start|>","ids":[1],"tokens":["<|im_start|>"]}}}]}'
equal 'text: the tokens that the tokenizer puts before a text are there' \
    "$(echo '{"text":"Deep blue."}' | ids "$T/bare")" "[1,$words,$eos]"
equal 'text: they are not doubled' \
    "$(echo '{"text":"<|im_start|>Deep blue."}' | ids "$T/bare")" "[1,$words,$eos]"
hash_of() { sft-template -q -m "$1" | sft-view -H | jq -r .template; }
echo '{"text":"x"}' | sft-tokenize -q -m "$T/bare" >"$T/text"
before=$(hash_of "$T/bare" <"$T/text")
edit "$T/bare/tokenizer.json" '.post_processor = null'
check 'text: such tokens change the hash of the template' \
    [ "$(hash_of "$T/bare" <"$T/text")" != "$before" ]
edit "$T/bare/tokenizer.json" '.post_processor = {"type":"TemplateProcessing","single":[
    {"SpecialToken":{"id":"<s>","type_id":0}}],"special_tokens":{}}'
fails 'text: a token that is not defined is refused' 65 \
    'tokenizer.json: post_processor: the special token "<s>" is not defined' \
    sft-tokenize -m "$T/bare" --ids /dev/null

# ---- contents of parts ----
part() { printf '{"type":"text","text":"%s"}' "$1"; }
parts="{\"messages\":[{\"role\":\"user\",\"content\":[$(part Sun)]},
    {\"role\":\"assistant\",\"content\":[$(part Yes),$(part No)]}]}"
parts=$(tr -d '\n' <<<"$parts")
open='{% for m in messages %}{{ "<|im_start|>" + m.role + "\n" }}'
close='<|im_end|>{% endfor %}'
close+='{% if add_generation_prompt %}{{ "<|im_start|>assistant\n" }}{% endif %}'
# parted BODY: prints what is trained by a template that shows each content so
parted() {
    printf '%s' "$open$1$close" >"$T/parts.jinja"
    trained -t "$T/parts.jinja" <<<"$parts"
}
equal 'parts: they are joined where the template adds text to them' \
    "$(parted '{{ "" + m.content }}')" $'Yes\nNo<|im_end|>'
equal 'parts: they are joined where the template prints them' "$(parted '{{ m.content }}')" \
    $'Yes\nNo<|im_end|>'
equal 'parts: a template that takes lists gets them' \
    "$(parted '{% for p in m.content %}[{{ p.text }}]{% endfor %}')" '[Yes][No]<|im_end|>'
equal 'parts: each byte of them is known to --mask content' \
    "$(printf '%s' "$open{{ m.content }}$close" >"$T/parts.jinja"
        trained --mask content -t "$T/parts.jinja" <<<"$parts")" 'YesNo<|im_end|>'
joined() { sft-tokenize -q -m $model <<<"$parts" | sft-template -m $model -t "$T/parts.jinja"; }
equal 'parts: joined ones are told' \
    "$(joined 2>&1 >/dev/null | grep -c '^sft-template: 2 messages have a list of parts')" 1
equal 'parts: joined ones are counted in the trailer' \
    "$(joined 2>/dev/null | sft-view --stats | jq -c .notes.joined_contents)" 2
printf '%s' "{{ raise_exception('never') }}" >"$T/parts.jinja"
equal 'parts: a template that fails in any case tells why' \
    "$(joined 2>&1 >/dev/null | grep -c 'refuses this conversation: never$')" 1
for kind in image_url audio tool_use; do
    refuses "parts: one of kind $kind is refused" \
        "message 0: part 1 of the content: is of type \"$kind\"; only parts of text can be" \
        "{\"messages\":[{\"role\":\"user\",\"content\":[$(part x),{\"type\":\"$kind\"}]}]}"
done
refuses 'parts: one without a text is refused' 'message 0: part 0 of the content: has no "text"' \
    '{"messages":[{"role":"user","content":[{"type":"text"}]}]}'
refuses 'parts: one that is no object is refused' \
    'message 0: part 0 of the content: is not an object with' \
    '{"messages":[{"role":"user","content":["x"]}]}'
refuses 'parts: a number is no content' \
    'message 0: the content is a number, neither a string nor a list' \
    '{"messages":[{"role":"user","content":7}]}'
exit $bad
