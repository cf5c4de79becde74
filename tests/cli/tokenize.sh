# SPDX-License-Identifier: Apache-2.0
# sft-tokenize: the row formats, the report, and that threads and pipes change no byte.
source "$(dirname "$0")/../cli.sh"
model=share/tiny-tokenizer
tok() { sft-tokenize -q -m $model "$@"; }
first() { tok "$@" | sft-view; }

# talk QUESTION ANSWER: prints the messages of a conversation, both texts as JSON has them
talk() { printf '"messages":[{"role":"user","content":"%s"},%s' "$1" "$(answer "$2")"; }
answer() { printf '{"role":"assistant","content":"%s"}]' "$1"; }
# joined: prints the lines of standard input as one
joined() { tr -d '\n'; }

cat >"$T/a.json" <<'J'
[{"instruction":"Say \"hi\"\u0021","input":"in French","output":"Salut !","system":"You are 你."},
 {"instruction":"Second","input":"","output":"2","system":null},
 {"instruction":"Third","input":null,"output":"","system":""}]
J
equal 'alpaca: prompt and response become a conversation' "$(first "$T/a.json" | head -n 1)" \
    "{$(talk 'Say \"hi\"!' 'Salut !'),\"source\":[[0,0]]}"
equal 'alpaca: query and system are taken when they are mapped' \
    "$(first --query-key input --system-key system "$T/a.json" | head -n 2)" "$(joined <<'J'
{"messages":[{"role":"system","content":"You are 你."},
{"role":"user","content":"Say \"hi\"!\nin French"},
{"role":"assistant","content":"Salut !"}],"source":[[0,0]]}
J
    )"$'\n'"{$(talk Second 2),\"source\":[[0,1]]}"
equal 'alpaca: a row with an empty response is kept' "$(first "$T/a.json" | tail -n 1)" \
    '{"messages":[{"role":"user","content":"Third"}],"source":[[0,2]]}'
equal 'alpaca: prompt and response may have other columns' \
    "$(first --prompt-key output --response-key instruction "$T/a.json" | sed -n 2p)" \
    "{$(talk 2 Second),\"source\":[[0,1]]}"

said=$(sft-tokenize -m $model -v "$T/a.json" 2>&1 >/dev/null)
equal 'report: a column that is not mapped is counted with its option' \
    "$(grep -c '"input" is filled in 1 of 3 rows and not used; --query-key input takes it' \
        <<<"$said")" 1
equal 'report: a system column that is not mapped is counted' \
    "$(grep -c '"system" is filled in 1 of 3 rows' <<<"$said")" 1
equal 'report: empty responses are counted' \
    "$(grep -c '3 conversations, .* 1 with an empty response' <<<"$said")" 1
echo '[]' >"$T/none.json"
equal 'report: a file without rows is named' \
    "$(sft-tokenize -m $model "$T/a.json" "$T/none.json" 2>&1 >/dev/null | grep 'no rows')" \
    "sft-tokenize: $T/none.json: has no rows"
equal 'report: each empty response is named at -v' \
    "$(grep -c 'a.json: row 2: the response is empty' <<<"$said")" 1
equal 'report: -q tells nothing' "$(sft-tokenize -q -m $model "$T/a.json" 2>&1 >/dev/null)" ''
equal 'report: mapped columns are not told' \
    "$(code sft-tokenize -m $model --query-key input --system-key system "$T/a.json") $(
        grep -c 'not used' "$T/stderr")" '0 0'

printf '\xef\xbb\xbf{"instruction":"a","output":"b"}\n\n{"instruction":"c","output":"d"}\r\n' \
    >"$T/l.jsonl"
equal 'lines: JSON Lines with a byte order mark, blank lines and CRLF are read' \
    "$(first "$T/l.jsonl")" "{$(talk a b),\"source\":[[0,0]]}
{$(talk c d),\"source\":[[0,1]]}"

joined >"$T/m.jsonl" <<'J'
{"messages":[{"role":"user","content":"q"},
{"role":"assistant","content":null,"tool_calls":[{"id":1.50}]},
{"role":"tool","name":"f","content":""},{"role":"assistant","content":"done"}],
"tools":[{"name":"f"},{"type":"function","function":{"name":"g"}}]}
J
equal 'messages: calls, tools and empty contents are kept' "$(first "$T/m.jsonl")" "$(joined <<'J'
{"messages":[{"role":"user","content":"q"},
{"role":"assistant","content":null,"tool_calls":[{"id":1.50}]},
{"role":"tool","content":"","name":"f"},{"role":"assistant","content":"done"}],
"tools":[{"name":"f"},{"type":"function","function":{"name":"g"}}],"source":[[0,0]]}
J
)"

cat >"$T/s.json" <<'J'
[{"conversations":[{"from":"human","value":"q"},
 {"from":"function_call","value":"{\"name\":\"f\",\"arguments\":{\"x\":1}}"},
 {"from":"observation","value":"42"},{"from":"gpt","value":"it is 42"}],
 "system":"S","tools":"[{\"name\":\"f\"}]"},
 {"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":""}],"tools":"[]"}]
J
equal 'sharegpt: calls, observations and tools are converted' "$(first "$T/s.json")" "$(joined <<'J'
{"messages":[{"role":"system","content":"S"},{"role":"user","content":"q"},
{"role":"assistant","content":"","tool_calls":[{"type":"function",
"function":{"name":"f","arguments":{"x":1}}}]},
{"role":"tool","content":"42"},{"role":"assistant","content":"it is 42"}],
"tools":[{"type":"function","function":{"name":"f"}}],"source":[[0,0]]}
J
)"$'\n'"{$(talk q ''),\"source\":[[0,1]]}"
equal 'sharegpt: empty replies are counted' \
    "$(sft-tokenize -m $model "$T/s.json" 2>&1 >/dev/null | grep -c '1 with an empty response')" 1
equal 'files: each has its own format' \
    "$(first "$T/a.json" "$T/m.jsonl" "$T/s.json" | jq -sc '[.[].source[]]')" \
    '[[0,0],[0,1],[0,2],[1,0],[2,0],[2,1]]'

mkdir "$T/checkpoint-1" && cp -r $model "$T/checkpoint-1/sft_train"
equal "model: a checkpoint's folder gives its tokenizer" \
    "$(sft-tokenize -q -m "$T/checkpoint-1" "$T/l.jsonl" | sft-view --checksum)" \
    "$(tok "$T/l.jsonl" | sft-view --checksum)"
fails 'model: a folder that is no model is refused' 66 \
    'neither a Hugging Face model folder nor a checkpoint' \
    sft-tokenize -m "$T" "$T/l.jsonl"

# ---- bytes ----
awk 'BEGIN {
    for (i = 0; i < 20000; i++)
        printf "{\"instruction\":\"question %d of many\",\"output\":\"%0*d\"}\n", i, i % 300 + 1, i
    }' >"$T/big.jsonl"
tok -@ 1 -o "$T/1" "$T/big.jsonl"
for n in 2 8; do
    tok -@ $n -o "$T/n" "$T/big.jsonl"
    same "bytes: they are the same with -@ $n" "$T/1" "$T/n"
done
tok -@ 1 -o "$T/n" "$T/big.jsonl"
same 'bytes: they are the same twice' "$T/1" "$T/n"
tok -o - "$T/big.jsonl" | cat >"$T/n"
same 'bytes: they are the same through a pipe' "$T/1" "$T/n"
tok <"$T/big.jsonl" >"$T/n"
same 'bytes: they are the same from standard input' "$T/1" "$T/n"
equal 'bytes: a large stream has several frames' \
    "$(zstd -lv "$T/1" 2>/dev/null | grep -c 'Zstandard Frames: [2-9]')" 1
check 'bytes: zstd accepts the stream' zstd -tq "$T/1"
equal 'bytes: the stream has no path in it' "$(grep -c "$T" "$T/1")" 0

# ---- ids ----
printf 'one line\n\nlast line without an end' >"$T/t.txt"
equal 'ids: each line of text has a line of ids' \
    "$(tok --ids "$T/t.txt" | sed 's/[0-9][0-9]*/N/g; s/N\( N\)*/N/' | tr '\n' '|')" 'N||N|'
cat "$T/big.jsonl" "$T/big.jsonl" >"$T/text"
tok --ids -@ 1 "$T/text" >"$T/i1"
tok --ids -@ 4 <"$T/text" >"$T/i4"
same 'ids: they are the same with four threads and from a pipe' "$T/i1" "$T/i4"
equal 'ids: all lines are there' "$(wc -l <"$T/i1")" 40000
printf 'good\nb\xffd\n' >"$T/bad.txt"
fails 'ids: bytes that are not UTF-8 are refused with their line' 65 \
    'bad.txt: line 2: is not UTF-8' sft-tokenize --ids -m $model "$T/bad.txt"

# ---- files older than tokenizer.json ----
mkdir "$T/older"
jq .model.vocab $model/tokenizer.json >"$T/older/vocab.json"
jq -r '.model.merges[] | if type == "array" then join(" ") else . end' $model/tokenizer.json \
    >"$T/older/merges.txt"
jq '.tokenizer_class = "Qwen2Tokenizer"' $model/tokenizer_config.json \
    >"$T/older/tokenizer_config.json"
line='A pipe joins 12 commands.<|im_end|>'
equal 'older: vocab.json and merges.txt are a tokenizer' \
    "$(echo "$line" | sft-tokenize --ids -m "$T/older")" \
    "$(echo "$line" | sft-tokenize --ids -m $model)"
edit "$T/older/tokenizer_config.json" '.tokenizer_class = "BartTokenizer"'
fails 'older: a class that is not known is refused with the command that converts' 66 \
    'older: has vocab.json and merges.txt .* BartTokenizer; .*save_pretrained' \
    sft-tokenize --ids -m "$T/older"
mkdir "$T/spm" && echo x >"$T/spm/tokenizer.model"
fails 'older: tokenizer.model is refused with the command that converts' 66 \
    'spm: has tokenizer.model .*save_pretrained' sft-tokenize --ids -m "$T/spm"
exit $bad
