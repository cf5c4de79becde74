#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The trainer and sft-eval have waiting threads sleep soon, unless their user says how they wait.
# libgomp itself tells what it has read.
source "$(dirname "$0")/../train.sh"
ldd "$(type -P sft-train)" | grep -q libgomp || {
    skip 'waits: waiting threads of the trainer sleep soon' 'sft-train does not link libgomp'
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
# spins NAME=VALUE... -- COMMAND...: prints the counts that the program computes with
spins() {
    local set=()
    while [ "$1" != -- ]; do
        set+=("$1")
        shift
    done
    env "${set[@]}" OMP_DISPLAY_ENV=verbose "${@:2}" >out 2>err
    echo $? >code
    sed -n "s/.*GOMP_SPINCOUNT = '\(.*\)'/\1/p" err | tail -n 1
}
run=("$root/run_sft_pipeline.sh" --config_path . --config_name config logging_dir=logs)
equal 'waits: threads of a run spin for a short time by default' \
    "$(spins -- "${run[@]}" output_dir=a)" 1000
equal 'waits: the run has trained' "$(cat code) $(grep -c 'step 1 of 1' err)" '0 1'
equal 'waits: the count that the user gives wins' \
    "$(spins GOMP_SPINCOUNT=77 -- "${run[@]}" output_dir=b)" 77
equal 'waits: the policy that the user gives wins' \
    "$(spins OMP_WAIT_POLICY=passive -- "${run[@]}" output_dir=c)" 0
equal 'waits: sft-train called by itself does the same' \
    "$(spins -- sft-train --config config.yaml --plan)" 1000
equal 'waits: a program started again keeps its arguments' \
    "$(cat code) $(grep -c '^weights' out)" '0 1'
equal 'waits: those of sft-eval spin longer' \
    "$(spins -- sft-eval -m model --prompt a --max-tokens 1)" 2000
equal 'waits: sft-eval has answered' "$(cat code)" 0
# a process is listed by the name of its program, not by that of the link it was started through
mkfifo open
sft-train --config config.yaml output_dir=d - <open 2>/dev/null &
exec 3>open
for _ in $(seq 200); do
    ! grep -qsz GOMP_SPINCOUNT=1000 "/proc/$!/environ" || break
    sleep 0.05
done
equal 'waits: the process keeps its name' "$(cat "/proc/$!/comm")" sft-train
exec 3>&-
wait $! 2>/dev/null
exit $bad
