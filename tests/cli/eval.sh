#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sft-eval: losses of packed and unpacked streams, per sample, of a checkpoint; greedy completion.
source "$(dirname "$0")/../train.sh"

model model
rows 1 5 >rows.jsonl
samples rows.jsonl >samples.sfts
sft-pack -q -l 128 -b 2 samples.sfts -o packed.sfts
number() { grep -o "\"$1\":[-0-9.e+]*" | tail -n 1 | cut -d: -f2; }

fp32() { sft-eval -m model --dtype fp32 "$@"; }
a=$(fp32 samples.sfts) b=$(fp32 packed.sfts)
equal 'fields' "$(sed -E 's/:[-0-9.e+]+/:N/g' <<<"$a")" '{"loss":N,"perplexity":N,"label_tokens":N,"samples":N}'
close 'packed or not: the same loss' "$(number loss <<<"$a")" "$(number loss <<<"$b")" 1e-6
equal 'samples' "$(number samples <<<"$a") $(number samples <<<"$b")" '5 5'
close 'perplexity is exp(loss)' "$(number perplexity <<<"$a")" "$(awk "BEGIN { print exp($(number loss <<<"$a")) }")" 1e-4
close 'random weights know nothing: loss is about ln(vocabulary)' "$(number loss <<<"$a")" 7.62 0.02
close 'bf16' "$(sft-eval -m model --dtype bf16 samples.sfts | number loss)" "$(number loss <<<"$a")" 2e-3
close 'the reference agrees' "$(fp32 --device ref samples.sfts | number loss)" "$(number loss <<<"$a")" 1e-6
equal 'far: the same' "$(fp32 --device far samples.sfts)" "$a"
equal 'from standard input' "$(fp32 - <samples.sfts)" "$a"

fp32 --per-sample samples.sfts >each
equal 'per sample: a line each and the sum' "$(wc -l <each)" 6
equal 'per sample: sources' "$(grep -o '"source":\[0,[0-9]\]' each | tr -d '\n')" '"source":[0,0]"source":[0,1]"source":[0,2]"source":[0,3]"source":[0,4]'
close 'per sample: they add up' "$(awk -F'[:,}]' '/source/ { l += $9 * $7; n += $7 } END { print l / n }' each)" "$(number loss <<<"$a")" 1e-5

answer() { sft-eval -m model --dtype fp32 --prompt 'Say number 1.' --max-tokens "$@"; }
answer 12 >one
answer 12 >two
answer 12 --device ref >ref
answer 5 >short
same 'a prompt: the same completion twice' one two
same 'a prompt: on the reference' one ref
if [ "$(stat -c %s short)" -gt 5 ] && cmp -sn $(($(stat -c %s short) - 1)) short one; then ok 'a longer answer begins as a shorter'; else not_ok 'a longer answer begins as a shorter' "$(od -c short | head -n 2)"; fi

# ---- tokens that the model has no embedding of ----
model few vocab_size=1601 # as many as the tokenizer's
cp -r few more
jq '.added_tokens += [{id: 1601, content: "<extra>"}, {id: 1602, content: "<second>"} |
    .single_word = false | .lstrip = false | .rstrip = false | .normalized = false |
    .special = false]' few/tokenizer.json >more/tokenizer.json
added='token 1602 \("<second>"\) is not in the model.s vocabulary of 1601 tokens: .*resize_token'
fails 'a prompt with a strange token' 65 "the prompt: $added" \
    sft-eval -m more --prompt 'Say <second>.'
fails 'its logits' 65 "the prompt: $added" sft-eval -m more --prompt 'Say <second>.' --logits
check 'the same without it' sft-eval -m more --prompt 'Say second.' --max-tokens 2
sed '3s/Say/<second>/' rows.jsonl >strange.jsonl
sft-tokenize -q -m more --prompt-key q --response-key a strange.jsonl |
    sft-template -q -m more -o strange.sfts
fails 'a stream with one' 65 "strange.sfts: row 2 \(file 0 row 2\): $added" \
    sft-eval -m more strange.sfts
fails 'a plan with one' 65 "row [0-9] \(file 0 row 2\): $added" \
    sft-eval -m more <(sft-pack -q -l 128 -b 2 strange.sfts)
equal 'per sample: what was before it is told' \
    "$(code sft-eval -m more --per-sample strange.sfts) $(grep -c resize_token stderr)" '65 1'

# ---- nothing to learn from ----
for i in 1 2; do echo '{"messages":[{"role":"user","content":"Say it."}]}'; done >unanswered.jsonl
sft-tokenize -q -m model unanswered.jsonl |
    sft-template -q --allow empty -m model -o unanswered.sfts
fails 'no trained token' 65 'unanswered.sfts: no trained token' sft-eval -m model unanswered.sfts
sft-pack -q -l 128 -b 2 -o unpacked.sfts unanswered.sfts 2>pack.err
fails 'no trained token in a plan' 65 'unpacked.sfts: no trained token' \
    sft-eval -m model unpacked.sfts
sft-tokenize -q -m model --prompt-key q --response-key a rows.jsonl -o some.turns
sft-template -q -m model -o some.sfts some.turns
fp32 --per-sample some.sfts >some
sft-tokenize -q -m model unanswered.jsonl <(head -n 1 rows.jsonl | jq -c '{messages:
    [{role: "user", content: .q}, {role: "assistant", content: .a}]}') |
    sft-template -q -m model -o mixed.sfts
fp32 --per-sample mixed.sfts >mixed
equal 'a sample without a trained token has no loss' \
    "$(jq -c 'select(.source) | .loss == null' mixed | tr '\n' ' ')" 'true true false '
close 'and does not count' "$(tail -n 1 mixed | jq .loss)" "$(head -n 1 some | jq .loss)" 1e-6

# ---- what is not finite ----
# spoil MODEL TENSOR AT COUNT BYTES: a copy of it with elements of a bf16 tensor written over
spoil() {
    local f=$1/model.safetensors n at
    [ -e "$1" ] || cp -r model "$1"
    n=$(od -An -tu8 -N8 "$f" | tr -d ' ')
    at=$(head -c $((8 + n)) "$f" | tail -c "$n" | jq ".[\"$2\"].data_offsets[0]")
    # shellcheck disable=SC2059
    for _ in $(seq "$4"); do printf "$5"; done |
        dd of="$f" bs=1 seek=$((8 + n + at + 2 * $3)) conv=notrunc 2>/dev/null
}
hidden=$(jq .hidden_size model/config.json)
spoil nan model.norm.weight $((hidden - 1)) 1 '\xc0\x7f'
broken="tensor model.norm.weight is not finite: nan at .$((hidden - 1))., 1 of its $hidden elements"
place='first at file 0 row 0, token [0-9]+'
for how in '--dtype fp32' '--dtype fp32 --device ref' '--dtype bf16'; do
    # shellcheck disable=SC2086
    fails "not finite, $how" 76 "samples.sfts: the loss of .* is not finite, $place; $broken$" \
        sft-eval $how -m nan samples.sfts
done
fails 'not finite: the logits' 76 \
    "after [0-9]+ tokens 2048 of the 2048 logits are not finite, .* 0; $broken$" \
    sft-eval -m nan --prompt 'Say it.' --logits
fails 'not finite: no answer is made of it' 76 "logits are not finite.*$broken$" \
    sft-eval -m nan --prompt 'Say it.'
equal 'not finite, per sample: 76' "$(code sft-eval -m nan --per-sample samples.sfts)" 76
equal 'not finite, per sample: null for each, and no sum' "$(jq -c .loss stdout | tr '\n' ' ')" \
    'null null null null null '
# the embedding of a token that one sample has
token=$(echo '~' | sft-tokenize -q --ids -m model)
sed '4s/number/~/' rows.jsonl >one.jsonl
samples one.jsonl >one.sfts
spoil rare model.embed_tokens.weight $((token * hidden + 2)) 1 '\x80\xff'
fails 'not finite: the sample' 76 \
    "loss of 1 of the 5 samples read is not .*, first at file 0 row 3, .* -inf at .$token,2\\]" \
    sft-eval -m rare --dtype fp32 one.sfts
equal 'not finite, per sample: that one' \
    "$(code sft-eval -m rare --per-sample --dtype fp32 one.sfts)" 76
equal 'not finite, per sample: only that one' "$(jq -c '.loss == null' stdout | tr '\n' ' ')" \
    'false false false true false '
# weights that are finite: logits that are not, and a loss whose perplexity is not
spoil large model.norm.weight 0 "$hidden" '\x7f\x7f'
fails 'not finite: the computation' 76 'is not finite.*; every weight is finite$' \
    sft-eval -m large --dtype fp32 samples.sfts
spoil steep model.norm.weight 0 "$hidden" '\x80\x47'
fp32() { sft-eval -m steep --dtype fp32 "$@"; }
equal 'a perplexity that is too large is null' \
    "$(fp32 samples.sfts | jq -c '[.loss > 800, .perplexity]')" '[true,null]'

# two rows of the head, of tokens without a text, of which one always wins
model wide tie_word_embeddings=false
spoil wide lm_head.weight $((2000 * hidden)) "$hidden" '\xc8\x42'
spoil wide lm_head.weight $((2001 * hidden)) "$hidden" '\xc8\xc2'
equal 'an answer of tokens without a text' \
    "$(code sft-eval -m wide --prompt 'Say it.' --max-tokens 3)" 0
said 'is told' "3 of the answer's 3 tokens are not in the tokenizer's vocabulary of 1601 .*200[01]"

fails 'no model' 64 'which model' sft-eval samples.sfts
fails 'nothing to do' 64 'STREAM' sft-eval -m model
fails 'a stream and a prompt' 64 'STREAM' sft-eval -m model --prompt x samples.sfts
fails 'no such model' 66 'nowhere' sft-eval -m nowhere samples.sfts
fails 'no such stream' 66 'none.sfts' sft-eval -m model none.sfts
fails 'too long a sample' 65 'longer than it may be' sft-eval -m model -l 8 samples.sfts
fails 'conversations' 65 'sft-template' sft-eval -m model <(sft-tokenize -q -m model --prompt-key q --response-key a rows.jsonl)
fails 'cuda' 69 '[cC][uU][dD][aA]' sft-eval -m model --device cuda samples.sfts
head -c 300 samples.sfts >cut.sfts
fails 'a stream cut short' 65 'cut.sfts' sft-eval -m model cut.sfts
cp -r model lies && damage lies/model.safetensors 0 '\xff\xff\xff'
fails 'a header that lies' 65 'lies/model.safetensors' sft-eval -m lies samples.sfts
exit $bad
