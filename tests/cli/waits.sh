#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The launcher has waiting threads sleep soon, unless its user says how they wait. libgomp itself
# tells what it has read.
source "$(dirname "$0")/../train.sh"
ldd "$(type -P sft-train)" | grep -q libgomp || {
    skip 'waits: the launcher has waiting threads sleep soon' 'sft-train does not link libgomp'
    exit 0
}
unset OMP_WAIT_POLICY GOMP_SPINCOUNT
model model hidden_size=64 intermediate_size=64 num_hidden_layers=1
rows 1 8 >train.jsonl
config <<'END'
track_with: ""
sequence_length: 128
save_steps: 0
eval_steps: 0
max_steps: 1
sft: {device: cpu, threads: 2}
sft_train:
  training_args: {per_device_train_batch_size: 2, gradient_accumulation_steps: 2}
END
# spins DIR [NAME=VALUE...]: prints the counts that the programs of a run have read, without repeats
spins() {
    env "${@:2}" OMP_DISPLAY_ENV=verbose "$root/run_sft_pipeline.sh" --config_path . \
        --config_name config "output_dir=$1" "logging_dir=$1/logs" >"$1.log" 2>&1
    grep -c '1 steps\|step 1 of 1' "$1.log" >"$1.steps"
    sed -n "s/.*GOMP_SPINCOUNT = '\(.*\)'/\1/p" "$1.log" | sort -u | paste -sd' '
}
equal 'waits: threads of a run spin for a short time by default' "$(spins a)" 1000
check 'waits: the run has trained' [ "$(cat a.steps)" -ge 1 ]
equal 'waits: the count that the user gives wins' "$(spins b GOMP_SPINCOUNT=77)" 77
equal 'waits: the policy that the user gives wins' "$(spins c OMP_WAIT_POLICY=passive)" 0
exit $bad
