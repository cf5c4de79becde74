#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Data parallel with ZeRO-1: two ranks of one thread each against one rank of one thread, with the
# same steps of 16 384 tokens, 8 rows of 2048; and the share of a step in which communication is not
# hidden behind computation, by the traces of both ranks. On one CPU the figures mean little.
. tests/bench/common.sh
if ! command -v mpirun >/dev/null || [ ! -e "$O/lib/sft/mpi.so" ]; then
    note 'ranks: no MPI here, so they are left out'
    echo null
    exit
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
rows=8 steps=$(((${STEPS:-8} + 3) / 4)) # a step takes a minute or two on one thread
# The data have 15 such rows, and the plan is cut after the timed steps and one before them.
epochs=$((rows * (steps + 2) / 14 + 1))
sft-tokenize -q -m "$model" "${columns[@]}" examples/data/train.json | sft-template -q -m "$model" |
    sft-pack -q --mode dense -l $length -b $rows --epochs $epochs -o "$B/ranks.sfts"

# timed N: a run on N ranks
timed() {
    note "training on $1 rank(s) of one thread, $((steps + 1)) steps of $((rows * length)) tokens"
    launcher=()
    [ "$1" -eq 1 ] || launcher=(mpirun -q -np "$1" --bind-to none --oversubscribe)
    stream=$B/ranks.sfts
    (train "ranks$1" $((steps + 1)) -q -@ 1 --trace "$B/ranks$1.json" sft.pack_mode=dense \
        "sft_train.device_mapping=list(range(0,$1))" \
        sft_train.training_args.num_train_epochs=$epochs \
        sft_train.training_args.gradient_accumulation_steps=$((rows / $1)) \
        sft_train.strategy_args.strategy_config.use_distributed_optimizer=true) >/dev/null
    mv "$B/ranks$1-log"/*/metrics.jsonl "$B/ranks$1.jsonl"
    rm -rf "$B/ranks$1-out"
}
timed 1
timed 2

# In microseconds; a span is [begin, end]. The first step is left out.
jq -n --slurpfile one "$B/ranks1.jsonl" --slurpfile two "$B/ranks2.jsonl" \
    --slurpfile a "$B/ranks2.json.0" --slurpfile b "$B/ranks2.json.1" '
    def median: sort | .[length / 2 | floor];
    def covered: sort | reduce .[] as $s ({end: 0, sum: 0};
        .sum += ([$s[1] - ([$s[0], .end] | max), 0] | max) | .end = ([.end, $s[1]] | max)) | .sum;
    def bare: [.[] | select(.ph == "X") | {cat, name, n: .args.n, span: [.ts, .ts + .dur]}] |
        . as $all | [.[] | select(.name == "step" and .n > 1) | .span as $step |
            [$all[] | select(.span[0] >= $step[0] and .span[1] <= $step[1])] as $in |
            [$in[] | select(.cat == "compute") | .span] as $work |
            [$in[] | select(.cat == "comm") | .span] as $comm |
            ($step[1] - $step[0]) as $time |
            {share: ((($work + $comm | covered) - ($work | covered)) / $time),
             comm: (($comm | covered) / $time)}];
    def rate: [.[1:][]["sft_train/tokens_per_s"]] | median;
    ([$a[0], $b[0]] | map(bare)) as $ranks |
    {steps: ($two | length - 1),
     tokens_a_step: ([$two[1:][]["sft_train/tokens"]] | add / length | round),
     one_tokens_per_s: ($one | rate), two_tokens_per_s: ($two | rate),
     ratio: (($two | rate) / ($one | rate)),
     communication: ($ranks | map(map(.comm) | median) | max),
     not_hidden: ($ranks | map(map(.share) | median) | max),
     first_loss_differs: ($one[0]["sft_train/loss"] as $x | $two[0]["sft_train/loss"] - $x |
        fabs / $x)}'
