#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Training arguments, each by its effect: what an argument of the optimizer changes and what it leaves
# alone, frozen parameters, whole and fractional epochs, max_steps, seed and order through the whole pipe.
source "$(dirname "$0")/../train.sh"

model model hidden_size=32 intermediate_size=64 num_hidden_layers=2 num_attention_heads=2 num_key_value_heads=1 \
    torch_dtype='"float32"'
rows 0 9 >train.jsonl
samples train.jsonl | sft-pack -q -l 128 -b 4 --in-order -o train.sfts
config <<'END'
track_with: ""
sequence_length: 128
sft_train:
  model_args: {dtype: fp32}
  training_args: {per_device_train_batch_size: 2, gradient_accumulation_steps: 2, learning_rate: 1.0e-3}
END
t=sft_train.training_args s=sft_train.strategy_args.strategy_config
train() { run "$@" train.sfts; }

# ---- the optimizer ----
check 'a run' train base
effect() { # effect NAME KEY=VALUE...: the weights become others
    local name=$1 dir=e-${1//[^a-z0-9]/}
    shift
    check "$name" train "$dir" "$@"
    differ "$name: an effect" "$(weights base)" "$(weights "$dir")"
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
differ 'max_grad_norm: an effect of its own' "$(weights e-maxgradnorm)" "$(weights e-adamepsilon)"
check 'strategy_config' train mega $s.weight_decay=0.1 $s.warmup_steps=2 $s.lr_scheduler_type=warmup_stable_decay \
    $s.lr_scheduler_kwargs.num_decay_steps=1
check 'training_args' train args $t.weight_decay=0.1 $t.warmup_steps=2 $t.lr_scheduler_type=warmup_stable_decay \
    $t.lr_scheduler_kwargs.num_decay_steps=1
same 'arguments in strategy_config are those of training_args' "$(weights mega)" "$(weights args)"
check 'one step' train one max_steps=1
check 'one step with decay' train decay max_steps=1 $t.weight_decay=0.1
all=$(changed model "$(checkpoint one 1)")
equal 'all parameters are trained' "$(wc -l <<<"$all")" 20
equal 'weight_decay is on all matrices, and not on norms' "$(changed "$(checkpoint one 1)" "$(checkpoint decay 1)")" \
    "$(grep -v norm <<<"$all")"

# ---- reading ahead ----
for n in 1 3; do
    check "dataloader_num_workers $n" train "ahead$n" $t.dataloader_num_workers=$n save_steps=1
    same "dataloader_num_workers $n: the same end" "$(weights base)" "$(weights ahead$n)"
done
position() { echo "$(checkpoint "$@")/sft_train/state/run.json"; }
for k in 1 2; do same "step $k: the same position in the stream" "$(position ahead1 $k)" "$(position ahead3 $k)"; done
same 'and the same position in the stream' "$(position base)" "$(position ahead3)"
steps() { train x --plan --json "$@" | jq '.buffers[] | select(.name == "steps") | .class + " \(.bytes)"'; }
# 4 x 128 tokens of 8 bytes, 4 samples of 32 and 4 rows of 24 (to 64); buffers are multiples of 256
equal 'the plan has one step' "$(steps)" '"data 4352"'
equal 'and those read ahead' "$(steps $t.dataloader_num_workers=3)" '"data 17408"'
rm -rf ahead3/sft_train/checkpoint-[23]
check 'dataloader_num_workers: resumed' train ahead3 --resume auto $t.dataloader_num_workers=2
same 'dataloader_num_workers: resumed to the same end' "$(weights base)" "$(weights ahead3)"

# ---- frozen parameters ----
f=sft_train.model_args.freeze_module_prefix
check 'freeze_module_prefix' train freeze "$f='model.embed_tokens, model.layers.0,model.norm'"
equal 'freeze_module_prefix: the others are trained' "$(changed model "$(checkpoint freeze)")" "$(grep 'layers\.1' <<<"$all")"
check 'frozen, two steps' train again max_steps=2 "$f='model.embed_tokens, model.layers.0,model.norm'"
rm -rf "$(checkpoint again)"
check 'freeze_module_prefix: resumed' train again --resume auto "$f='model.embed_tokens, model.layers.0,model.norm'"
fails 'a prefix of no parameter' 78 "'model.layer.1': no parameter's name starts with it; the nearest is model.layers.1" \
    train x "$f=model.layer.1"
fails 'an empty prefix' 78 'an empty prefix, which would freeze all' train x "$f='model.norm,'"
fails 'nothing left to train' 78 'every parameter is frozen' train x "$f=model"

# ---- epochs, order and seed: the launcher, sft-pack and sft-train ----
launch() { # launch DIR [ARGUMENT...]
    local dir=$1
    shift
    "$root/run_sft_pipeline.sh" --config_path . --config_name config "output_dir=$dir" "logging_dir=$dir/logs" "$@" 2>"$dir.log" </dev/null
}
order() { sft-view "$1/data/train.sfts" | jq -c '[.step] + [.source[][1]]' | tr '\n' ' '; }
for epochs in 1 1.0 0.5 1.5; do
    check "num_train_epochs $epochs" launch "n$epochs" $t.num_train_epochs=$epochs sft.shuffle=false
done
equal 'steps of 1, 1.0, 0.5 and 1.5 epochs of 10 samples in batches of 4' \
    "$(for n in 1 1.0 0.5 1.5; do ls n$n/sft_train; done | tr '\n' ' ')" 'checkpoint-3 checkpoint-3 checkpoint-2 checkpoint-5 '
same '1 and 1.0 are the same' "$(weights n1)" "$(weights n1.0)"
equal 'sft.shuffle=false keeps the order of the file' \
    "$(sft-view n1.5/data/train.sfts | jq -sc 'group_by(.step) | map([.[].source[][1]] | sort)')" \
    '[[0,1,2,3],[4,5,6,7],[8,9],[0,1,2,3],[4,5,6,7]]'
check 'a seed' launch s1 seed=1
check 'another seed' launch s2 seed=2
if [ "$(order s1)" = "$(order s2)" ] || [ "$(order s1)" = "$(order n1)" ]; then not_ok 'the order follows the seed' "$(order s1)"; else ok 'the order follows the seed'; fi
check 'max_steps in training_args' launch m1 $t.max_steps=2 max_steps=3
tells 'max_steps beyond the stream is told' 'max_steps 5: the stream ends after 3' beyond max_steps=5 train.sfts
equal 'the smaller max_steps ends the run' "$(ls m1/sft_train)" checkpoint-2
equal 'the schedule has the length that max_steps tells' "$(values m1 sft_train/lr | paste -sd' ')" '0.001 0.0005'
exit $bad
