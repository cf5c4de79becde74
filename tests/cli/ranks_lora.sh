#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What is trained in part, under several ranks: adapters, with and without dropout, and modules beside
# frozen ones. ZeRO-0 and ZeRO-1 give the same bytes, and the losses and validation losses of every
# step are those of one process; checkpoints change hands.
source "$(dirname "$0")/../ranks.sh"

# Validation after every step. At this rate the second loss already tells what was dropped before.
settings=(eval_steps=1 sft_train.training_args.learning_rate=1.0e-2 --val val.sfts)
m=sft_train.model_args
lora=($m.lora_target=all-linear $m.lora_rank=4)
validations() { values "$1" sft_train/val_loss; }
norms() { values "$1" sft_train/grad_norm; }
# as_one NAME DIR DIR TOLERANCE: every loss, before an update and after
as_one() {
    close "$1: the losses of one process" "$(losses "$3")" "$(losses "$2")" "$4"
    close "$1: its validation losses" "$(validations "$3")" "$(validations "$2")" "$4"
}
# alike NAME FILES DIR DIR: those files of the checkpoint, and the metrics
alike() {
    local file
    for file in $2; do same "$1: the same ${file}" "$($file "$3")" "$($file "$4")"; done
    equal "$1: the same losses and norms" "$(losses "$3") $(validations "$3") $(norms "$3")" \
        "$(losses "$4") $(validations "$4") $(norms "$4")"
}

# layouts NAME TOLERANCE FILES ARGUMENT...: one process in the folder one, and as many ranks as $counts
# has, with ZeRO-0 in the folder zero0-N and ZeRO-1 in zero1-N
counts='2 3'
layouts() {
    local name=$1 tolerance=$2 files=$3 n
    rm -rf one zero[01]-*
    shift 3
    equal "$name: one process" "$(code run one "${settings[@]}" "$@" train.sfts)" 0
    equal "$name: a loss for each step" "$(losses one | wc -l) $(validations one | wc -l)" '3 4'
    for n in $counts; do
        equal "$name: $n ranks, ZeRO-0" "$(code train $n zero0-$n "${settings[@]}" "$@" train.sfts)" 0
        equal "$name: $n ranks, ZeRO-1" "$(code train $n zero1-$n "${settings[@]}" "$@" $zero1 train.sfts)" 0
        alike "$name: $n ranks" "$files" zero0-$n zero1-$n
        as_one "$name: $n ranks" one zero0-$n "$tolerance"
    done
}

# ---- adapters ----
for dropout in 0 0.1; do
    job=("${lora[@]}" $m.lora_dropout=$dropout)
    layouts "bf16, dropout $dropout" 1e-5 'adapter state' "${job[@]}" $bf16
    layouts "fp32, dropout $dropout" 1e-6 'adapter state' "${job[@]}"
done
# The last of these, fp32 with dropout, goes on.
equal 'a sample a row on 3 ranks' "$(code train 3 single "${settings[@]}" "${job[@]}" sft_train.use_sequence_packing=false single.sfts)" 0
as_one 'a sample a row on 3 ranks' one single 1e-6
equal 'without dropout' "$(code train 2 still "${settings[@]}" "${lora[@]}" train.sfts)" 0
differ 'dropout changes the adapter' "$(adapter zero0-2)" "$(adapter still)"

equal 'all recomputed, on a device that cannot be read' "$(code train 2 far "${settings[@]}" "${job[@]}" $zero1 sft.recompute=full --device far train.sfts)" 0
alike 'all recomputed, on a device that cannot be read' 'adapter state' zero0-2 far

# resumes NAME FROM N ARGUMENT...: into the folder `again`
resumes() {
    rm -rf again
    equal "$1" "$(again again "$2" "$3" "${settings[@]}" "${job[@]}" "${@:4}")" 0
}
resumes 'ZeRO-1 resumes ZeRO-0' zero0-2 2 $zero1
alike 'ZeRO-1 resumes ZeRO-0' 'adapter state' zero0-2 again
resumes 'ZeRO-0 resumes ZeRO-1' zero1-2 2
alike 'ZeRO-0 resumes ZeRO-1' 'adapter state' zero0-2 again
resumes '2 ranks, then 1' zero1-2 1
as_one '2 ranks, then 1' one again 1e-6
resumes '3 ranks, then 2' zero1-3 2 $zero1
as_one '3 ranks, then 2' one again 1e-6
resumes '1 rank, then 3' one 3 $zero1
as_one '1 rank, then 3' one again 1e-6
resumes '2 ranks, then 3' zero0-2 3
as_one '2 ranks, then 3' one again 1e-6

cp -r "$(checkpoint zero1-2)" begun
from=("$m.lora_target=null" "$m.adapter_name_or_path=begun")
counts=2 layouts 'from an adapter' 1e-6 'adapter state' "${from[@]}"

# ---- adapters and whole modules; frozen modules ----
counts=2 layouts 'whole modules' 1e-6 'adapter state' "${job[@]}" "$m.additional_target='norm,embed_tokens'"
frozen="$m.freeze_module_prefix='model.embed_tokens,model.layers.0.self_attn'"
layouts 'frozen modules' 1e-6 'weights state' "$frozen"
for dir in one zero1-2 zero0-3; do
    equal "frozen modules keep their values, and the others do not: $dir" \
        "$(changed model "$(checkpoint $dir)" | grep -c 'embed_tokens\|layers.0.self_attn') $(changed model "$(checkpoint $dir)" | wc -l)" '0 15'
done
job=("$frozen")
resumes 'frozen modules: 3 ranks, then 2' zero1-3 2 $zero1
as_one 'frozen modules: 3 ranks, then 2' one again 1e-6
exit $bad
