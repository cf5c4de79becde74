#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The plan of a GPU's memory beside what a run takes: in cudaMalloc, by cudaMemGetInfo (libraries
# load code at first use), and by nvidia-smi, which counts the context too.
. tests/gpu/common.sh
. tests/gpu/qwen.sh
size=0.5B length=1024 rows=64 micro=8 vocabulary=149595
[ -z "$tiny" ] || size=tiny length=40 rows=2 micro=2 vocabulary=64
wide_tokenizer "$W/tokenizer" $vocabulary && qwen $size &&
    samples "$W/tokenizer" $((4 * rows)) $length $vocabulary |
    sft-pack -q -l $length -b $rows -o "$W/train.sfts" || exit
config $length $rows $micro 1
used() { nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits -i 0 2>/dev/null; }
idle=$(used)
options=("pretrain=$W/$size" --device cuda)
plan=$(planned "${options[@]}")
while sleep 0.2; do used; done >"$W/used" &
watcher=$!
train "$O/gpu/train_random" run 2 "${options[@]}" ||
    verdict "$size: two steps" FAIL 'the run ended before'
kill $watcher
read -r given before most <"$W/run.memory" || exit
row "$size: cudaMalloc, beside the plan" "$(mib "$given")" MiB max "$(mib "$((plan + 1048576))")" \
    'the limit is the plan and 1 MiB'
row "$size: cudaMemGetInfo, beside the plan" "$(mib $((most - before)))" MiB \
    max "$(mib $((plan + (512 << 20))))" 'the limit is the plan and 512 MiB for code of libraries'
row "$size: taken before the first allocation" "$(mib "$before")" MiB
if [ -n "$idle" ]; then
    row "$size: nvidia-smi, beside the plan" $(($(sort -n "$W/used" | tail -n 1) - idle)) MiB \
        predicted "$(mib "$plan")" 'with the context'
else
    left_out "$size: nvidia-smi, beside the plan" 'there is no nvidia-smi'
fi
