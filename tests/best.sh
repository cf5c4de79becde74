# SPDX-License-Identifier: Apache-2.0
# Helpers for the tests of the best checkpoint and of early stopping: data whose validation loss
# falls and then rises, and a model of the rule that is written without the trainer's code.

# falling: makes train.sfts, 24 steps of 4 samples, and val.sfts with other answers to its questions
falling() {
    local i
    model model hidden_size=32 intermediate_size=64 num_hidden_layers=2 num_attention_heads=2 \
        num_key_value_heads=1
    rows 1 4 >train.jsonl
    for i in 1 2 3 4; do
        printf '{"q":"Say number %d and then some more words.","a":"%s, %d then The."}\n' $i \
            'word The is, more number is word some' $i
    done >val.jsonl
    samples train.jsonl | sft-pack -q -l 128 -b 4 --epochs 24 -o train.sfts
    samples val.jsonl | sft-pack -q -l 128 -b 4 --mode none --in-order -o val.sfts
    config <<'YAML'
track_with: ""
sequence_length: 128
save_steps: 4
eval_steps: 1
sft_train:
  model_args: {dtype: fp32}
  training_args:
    num_train_epochs: 24
    per_device_train_batch_size: 4
    learning_rate: 1.0e-2
    lr_scheduler_type: constant
YAML
    load=sft_train.training_args.load_best_model_at_end
    metric=sft_train.training_args.metric_for_best_model
    patience=sft_train.training_args.early_stopping_patience
    threshold=sft_train.training_args.early_stopping_threshold
}
# table DIR: prints the step and the validation loss of each validation but the one before training
table() {
    jq -r 'select(has("sft_train/val_loss") and ."system/step" > 0) |
        "\(."system/step") \(."sft_train/val_loss")"' "$(metrics "$1")"
}
# rule EVAL SAVE PATIENCE THRESHOLD: from the table of an uninterrupted run with a validation after
# every step, on standard input, prints the last step, the step of the best checkpoint and the
# counter. PATIENCE 0: no early stopping.
rule() {
    awk -v eval="$1" -v save="$2" -v patience="$3" -v threshold="$4" '
        { loss[NR] = $2 }
        END {
            for (step = 1; step <= NR; step++) {
                if (step % eval != 0 && step != NR) continue
                if (!any || (loss[step] < least && least - loss[step] > threshold)) counter = 0
                else counter++
                if (!any || loss[step] < least) least = loss[step]
                any = 1
                ends = step == NR || (patience > 0 && counter >= patience)
                if ((step % save == 0 || ends) && (!best || loss[step] < loss[best])) best = step
                if (ends) break
            }
            print (step > NR ? NR : step), best, counter
        }'
}
