# SPDX-License-Identifier: Apache-2.0
# sft-tokenize: what rows of every form may have beside their conversation, which of it is used,
# what is told of the rest, and which answers count as empty.
source "$(dirname "$0")/../cli.sh"
model=share/tiny-tokenizer
first() { sft-tokenize -q -m $model "$@" | sft-view; }
told() { sft-tokenize -m $model "$@" 2>&1 >/dev/null; }
# has NAME PATTERN TEXT: a line of the text matches; lacks: none does
has() { if grep -Eq -- "$2" <<<"$3"; then ok "$1"; else not_ok "$1" "${3:0:400}"; fi; }
lacks() { if grep -Eq -- "$2" <<<"$3"; then not_ok "$1" "${3:0:400}"; else ok "$1"; fi; }
talk='"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]'
system='"messages":[{"role":"system","content":"S"},{"role":"user","content":"q"},'
system+='{"role":"assistant","content":"a"}]'
# rows MEMBER: a row of each form with this member, in files of their names
rows() {
    printf '{"instruction":"q","output":"a",%s}\n' "$1" >"$T/alpaca"
    printf '{%s,%s}\n' "$talk" "$1" >"$T/messages"
    printf '{"conversations":[%s],%s}\n' \
        '{"from":"human","value":"q"},{"from":"gpt","value":"a"}' "$1" >"$T/sharegpt"
}
# what stands behind the messages of a row of messages with this member
beside() { printf '{%s,%s}\n' "$talk" "$1" | first | sed 's/^.*"a"}\],*//; s/,*"source".*//'; }
# refuses NAME PATTERN MEMBER: a second row of messages with this member is bad data
refuses() {
    printf '{%s}\n{%s,%s}\n' "$talk" "$talk" "$3" >"$T/bad.jsonl"
    fails "$1" 65 "bad.jsonl: row 1 \\(line 2\\): $2" \
        sft-tokenize -m $model -o "$T/none" "$T/bad.jsonl"
}

# ---- tools and variables of the template ----
equal 'tools: an empty list stays one' "$(beside '"tools":[]')" '"tools":[]'
equal 'tools: they stand as they are' "$(beside '"tools":[{"name":"f","x":1.50}]')" \
    '"tools":[{"name":"f","x":1.50}]'
equal 'tools: a string that holds a list' "$(beside '"tools":" [{\"name\" : \"f\"}] "')" \
    '"tools":[{"name":"f"}]'
equal 'tools: a string that holds an empty list' "$(beside '"tools":"[]"')" '"tools":[]'
equal 'tools: null and "" are none' "$(beside '"tools":null')$(beside '"tools":""')" ''
refuses 'tools: an object' '"tools" is an object, not a list' '"tools":{"name":"f"}'
refuses 'tools: an empty object' '"tools" is an object, not a list' '"tools":{}'
refuses 'tools: a string that is no JSON' '"tools": ' '"tools":"none"'
kw=chat_template_kwargs
equal 'variables: an object' "$(beside '"'$kw'":{"enable_thinking":false,"n":1.50}')" \
    '"'$kw'":{"enable_thinking":false,"n":1.50}'
equal 'variables: a string that holds an object' "$(beside '"'$kw'":"{\"x\": []}"')" \
    '"'$kw'":{"x":[]}'
for v in null '""' '{}' '"{}"'; do
    equal "variables: $v is none" "$(beside "\"$kw\":$v")" ''
done
refuses 'variables: a list' "\"$kw\" is a list, not an object" '"'$kw'":[]'
refuses 'variables: a string that holds a list' "\"$kw\" is a list, not an object" '"'$kw'":"[]"'
for name in messages tools add_generation_prompt chat_template continue_final_message; do
    refuses "variables: $name is no row's" "\"$kw\": \"$name\" cannot be set by a row" \
        "\"$kw\":{\"x\":1,\"$name\":[]}"
done
rows '"'$kw'":{"x":1}'
equal 'variables: every form of rows has them' \
    "$(first "$T/alpaca" "$T/messages" "$T/sharegpt" | grep -c ',"'$kw'":{"x":1},')" 3
lacks 'variables: they are used' kwargs "$(told "$T/alpaca" "$T/messages" "$T/sharegpt")"

# ---- a system prompt in a column of its own ----
rows '"sys":"S"'
for f in alpaca messages sharegpt; do
    equal "system: $f" "$(first --system-key sys "$T/$f")" "{$system,\"source\":[[0,0]]}"
    fails "system: a column that is not there: $f" 65 \
        'no row has "no" \(--system-key\); the keys of the first row are "' \
        sft-tokenize -q -m $model --system-key no "$T/$f"
done
rows '"x":1'
equal 'system: one of three rows has it' \
    "$(first --system-key sys "$T/alpaca" "$T/sharegpt" <(echo "{$talk,\"sys\":\"S\"}") |
        grep -c '"content":"S"')" 1
for v in '""' null; do
    rows '"sys":'$v
    equal "system: $v is none" \
        "$(first --system-key sys "$T/alpaca" "$T/messages" "$T/sharegpt" | grep -c system)" 0
done
rows '"sys":7'
for f in alpaca messages sharegpt; do
    fails "system: a number: $f" 65 \
        "$f: row 0 \\(line 1\\): \"sys\" is a number, not a string" \
        sft-tokenize -q -m $model --system-key sys "$T/$f"
done
echo "{$system,\"sys\":\"S\"}" >"$T/m"
sed 's/^/{"conversations":[{"from":"system","value":"S"},/' >"$T/s" <<'J'
{"from":"human","value":"q"},{"from":"gpt","value":"a"}],"system":"S"}
J
equal 'system: the same twice is one: messages' "$(first --system-key sys "$T/m")" \
    "{$system,\"source\":[[0,0]]}"
equal 'system: the same twice is one: sharegpt' "$(first "$T/s")" "{$system,\"source\":[[0,0]]}"
equal 'system: the option chooses the column of sharegpt' \
    "$(sed 's/"system":"S"/"system":"T","sys":"S"/' "$T/s" | first --system-key sys)" \
    "{$system,\"source\":[[0,0]]}"
printf '{%s}\n{%s,"sys":"other"}\n' "$system" "$system" >"$T/m"
fails 'system: two that differ: messages' 65 \
    'm: row 1 \(line 2\): .*begins with a system prompt that differs from "sys"' \
    sft-tokenize -q -m $model --system-key sys -o "$T/none" "$T/m"
sed -i 's/"system":"S"/"system":"other"/' "$T/s"
fails 'system: two that differ: sharegpt' 65 's: row 0 .*that differs from "system"' \
    sft-tokenize -q -m $model -o "$T/none" "$T/s"

# ---- columns that are not used ----
rows '"system":"S","input":"i","id":7,"tags":[],"meta":{"k":1}'
said=$(told "$T/messages")
has 'unused: a system prompt beside messages' \
    '^sft-tokenize: "system" is filled in 1 of 1 rows and not used; --system-key system takes it$' \
    "$said"
has 'unused: no option takes a query of messages' '"input" is .* 1 rows and not used$' "$said"
has 'unused: other columns in one line' \
    'columns that are not used, of 1 rows: "id" in 1, "meta" in 1$' "$said"
equal 'unused: quiet' "$(told -q "$T/messages")" ''
said=$(told "$T/sharegpt")
lacks 'unused: sharegpt takes its system' '"system"' "$said"
has 'unused: sharegpt has no query' '"input" is filled in 1 of 1 rows and not used$' "$said"
said=$(told --query-key input "$T/messages")
has 'unused: a query without alpaca rows' \
    '--query-key input: only alpaca rows have a query, and there are none' "$said"
has 'unused: nor is its column used' '"input" is filled in 1 of 1 rows' "$said"
has 'unused: counted over files' \
    '"input" is filled in 3 of 3 rows and not used; --query-key input takes it$' \
    "$(told "$T/alpaca" "$T/messages" "$T/sharegpt")"
rows '"tools":[{"name":"f"}],"functions":[1],"documents":["d"]'
has 'unused: tools beside alpaca' '"tools" is .* and not used; rows of messages can have them' \
    "$(told "$T/alpaca")"
said=$(told "$T/messages" "$T/sharegpt")
lacks 'unused: tools are used' '"tools" is' "$said"
has 'unused: documents' '"documents" is filled in 2 of 2 rows and not used; .*'$kw "$said"
awk 'BEGIN { printf "{\"instruction\":\"q\",\"output\":\"a\""
    for (i = 0; i < 70; i++) printf ",\"c%d\":%d", i, i
    printf ",\"%0300d\":1}\n", 0 }' >"$T/wide"
has 'unused: the names held are bounded' '"c62" in 1, "c63" in 1, others in 7$' "$(told "$T/wide")"

# ---- members of turns ----
sed 's/.*/{"conversations":[&]}/' >"$T/turns" <<'J'
{"from":"gpt","value":"a","weight":0,"train":true,"loss":false,"training":null,"thinking":"t"}
{"weight":1.50,"from":"function_call","value":"[{\"name\":\"f\"}]","lang":"en"}
J
said=$(told "$T/turns")
has 'turns: a thought is not used' \
    '"thinking" is filled in 1 of 2 turns and not used; rows of messages can have it$' "$said"
has 'turns: other members' 'members that are not used, of 2 turns: "lang" in 1$' "$said"
equal 'turns: weights are kept' "$(first "$T/turns" | sed 's/.*content":"\(.*\)],"source.*/\1/')" \
    'a","weight":0,"train":true,"loss":false,"training":null}
","weight":1.50,"tool_calls":[{"type":"function","function":{"name":"f"}}]}'
equal 'messages: weights are kept' \
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
equal 'empty: messages' "$(sed -n 's/.*e: row //p' <<<"$said" | tr '\n' ',')" \
    '1: an answer is empty,2: an answer is empty,7: an answer is empty,8: there is no answer,'
has 'empty: messages are counted' '9 conversations, .* 4 with an empty response' "$said"
lacks 'empty: named only when asked' 'e: row' "$(told "$T/e")"
sed 's/.*/{"conversations":[&]}/' >"$T/e" <<'J'
{"from":"gpt","value":""},{"from":"gpt","value":"a"}
{"from":"human","value":"q"}
{"from":"function_call","value":"[]"}
{"from":"function_call","value":"{\"name\":\"f\"}"}
{"from":"gpt","value":"a"}
J
equal 'empty: sharegpt' "$(told -v "$T/e" | sed -n 's/.*e: row //p' | tr '\n' ',')" \
    '0: an answer is empty,1: there is no answer,2: an answer is empty,'
exit $bad
