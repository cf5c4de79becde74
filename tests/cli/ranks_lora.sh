#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Partial training on several ranks: adapters, with and without dropout, and modules beside frozen
# ones. ZeRO-0 and ZeRO-1 give the same bytes, and the losses and validation losses of every step
# are those of one process; a checkpoint goes on, on any number of ranks.
source "$(dirname "$0")/../ranks.sh"

# Validation after every step. At this learning rate the second loss already depends on the elements
# that the first step dropped.
settings=(eval_steps=1 sft_train.training_args.learning_rate=1.0e-2 --val val.sfts)
m=sft_train.model_args
lora=($m.lora_target=all-linear $m.lora_rank=4)
validations() { values "$1" sft_train/val_loss; }
norms() { values "$1" sft_train/grad_norm; }
# as_one AREA DIR DIR TOLERANCE: both runs have the same losses and validation losses
as_one() {
    close "$1: the losses are those of one process" "$(losses "$3")" "$(losses "$2")" "$4"
    close "$1: the validation losses are those of one process" "$(validations "$3")" \
        "$(validations "$2")" "$4"
}
# alike AREA FILES DIR DIR: both runs have the same files of the checkpoint and the same metrics
alike() {
    local file
    for file in $2; do same "$1: the ${file} is the same" "$($file "$3")" "$($file "$4")"; done
    equal "$1: losses, validation losses and norms are the same" \
        "$(losses "$3") $(validations "$3") $(norms "$3")" \
        "$(losses "$4") $(validations "$4") $(norms "$4")"
}

# layouts AREA TOLERANCE FILES ARGUMENT...: compares a run of one process, in the folder one, with
# runs on each number N of ranks in $counts, with ZeRO-0 in the folder zero0-N and ZeRO-1 in zero1-N
counts='2 3'
layouts() {
    local name=$1 tolerance=$2 files=$3 n
    rm -rf one zero[01]-*
    shift 3
    equal "$name: one process trains" "$(code run one "${settings[@]}" "$@" train.sfts)" 0
    equal "$name: each step has a loss and a validation" \
        "$(losses one | wc -l) $(validations one | wc -l)" '3 4'
    for n in $counts; do
        equal "$name: $n ranks with ZeRO-0 train" \
            "$(code train $n zero0-$n "${settings[@]}" "$@" train.sfts)" 0
        equal "$name: $n ranks with ZeRO-1 train" \
            "$(code train $n zero1-$n "${settings[@]}" "$@" $zero1 train.sfts)" 0
        alike "$name, ZeRO-0 or 1 on $n ranks" "$files" zero0-$n zero1-$n
        as_one "$name, $n ranks" one zero0-$n "$tolerance"
    done
}

# ---- adapters ----
for dropout in 0 0.1; do
    job=("${lora[@]}" $m.lora_dropout=$dropout)
    layouts "adapter in bf16, dropout $dropout" 1e-5 'adapter state' "${job[@]}" $bf16
    layouts "adapter in fp32, dropout $dropout" 1e-6 'adapter state' "${job[@]}"
done
# The last of these runs, in fp32 with dropout, goes on.
equal 'packing: 3 ranks train a sample a row' \
    "$(code train 3 single "${settings[@]}" "${job[@]}" sft_train.use_sequence_packing=false \
        single.sfts)" 0
as_one 'packing, a sample a row on 3 ranks' one single 1e-6
equal 'dropout: 2 ranks train without it' \
    "$(code train 2 still "${settings[@]}" "${lora[@]}" train.sfts)" 0
differ 'dropout: it changes the adapter' "$(adapter zero0-2)" "$(adapter still)"

equal 'device: 2 ranks train on far with everything recomputed' \
    "$(code train 2 far "${settings[@]}" "${job[@]}" $zero1 sft.recompute=full --device far \
        train.sfts)" 0
alike 'device, far and everything recomputed' 'adapter state' zero0-2 far

# resumes AREA FROM N ARGUMENT...: the run FROM goes on, on N ranks, in the folder `again`
resumes() {
    rm -rf again
    equal "$1: the run goes on" "$(again again "$2" "$3" "${settings[@]}" "${job[@]}" "${@:4}")" 0
}
resumes 'resume, ZeRO-1 after ZeRO-0' zero0-2 2 $zero1
alike 'resume, ZeRO-1 after ZeRO-0' 'adapter state' zero0-2 again
resumes 'resume, ZeRO-0 after ZeRO-1' zero1-2 2
alike 'resume, ZeRO-0 after ZeRO-1' 'adapter state' zero0-2 again
resumes 'resume, 1 rank after 2' zero1-2 1
as_one 'resume, 1 rank after 2' one again 1e-6
resumes 'resume, 2 ranks after 3' zero1-3 2 $zero1
as_one 'resume, 2 ranks after 3' one again 1e-6
resumes 'resume, 3 ranks after 1' one 3 $zero1
as_one 'resume, 3 ranks after 1' one again 1e-6
resumes 'resume, 3 ranks after 2' zero0-2 3
as_one 'resume, 3 ranks after 2' one again 1e-6

cp -r "$(checkpoint zero1-2)" begun
from=("$m.lora_target=null" "$m.adapter_name_or_path=begun")
counts=2 layouts 'adapter begun from another' 1e-6 'adapter state' "${from[@]}"

# ---- adapters and whole modules; frozen modules ----
counts=2 layouts 'adapter with whole modules' 1e-6 'adapter state' "${job[@]}" \
    "$m.additional_target='norm,embed_tokens'"
frozen="$m.freeze_module_prefix='model.embed_tokens,model.layers.0.self_attn'"
layouts 'frozen modules' 1e-6 'weights state' "$frozen"
for dir in one zero1-2 zero0-3; do
    trained=$(changed model "$(checkpoint $dir)")
    equal "frozen modules: they keep their values and the others do not, in $dir" \
        "$(grep -c 'embed_tokens\|layers.0.self_attn' <<<"$trained") $(wc -l <<<"$trained")" '0 15'
done
job=("$frozen")
resumes 'frozen modules, 2 ranks after 3' zero1-3 2 $zero1
as_one 'frozen modules, 2 ranks after 3' one again 1e-6
exit $bad
