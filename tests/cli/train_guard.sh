#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Bad steps: a loss that is not finite, or far too high, is named with its rows in the log and in
# metrics.jsonl; the run ends, goes on, or leaves the update out.
source "$(dirname "$0")/../train.sh"

# An untied head: a token's embedding meets only the rows that have it.
model model tie_word_embeddings=false
# 9 steps of one row each, all alike but the one with the row of step 8.
for i in 1 2 3 4 5 6 7 8 9; do
    echo '{"q":"Say it.","a":"one two three one two three one two three"}'
done | sed '8s/"one .*"/"q%w^ @Zk #J ~xv |\&Q $$ {Y} ..! _+K"/' >train.jsonl
sed 8d train.jsonl >without.jsonl
for s in train without; do samples $s.jsonl | sft-pack -q -l 128 -b 1 --in-order -o $s.sfts; done
stream=train.sfts
quiet=''
config <<'END'
track_with: ""
sequence_length: 128
save_steps: 8
sft: {shuffle: false, spike_factor: 1.5, spike_window: 5}
sft_train:
  model_args: {dtype: fp32}
  training_args:
    per_device_train_batch_size: 1
    learning_rate: 5.0e-3
    lr_scheduler_type: constant
END
# train DIR [ARGUMENT...]: a run with standard error in DIR.log and the summary in DIR.json
train() {
    local dir=$1 rc
    run "$@" $stream >"$dir.json" 2>"$dir.log"
    rc=$?
    cat "$dir.log" >&2
    return $rc
}

# ---- spikes ----
check 'warn: the run succeeds' train warn
equal 'warn: step and rows are told once' \
    "$(grep -cE \
        'step 8: loss [0-9.]+ is [0-9.]+ times the median of the last 5 \(.*\(file:row\) are 0:7$' \
            warn.log)" 1
equal 'warn: the log has the line' "$(grep -c 'step 8: loss' warn/logs/tiny/log)" 1
equal 'warn: the metrics have all rows' "$(metric warn sft_train/suspect_rows)" \
    'null null null null null null null [[0,7]] null '
equal 'warn: no step is left out' \
    "$(jq .skipped_steps warn.json) $(metric warn sft_train/skipped_steps)" '0 0 0 0 0 0 0 0 0 0 '
check 'off: the run succeeds' train none sft.spike_factor=0
equal 'off: nothing is told' "$(grep -c median none.log)" 0
same 'warn: the weights are those of a run without it' "$(weights warn 9)" "$(weights none 9)"
check 'skip: the run succeeds' train skip sft.spike_action=skip
equal 'skip: metrics and summary count the step' \
    "$(jq .skipped_steps skip.json) $(metric skip sft_train/skipped_steps)" '1 0 0 0 0 0 0 0 1 1 '
check 'skip: a run of seven steps succeeds' train seven max_steps=7
same 'skip: step 8 leaves the weights of step 7' "$(weights skip 8)" "$(weights seven 7)"
stream=without.sfts
check 'skip: a run without that step in its stream succeeds' train without
stream=train.sfts
same 'skip: the end is that of a stream without that step' "$(weights skip 9)" \
    "$(weights without 8)"
quiet=-q fails 'stop: the run ends with 76 and names the rows' 76 \
    'step 8: loss .* 0:7; sft.spike_action=skip' train stop sft.spike_action=stop save_steps=7
equal 'stop: the checkpoint before the step is there' "$(ls stop/sft_train)" checkpoint-7
equal 'stop: the metrics have the rows' "$(metric stop sft_train/suspect_rows)" \
    'null null null null null null null [[0,7]] '
check 'stop: the run is resumed and remembers the losses before' train stop sft.spike_action=skip \
    --resume auto
equal 'stop: each step has one line of the metrics' "$(metric stop system/step)" \
    '1 2 3 4 5 6 7 8 9 '
same 'stop: the resumed run has the same end' "$(weights stop 9)" "$(weights skip 9)"

# ---- not finite: the embedding of a token that only row 7 has ----
cp -r model nan
hidden=$(jq .hidden_size model/config.json)
token=$(echo '~' | sft-tokenize -q --ids -m model)
fill nan/model.safetensors model.embed_tokens.weight $((token * hidden)) 1 '\xff\x7f'
quiet=-q fails 'not finite: the run ends with 76 and names the rows' 76 \
    'step 8: loss .*nan.* not finite; .*\(file:row\) are 0:7; sft.skip_nonfinite' train bad \
    pretrain=./nan
equal 'not finite: the metrics have the rows' "$(metric bad sft_train/suspect_rows)" \
    'null null null null null null null [[0,7]] '
check 'skip_nonfinite: the run succeeds' train left pretrain=./nan sft.skip_nonfinite=true
equal 'skip_nonfinite: metrics and summary count the step' \
    "$(jq .skipped_steps left.json) $(metric left sft_train/skipped_steps)" '1 0 0 0 0 0 0 0 1 1 '
equal 'skip_nonfinite: the metrics have the rows' "$(metric left sft_train/suspect_rows)" \
    'null null null null null null null [[0,7]] null '
check 'skip_nonfinite: a run that stops right after the step succeeds' train late pretrain=./nan \
    sft.skip_nonfinite=true max_steps=8
check 'skip_nonfinite: the run goes on' train late pretrain=./nan sft.skip_nonfinite=true \
    --resume auto
equal 'skip_nonfinite: the resumed run goes on with the count' \
    "$(metric late sft_train/skipped_steps)" '0 0 0 0 0 0 0 1 1 '
same 'skip_nonfinite: the resumed run has the same end' "$(weights late 9)" "$(weights left 9)"
stream=without.sfts
check 'skip_nonfinite: a run without that step in its stream succeeds' train clean pretrain=./nan
stream=train.sfts
same 'skip_nonfinite: the end is that of a stream without that step' "$(weights left 9)" \
    "$(weights clean 8)"
equal 'skip_nonfinite: the log has the step and its rows' \
    "$(grep -c 'step 8: loss -\?nan.*0:7; no update made' left.log)" 1

# ---- the named rows are those of the step, in files, packed and shuffled ----
for i in $(seq 1 9); do echo "{\"q\":\"Say it $i times.\",\"a\":\"one two $i\"}"; done >first.jsonl
sed '6s/one/~/' first.jsonl >second.jsonl
sft-tokenize -q -m model --prompt-key q --response-key a first.jsonl second.jsonl |
    sft-template -q -m model |
    sft-pack -q -l 64 -b 4 -o many.sfts
stream=many.sfts
step=$(sft-view many.sfts | jq 'select(.source | index([[1, 5]])) | .step')
rows=$(sft-view many.sfts | jq -c "select(.step == $step) | .source[]" | jq -sc .)
equal 'many rows: the step with the bad row has four' "$(jq length <<<"$rows")" 4
for how in '' sft_train.model_args.lora_target=all-linear; do
    rm -rf many
    # shellcheck disable=SC2086
    quiet=-q fails "many rows${how:+, LoRA}: the message names them" 76 \
        "step $((step + 1)): .*not finite; .* \(file:row\) are [0-9: ]*1:5" \
        train many pretrain=./nan sequence_length=64 sft_train.use_sequence_packing=true \
        sft.shuffle=true \
        sft_train.training_args.gradient_accumulation_steps=4 $how
    equal "many rows${how:+, LoRA}: the metrics have exactly those of the step" \
        "$(tail -n 1 "$(metrics many)" | jq -c '.["sft_train/suspect_rows"]')" "$rows"
done

# ---- a gradient that overflows fp32 under a loss that does not: the last norm's weights are 1e-36,
# and the head's row of one token is 3e38 ----
echo '{"q":"Say it.","a":"~"}' >steep.jsonl
samples steep.jsonl | sft-pack -q -l 128 -b 1 --in-order -o steep.sfts
stream=steep.sfts
cp -r model steep
f=steep/model.safetensors
fill $f model.norm.weight 0 "$hidden" '\xaa\x03'
fill $f lm_head.weight $((token * hidden)) "$hidden" '\x62\x7f'
quiet=-q fails 'not finite: a gradient too large for fp32 ends the run' 76 \
    'step 1: loss [0-9.]+(e\+[0-9]+)?, gradient norm (inf|-?nan): not finite; .* are 0:0;' \
    train over pretrain=./steep
exit $bad
