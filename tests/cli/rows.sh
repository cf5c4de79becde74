# SPDX-License-Identifier: Apache-2.0
# sft-tokenize: members of rows beside their conversation, in every form of rows; messages about
# columns that are not used; answers that count as empty.
source "$(dirname "$0")/../cli.sh"
model=share/tiny-tokenizer
first() { sft-tokenize -q -m $model "$@" | sft-view; }
told() { sft-tokenize -m $model "$@" 2>&1 >/dev/null; }
# has NAME PATTERN TEXT: a line of the text matches
# lacks NAME PATTERN TEXT: the text has the summary, and no line matches
has() { if grep -Eq -- "$2" <<<"$3"; then ok "$1"; else not_ok "$1" "${3:0:400}"; fi; }
lacks() {
    if grep -q ' conversations, ' <<<"$3" && ! grep -Eq -- "$2" <<<"$3"; then ok "$1"
    else not_ok "$1" "${3:0:400}"; fi
}
talk='"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]'
system='"messages":[{"role":"system","content":"S"},{"role":"user","content":"q"},'
system+='{"role":"assistant","content":"a"}]'
# rows MEMBER: writes a row of each form with this member, in files of their names
rows() {
    printf '{"instruction":"q","output":"a",%s}\n' "$1" >"$T/alpaca"
    printf '{%s,%s}\n' "$talk" "$1" >"$T/messages"
    printf '{"conversations":[%s],%s}\n' \
        '{"from":"human","value":"q"},{"from":"gpt","value":"a"}' "$1" >"$T/sharegpt"
}
# beside MEMBER: prints the conversation of a row with this member, from behind its messages on
beside() { printf '{%s,%s}\n' "$talk" "$1" | first | sed 's/^.*"a"}\],*//; s/,*"source".*//'; }
# refuses NAME PATTERN MEMBER: a second row of messages with this member is bad data
refuses() {
    printf '{%s}\n{%s,%s}\n' "$talk" "$talk" "$3" >"$T/bad.jsonl"
    fails "$1" 65 "bad.jsonl: row 1 \\(line 2\\): $2" \
        sft-tokenize -m $model -o "$T/none" "$T/bad.jsonl"
}

# ---- tools and variables of the template ----
equal 'tools: an empty list stays a list' "$(beside '"tools":[]')" '"tools":[]'
equal 'tools: a list stands as it is in the row' "$(beside '"tools":[{"name":"f","x":1.50}]')" \
    '"tools":[{"name":"f","x":1.50}]'
equal 'tools: a string that holds a list is decoded' \
    "$(beside '"tools":" [{\"name\" : \"f\"}] "')" \
    '"tools":[{"name":"f"}]'
equal 'tools: a string that holds an empty list is decoded' "$(beside '"tools":"[]"')" '"tools":[]'
equal 'tools: null and an empty string are none' "$(beside '"tools":null')$(beside '"tools":""')" ''
refuses 'tools: an object is refused' '"tools" is an object, not a list' '"tools":{"name":"f"}'
refuses 'tools: an empty object is refused' '"tools" is an object, not a list' '"tools":{}'
refuses 'tools: a string that is no JSON is refused' '"tools": ' '"tools":"none"'
kw=chat_template_kwargs
equal 'variables: an object stands as it is in the row' \
    "$(beside '"'$kw'":{"enable_thinking":false,"n":1.50}')" \
    '"'$kw'":{"enable_thinking":false,"n":1.50}'
equal 'variables: a string that holds an object is decoded' "$(beside '"'$kw'":"{\"x\": []}"')" \
    '"'$kw'":{"x":[]}'
for v in null '""' '{}' '"{}"'; do
    equal "variables: $v stands for none" "$(beside "\"$kw\":$v")" ''
done
refuses 'variables: a list is refused' "\"$kw\" is a list, not an object" '"'$kw'":[]'
refuses 'variables: a string that holds a list is refused' "\"$kw\" is a list, not an object" \
    '"'$kw'":"[]"'
for name in messages tools add_generation_prompt chat_template continue_final_message; do
    refuses "variables: $name cannot be set by a row" "\"$kw\": \"$name\" cannot be set by a row" \
        "\"$kw\":{\"x\":1,\"$name\":[]}"
done
rows '"'$kw'":{"x":1}'
equal 'variables: every form of rows has them' \
    "$(first "$T/alpaca" "$T/messages" "$T/sharegpt" | grep -c ',"'$kw'":{"x":1},')" 3
lacks 'variables: they are not told as unused' kwargs \
    "$(told "$T/alpaca" "$T/messages" "$T/sharegpt")"

# ---- a system prompt in a column of its own ----
rows '"sys":"S"'
for f in alpaca messages sharegpt; do
    equal "system: --system-key takes a column of $f rows" "$(first --system-key sys "$T/$f")" \
        "{$system,\"source\":[[0,0]]}"
    fails "system: a column that no row of $f has is refused" 65 \
        'no row has "no" \(--system-key\); the keys of the first row are "' \
        sft-tokenize -q -m $model --system-key no "$T/$f"
done
rows '"x":1'
equal 'system: one row of three has the column' \
    "$(first --system-key sys "$T/alpaca" "$T/sharegpt" <(echo "{$talk,\"sys\":\"S\"}") |
        grep -c '"content":"S"')" 1
for v in '""' null; do
    rows '"sys":'$v
    equal "system: $v stands for none" \
        "$(first --system-key sys "$T/alpaca" "$T/messages" "$T/sharegpt" | grep -c system)" 0
done
rows '"sys":7'
for f in alpaca messages sharegpt; do
    fails "system: a number in $f rows is refused" 65 \
        "$f: row 0 \\(line 1\\): \"sys\" is a number, not a string" \
        sft-tokenize -q -m $model --system-key sys "$T/$f"
done
echo "{$system,\"sys\":\"S\"}" >"$T/m"
sed 's/^/{"conversations":[{"from":"system","value":"S"},/' >"$T/s" <<'J'
{"from":"human","value":"q"},{"from":"gpt","value":"a"}],"system":"S"}
J
equal 'system: the same prompt twice in messages is one' "$(first --system-key sys "$T/m")" \
    "{$system,\"source\":[[0,0]]}"
equal 'system: the same prompt twice in sharegpt is one' "$(first "$T/s")" \
    "{$system,\"source\":[[0,0]]}"
equal 'system: the option chooses the column of sharegpt rows' \
    "$(sed 's/"system":"S"/"system":"T","sys":"S"/' "$T/s" | first --system-key sys)" \
    "{$system,\"source\":[[0,0]]}"
printf '{%s}\n{%s,"sys":"other"}\n' "$system" "$system" >"$T/m"
fails 'system: two that differ in messages are refused' 65 \
    'm: row 1 \(line 2\): .*begins with a system prompt that differs from "sys"' \
    sft-tokenize -q -m $model --system-key sys -o "$T/none" "$T/m"
sed -i 's/"system":"S"/"system":"other"/' "$T/s"
fails 'system: two that differ in sharegpt are refused' 65 \
    's: row 0 .*that differs from "system"' \
    sft-tokenize -q -m $model -o "$T/none" "$T/s"

# ---- columns that are not used ----
rows '"system":"S","input":"i","id":7,"tags":[],"meta":{"k":1}'
said=$(told "$T/messages")
has 'unused: a system prompt beside messages is told with its option' \
    '^sft-tokenize: "system" is filled in 1 of 1 rows and not used; --system-key system takes it$' \
    "$said"
has 'unused: a query beside messages is told without an option' \
    '"input" is .* 1 rows and not used$' "$said"
has 'unused: all other columns are told in one line' \
    'columns that are not used, of 1 rows: "id" in 1, "meta" in 1$' "$said"
equal 'unused: -q tells nothing' "$(told -q "$T/messages")" ''
said=$(told "$T/sharegpt")
lacks 'unused: the system prompt of sharegpt is used' '"system"' "$said"
has 'unused: a query beside sharegpt is told' '"input" is filled in 1 of 1 rows and not used$' \
    "$said"
said=$(told --query-key input "$T/messages")
has 'unused: --query-key without alpaca rows is told' \
    '--query-key input: only alpaca rows have a query, and there are none' "$said"
has 'unused: the column of that option is told' '"input" is filled in 1 of 1 rows' "$said"
has 'unused: rows are counted over all files' \
    '"input" is filled in 3 of 3 rows and not used; --query-key input takes it$' \
    "$(told "$T/alpaca" "$T/messages" "$T/sharegpt")"
rows '"tools":[{"name":"f"}],"functions":[1],"documents":["d"]'
has 'unused: tools beside alpaca rows are told' \
    '"tools" is .* and not used; rows of messages can have them' \
    "$(told "$T/alpaca")"
said=$(told "$T/messages" "$T/sharegpt")
lacks 'unused: tools of messages and sharegpt are used' '"tools" is' "$said"
has 'unused: documents are told with chat_template_kwargs' \
    '"documents" is filled in 2 of 2 rows and not used; .*'$kw "$said"
awk 'BEGIN { printf "{\"instruction\":\"q\",\"output\":\"a\""
    for (i = 0; i < 70; i++) printf ",\"c%d\":%d", i, i
    printf ",\"%0300d\":1}\n", 0 }' >"$T/wide"
has 'unused: the number of names is bounded' '"c62" in 1, "c63" in 1, others in 7$' \
    "$(told "$T/wide")"

# ---- members of turns ----
sed 's/.*/{"conversations":[&]}/' >"$T/turns" <<'J'
{"from":"gpt","value":"a","weight":0,"train":true,"loss":false,"training":null,"thinking":"t"}
{"weight":1.50,"from":"function_call","value":"[{\"name\":\"f\"}]","lang":"en"}
J
said=$(told "$T/turns")
has 'turns: a thought of sharegpt is told as unused' \
    '"thinking" is filled in 1 of 2 turns and not used; rows of messages can have it$' "$said"
has 'turns: other members are told in one line' \
    'members that are not used, of 2 turns: "lang" in 1$' "$said"
equal 'turns: weights of sharegpt are kept' \
    "$(first "$T/turns" | sed 's/.*content":"\(.*\)],"source.*/\1/')" \
    'a","weight":0,"train":true,"loss":false,"training":null}
","weight":1.50,"tool_calls":[{"type":"function","function":{"name":"f"}}]}'
equal 'turns: weights of messages are kept' \
    "$(echo '{"messages":[{"role":"assistant","content":"a","weight":0}]}' | first)" \
    '{"messages":[{"role":"assistant","content":"a","weight":0}],"source":[[0,0]]}'

# ---- answers that are empty ----
sed 's/.*/{"messages":[{"role":"user","content":"q"},&]}/' >"$T/e" <<'J'
{"role":"assistant","content":"a"}
{"role":"assistant","content":""},{"role":"assistant","content":"a"}
{"role":"assistant","content":null}
{"role":"assistant","tool_calls":[{"function":{"name":"f"}}]}
{"role":"assistant","content":"","reasoning_content":"t"}
{"role":"assistant","thinking":"t"},{"role":"assistant","reasoning":"t"}
{"role":"assistant","content":[{"type":"text","text":"a"}]}
{"role":"assistant","tool_calls":[]}
{"role":"tool","content":"a"}
J
said=$(told -v "$T/e")
equal 'empty: each row of messages with an empty answer is named at -v' \
    "$(sed -n 's/.*e: row //p' <<<"$said" | tr '\n' ',')" \
    '1: an answer is empty,2: an answer is empty,7: an answer is empty,8: there is no answer,'
has 'empty: messages with an empty answer are counted' \
    '9 conversations, .* 4 with an empty response' "$said"
lacks 'empty: no row is named without -v' 'e: row' "$(told "$T/e")"
sed 's/.*/{"conversations":[&]}/' >"$T/e" <<'J'
{"from":"gpt","value":""},{"from":"gpt","value":"a"}
{"from":"human","value":"q"}
{"from":"function_call","value":"[]"}
{"from":"function_call","value":"{\"name\":\"f\"}"}
{"from":"gpt","value":"a"}
J
equal 'empty: each row of sharegpt with an empty answer is named at -v' \
    "$(told -v "$T/e" | sed -n 's/.*e: row //p' | tr '\n' ',')" \
    '0: an answer is empty,1: there is no answer,2: an answer is empty,'
exit $bad
