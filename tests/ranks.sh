# SPDX-License-Identifier: Apache-2.0
# Helpers for the tests of several ranks, beside those in tests/train.sh: mpirun and a job of three
# steps. Where there is no MPI, a test that sources this file ends with a skip.
source "$(dirname "${BASH_SOURCE[0]}")/train.sh"

if ! have_mpi; then
    skip 'ranks: several of them train' 'no MPI here'
    exit $bad
fi
# The libraries of MPI keep memory until the process ends, which the leak checker would report.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# ranks N COMMAND...: runs the command in N processes of an MPI job
ranks() {
    mpirun -q -np "$1" --bind-to none --oversubscribe "${@:2}"
}

model model hidden_size=32 intermediate_size=64 num_hidden_layers=2 num_attention_heads=2 \
    num_key_value_heads=1
rows 1 36 >train.jsonl
samples train.jsonl >train.samples
sft-pack -q -l 128 -b 12 -o train.sfts train.samples
sft-pack -q -l 128 -b 12 --mode none -o single.sfts train.samples
head -n 5 train.jsonl >val.jsonl
samples val.jsonl | sft-pack -q -l 128 -b 12 -o val.sfts
config <<'END'
track_with: ""
sequence_length: 128
save_steps: 2
eval_steps: 2
sft_train:
  model_args: {dtype: fp32}
  training_args:
    learning_rate: 1.0e-3
    per_device_train_batch_size: 1
    gradient_accumulation_steps: 12
END
bf16=sft_train.model_args.dtype=bf16
zero1=sft_train.strategy_args.strategy_config.use_distributed_optimizer=true

program=(sft-train)
# train N DIR ARGUMENT...: a run of the program on N ranks, with the same global batch for each N
train() {
    local n=$1 trainer=(ranks "$1" "${program[@]}")
    run "$2" "sft_train.device_mapping=list(range(0,$n))" \
        sft_train.training_args.gradient_accumulation_steps=$((12 / n)) "${@:3}"
}
# again TO FROM N ARGUMENT...: copies the run FROM without its last checkpoint, continues it on N
# ranks and prints the exit code
again() {
    cp -r "$2" "$1" && rm -r "$(checkpoint "$1")" &&
        code train "$3" "$1" --resume auto "${@:4}" train.sfts
}
# near NAME DIR DIR: the losses of all steps of both runs agree within 1e-6
near() { close "$1" "$(losses "$2")" "$(losses "$3")" 1e-6; }
# bytes DIR: of the checkpoints' tensors, and every loss and norm
bytes() {
    find "$1/sft_train" -name '*.safetensors' -exec sha256sum {} + | sed "s| $1/| |" | sort
    losses "$1"
    values "$1" sft_train/grad_norm
}
# as_one AREA DIR ONE [NORM]: the losses, norms (within NORM) and the validation loss are those of
# one rank
as_one() {
    close "$1: each loss is that of one rank" "$(losses "$2")" "$(losses "$3")" 1e-6
    local of=sft_train/grad_norm
    close "$1: each norm is that of one rank" "$(values "$2" $of)" "$(values "$3" $of)" "${4:-1e-5}"
    of=sft_train/val_loss
    close "$1: the validation loss is that of one rank" \
        "$(values "$2" $of)" "$(values "$3" $of)" 1e-6
}
# alone_script: writes the program `alone`, which runs its arguments as a rank with its number in
# pid.RANK; mpirun sees neither that the rank was killed nor its exit code for a minute
alone_script() {
    cat >alone <<'END'
#!/bin/bash
"$@" &
echo $! >pid.$OMPI_COMM_WORLD_RANK
{ wait $!; } 2>/dev/null
rc=$?
[ $rc -lt 128 ] || sleep 60
exit $rc
END
    chmod +x alone
}
