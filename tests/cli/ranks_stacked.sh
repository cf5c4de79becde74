#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Experts that lie in one tensor of all, cut among tensor-parallel ranks or shared out: losses are
# those of one rank, and checkpoints have the names, shapes and bytes of the model's files.
source "$(dirname "$0")/../ranks.sh"
export MPIEXEC_TIMEOUT=120 # seconds after which mpirun ends a job that hangs

model stacked model_type='"granitemoeshared"' hidden_size=32 intermediate_size=12 \
    num_hidden_layers=2 num_attention_heads=2 num_key_value_heads=2 num_local_experts=6 \
    num_experts_per_tok=2 shared_intermediate_size=20 residual_multiplier=0.6 logits_scaling=2.0
strategy=sft_train.strategy_args.strategy_config
tp=$strategy.tensor_model_parallel_size=2
ep=($strategy.expert_model_parallel_size=2 sft_train.training_args.gradient_accumulation_steps=6)
# cut DIR ARGUMENT...: a run on two ranks
cut() {
    ranks 2 sft-train -q --config config.yaml output_dir=$1 logging_dir=$1/logs \
        pretrain=./stacked 'sft_train.device_mapping=list(range(0,2))' "${@:2}" train.sfts
}
# shapes FOLDER: names and shapes of a model's tensors
shapes() {
    sft-ckpt show --json "$1" | jq -c '.. | select(.shape? != null) | [.name, .shape]' | sort
}

check 'stacked: one rank trains' run one pretrain=./stacked train.sfts
check 'stacked: two ranks train, each with a part of every expert' cut two $tp
near 'stacked: their losses are those of one rank' one two
equal 'stacked: a tensor has all experts' \
    "$(shapes stacked | grep -c 'input_linear.*\[6,24,32\]')" 2
equal 'stacked: a checkpoint of two ranks has the tensors of the model' \
    "$(shapes "$(checkpoint two)")" "$(shapes stacked)"
check 'stacked: a run of no learning succeeds' cut still $tp \
    sft_train.training_args.learning_rate=0
check 'stacked: without learning its values are those of the model' \
    sft-ckpt diff -q stacked "$(checkpoint still)"
cp -r one again && rm -r "$(checkpoint again)"
check 'stacked: two ranks continue the run of one' cut again $tp --resume auto
near 'stacked: the continued run has the losses of one rank' one again
check 'stacked: two ranks train, each with half of the experts' cut half "${ep[@]}"
near 'stacked: their losses are those of one rank, with half of the experts each' one half
equal 'stacked: a checkpoint of shared-out experts has the tensors of the model' \
    "$(shapes "$(checkpoint half)")" "$(shapes stacked)"
check 'stacked: shared out, a run of no learning succeeds' cut kept "${ep[@]}" \
    sft_train.training_args.learning_rate=0
check 'stacked: shared out, without learning its values are those of the model' \
    sft-ckpt diff -q stacked "$(checkpoint kept)"
cp -r half turned && rm -r "$(checkpoint turned)"
check 'stacked: ranks that cut each expert continue the run of those that share them out' \
    cut turned $tp --resume auto
near 'stacked: it has the losses of one rank, too' one turned
exit $bad
