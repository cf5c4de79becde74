#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The optimizer: its tensors in the checkpoint, the same bytes with any number of threads, on each
# device and after a stop, and settings that are refused. Device ref computes in bf16 on every CPU.
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
# kinds DIR: prints the tensors of the last norm in the optimizer's state, with their types
kinds() {
    sft-ckpt show "$(state "$1")" |
        sed -n 's/^\([a-z_]*\)\.model\.norm\.weight\t\([A-Z0-9]*\)\t.*/\1 \2/p' |
        sort | paste -sd, | sed 's/,/, /g'
}
# both AREA DIR DIR: both runs have the same weights and state
both() {
    same "$1: the weights are the same" "$(weights "$2")" "$(weights "$3")"
    [ ! -e "$(state "$2")" ] || same "$1: the state is the same" "$(state "$2")" "$(state "$3")"
}

# ---- the kept tensors ----
check 'kept: a run with AdamW succeeds' train full
equal 'kept: AdamW has master and moments in fp32' "$(kinds full)" \
    'exp_avg F32, exp_avg_sq F32, master F32'
check 'kept: a run with AdamW, all in bf16, succeeds' train small "${small[@]}"
equal 'kept: AdamW in bf16 has its moments and no master' "$(kinds small)" \
    'exp_avg BF16, exp_avg_sq BF16'
check 'kept: a run with SGD and momentum succeeds' train sgd $A.optim=sgd \
    $A.optim_args=momentum=0.9,nesterov=true "${small[@]}"
equal 'kept: SGD has its momentum' "$(kinds sgd)" 'momentum_buffer BF16'
check 'kept: a run with SGD alone succeeds' train plain $A.optim=sgd "${small[@]}"
check 'kept: SGD alone has no state' [ ! -e "$(state plain)" ]
check 'kept: the checkpoints verify' sft-ckpt verify \
    -q {full,small,sgd,plain}/sft_train/checkpoint-3

# ---- random rounding is a function of seed, step and element ----
check 'rounding: a second run succeeds' train again "${small[@]}"
both 'rounding, the same again' small again
check 'rounding: a run with another seed succeeds' train seed "${small[@]}" seed=43
differ 'rounding: another seed rounds otherwise' "$(weights small)" "$(weights seed)"
check 'rounding: a run on cpu with two threads succeeds' train cpu --device cpu -@ 2 "${small[@]}"
check 'rounding: a run on cpu with one thread succeeds' train one --device cpu -@ 1 "${small[@]}"
both 'rounding, one thread or two' cpu one
check 'rounding: a run on the far device succeeds' train far --device far "${small[@]}"
both 'rounding, cpu or far' cpu far

# ---- gradients in bf16, in four micro-batches a step ----
four=($A.per_device_train_batch_size=1 $A.gradient_accumulation_steps=4)
narrow=("${four[@]}" sft.gradient_dtype=bf16)
check 'gradients: a run with fp32 succeeds' train wide "${four[@]}"
check 'gradients: a run with bf16 succeeds' train narrow "${narrow[@]}"
differ 'gradients: those in bf16 are rounded' "$(weights narrow)" "$(weights wide)"
equal 'gradients: with bf16 the losses are within 1e-3 of those of fp32' \
    "$(paste <(losses narrow) <(losses wide) | awk '($1 - $2) ^ 2 < 1e-6' | wc -l)" 3
equal 'gradients: they are not saved' "$(kinds narrow)" "$(kinds wide)"
check 'gradients: a run with bf16 on cpu succeeds' train narrow-cpu --device cpu -@ 2 "${narrow[@]}"
check 'gradients: a run with bf16 on far succeeds' train narrow-far --device far "${narrow[@]}"
both 'gradients in bf16, cpu or far' narrow-cpu narrow-far
# planned ARGUMENT...: prints the gradients' bytes in the plan
planned() { run plan --device ref --plan --json "$@" train.sfts | jq .classes.gradients.bytes; }
equal 'gradients: with bf16 the plan has half the bytes, to the next 256' \
    "$(planned "${narrow[@]}")" $((($(planned "${four[@]}") / 2 + 255) / 256 * 256))
cp -r narrow narrow-cut && rm -r "$(checkpoint narrow-cut)"
check 'gradients: a run with bf16 goes on' train narrow-cut --resume auto "${narrow[@]}"
both 'gradients in bf16, resumed' narrow narrow-cut
rm -r "$(checkpoint wide)"
tells 'gradients: another type is told on resume' \
    'sft.gradient_dtype is bf16, but was fp32' wide --device ref \
    --resume auto "${narrow[@]}" train.sfts
rm -r "$(checkpoint narrow-cut)"
tells 'gradients: the default type is told on resume' \
    'sft.gradient_dtype is fp32, but was bf16' narrow-cut \
    --device ref --resume auto "${four[@]}" train.sfts
fails 'gradients: bf16 of a computation in fp32 is refused' 78 \
    'what is computed in fp32 has its gradients in fp32' train x \
    sft_train.model_args.dtype=fp32 "${narrow[@]}"

# ---- logits in bf16 ----
short=("${four[@]}" sft.logits_dtype=bf16)
check 'logits: a run with bf16 succeeds' train short "${short[@]}"
check 'logits: a run with fp32 succeeds' train long "${four[@]}"
differ 'logits: those in bf16 are rounded' "$(weights short)" "$(weights long)"
equal 'logits: with bf16 the losses are within 1e-3 of those of fp32' \
    "$(paste <(losses short) <(losses long) | awk '($1 - $2) ^ 2 < 1e-6' | wc -l)" 3
# logits ARGUMENT...: prints the logits' bytes in the plan
logits() {
    run plan --device ref --plan --json "$@" train.sfts |
        jq '[.buffers[] | select(.name == "logits").bytes] | add'
}
equal 'logits: with bf16 the plan has half the bytes' $(($(logits "${short[@]}") * 2)) \
    "$(logits "${four[@]}")"
rm -r "$(checkpoint long)"
tells 'logits: another type is told on resume' 'sft.logits_dtype is bf16, but was fp32' long \
    --device ref --resume auto "${short[@]}" train.sfts
fails 'logits: bf16 of a computation in fp32 is refused' 78 \
    'what is computed in fp32 has its logits in fp32' train x \
    sft_train.model_args.dtype=fp32 "${short[@]}"

# ---- stop and resume ----
for how in small sgd plain; do
    case $how in
        small) args=("${small[@]}") ;;
        sgd) args=($A.optim=sgd $A.optim_args=momentum=0.9,nesterov=true "${small[@]}") ;;
        plain) args=($A.optim=sgd "${small[@]}") ;;
    esac
    cp -r $how "$how-cut" && rm -r "$(checkpoint "$how-cut")"
    check "resume, $how: a run without its last step goes on" train "$how-cut" --resume auto \
        "${args[@]}"
    both "resume, $how" $how "$how-cut"
done
lora=(sft_train.model_args.lora_target=all-linear sft_train.model_args.lora_rank=4 "${small[@]}")
check 'resume: a run of an adapter in bf16 succeeds' train lora "${lora[@]}"
cp -r lora lora-cut && rm -r "$(checkpoint lora-cut)"
check 'resume: the run of an adapter goes on' train lora-cut --resume auto "${lora[@]}"
same "resume: the adapter equals the uninterrupted run's" "$(adapter lora)" "$(adapter lora-cut)"
same "resume: the adapter's state equals the uninterrupted run's" "$(state lora)" \
    "$(state lora-cut)"
lora=("${lora[@]:0:2}" "${four[@]}")
check 'gradients of an adapter: a run with fp32 succeeds' train lora-wide "${lora[@]}"
check 'gradients of an adapter: a run with bf16 succeeds' train lora-narrow "${lora[@]}" \
    "${narrow[@]}"
differ 'gradients of an adapter: those in bf16 are rounded' "$(adapter lora-wide)" \
    "$(adapter lora-narrow)"
equal 'gradients of an adapter: losses are within 1e-3 of those of fp32' \
    "$(paste <(losses lora-narrow) <(losses lora-wide) | awk '($1 - $2) ^ 2 < 1e-6' | wc -l)" 3
rm -r full/sft_train/checkpoint-3 small/sft_train/checkpoint-3 plain/sft_train/checkpoint-3
fails 'resume: moments of another type are refused' 78 \
    'of exp_avg there is F32, but this run keeps BF16' train full --resume auto \
    sft.moments_dtype=bf16
fails 'resume: a master that the checkpoint lacks is refused' 78 \
    'of master there is nothing, but this run keeps F32' train small --resume auto \
    sft.moments_dtype=bf16
fails 'resume: another optimizer is refused' 78 \
    'of exp_avg there is BF16, but this run keeps nothing' train small --resume auto $A.optim=sgd \
    "${small[@]}"
fails 'resume: a checkpoint of an optimizer without a state is refused' 78 \
    'of exp_avg there is nothing' train plain --resume auto "${small[@]}"

# ---- settings ----
check 'arguments: strategy_config chooses the optimizer' train mega \
    sft_train.strategy_args.strategy_config.optimizer=sgd sft.master_dtype=bf16
equal 'arguments: SGD of strategy_config has its momentum' "$(kinds mega)" 'momentum_buffer F32'
fails 'arguments: an optimizer of transformers that is not supported is refused' 78 'adamw_torch' \
    train x $A.optim=adafactor
fails 'arguments: an unknown optimizer is refused' 78 'optim' train x $A.optim=nonsense
fails 'arguments: AdamW takes none' 78 'AdamW takes none' train x $A.optim_args=momentum=0.9
fails 'arguments: nesterov without a momentum is refused' 78 'nesterov needs a momentum' train x \
    $A.optim=sgd $A.optim_args=nesterov=true
fails 'arguments: an unknown one is refused' 78 'sgd takes momentum' train x $A.optim=sgd \
    $A.optim_args=speed=1
fails 'arguments: a momentum of 1 is refused' 78 'below 1' train x $A.optim=sgd \
    $A.optim_args=momentum=1
fails 'arguments: one without a value is refused' 78 'key=value' train x $A.optim=sgd \
    $A.optim_args=momentum
fails 'arguments: bf16 weights that are computed in fp32 are refused' 78 \
    'set sft_train.model_args.dtype=bf16' train x sft_train.model_args.dtype=fp32 "${small[@]}"
exit $bad
