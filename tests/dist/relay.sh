#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A run is handed from 8 ranks to 3, to 1 and to 8, each time in another layout: checkpoints know
# none. The losses are those of one rank throughout; resumed in its own layout, a run has its bits.
source "$(dirname "$0")/../ranks.sh"
export MPIEXEC_TIMEOUT=120 # seconds after which mpirun ends a job that hangs
last=8
model whole hidden_size=32 intermediate_size=64 num_hidden_layers=4 num_attention_heads=2 \
    num_key_value_heads=2 vocab_size=5121 tie_word_embeddings=false
rows 1 96 >many.jsonl
samples many.jsonl | sft-pack -q -l 128 -b 12 --mode none -o many.sfts
head -n 4 many.jsonl >val.jsonl
samples val.jsonl | sft-pack -q -l 128 -b 4 -o val.sfts
strategy=sft_train.strategy_args.strategy_config
cut=($strategy.tensor_model_parallel_size=2 $strategy.pipeline_model_parallel_size=2
    $strategy.sequence_parallel=true $zero1)
context=($strategy.context_parallel_size=2 sft.zero_stage=3)
# The rate and epsilon at which another order of sums stays below 1e-6 of the loss.
settings=(pretrain=./whole sft_train.training_args.learning_rate=5e-3
    sft_train.training_args.adam_epsilon=1e-5 sft_train.use_sequence_packing=false save_steps=2
    eval_steps=4 --val val.sfts)
# leg RANKS DATA-PARALLEL DIR ARGUMENT...: a run on so many ranks, of which so many are data
# parallel, with the same global batch
leg() {
    local trainer=(ranks "$1" sft-train)
    run "$3" "sft_train.device_mapping=list(range(0,$1))" \
        sft_train.training_args.gradient_accumulation_steps=$((12 / $2)) "${settings[@]}" \
        "${@:4}" many.sfts
}
# from DIR STEP TO: copies a run without its checkpoints after that step
from() {
    local step
    cp -r "$1" "$3"
    for step in 2 4 6 8; do
        [ $step -le "$2" ] || rm -rf "$(checkpoint "$3" $step)"
    done
}
# as_one AREA DIR: its losses, norms and validation losses are those of one rank
as_one() {
    close "$1: each loss is that of one rank" "$(losses "$2")" "$(losses one)" 1e-6
    local key
    for key in grad_norm val_loss; do
        close "$1: each $key is that of one rank" \
            "$(values "$2" sft_train/$key)" "$(values one sft_train/$key)" 1e-5
    done
}
equal 'relay: one rank trains the model' "$(code leg 1 1 one)" 0
equal 'relay: 8 ranks train it, tp 2 x pp 2 x dp 2' "$(code leg 8 2 eight "${cut[@]}")" 0
as_one 'relay, 8 ranks' eight
from eight 2 three
equal 'relay: 3 ranks go on after step 2' "$(code leg 3 3 three sft.zero_stage=2 --resume auto)" 0
as_one 'relay, 3 ranks after 8' three
from three 4 single
equal 'relay: one rank goes on after step 4' "$(code leg 1 1 single --resume auto)" 0
as_one 'relay, one rank after 3' single
from single 6 again
equal 'relay: 8 ranks go on after step 6, cp 2 x dp 4' \
    "$(code leg 8 4 again "${context[@]}" --resume auto)" 0
as_one 'relay, 8 ranks after one' again
equal 'relay: all steps are there' "$(losses again | wc -l)" 8
from eight 4 same
equal 'relay: the first layout goes on after step 4' \
    "$(code leg 8 2 same "${cut[@]}" --resume auto)" 0
same 'relay, in its own layout: the weights have the bits of the run that went through' \
    "$(weights eight)" "$(weights same)"
same 'relay, in its own layout: the state has its bits' "$(state eight)" "$(state same)"
exit $bad
