#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# PyTorch on the samples of the timed training. Needs the files that train.sh leaves.
. tests/bench/common.sh
python=$(tests/oracle/venv)
limit=${TORCH_SECONDS:-660}
note "PyTorch, about $limit seconds (TORCH_SECONDS; BENCH_TORCH=0 leaves it out)"
timeout $((limit * 3 + 120)) "$python" tests/bench/torch_train.py "$model" "$B/steps.jsonl" \
    "$limit" >"$B/torch-best" ||
    { note "PyTorch ended with exit code $? (124: it took far longer than asked)"; exit 1; }
tail -n 1 "$B/train-gemm" >"$B/torch-gemm"
gemm "$B/torch-gemm"

# Both need the same FLOPs for a token. The losses are of the same samples and the same weights.
jq --slurpfile gemm "$B/torch-gemm" --slurpfile train "$B/train.json" '
    ($gemm | map(.gflops) | max) as $peak | $train[0] as $we |
    (.best.tokens_per_s * $we.flops_a_token * 1e-9) as $rate |
    (.first_loss | to_entries | map((.value / $we.first_loss - 1) | fabs) | max) as $off |
    if $off > 0.01 then error("the first loss differs by \($off * 100) %: not the same job")
    else . end |
    . + {gflops: $rate, gemm_gflops: $peak, fraction_of_gemm: ($rate / $peak),
         first_loss_differs: $off,
         we_over_it: ($we.tokens_per_s / .best.tokens_per_s)}' "$B/torch-best"
