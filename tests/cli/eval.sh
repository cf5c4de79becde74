#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sft-eval: losses of packed and unpacked streams, per sample, of a checkpoint; greedy completion.
source "$(dirname "$0")/../train.sh"

model model
rows 1 5 >rows.jsonl
samples rows.jsonl >samples.sfts
sft-pack -q -l 128 -b 2 samples.sfts -o packed.sfts
# number KEY: prints that value of the JSON on standard input
number() { jq ".$1"; }

fp32() { sft-eval -m model --dtype fp32 "$@"; }
a=$(fp32 samples.sfts) b=$(fp32 packed.sfts)
equal 'fields: the result has the loss, what it is of, and the time that it took' \
    "$(jq -c 'map_values(type) | to_entries | map(select(.value == "number").key)' <<<"$a")" \
    '["loss","perplexity","label_tokens","samples","seconds","tokens_per_s"]'
close 'fields: tokens_per_s are the tokens of all samples, by the seconds' \
    "$(jq '.tokens_per_s * .seconds' <<<"$a")" \
    "$(fp32 --per-sample samples.sfts | jq -s 'map(.tokens // 0) | add')" 1e-4
close 'loss: packed and unpacked streams have the same' "$(number loss <<<"$a")" \
    "$(number loss <<<"$b")" 1e-6
equal 'samples: packed and unpacked streams have the same number' \
    "$(number samples <<<"$a") $(number samples <<<"$b")" '5 5'
close 'loss: perplexity is its exponential' "$(number perplexity <<<"$a")" \
    "$(awk "BEGIN { print exp($(number loss <<<"$a")) }")" 1e-4
close 'loss: random weights have about that of guessing, ln(vocabulary)' "$(number loss <<<"$a")" \
    7.62 0.02
close 'loss: bf16 gives that of fp32 within 2e-3' \
    "$(sft-eval -m model --dtype bf16 samples.sfts | number loss)" "$(number loss <<<"$a")" 2e-3
close 'loss: the reference device gives the same' \
    "$(fp32 --device ref samples.sfts | number loss)" "$(number loss <<<"$a")" 1e-6
same 'loss: the far device gives the same bytes' <(fp32 --device far samples.sfts | timeless) \
    <(timeless <<<"$a")
same 'loss: standard input gives the same' <(fp32 - <samples.sfts | timeless) <(timeless <<<"$a")

fp32 --per-sample samples.sfts >each
equal 'per sample: each sample has a line, and the sum has one' "$(wc -l <each)" 6
equal 'per sample: each line has its source' "$(jq -c '.source // empty' each | paste -sd' ')" \
    '[0,0] [0,1] [0,2] [0,3] [0,4]'
close 'per sample: the losses add up to the whole' \
    "$(jq -s 'map(select(.source)) |
            (map(.loss * .label_tokens) | add) / (map(.label_tokens) | add)' \
        each)" "$(number loss <<<"$a")" 1e-5

# ---- groups ----
for i in 1 2; do echo '{"messages":[{"role":"user","content":"Say it."}]}'; done >unanswered.jsonl
rows 6 7 | jq -c '{messages: [{role: "user", content: .q}, {role: "assistant", content: .a},
    {role: "user", content: "And what comes then?"}, {role: "assistant", content: .a}]}' \
    >turns.jsonl
rows 1 5 | jq -c '{messages: [{role: "user", content: .q}, {role: "assistant", content: .a}]}' \
    >short.jsonl
sft-tokenize -q -m model short.jsonl turns.jsonl <(head -n 1 unanswered.jsonl) |
    sft-template -q --allow empty -m model -o mixed.sfts
sft-pack -q -l 256 -b 4 mixed.sfts -o mixed.pack
# groups KEY EXPRESSION: what --by KEY has to print, from the samples that --per-sample prints
groups() {
    jq -cs --arg key "$1" "[.[] | select(.source)] | group_by($2)[] |
        (map(.label_tokens) | add) as \$n | {key: \$key, value: (.[0] | $2), loss: (if \$n > 0
            then (map((.loss // 0) * .label_tokens) | add) / \$n else null end),
        label_tokens: \$n, samples: length}" apart
}
# compared: prints a line of the fields of groups but the perplexity, with the loss in seven digits
compared() {
    jq -c 'select(.key) | del(.perplexity) | .loss |= (. // -1) * 1e6 | .loss |= round'
}
fp32 --per-sample mixed.sfts >apart
whole=$(fp32 mixed.sfts)
same 'groups: those of a file have the losses of its samples' \
    <(fp32 --by file mixed.sfts | compared) <(groups file '.source[0]' | compared)
equal 'groups: each file has one, in order' \
    "$(fp32 --by file mixed.sfts | jq -c 'select(.key) | [.value, .samples]' | paste -sd' ')" \
    '[0,5] [1,2] [2,1]'
same 'groups: those of a length are from a power of two to below twice that' \
    <(fp32 --by length mixed.sfts | compared) \
    <(groups length '.tokens | log2 | floor | exp2 | "\(.)-\(2 * . - 1)"' | jq -s -c \
        'sort_by(.value | split("-")[0] | tonumber)[]' | compared)
same 'groups: those of messages are of the rows with so many' \
    <(fp32 --by messages mixed.sfts | jq -c 'select(.key) | [.value, .samples]') \
    <(cat short.jsonl turns.jsonl <(head -n 1 unanswered.jsonl) | jq -cs \
        'map(.messages | length) | group_by(.)[] | [.[0], length]')
for key in file length messages; do
    fp32 --by $key mixed.sfts >grouped
    check "groups: by $key there are several" [ "$(grep -c '"key"' grouped)" -gt 1 ]
    close "groups: the losses by $key add up to the whole" \
        "$(jq -s 'map(select(.key)) | (map((.loss // 0) * .label_tokens) | add) /
            (map(.label_tokens) | add)' grouped)" "$(jq .loss <<<"$whole")" 1e-12
    same "groups: behind those by $key comes the whole" <(tail -n 1 grouped | timeless) \
        <(timeless <<<"$whole")
    same "groups: by $key a packed stream has the same" <(fp32 --by $key mixed.pack | compared) \
        <(compared <grouped)
done
equal 'groups: one without a trained token has no loss' \
    "$(fp32 --by file mixed.sfts | jq -c 'select(.value == 2) | [.loss, .perplexity]')" \
    '[null,null]'
close 'groups: the perplexity is the exponential of the loss' \
    "$(jq 'select(.key and .loss).perplexity' grouped)" \
    "$(jq 'select(.key and .loss).loss | exp' grouped)" 1e-8
equal 'groups: samples come before them' \
    "$(fp32 --per-sample --by file mixed.sfts | jq -c 'keys[0]' | uniq | paste -sd' ')" \
    '"label_tokens" "key" "label_tokens"'
same 'groups: none is the result without them' <(fp32 --by none mixed.sfts | timeless) \
    <(timeless <<<"$whole")
fails 'groups: a field that no sample has names those it has' 64 \
    "--by: 'domain' is not one of none.file.length.messages" fp32 --by domain mixed.sfts
fails 'groups: they need a stream' 64 '--by: groups of which STREAM' fp32 --by file --prompt x
fails 'groups: two models are compared sample by sample' 64 '--compare: not with --by' \
    fp32 --by file --compare model mixed.sfts

# ---- two models on one stream ----
model other initializer_range=0.05
sft-eval -q -m other --dtype fp32 --per-sample samples.sfts | jq -c 'select(.source)' >theirs
fp32 -q --compare other samples.sfts >compared
jq -c 'select(.source)' each | paste - theirs | jq -cs '
    [range(0; length; 2) as $i | [.[$i], .[$i + 1]]] |
    (map(.[0].label_tokens) | add) as $w | length as $n |
    (map(.[0].label_tokens * (.[1].loss - .[0].loss)) | add / $w) as $d |
    (map((.[0].label_tokens * (.[1].loss - .[0].loss - $d)) | . * .) | add) as $s |
    (1.96 * ($n / ($n - 1) * $s | sqrt) / $w) as $half | [$d, $d - $half, $d + $half]' \
    >wanted
close 'compare: difference and interval follow from the losses of the samples' \
    "$(jq -c '[.difference, .low, .high] | .[]' compared)" "$(jq '.[]' wanted)" 1e-5
close 'compare: the two losses are those of each model' \
    "$(jq '.loss, .other_loss' compared)" \
    "$(fp32 samples.sfts | jq .loss; sft-eval -m other --dtype fp32 samples.sfts | jq .loss)" 1e-6
equal 'compare: the first is better here, and swapped the other' \
    "$(jq -c .better compared) $(sft-eval -q -m other --dtype fp32 --compare model samples.sfts |
        jq -c .better)" '"model" "other"'
equal 'compare: a model is not better than itself' \
    "$(fp32 -q --compare model samples.sfts | jq -c '[.difference, .low, .high, .better]')" \
    '[0,0,0,null]'
fails 'compare: standard input is refused' 64 'on which stream' fp32 --compare other - <samples.sfts
fails 'compare: a model that is not there is told' 66 'nowhere' fp32 --compare nowhere samples.sfts

answer() { sft-eval -m model --dtype fp32 --prompt 'Say number 1.' --max-tokens "$@"; }
answer 12 >one
answer 12 >two
answer 12 --device ref >ref
answer 5 >short
same 'prompt: the same call completes twice the same' one two
same 'prompt: the reference device completes the same' one ref
size=$(stat -c %s short)
check 'prompt: a shorter answer has text' [ "$size" -gt 5 ]
check 'prompt: a longer answer begins as a shorter one' cmp -n $((size - 1)) short one

# ---- tokens that the model has no embedding of ----
model few vocab_size=1601 # as many as the tokenizer's
cp -r few more
jq '.added_tokens += [{id: 1601, content: "<extra>"}, {id: 1602, content: "<second>"} |
    .single_word = false | .lstrip = false | .rstrip = false | .normalized = false |
    .special = false]' few/tokenizer.json >more/tokenizer.json
added='token 1602 \("<second>"\) is not in the model.s vocabulary of 1601 tokens: .*resize_token'
fails 'unknown tokens: a prompt with one is refused' 65 "the prompt: $added" \
    sft-eval -m more --prompt 'Say <second>.'
fails 'unknown tokens: logits of such a prompt are refused' 65 "the prompt: $added" sft-eval \
    -m more --prompt 'Say <second>.' --logits
check 'unknown tokens: a prompt without one is completed' sft-eval -m more --prompt 'Say second.' \
    --max-tokens 2
sed '3s/Say/<second>/' rows.jsonl >strange.jsonl
sft-tokenize -q -m more --prompt-key q --response-key a strange.jsonl |
    sft-template -q -m more -o strange.sfts
fails 'unknown tokens: a stream with one is refused with its row' 65 \
    "strange.sfts: row 2 \(file 0 row 2\): $added" \
    sft-eval -m more strange.sfts
fails 'unknown tokens: a plan with one is refused with its row' 65 \
    "row [0-9] \(file 0 row 2\): $added" \
    sft-eval -m more <(sft-pack -q -l 128 -b 2 strange.sfts)
equal 'unknown tokens: --per-sample prints the samples before it' \
    "$(code sft-eval -m more --per-sample strange.sfts) $(grep -c resize_token stderr)" '65 1'

# ---- nothing to learn from ----
sft-tokenize -q -m model unanswered.jsonl |
    sft-template -q --allow empty -m model -o unanswered.sfts
fails 'no label: a stream without a trained token is refused' 65 \
    'unanswered.sfts: no trained token' sft-eval -m model unanswered.sfts
sft-pack -q -l 128 -b 2 -o unpacked.sfts unanswered.sfts 2>pack.err
fails 'no label: a plan without a trained token is refused' 65 'unpacked.sfts: no trained token' \
    sft-eval -m model unpacked.sfts
sft-tokenize -q -m model --prompt-key q --response-key a rows.jsonl -o some.turns
sft-template -q -m model -o some.sfts some.turns
fp32 --per-sample some.sfts >some
sft-tokenize -q -m model unanswered.jsonl <(head -n 1 rows.jsonl | jq -c '{messages:
    [{role: "user", content: .q}, {role: "assistant", content: .a}]}') |
    sft-template -q -m model -o mixed.sfts
fp32 --per-sample mixed.sfts >mixed
equal 'no label: a sample without a trained token has no loss' \
    "$(jq -c 'select(.source) | .loss == null' mixed | tr '\n' ' ')" 'true true false '
close 'no label: a sample without a trained token does not count in the mean' \
    "$(tail -n 1 mixed | jq .loss)" "$(head -n 1 some | jq .loss)" 1e-6

# ---- losses and logits that are not finite ----
# spoil DIR TENSOR FIRST COUNT BYTES: overwrites elements of a tensor in DIR, a copy of the model
spoil() {
    [ -e "$1" ] || cp -r model "$1"
    fill "$1/model.safetensors" "${@:2}"
}
hidden=$(jq .hidden_size model/config.json)
spoil nan model.norm.weight $((hidden - 1)) 1 '\xc0\x7f'
broken="tensor model.norm.weight is not finite: nan at .$((hidden - 1))., 1 of its $hidden elements"
place='first at file 0 row 0, token [0-9]+'
for how in '--dtype fp32' '--dtype fp32 --device ref' '--dtype bf16'; do
    # shellcheck disable=SC2086
    fails "not finite: $how names the first weight that is not" 76 \
        "samples.sfts: the loss of .* is not finite, $place; $broken$" \
        sft-eval $how -m nan samples.sfts
done
fails 'not finite: --logits names the first weight that is not' 76 \
    "after [0-9]+ tokens 2048 of the 2048 logits are not finite, .* 0; $broken$" \
    sft-eval -m nan --prompt 'Say it.' --logits
fails 'not finite: no completion is made' 76 "logits are not finite.*$broken$" \
    sft-eval -m nan --prompt 'Say it.'
equal 'not finite: --per-sample exits with 76' "$(code sft-eval -m nan --per-sample samples.sfts)" \
    76
equal 'not finite: --per-sample has null for each sample and no sum' \
    "$(jq -c .loss stdout | tr '\n' ' ')" \
    'null null null null null '
# The embedding of a token that one sample has is not finite.
token=$(echo '~' | sft-tokenize -q --ids -m model)
sed '4s/number/~/' rows.jsonl >one.jsonl
samples one.jsonl >one.sfts
spoil rare model.embed_tokens.weight $((token * hidden + 2)) 1 '\x80\xff'
fails 'not finite: one sample is named with its place' 76 \
    "loss of 1 of the 5 samples read is not .*, first at file 0 row 3, .* -inf at .$token,2\\]" \
    sft-eval -m rare --dtype fp32 one.sfts
equal 'not finite: --per-sample exits with 76 for one sample' \
    "$(code sft-eval -m rare --per-sample --dtype fp32 one.sfts)" 76
equal 'not finite: --per-sample has null for that sample alone' \
    "$(jq -c '.loss == null' stdout | tr '\n' ' ')" 'false false false true false '
# Finite weights give logits that are not finite, and a loss whose perplexity is not.
spoil large model.norm.weight 0 "$hidden" '\x7f\x7f'
fails 'not finite: finite weights are told when the computation overflows' 76 \
    'is not finite.*; every weight is finite$' \
    sft-eval -m large --dtype fp32 samples.sfts
spoil steep model.norm.weight 0 "$hidden" '\x80\x47'
fp32() { sft-eval -m steep --dtype fp32 "$@"; }
equal 'loss: a perplexity that is too large is null' \
    "$(fp32 samples.sfts | jq -c '[.loss > 800, .perplexity]')" '[true,null]'

# Two rows of the head, for tokens without a text; one of them always has the largest logit.
model wide tie_word_embeddings=false
spoil wide lm_head.weight $((2000 * hidden)) "$hidden" '\xc8\x42'
spoil wide lm_head.weight $((2001 * hidden)) "$hidden" '\xc8\xc2'
equal 'answer: tokens without a text are no error' \
    "$(code sft-eval -m wide --prompt 'Say it.' --max-tokens 3)" 0
said 'answer: tokens without a text are told' \
    "3 of the answer's 3 tokens are not in the tokenizer's vocabulary of 1601 .*200[01]"

fails 'refusal: a call without a model is a usage error' 64 'which model' sft-eval samples.sfts
fails 'refusal: a call without a stream is a usage error' 64 'STREAM' sft-eval -m model
fails 'refusal: a stream and a prompt together are a usage error' 64 'STREAM' sft-eval -m model \
    --prompt x samples.sfts
fails 'refusal: a missing model is no input' 66 'nowhere' sft-eval -m nowhere samples.sfts
fails 'refusal: a missing stream is no input' 66 'none.sfts' sft-eval -m model none.sfts
fails 'refusal: a sample longer than -l is an error' 65 'longer than it may be' sft-eval -m model \
    -l 8 samples.sfts
fails 'refusal: a stream of conversations names sft-template' 65 'sft-template' sft-eval -m model \
    <(sft-tokenize -q -m model --prompt-key q --response-key a rows.jsonl)
fails 'refusal: a missing GPU is a device error' 69 '[cC][uU][dD][aA]' sft-eval -m model \
    --device cuda samples.sfts
head -c 300 samples.sfts >cut.sfts
fails 'refusal: a stream cut short is an error' 65 'cut.sfts' sft-eval -m model cut.sfts
cp -r model lies && damage lies/model.safetensors 0 '\xff\xff\xff'
fails 'refusal: a header that claims more than the file has is an error' 65 \
    'lies/model.safetensors' sft-eval -m lies samples.sfts
exit $bad
