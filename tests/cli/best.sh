#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The best checkpoint and early stopping: the rule of transformers, which tests/best.sh computes
# from the validation losses of an uninterrupted run; the folder of the best model, the checkpoints
# that remain, interrupted runs, and refusals.
source "$(dirname "$0")/../train.sh"
source "$root/tests/best.sh"
falling
quiet=''
# train DIR [ARGUMENT...]: a run with the summary in DIR.json
train() { run "$1" "${@:2}" --val val.sfts train.sfts >"$1.json"; }
there() { ls "$1/sft_train" | tr '\n' ' '; }

check 'whole: a run without any of the keys succeeds' train whole save_steps=0
table whole >losses
check 'whole: its validation loss falls and then rises' awk '
    { loss[NR] = $2 } NR == 1 || $2 < least { least = $2; at = NR }
    END { exit !(NR == 24 && at > 4 && at < 20 && loss[1] > least + 1 && loss[24] > least + 0.1) }
' losses
equal 'whole: nothing tells of a best checkpoint' \
    "$(jq -c 'keys | map(select(test("best|early")))' whole.json) $(jq -c .best \
        whole/sft_train/*/*/state/run.json) $(grep -c best_ "$(metrics whole)")" '[] null 0'

# ---- the rule ----
# ruled DIR: prints the last step, the best and the counter that a run tells
ruled() {
    jq -r '[.step, .best_step] | @tsv' "$1.json" | tr '\t\n' '  '
    jq -s '.[-1]["sft_train/early_stopping_counter"] // 0' "$(metrics "$1")"
}
while read -r eval save stop by; do
    run=r$eval-$save-$stop-$by
    args=("$load=true" eval_steps="$eval" save_steps="$save")
    [ "$stop" -eq 0 ] || args+=("$patience=$stop" "$threshold=$by")
    wanted=$(rule "$eval" "$save" "$stop" "$by" <losses)
    [ "$stop" -ne 0 ] || wanted=${wanted% *}\ 0
    check "rule: a run with steps $eval, $save, patience $stop and threshold $by succeeds" \
        train "$run" "${args[@]}"
    equal "rule: with steps $eval, $save, patience $stop and threshold $by it ends as computed" \
        "$(ruled "$run")" "$wanted"
done <<'CASES'
1 1 0 0
2 4 0 0
1 1 1 0
1 4 3 0
2 4 2 0
3 6 2 0
1 4 2 0.2
1 2 4 0.5
1 24 3 0
CASES
# The threshold matters: the least loss falls with every improvement, also one within it.
check 'rule: a threshold ends a run earlier' \
    awk "BEGIN { exit !($(jq .step r1-2-4-0.5.json) < $(jq .step r1-4-3-0.json)) }"
equal 'early: the summary says so' "$(jq -c .stopped_early r1-4-3-0.json)" true
best=$(jq .best_step r1-4-3-0.json) end=$(jq .step r1-4-3-0.json)
line="^sft-train: ended early after step $end: 3 validations in a row did not improve on "
line+='val_loss [0-9.]+ by more than 0 \(early_stopping_patience 3\); '
line+="the best is checkpoint-$best, val_loss [0-9.]+$"
tells 'early: a line has the step, the least loss, the patience and the best' "$line" early \
    "$load=true" "$patience=3" --val val.sfts train.sfts
equal 'early: it is one line' "$(grep -c 'ended early' stderr)" 1
check 'early: the last step is saved' sft-ckpt verify -q "$(checkpoint early "$end")"
equal 'metrics: each validation after an update has the best so far' \
    "$(values early sft_train/best_val_loss | sort -u | wc -l) $(values early sft_train/best_step |
        sort -nu | tail -n 1)" "$(awk -v end="$end" '
        $1 <= end && ($1 % 4 == 0 || $1 == end) && (!n || $2 < least) { least = $2; n++; at = $1 }
        END { print n, at }' losses)"
equal 'metric: eval_loss alone keeps the best, without a folder of its model' \
    "$(code run m "$metric=eval_loss" max_ckpt_to_keep=1 --val val.sfts train.sfts) $(there m)" \
    "0 checkpoint-$(rule 1 4 0 0 <losses | cut -d' ' -f2) checkpoint-24 "

# ---- the folder of the best model ----
model=early/sft_train/best
from=$(checkpoint early "$best")/sft_train
equal 'folder: the summary names it' "$(jq -r .best_model r1-4-3-0.json)" r1-4-3-0/sft_train/best
check 'folder: it is whole' sft-ckpt verify -q $model
check 'folder: it has the tensors of the best checkpoint' sft-ckpt diff -q $model "$from"
equal 'folder: it has the files of the model, and no state' "$(ls $model)" \
    "$(ls "$from" | grep -v '^state$')"
equal 'folder: its files take no room of their own' \
    "$(stat -c %i $model/model.safetensors)" "$(stat -c %i "$from/model.safetensors")"
# The weights in it are rounded to bf16, the model's type.
close 'folder: sft-eval gives its validation loss' \
    "$(sft-eval -q -m $model --dtype fp32 val.sfts | jq .loss)" \
    "$(awk -v best="$best" '$1 == best { print $2 }' losses)" 1e-3
lora=(sft_train.model_args.lora_target=all-linear sft_train.training_args.learning_rate=5e-2)
equal 'folder: a run with an adapter has one, of an adapter' \
    "$(code run l "${lora[@]}" "$load=true" --val val.sfts train.sfts) $(ls l/sft_train/best |
        grep -c '^adapter_')" '0 2'
close 'folder: sft-eval takes it as an adapter' \
    "$(sft-eval -q -m model --adapter l/sft_train/best --dtype fp32 val.sfts | jq .loss)" \
    "$(jq .best_val_loss stdout)" 1e-5

# ---- the checkpoints that remain ----
# remain KEEP: prints what remains of a run with a save every two steps
remain() {
    awk -v keep="$1" -v best="$(rule 1 2 0 0 <losses | cut -d' ' -f2)" 'BEGIN {
        left[best]
        for (step = 24; length(left) < (keep > 1 ? keep : 2); step -= 2) left[step]
        for (step = 2; step <= 24; step += 2) if (step in left) printf "checkpoint-%d\n", step
    }' | LC_ALL=C sort | tr '\n' ' '
}
for keep in 1 2 4; do
    equal "keep: of $keep the best is one, beside the newest" \
        "$(code run k$keep "$load=true" save_steps=2 max_ckpt_to_keep=$keep --val val.sfts \
            train.sfts) $(there k$keep)" "0 best $(remain $keep)"
done

# ---- interrupted runs ----
keys=("$load=true" "$patience=3" "$threshold=0.01" max_ckpt_to_keep=2)
# result DIR: prints the folders, the hashes of the last checkpoint with its state and of the best
# model, and the metrics without time and memory
result() {
    there "$1"
    cat "$1/sft_train/checkpoint-$end/sft_train/manifest.json" "$1/sft_train/best/manifest.json"
    steady "$1"
}
trainer=("$O/test/train_kill")
dense=("${keys[@]}" save_steps=1 "$patience=6")
KILL_LOG=$T/calls check 'killed: an uninterrupted run succeeds' train v "${dense[@]}"
end=$(jq .step v.json)
equal 'killed: it ends as computed' "$(ruled v)" "$(rule 1 1 6 0.01 <losses)"
result v >wanted
wrong='' after=0
for i in 1 3 5 6 7 8 9; do
    rm -rf k
    KILL_AT=$(($(<calls) * i / 10)) code train k "${dense[@]}" >rc
    [ "$(<rc)" -ne 0 ] || wrong+=" $i(not killed)"
    rc=$(code train k "${dense[@]}" --resume auto)
    [ "$rc" -eq 0 ] && result k | cmp -s - wanted || wrong+=" $i($rc)"
    n=$(sed -n 's/.*continuing after step \([0-9]*\) from.*/\1/p' stderr)
    [ "${n:-0}" -le $((end - 6)) ] || after=1
done
equal 'killed: a run killed at 7 calls and continued has the same best, counter and bytes' \
    "$wrong" ''
equal 'killed: one of them went on while the counter was above 0' $after 1
trainer=(sft-train)
check 'done: an uninterrupted run succeeds' train u "${keys[@]}"
end=$(jq .step u.json)
result u >wanted
# A step that is saved only because the run was asked to stop is no candidate.
mkfifo fifo
sft-train --config config.yaml output_dir=s logging_dir=s/logs "${keys[@]}" --val val.sfts fifo \
    >s.json 2>s.err &
job=$!
exec 9>fifo
kill -USR1 $job
cat train.sfts >&9
exec 9>&-
wait $job && rc=0 || rc=$?
equal 'stopped: the checkpoint of the stop is not the best' \
    "$rc $(there s) $(jq -c '.best.step' s/sft_train/checkpoint-1/sft_train/state/run.json)" \
    '75 checkpoint-1  0'
equal 'stopped: the continued run ends well' "$(code train s "${keys[@]}" --resume auto)" 0
equal 'stopped: it has the metrics of the uninterrupted one' "$(steady s)" "$(steady u)"
equal 'done: a run that ended early is continued without a step' \
    "$(code train u "${keys[@]}" --resume auto) $(jq -c '[.step, .steps, .stopped_early]' u.json)" \
    "0 [$end,0,true]"
result u >again
same 'done: its files stay as they were' again wanted
equal 'done: with more patience it goes on' \
    "$(code train u "${keys[@]}" --resume auto "$patience=50") $(jq -c '.step' u.json)" '0 24'
said 'done: a line tells that the patience has changed' \
    'early_stopping_patience is 50, but was 3 when the checkpoint was made'
equal 'done: the best stays the same' "$(jq .best_step u.json)" \
    "$(rule 1 4 3 0.01 <losses | cut -d' ' -f2)"
rm -rf lost
cp -r s lost
best=$(jq .best_step s.json)
mv "lost/sft_train/checkpoint-$best" gone
tells 'lost: a line names a best checkpoint that is not there' \
    "^sft-train: lost/sft_train: has no checkpoint-$best, the best so far with val_loss [0-9.]+;" \
    lost "${keys[@]}" --resume auto "$patience=50" --val val.sfts train.sfts
equal 'lost: the best is one that is there' \
    "$(jq .best_step stdout) $([ -e "lost/sft_train/checkpoint-$(jq .best_step stdout)" ] &&
        echo there)" "$(awk -v end="$end" '$1 > end && $1 % 4 == 0 && (!at || $2 < least) {
        least = $2; at = $1 } END { print at }' losses) there"

# ---- refusals ----
# refused NAME PATTERN ARGUMENT...: the arguments are refused (78) with such a message
refused() {
    fails "$1" 78 "$2" sft-train --config config.yaml --check "${@:3}"
}
refused 'refusal: another metric is named' \
    "metric_for_best_model=eval_accuracy': .* set it to loss" "$metric=eval_accuracy" --val val.sfts
refused 'refusal: a greater loss is not better' \
    "greater_is_better=true': .*; leave it out or set it to false" "$load=true" \
    sft_train.training_args.greater_is_better=true --val val.sfts
refused 'refusal: saves without a validation name both numbers' \
    'save_steps 5 is not a multiple of eval_steps 2, .* save_steps=6' "$load=true" save_steps=5 \
    eval_steps=2 --val val.sfts
refused 'refusal: a best model needs validations' 'eval_steps is 0 \(save_steps is 4\)' \
    "$load=true" eval_steps=0 --val val.sfts
refused 'refusal: a best model needs data for validation' 'add --val STREAM' "$load=true"
refused 'refusal: early stopping needs a metric' \
    'early_stopping_patience=2.: needs metric_for_best_model: loss, or load_best' "$patience=2" \
    --val val.sfts
refused 'refusal: early stopping needs validations' \
    'early_stopping_patience=2.: .* eval_steps is 0' "$patience=2" \
    "$metric=loss" eval_steps=0 --val val.sfts
refused 'refusal: no patience is refused' 'early_stopping_patience' "$load=true" "$patience=0" \
    --val val.sfts
equal 'keys: a threshold without patience is told to have no effect' \
    "$(sft-config config.yaml "$threshold=0.1" 2>&1 >out |
        grep -c 'early_stopping_threshold.*only with early_stopping_patience')" 1
fails 'keys: the name of another trainer is known' 78 'early_stopping_patience' sft-config \
    config.yaml sft_train.training_args.early_stopping_steps=3
exit $bad
