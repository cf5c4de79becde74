#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Training arguments, each by its effect: arguments of the optimizer, frozen parameters, whole and
# fractional epochs, max_steps, seed and order through the whole pipe.
source "$(dirname "$0")/../train.sh"

model model hidden_size=32 intermediate_size=64 num_hidden_layers=2 num_attention_heads=2 \
    num_key_value_heads=1 \
    torch_dtype='"float32"'
rows 0 9 >train.jsonl
samples train.jsonl | sft-pack -q -l 128 -b 4 --in-order -o train.sfts
config <<'END'
track_with: ""
sequence_length: 128
sft_train:
  model_args: {dtype: fp32}
  training_args:
    per_device_train_batch_size: 2
    gradient_accumulation_steps: 2
    learning_rate: 1.0e-3
END
t=sft_train.training_args s=sft_train.strategy_args.strategy_config
train() { run "$@" train.sfts; }

# ---- the optimizer ----
check 'optimizer: a run with the defaults succeeds' train base
# effect ARGUMENT KEY=VALUE...: checks that the settings change the weights
effect() {
    local name=$1 dir=e-${1//[^a-z0-9]/}
    shift
    check "optimizer: a run with $name succeeds" train "$dir" "$@"
    differ "optimizer: $name changes the weights" "$(weights base)" "$(weights "$dir")"
}
effect learning_rate $t.learning_rate=2e-3
effect lr_scheduler_type $t.lr_scheduler_type=constant
effect warmup_steps $t.warmup_steps=2
effect warmup_ratio $t.warmup_ratio=0.5
effect weight_decay $t.weight_decay=0.1
effect adam_beta1 $t.adam_beta1=0.8
effect adam_beta2 $t.adam_beta2=0.9
effect adam_epsilon $t.adam_epsilon=1e-4
effect max_grad_norm max_grad_norm=0.01 $t.adam_epsilon=1e-4
differ "optimizer: max_grad_norm has an effect beside adam_epsilon's" "$(weights e-maxgradnorm)" \
    "$(weights e-adamepsilon)"
check 'optimizer: a run with arguments in strategy_config succeeds' train mega $s.weight_decay=0.1 \
    $s.warmup_steps=2 $s.lr_scheduler_type=warmup_stable_decay \
    $s.lr_scheduler_kwargs.num_decay_steps=1
check 'optimizer: a run with them in training_args succeeds' train args $t.weight_decay=0.1 \
    $t.warmup_steps=2 $t.lr_scheduler_type=warmup_stable_decay \
    $t.lr_scheduler_kwargs.num_decay_steps=1
same 'optimizer: arguments in strategy_config are those of training_args' "$(weights mega)" \
    "$(weights args)"
check 'optimizer: a run of one step succeeds' train one max_steps=1
check 'optimizer: a run of one step with decay succeeds' train decay max_steps=1 $t.weight_decay=0.1
all=$(changed model "$(checkpoint one 1)")
equal 'optimizer: all parameters are trained' "$(wc -l <<<"$all")" 20
equal 'optimizer: weight_decay acts on all matrices and on no norm' \
    "$(changed "$(checkpoint one 1)" "$(checkpoint decay 1)")" \
    "$(grep -v norm <<<"$all")"

# ---- prefetch of steps ----
for n in 1 3; do
    check "prefetch: a run with $n workers of the loader succeeds" train "ahead$n" \
        $t.dataloader_num_workers=$n save_steps=1
    same "prefetch: $n workers give the same end" "$(weights base)" "$(weights ahead$n)"
done
position() { echo "$(checkpoint "$@")/sft_train/state/run.json"; }
for k in 1 2; do
    same "prefetch: the position in the stream at step $k is the same" "$(position ahead1 $k)" \
        "$(position ahead3 $k)"
done
same 'prefetch: the position in the stream is that of a run without it' "$(position base)" \
    "$(position ahead3)"
steps() {
    train x --plan --json "$@" | jq '.buffers[] | select(.name == "steps") | .class + " \(.bytes)"'
}
# 4 x 128 tokens of 8 bytes, 4 samples of 32 and 4 rows of 24 (to 64); buffers are multiples of 256
equal 'prefetch: the plan has the memory of one step without it' "$(steps)" '"data 4352"'
equal 'prefetch: the plan has the memory of the prefetched steps' \
    "$(steps $t.dataloader_num_workers=3)" '"data 17408"'
rm -rf ahead3/sft_train/checkpoint-[23]
check 'prefetch: a run with it is resumed' train ahead3 --resume auto $t.dataloader_num_workers=2
same 'prefetch: the resumed run has the same end' "$(weights base)" "$(weights ahead3)"

# ---- frozen parameters ----
f=sft_train.model_args.freeze_module_prefix
check 'frozen: a run with three frozen modules succeeds' train freeze \
    "$f='model.embed_tokens, model.layers.0,model.norm'"
equal 'frozen: exactly the other parameters are trained' "$(changed model "$(checkpoint freeze)")" \
    "$(grep 'layers\.1' <<<"$all")"
check 'frozen: a run of two steps succeeds' train again max_steps=2 \
    "$f='model.embed_tokens, model.layers.0,model.norm'"
rm -rf "$(checkpoint again)"
check 'frozen: the run is resumed' train again --resume auto \
    "$f='model.embed_tokens, model.layers.0,model.norm'"
fails 'frozen: a prefix of no parameter names the nearest' 78 \
    "'model.layer.1': no parameter's name starts with it; the nearest is model.layers.1" \
    train x "$f=model.layer.1"
fails 'frozen: an empty prefix is refused' 78 'an empty prefix, which would freeze all' train x \
    "$f='model.norm,'"
fails 'frozen: a model that is frozen as a whole is refused' 78 'every parameter is frozen' train \
    x "$f=model"

# ---- epochs, order and seed: the launcher, sft-pack and sft-train ----
# launch DIR [ARGUMENT...]: a run by the launcher
launch() {
    local dir=$1
    shift
    "$root/run_sft_pipeline.sh" --config_path . --config_name config "output_dir=$dir" \
        "logging_dir=$dir/logs" \
        "$@" </dev/null
}
order() { sft-view "$1/data/train.sfts" | jq -c '[.step] + [.source[][1]]' | tr '\n' ' '; }
for epochs in 1 1.0 0.5 1.5; do
    check "epochs: a run of $epochs succeeds" launch "n$epochs" $t.num_train_epochs=$epochs \
        sft.shuffle=false
done
equal 'epochs: 1, 1.0, 0.5 and 1.5 have their numbers of steps' \
    "$(for n in 1 1.0 0.5 1.5; do ls n$n/sft_train; done | paste -sd' ')" \
    'checkpoint-3 checkpoint-3 checkpoint-2 checkpoint-5'
same 'epochs: 1 and 1.0 give the same weights' "$(weights n1)" "$(weights n1.0)"
equal 'order: sft.shuffle=false keeps that of the file' \
    "$(sft-view n1.5/data/train.sfts | jq -sc 'group_by(.step) | map([.[].source[][1]] | sort)')" \
    '[[0,1,2,3],[4,5,6,7],[8,9],[0,1,2,3],[4,5,6,7]]'
check 'order: a run with a seed succeeds' launch s1 seed=1
check 'order: a run with another seed succeeds' launch s2 seed=2
differ 'order: another seed gives another one' <(order s1) <(order s2)
differ 'order: a seed changes that of the file' <(order s1) <(order n1)
check 'max_steps: a run with both kinds succeeds' launch m1 $t.max_steps=2 max_steps=3
tells 'max_steps: more than the stream has are told' 'max_steps 5: the stream ends after 3' beyond \
    max_steps=5 train.sfts
equal 'max_steps: the smaller one ends the run' "$(ls m1/sft_train)" checkpoint-2
equal 'max_steps: the schedule has its length' "$(values m1 sft_train/lr | paste -sd' ')" \
    '0.001 0.0005'
exit $bad
