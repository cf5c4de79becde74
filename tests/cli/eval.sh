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
