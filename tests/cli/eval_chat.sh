#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sft-eval answers: a conversation line by line, rows of a file, draws by temperature; refusals.
source "$(dirname "$0")/../train.sh"

model model initializer_range=0.3 # answers with different tokens
eval_on() { sft-eval -q -m model --dtype fp32 --max-tokens 12 "$@"; }

# ---- a conversation ----
printf 'Say number 1.\nAnd now 2.\n' | eval_on --chat >chat
first=$(eval_on --prompt 'Say number 1.')
equal 'chat: the first answer is that of --prompt' "$(head -n 1 chat)" "$(head -n 1 <<<"$first")"
# what the template makes of the whole conversation, as one row
row() { jq -cn --arg a "$1" '{messages: [{role: "user", content: "Say number 1."},
    {role: "assistant", content: $a}, {role: "user", content: "And now 2."}]}'; }
row "$first" >whole.jsonl
second=$(eval_on --prompts whole.jsonl | jq -r .answer)
equal 'chat: the second has the conversation before it' "$(cat chat)" "$first"$'\n'"$second"
printf 'Say number 1.\nAnd now 2.\n/clear\nSay number 1.\n' | eval_on --chat >cleared
equal 'chat: /clear begins anew' "$(cat cleared)" "$(cat chat)"$'\n'"$first"
equal 'chat: an empty line is no message' \
    "$(printf '\nSay number 1.\n\n' | eval_on --chat)" "$first"
equal 'chat: no line at all is no error' "$(eval_on --chat </dev/null; echo $?)" 0
differ 'chat: a system prompt changes the answer' chat \
    <(printf 'Say number 1.\nAnd now 2.\n' | eval_on --chat --system 'Be brief.')
long=$(printf 'word %.0s' $(seq 60))
printf '%s\nSay number 1.\n' "$long" | sft-eval -m model --dtype fp32 --max-tokens 12 --chat \
    --length 48 >told 2>err
equal 'chat: a message that does not fit is left out, and the next is answered' "$(cat told)" \
    "$first"
check 'chat: it is told' grep -Eq 'the prompt has [0-9]+ tokens; the model takes 1 to 47; this' err
if command -v script >/dev/null; then
    printf 'Say number 1.\n\004' | script -qec 'sft-eval -m model --dtype fp32 --chat \
        --max-tokens 12' /dev/null >terminal 2>&1
    check 'chat: on a terminal it says how to leave' grep -q 'Ctrl-D ends the program' terminal
fi

# ---- rows ----
for i in 1 2 3; do printf '{"id":%d,"prompt":"Say number %d."}\n' $i $i; done >rows.jsonl
check 'prompts: a file is written' eval_on --prompts rows.jsonl -o answers.jsonl
equal 'prompts: each row keeps its members and gets its answer' \
    "$(jq -c '[.id, .prompt, keys]' answers.jsonl | head -n 1)" \
    '[1,"Say number 1.",["answer","answer_end","answer_tokens","id","prompt"]]'
equal 'prompts: all rows are there, in their order' "$(jq -c .id answers.jsonl | paste -sd' ')" \
    '1 2 3'
equal 'prompts: an answer is that of --prompt' "$(head -n 1 answers.jsonl | jq -r .answer)" "$first"
equal 'prompts: an answer that is cut says so' \
    "$(jq -c '[.answer_tokens, .answer_end]' answers.jsonl | head -n 1)" '[12,"length"]'
equal 'prompts: an answer of a file that is answered again is replaced' \
    "$(eval_on --prompts answers.jsonl | jq -cS .)" "$(jq -cS . answers.jsonl)"
jq -cs . rows.jsonl >array.json
same 'prompts: a JSON array has the answers of JSON Lines' <(eval_on --prompts array.json) \
    answers.jsonl
same 'prompts: --system is that of each row' \
    <(eval_on --prompts rows.jsonl --system S | jq .answer) \
    <(jq -c '{messages: [{role: "system", content: "S"}, {role: "user", content: .prompt}]}' \
        rows.jsonl | eval_on --prompts - | jq .answer)
same "prompts: a row's own system prompt goes before --system" \
    <(jq -c '{messages: [{role: "system", content: "S"}, {role: "user", content: .prompt}]}' \
        rows.jsonl | eval_on --prompts - --system T | jq .answer) \
    <(eval_on --prompts rows.jsonl --system S | jq .answer)
echo '{"text": "no prompt"}' >bad.jsonl
fails 'prompts: a row without a prompt is refused' 65 \
    'bad.jsonl:1: a row is an object with "prompt", a text, or "messages", a list' \
    eval_on --prompts bad.jsonl
echo '{"messages": [{"content": "no role"}]}' >bad.jsonl
fails 'prompts: a message without a role is refused' 65 'bad.jsonl:1: a message is an object' \
    eval_on --prompts bad.jsonl
jq -cn --arg p "$long" '{prompt: $p}' >bad.jsonl
fails 'prompts: a prompt that does not fit is refused' 65 'bad.jsonl:1: the prompt has' \
    eval_on --prompts bad.jsonl --length 20
cat rows.jsonl bad.jsonl >mixed.jsonl
fails 'prompts: a failure leaves no output' 65 'mixed.jsonl:4: the prompt has' \
    eval_on --prompts mixed.jsonl --length 40 -o none.jsonl
equal 'prompts: no file is left' "$(ls none.jsonl 2>/dev/null)" ''
eval_on --prompts mixed.jsonl --length 40 >part.jsonl 2>/dev/null
same 'prompts: rows before one that cannot be read are answered' <(jq -c .id part.jsonl) \
    <(jq -c .id rows.jsonl)

# ---- rows that are answered together ----
# Some begin alike, one is long; tokens that some of the answers have end answers early.
cp -r model ends
{
    cat rows.jsonl
    for i in 4 5; do jq -cn --arg p "Say number 1. And then $i." '{prompt: $p}'; done
    jq -cn --arg p "${long:0:100}" '{prompt: $p}'
    for i in 6 7 8; do jq -cn --arg p "Count to $i, and say it." '{prompt: $p}'; done
} >many.jsonl
eval_on --prompts many.jsonl | jq -r .answer | sft-tokenize -q --ids -m model |
    awk 'NR == 2 || NR == 5 { print $4, $6 }' | jq -s '{eos_token_id: .}' \
    >ends/generation_config.json
together() { sft-eval -q -m ends --dtype fp32 --max-tokens 12 "$@"; }
while read -r row; do together --prompts - <<<"$row"; done <many.jsonl >alone.jsonl
equal 'batch: the test has answers that end early, and others' \
    "$(jq -r .answer_end alone.jsonl | sort -u | paste -sd' ')" 'length stop'
for n in 1 2 3 9 40; do
    same "batch: answers of $n rows together are those of each row alone" \
        <(together --prompts many.jsonl --batch $n) alone.jsonl
done
# Two rows at a time: one has a long answer, and those that follow it, more than are held, short
# ones.
{
    head -n 1 many.jsonl
    for i in $(seq 20); do sed -n '2p;5p' many.jsonl; done
} >mixed.jsonl
mixed=(-m ends --dtype fp32 --max-tokens 100 --prompts mixed.jsonl)
sft-eval -q "${mixed[@]}" --batch 1 >alone_mixed.jsonl
same 'batch: answers keep the order of their rows' <(sft-eval -q "${mixed[@]}" --batch 2) \
    alone_mixed.jsonl
# passes of answers that are made in groups of two
grouped=$(jq -r '.answer_tokens - (if .answer_end == "stop" then 0 else 1 end)' alone_mixed.jsonl |
    awk '{ if ($1 > n) n = $1 } NR % 2 == 0 { sum += n; n = 0 } END { print sum + n }')
sft-eval -v "${mixed[@]}" --batch 2 2>told >/dev/null
check 'batch: the next row takes the place of one whose answer has ended' [ \
    "$(sed -n 's/.* tokens of answers in \([0-9]*\) passes of up to 2 rows$/\1/p' told)" \
    -lt "$grouped" ]
same 'batch: so are those of as many as have room' <(together --prompts many.jsonl) alone.jsonl
cp -r ends damaged
head -c 9 ends/generation_config.json >damaged/generation_config.json
fails 'end: a damaged list of the tokens that end a turn is refused' 65 \
    'damaged/generation_config.json: line 2' sft-eval -q -m damaged --prompt Hi --max-tokens 1
same 'batch: rows that have no room together are answered one after the other' \
    <(together --prompts many.jsonl --length 100) alone.jsonl
same 'batch: the reference device gives the same' \
    <(together --prompts many.jsonl --device ref --batch 4) alone.jsonl
same 'batch: the far device gives the same' \
    <(together --prompts many.jsonl --device far --batch 4) alone.jsonl
draws() { together --prompts many.jsonl --temperature 1.5 --top-p 0.95 --seed 3 "$@"; }
draws --batch 1 >drawn.jsonl
for n in 2 9; do
    same "batch: draws of $n rows together are those of one by one" <(draws --batch $n) drawn.jsonl
done
same 'batch: draws of as many as have room are the same' <(draws) drawn.jsonl
same 'batch: a penalty counts the tokens of its own row' \
    <(draws --repetition-penalty 1.5 --batch 5) <(draws --repetition-penalty 1.5 --batch 1)
fails 'batch: a stream has no rows to answer' 64 '--batch: only with --prompts FILE' \
    eval_on --chat --batch 2
fails 'batch: no row at a time is refused' 64 '--batch' eval_on --prompts rows.jsonl --batch 0
model vast max_position_embeddings=16777216
fails 'batch: a cache that is too large is refused' 71 'a cache of 4294967296 tokens does not fit' \
    sft-eval -q -m vast --prompts rows.jsonl --batch 256 --length 16777216

# ---- draws ----
drawn() { eval_on --prompts rows.jsonl --temperature 1.5 "$@"; }
same 'draws: the same seed draws the same' <(drawn --seed 3) <(drawn --seed 3)
differ 'draws: another seed draws others' <(drawn --seed 3) <(drawn --seed 4)
differ 'draws: they are not the likeliest tokens' <(drawn) answers.jsonl
same 'draws: of one token there is one draw' <(drawn --top-k 1) answers.jsonl
same 'draws: so it is with the smallest top-p' <(drawn --top-p 0.0001) answers.jsonl
same 'draws: and with min-p 1' <(drawn --min-p 1) answers.jsonl
differ 'draws: a penalty changes the likeliest tokens' \
    <(eval_on --prompts rows.jsonl --repetition-penalty 0.1) answers.jsonl

# ---- refusals ----
fails 'options: a filter without a temperature' 64 '--top-k: without --temperature' \
    eval_on --chat --top-k 5
for o in --temperature=-1 --top-p=0 --top-p=1.5 --min-p=-1 \
    --repetition-penalty=0; do
    fails "options: $o is refused" 64 "${o%=*}: not " eval_on --chat --temperature 1 "$o"
done
fails 'options: two tasks at once' 64 'give a STREAM .*, or one of' eval_on --chat --prompt x
fails 'options: an output without rows' 64 '--output: only with --prompts' eval_on --chat -o x
exit $bad
