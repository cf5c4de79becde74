# SPDX-License-Identifier: Apache-2.0
# Helpers for the tests that run ROLL's example files, beside those in tests/train.sh: rows, and
# runs of run_sft_pipeline.sh on CPU ranks. Overridden are the model, the names of data
# files, and the numbers of steps.
source "$(dirname "${BASH_SOURCE[0]}")/train.sh"
if ! have_mpi; then
    skip 'ROLL: its eight workers train' 'no MPI here'
    exit $bad
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 MPIEXEC_TIMEOUT=200
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
rows 1 100 | jq -cs 'map({instruction: .q, input: "", output: .a})' >train.json
jq -c '.[:6]' train.json >val.json
strategy=sft_train.strategy_args.strategy_config
# roll FILE DIR ARGUMENT...: a run of FILE.yaml with the model in the folder ./model, in a folder of
# its own
roll() {
    mkdir -p "$2"
    (cd "$2" && "$root/run_sft_pipeline.sh" --config_path .. --config_name "$1" \
        pretrain=../model sft_train.data_args.file_name=../train.json \
        validation.data_args.file_name=../val.json max_steps=3 eval_steps=2 "${@:3}")
}
steps() { jq -c '.["sft_train/loss"] // empty' "$1"/output/logs/*/metrics.jsonl; }
# final DIR: prints the folder of the run's last model
final() { echo "$1"/output*/sft_train/checkpoint-3/sft_train; }
# shapes DIR: prints the shapes of the tensors of the run's last checkpoint
shapes() { sft-ckpt show --json "$(final "$1")" | jq -c '.. | .shape? // empty' | sort; }
# like_one AREA DIR RANKS ONE: the run of DIR, of so many ranks, is that of one worker in ONE
like_one() {
    said "$1: mpirun starts $3 ranks" "^mpirun -np $3 "
    close "$1: each loss is that of one worker" "$(steps "$2")" "$(steps "$4")" 5e-3
    check "$1: the checkpoint is whole" sft-ckpt verify "$(dirname "$(final "$2")")"
    check "$1: the checkpoint is a model" sft-eval -q -m "$(final "$2")" \
        "$2"/output*/data/train.sfts
    equal "$1: it has the tensors of the model" "$(shapes "$2")" "$(shapes "$4")"
}
