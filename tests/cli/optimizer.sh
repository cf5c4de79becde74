#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the optimizer is and keeps: its tensors in the checkpoint, the same bytes with any number of
# threads, device and after a stop, what is refused. Device ref computes in bf16 on every CPU.
source "$(dirname "$0")/../cli.sh"
root=$PWD
cd "$T" || exit 70

sed 's/"hidden_size": 128/"hidden_size": 32/; s/"intermediate_size": 384/"intermediate_size": 48/; s/"num_hidden_layers": 4/"num_hidden_layers": 1/' \
    "$root/examples/random-model.json" >small.json
sft-ckpt init -q small.json --tokenizer "$root/share/tiny-tokenizer" --seed 42 -o model
for i in $(seq 1 12); do printf '{"q":"Say %d.","a":"The number is %d."}\n' "$i" "$i"; done >train.jsonl
sft-tokenize -q -m model --prompt-key q --response-key a train.jsonl | sft-template -q -m model |
    sft-pack -q -l 64 -b 4 --epochs 1 -o train.sfts
cat >config.yaml <<'END'
exp_name: tiny
seed: 42
pretrain: ./model
sequence_length: 64
prompt_key: q
response_key: a
save_steps: 2
sft_train:
  model_args: {dtype: bf16}
  training_args:
    per_device_train_batch_size: 4
    learning_rate: 1.0e-4
    lr_scheduler_type: constant
  data_args: {file_name: train.jsonl}
  strategy_args: {strategy_name: megatron_train}
  use_sequence_packing: true
END
A=sft_train.training_args
small=(sft.master_dtype=bf16 sft.moments_dtype=bf16)
# train DIR [ARGUMENT...]: 3 steps, on ref where no device is named
train() {
    local dir=$1 device=(--device ref)
    shift
    [[ " $* " == *' --device '* ]] && device=()
    sft-train -q --config config.yaml "${device[@]}" "output_dir=$dir" "logging_dir=$dir/logs" "$@" train.sfts
}
folder() { echo "$1/sft_train/checkpoint-$2/sft_train"; }
# kinds DIR: what is kept of the last norm
kinds() { grep -ao '"[a-z_]*\.model\.norm\.weight":{"dtype":"[A-Z0-9]*"' "$(folder "$1" 3)/state/optimizer.safetensors" |
    sed 's/\.model\.norm\.weight":{"dtype":/ /; s/"//g' | sort | paste -sd, | sed 's/,/, /g'; }
# both NAME DIR DIR: the same weights and state
both() {
    same "$1: the same weights" "$(folder "$2" 3)/model.safetensors" "$(folder "$3" 3)/model.safetensors"
    [ ! -e "$(folder "$2" 3)/state/optimizer.safetensors" ] ||
        same "$1: the same state" "$(folder "$2" 3)/state/optimizer.safetensors" "$(folder "$3" 3)/state/optimizer.safetensors"
}
differ() { if cmp -s "$2" "$3"; then not_ok "$1"; else ok "$1"; fi; }

# ---- what is kept ----
check 'AdamW' train full
equal 'master and moments in fp32' "$(kinds full)" 'exp_avg F32, exp_avg_sq F32, master F32'
check 'AdamW, all in bf16' train small "${small[@]}"
equal 'no master, moments in bf16' "$(kinds small)" 'exp_avg BF16, exp_avg_sq BF16'
check 'SGD with momentum' train sgd $A.optim=sgd $A.optim_args=momentum=0.9,nesterov=true "${small[@]}"
equal 'its momentum' "$(kinds sgd)" 'momentum_buffer BF16'
check 'SGD' train plain $A.optim=sgd "${small[@]}"
if [ ! -e "$(folder plain 3)/state/optimizer.safetensors" ]; then ok 'SGD alone keeps nothing'; else not_ok 'SGD alone keeps nothing'; fi
check 'the checkpoints are whole' sft-ckpt verify -q {full,small,sgd,plain}/sft_train/checkpoint-3

# ---- random rounding is a function of seed, step and element ----
check 'again' train again "${small[@]}"
both 'again' small again
check 'another seed' train seed "${small[@]}" seed=43
differ 'another seed rounds otherwise' "$(folder small 3)/model.safetensors" "$(folder seed 3)/model.safetensors"
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
    cp -r $how "$how-cut" && rm -r "$how-cut/sft_train/checkpoint-3"
    check "$how: resumes" train "$how-cut" --resume auto "${args[@]}"
    both "$how: resumed" $how "$how-cut"
done
lora=(sft_train.model_args.lora_target=all-linear sft_train.model_args.lora_rank=4 "${small[@]}")
check 'an adapter, all in bf16' train lora "${lora[@]}"
cp -r lora lora-cut && rm -r lora-cut/sft_train/checkpoint-3
check 'an adapter: resumes' train lora-cut --resume auto "${lora[@]}"
same 'an adapter: the same weights' "$(folder lora 3)/adapter_model.safetensors" "$(folder lora-cut 3)/adapter_model.safetensors"
same 'an adapter: the same state' "$(folder lora 3)/state/optimizer.safetensors" "$(folder lora-cut 3)/state/optimizer.safetensors"
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
