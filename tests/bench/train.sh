#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Training: one row and so one micro-batch a step; the matrix products of such a step before and
# after it.
. tests/bench/common.sh
steps=${STEPS:-8}
training_stream "$B/train.sfts"
sft-view "$B/train.sfts" | jq -c "select(.step <= $steps)" >"$B/steps.jsonl"
jq -rs 'map(select(.step > 0)) |
    [(map(.ids | length) | add / length),
     (map(.labels | map(select(. >= 0)) | length) | add / length)] |
    map(round) | join(" ")' "$B/steps.jsonl" >"$B/micro_batch"
read -r tokens targets <"$B/micro_batch"

note "matrix products of a micro-batch of $tokens tokens, $targets of them targets"
gemm "$B/train-gemm"
note "training, $((steps + 1)) steps"
(train train $((steps + 1)) -q) >"$B/train-summary"
gemm "$B/train-gemm"
mv "$B"/train-log/*/metrics.jsonl "$B/metrics.jsonl"
rm -rf "$B/train-out"

jq -s --slurpfile gemm "$B/train-gemm" '
    def median: sort | .[length / 2 | floor];
    .[1:] as $s | ($gemm | map(.gflops) | max) as $peak |
    {threads: $gemm[0].threads, dtype: $gemm[0].dtype, first_loss: .[0]["sft_train/loss"],
     steps: ($s | length), tokens_a_step: ([$s[]["sft_train/tokens"]] | add / length | round),
     flops_a_token: ([$s[] | .["sft_train/gflops"] / .["sft_train/tokens_per_s"] * 1e9] | median),
     tokens_per_s: ([$s[]["sft_train/tokens_per_s"]] | median),
     gflops: ([$s[]["sft_train/gflops"]] | median),
     gemm_gflops: $peak, fraction_of_gemm: (([$s[]["sft_train/gflops"]] | median) / $peak),
     seconds: {step: ([$s[]["time/step_train"]] | median),
               forward: ([$s[]["time/forward"]] | median),
               backward: ([$s[]["time/backward"]] | median),
               optimizer: ([$s[]["time/optimizer"]] | median)}}' "$B/metrics.jsonl"
