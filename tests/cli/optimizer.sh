#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the optimizer is and keeps: its tensors in the checkpoint, the same bytes with any number of
# threads, device and after a stop, what is refused. Device ref computes in bf16 on every CPU.
source "$(dirname "$0")/../train.sh"

model model hidden_size=32 intermediate_size=48 num_hidden_layers=1
rows 1 12 >train.jsonl
samples train.jsonl | sft-pack -q -l 128 -b 4 --epochs 1 -o train.sfts
config <<'END'
seed: 42
sequence_length: 128
save_steps: 2
sft_train:
  model_args: {dtype: bf16}
  training_args:
    per_device_train_batch_size: 4
    learning_rate: 1.0e-4
    lr_scheduler_type: constant
END
A=sft_train.training_args
small=(sft.master_dtype=bf16 sft.moments_dtype=bf16)
# train DIR [ARGUMENT...]: 3 steps, on ref where no device is named
train() {
    local device=(--device ref)
    [[ " $* " == *' --device '* ]] && device=()
    run "$1" "${device[@]}" "${@:2}" train.sfts
}
# kinds DIR: what is kept of the last norm
kinds() { grep -ao '"[a-z_]*\.model\.norm\.weight":{"dtype":"[A-Z0-9]*"' "$(state "$1")" |
    sed 's/\.model\.norm\.weight":{"dtype":/ /; s/"//g' | sort | paste -sd, | sed 's/,/, /g'; }
# both NAME DIR DIR: the same weights and state
both() {
    same "$1: the same weights" "$(weights "$2")" "$(weights "$3")"
    [ ! -e "$(state "$2")" ] || same "$1: the same state" "$(state "$2")" "$(state "$3")"
}

# ---- what is kept ----
check 'AdamW' train full
equal 'master and moments in fp32' "$(kinds full)" 'exp_avg F32, exp_avg_sq F32, master F32'
check 'AdamW, all in bf16' train small "${small[@]}"
equal 'no master, moments in bf16' "$(kinds small)" 'exp_avg BF16, exp_avg_sq BF16'
check 'SGD with momentum' train sgd $A.optim=sgd $A.optim_args=momentum=0.9,nesterov=true "${small[@]}"
equal 'its momentum' "$(kinds sgd)" 'momentum_buffer BF16'
check 'SGD' train plain $A.optim=sgd "${small[@]}"
check 'SGD alone keeps nothing' [ ! -e "$(state plain)" ]
check 'the checkpoints are whole' sft-ckpt verify -q {full,small,sgd,plain}/sft_train/checkpoint-3

# ---- random rounding is a function of seed, step and element ----
check 'again' train again "${small[@]}"
both 'again' small again
check 'another seed' train seed "${small[@]}" seed=43
differ 'another seed rounds otherwise' "$(weights small)" "$(weights seed)"
check 'cpu' train cpu --device cpu -@ 2 "${small[@]}"
check 'one thread' train one --device cpu -@ 1 "${small[@]}"
both 'one thread' cpu one
check 'far' train far --device far "${small[@]}"
both 'far' cpu far

# ---- stop and resume ----
for how in small sgd plain; do
    case $how in
        small) args=("${small[@]}") ;;
        sgd) args=($A.optim=sgd $A.optim_args=momentum=0.9,nesterov=true "${small[@]}") ;;
        plain) args=($A.optim=sgd "${small[@]}") ;;
    esac
    cp -r $how "$how-cut" && rm -r "$(checkpoint "$how-cut")"
    check "$how: resumes" train "$how-cut" --resume auto "${args[@]}"
    both "$how: resumed" $how "$how-cut"
done
lora=(sft_train.model_args.lora_target=all-linear sft_train.model_args.lora_rank=4 "${small[@]}")
check 'an adapter, all in bf16' train lora "${lora[@]}"
cp -r lora lora-cut && rm -r "$(checkpoint lora-cut)"
check 'an adapter: resumes' train lora-cut --resume auto "${lora[@]}"
same 'an adapter: the same weights' "$(adapter lora)" "$(adapter lora-cut)"
same 'an adapter: the same state' "$(state lora)" "$(state lora-cut)"
rm -r full/sft_train/checkpoint-3 small/sft_train/checkpoint-3 plain/sft_train/checkpoint-3
fails 'resume: moments of another type' 78 'of exp_avg there is F32, but this run keeps BF16' train full --resume auto sft.moments_dtype=bf16
fails 'resume: a master that is not there' 78 'of master there is nothing, but this run keeps F32' train small --resume auto sft.moments_dtype=bf16
fails 'resume: another optimizer' 78 'of exp_avg there is BF16, but this run keeps nothing' train small --resume auto $A.optim=sgd "${small[@]}"
fails 'resume: an optimizer that kept nothing' 78 'of exp_avg there is nothing' train plain --resume auto "${small[@]}"

# ---- what is taken and refused ----
check 'Megatron: optimizer' train mega sft_train.strategy_args.strategy_config.optimizer=sgd sft.master_dtype=bf16
equal 'with its momentum' "$(kinds mega)" 'momentum_buffer F32'
fails 'an optimizer that is not there' 78 'adamw_torch' train x $A.optim=adafactor
fails 'no optimizer' 78 'optim' train x $A.optim=nonsense
fails 'AdamW takes no arguments' 78 'AdamW takes none' train x $A.optim_args=momentum=0.9
fails 'nesterov without momentum' 78 'nesterov needs a momentum' train x $A.optim=sgd $A.optim_args=nesterov=true
fails 'an unknown argument' 78 'sgd takes momentum' train x $A.optim=sgd $A.optim_args=speed=1
fails 'a momentum of 1' 78 'below 1' train x $A.optim=sgd $A.optim_args=momentum=1
fails 'an argument without a value' 78 'key=value' train x $A.optim=sgd $A.optim_args=momentum
fails 'bf16 weights that are computed in fp32' 78 'set sft_train.model_args.dtype=bf16' train x sft_train.model_args.dtype=fp32 "${small[@]}"
exit $bad
