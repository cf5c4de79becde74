#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Steps that go wrong: a loss that is not finite, and one that is far too high, are named with their
# rows in the log and in metrics.jsonl; the run ends, goes on, or leaves the update out.
source "$(dirname "$0")/../train.sh"

# An untied head: a token's embedding meets only the rows that have it.
model model tie_word_embeddings=false
# 9 steps of one row each, all alike but the one with the row of step 8.
for i in 1 2 3 4 5 6 7; do echo '{"q":"Say it.","a":"one two three one two three one two three"}'; done >train.jsonl
echo '{"q":"Say it.","a":"q%w^ @Zk #J ~xv |&Q $$ {Y} ..! _+K"}' >>train.jsonl
echo '{"q":"Say it.","a":"one two three one two three one two three"}' >>train.jsonl
sed 8d train.jsonl >without.jsonl
for s in train without; do samples $s.jsonl | sft-pack -q -l 128 -b 1 --in-order -o $s.sfts; done
stream=train.sfts
config <<'END'
track_with: ""
sequence_length: 128
save_steps: 8
sft: {shuffle: false, spike_factor: 1.5, spike_window: 5}
sft_train:
  model_args: {dtype: fp32}
  training_args: {per_device_train_batch_size: 1, learning_rate: 5.0e-3, lr_scheduler_type: constant}
END
train() { # train DIR [ARGUMENT...]: standard error in DIR.log, the summary in DIR.json
    local dir=$1 rc
    quiet='' run "$@" $stream >"$dir.json" 2>"$dir.log"
    rc=$?
    cat "$dir.log" >&2
    return $rc
}
metric() { jq -c "select(has(\"system/step\")) | .[\"$2\"]" "$(metrics "$1")" | tr '\n' ' '; }

# ---- spikes ----
check 'warn' train warn
equal 'warn: the step and its rows are said once' \
    "$(grep -cE 'step 8: loss [0-9.]+ is [0-9.]+ times the median of the last 5 \(.*\(file:row\) are 0:7$' warn.log)" 1
equal 'warn: and kept in the log' "$(grep -c 'step 8: loss' warn/logs/tiny/log)" 1
equal 'warn: all rows in metrics.jsonl' "$(metric warn sft_train/suspect_rows)" \
    'null null null null null null null [[0,7]] null '
equal 'warn: nothing is left out' "$(jq .skipped_steps warn.json) $(metric warn sft_train/skipped_steps)" '0 0 0 0 0 0 0 0 0 0 '
check 'off' train none sft.spike_factor=0
equal 'off: nothing is said' "$(grep -c median none.log)" 0
same 'warn changes nothing' "$(weights warn 9)" "$(weights none 9)"
check 'skip' train skip sft.spike_action=skip
equal 'skip: counted in metrics.jsonl and in the summary' \
    "$(jq .skipped_steps skip.json) $(metric skip sft_train/skipped_steps)" '1 0 0 0 0 0 0 0 1 1 '
check 'max_steps=7' train seven max_steps=7
same 'skip: the weights of step 8 are those of step 7' "$(weights skip 8)" "$(weights seven 7)"
stream=without.sfts
check 'a stream without that step' train without
stream=train.sfts
same 'skip: the end is that of a stream without that step' "$(weights skip 9)" "$(weights without 8)"
fails 'stop' 76 'step 8: loss .* 0:7; sft.spike_action=skip' train stop sft.spike_action=stop save_steps=7
equal 'stop: the checkpoint before it is there' "$(ls stop/sft_train)" checkpoint-7
equal 'stop: the rows are in metrics.jsonl' "$(metric stop sft_train/suspect_rows)" 'null null null null null null null [[0,7]] '
check 'stop: and continues, with the losses before it remembered' train stop sft.spike_action=skip --resume auto
equal 'stop: with one line a step' "$(metric stop system/step)" '1 2 3 4 5 6 7 8 9 '
same 'stop: to the same end' "$(weights stop 9)" "$(weights skip 9)"

# ---- not finite: the embedding of a token that only row 7 has ----
cp -r model nan
f=nan/model.safetensors
n=$(od -An -tu8 -N8 $f | tr -d ' ')
table() { tail -c +9 $f | head -c "$n" | jq ".[\"model.embed_tokens.weight\"]$1"; }
width=$(($(table .shape[1]) * ($(table '.data_offsets[1]') - $(table '.data_offsets[0]')) / $(table .shape[0]) / $(table .shape[1])))
token=$(echo '~' | sft-tokenize -q --ids -m model)
if [ "$(table .dtype)" = '"F32"' ]; then nan='\xff\xff\xff\x7f'; else nan='\xff\x7f'; fi
damage $f $((8 + n + $(table '.data_offsets[0]') + token * width)) $nan
fails 'not finite' 76 'step 8: loss .*nan.* not finite; .*\(file:row\) are 0:7; sft.skip_nonfinite' train bad pretrain=./nan
equal 'not finite: the rows are in metrics.jsonl' "$(metric bad sft_train/suspect_rows)" 'null null null null null null null [[0,7]] '
check 'skip_nonfinite' train left pretrain=./nan sft.skip_nonfinite=true
equal 'skip_nonfinite: counted in metrics.jsonl and in the summary' \
    "$(jq .skipped_steps left.json) $(metric left sft_train/skipped_steps)" '1 0 0 0 0 0 0 0 1 1 '
equal 'skip_nonfinite: the rows' "$(metric left sft_train/suspect_rows)" 'null null null null null null null [[0,7]] null '
check 'skip_nonfinite: resumed right after' train late pretrain=./nan sft.skip_nonfinite=true max_steps=8
check 'skip_nonfinite: and on' train late pretrain=./nan sft.skip_nonfinite=true --resume auto
equal 'skip_nonfinite: the count goes on' "$(metric late sft_train/skipped_steps)" '0 0 0 0 0 0 0 1 1 '
same 'skip_nonfinite: to the same end' "$(weights late 9)" "$(weights left 9)"
stream=without.sfts
check 'skip_nonfinite: a stream without that step' train clean pretrain=./nan
stream=train.sfts
same 'skip_nonfinite: the end is that of a stream without that step' "$(weights left 9)" "$(weights clean 8)"
equal 'skip_nonfinite: the log' "$(grep -c 'step 8: loss -\?nan.*0:7; no update made' left.log)" 1

# ---- the rows that are named are those of the step, in files, packed and shuffled ----
for i in $(seq 1 9); do echo "{\"q\":\"Say it $i times.\",\"a\":\"one two $i\"}"; done >first.jsonl
sed '6s/one/~/' first.jsonl >second.jsonl
sft-tokenize -q -m model --prompt-key q --response-key a first.jsonl second.jsonl | sft-template -q -m model |
    sft-pack -q -l 64 -b 4 -o many.sfts
stream=many.sfts
step=$(sft-view many.sfts | jq 'select(.source | index([[1, 5]])) | .step')
rows=$(sft-view many.sfts | jq -c "select(.step == $step) | .source[]" | jq -sc .)
equal 'many rows: a step of four' "$(jq length <<<"$rows")" 4
for how in '' sft_train.model_args.lora_target=all-linear; do
    rm -rf many
    # shellcheck disable=SC2086
    fails "many rows${how:+, LoRA}: the message names them" 76 "step $((step + 1)): .*not finite; .* \(file:row\) are [0-9: ]*1:5" \
        train many pretrain=./nan sequence_length=64 sft_train.use_sequence_packing=true sft.shuffle=true \
        sft_train.training_args.gradient_accumulation_steps=4 $how
    equal "many rows${how:+, LoRA}: as metrics.jsonl has them" "$(tail -n 1 "$(metrics many)" | jq -c '.["sft_train/suspect_rows"]')" "$rows"
done

# ---- a gradient that is too large for fp32, of a loss that is not: the last norm's weights are 1e-36,
# and the head's row of one token is 3e38 ----
echo '{"q":"Say it.","a":"~"}' >steep.jsonl
samples steep.jsonl | sft-pack -q -l 128 -b 1 --in-order -o steep.sfts
stream=steep.sfts
cp -r model steep
f=steep/model.safetensors
fill() { # fill TENSOR FROM COUNT BYTES: elements of a bf16 tensor
    local at
    at=$((8 + n + $(head -c $((8 + n)) $f | tail -c "$n" | jq ".[\"$1\"].data_offsets[0]") + 2 * $2))
    for _ in $(seq "$3"); do printf "$4"; done | dd of=$f bs=1 seek=$at conv=notrunc 2>/dev/null
}
hidden=$(jq .hidden_size model/config.json)
fill model.norm.weight 0 "$hidden" '\xaa\x03'
fill lm_head.weight $((token * hidden)) "$hidden" '\x62\x7f'
fails 'a gradient that is not finite' 76 'step 1: loss [0-9.]+(e\+[0-9]+)?, gradient norm (inf|-?nan): not finite; .* are 0:0;' \
    train over pretrain=./steep
exit $bad
