# SPDX-License-Identifier: Apache-2.0
# Several ranks under mpirun: the collectives; ZeRO-0 and ZeRO-1 give the same bytes, and one rank
# nearly the same; checkpoints change hands; signals, lost ranks, refusals.
source "$(dirname "$0")/../ranks.sh"

# ---- the collectives ----
ranks 3 "$O/test/comm_ranks" >collectives 2>err && rc=0 || rc=$?
sed 's/^\(ok\|not ok\) /&3 ranks: /' collectives
equal 'collectives, 3 ranks: all checks pass' "$rc" 0
for device in cpu far; do
    for n in 2 3; do
        ranks $n "$O/test/zero_ranks" $device >zero 2>err && rc=0 || rc=$?
        sed "s/^\(ok\|not ok\) /&$device, $n ranks: /" zero
        equal "$device, $n ranks: sums and training: all pass" "$rc" 0
    done
    ranks 2 "$O/test/comm_ranks" $device >timeout 2>err && rc=0 || rc=$?
    sed "s/^\(ok\|not ok\) /&$device, /" timeout
    equal "collectives, $device: a rank that is missing ends the job as lost" \
        "$rc $(grep -c '^ok' timeout)" '69 4'
done
ranks 3 "$O/test/fences" >fences 2>stderr && rc=0 || rc=$?
sed 's/^\(ok\|not ok\) /&3 ranks, /' fences
equal 'fences, 3 ranks: every operation stays inside its buffers' "$rc" 0

ranks 3 "$O/test/norm_ranks" >norm 2>err && rc=0 || rc=$?
sed 's/^\(ok\|not ok\) /&3 ranks: /' norm
equal 'norm, 3 ranks: all checks pass' "$rc" 0

# ---- a job of three steps ----
equal 'job: one process trains' "$(code run one --val val.sfts train.sfts)" 0
equal 'job: 2 ranks with ZeRO-0 train' "$(code train 2 two0 --val val.sfts train.sfts)" 0
equal 'job: 2 ranks print one summary' "$(wc -l <stdout) $(jq -c .step stdout)" '1 3'
equal 'job: 2 ranks with ZeRO-1 train' "$(code train 2 two1 $zero1 --val val.sfts train.sfts)" 0
same 'layouts in fp32: ZeRO-0 and ZeRO-1 give the same weights' "$(weights two0)" "$(weights two1)"
same 'layouts in fp32: ZeRO-0 and ZeRO-1 give the same state' "$(state two0)" "$(state two1)"
for key in grad_norm val_loss; do
    close "layouts in fp32: ZeRO-0 and ZeRO-1 give the same $key" "$(values two0 sft_train/$key)" \
        "$(values two1 sft_train/$key)" 0
done
near 'layouts in fp32: 2 ranks have the losses of one process' one two0
equal 'job: 2 ranks with ZeRO-0 train in bf16' \
    "$(code train 2 b0 $bf16 --val val.sfts train.sfts)" 0
equal 'job: 2 ranks with ZeRO-1 train in bf16 on the far device' \
    "$(code train 2 b1 $bf16 $zero1 --device far train.sfts)" 0
same 'layouts in bf16: ZeRO-0 and ZeRO-1 give the same weights' "$(weights b0)" "$(weights b1)"
same 'layouts in bf16: ZeRO-0 and ZeRO-1 give the same state' "$(state b0)" "$(state b1)"
small="$bf16 sft.master_dtype=bf16 sft.moments_dtype=bf16"
equal 'bf16 alone: 2 ranks with ZeRO-0 train' "$(code train 2 s0 $small train.sfts)" 0
equal 'bf16 alone: 2 ranks with ZeRO-1 train' "$(code train 2 s1 $small $zero1 train.sfts)" 0
same 'bf16 alone: ZeRO-0 and ZeRO-1 give the same weights' "$(weights s0)" "$(weights s1)"
same 'bf16 alone: ZeRO-0 and ZeRO-1 give the same state' "$(state s0)" "$(state s1)"
equal '3 ranks: steps of fewer rows are trained' "$(code train 3 three $zero1 train.sfts)" 0
near '3 ranks: they have the losses of one process' one three
equal '3 ranks: they train with ZeRO-0' "$(code train 3 three0 train.sfts)" 0
same '3 ranks: ZeRO-0 and ZeRO-1 give the same weights' "$(weights three)" "$(weights three0)"
same '3 ranks: ZeRO-0 and ZeRO-1 give the same state' "$(state three)" "$(state three0)"
equal '3 ranks: rows of one sample are trained' \
    "$(code train 3 single $zero1 sft_train.use_sequence_packing=false single.sfts)" 0
near '3 ranks: such rows have the losses of one process' one single
piped() { sft-pack -q -l 128 -b 12 train.samples | train 2 pipe $zero1 -; }
piped >stdout 2>stderr && rc=0 || rc=$?
equal 'pipe: 2 ranks train from one' "$rc" 0
same 'pipe: the state is that of a file' "$(state two0)" "$(state pipe)"

# Steps of one row: most of the five ranks never have one.
head -n 6 train.jsonl >few.jsonl
samples few.jsonl | sft-pack -q -l 512 -b 5 -o few.sfts
few=(sequence_length=512 save_steps=1 --val few.sfts few.sfts)
equal 'few rows: 5 ranks train steps of one row' \
    "$(code train 5 few $zero1 sft_train.training_args.gradient_accumulation_steps=1 "${few[@]}")" 0
equal 'few rows: one process trains them' \
    "$(code run alone sft_train.training_args.gradient_accumulation_steps=5 "${few[@]}")" 0
near 'few rows: 5 ranks have the losses of one process' few alone

# Steps without a trained token: the first rows are cut before their answers.
long=$(printf 'word %.0s' $(seq 120))
sed "1,12s/Say/$long/; 25,36s/Say/$long/" train.jsonl >holes.jsonl
samples holes.jsonl | sft-pack -q -l 128 -b 12 --in-order --over-length cut -o holes.sfts
holes=(save_steps=1 sft.shuffle=false --val val.sfts)
equal 'no label: one process trains steps without a trained token' \
    "$(code run h1 "${holes[@]}" holes.sfts)" 0
equal 'no label: 2 ranks with ZeRO-0 train them' \
    "$(quiet='' code train 2 h20 "${holes[@]}" holes.sfts)" 0
equal 'no label: each such step is told once' "$(grep -c 'step [13]: no trained token' stderr)" 2
equal 'no label: 2 ranks with ZeRO-1 train them' \
    "$(code train 2 h21 $zero1 "${holes[@]}" holes.sfts)" 0
same 'no label: ZeRO-0 and ZeRO-1 give the same weights' "$(weights h20)" "$(weights h21)"
same 'no label: ZeRO-0 and ZeRO-1 give the same state' "$(state h20)" "$(state h21)"
same 'no label: the last step leaves the weights as they were' "$(weights h20 3)" "$(weights h20 2)"
equal 'no label: no checkpoint is made before the first update' \
    "$(ls h20/sft_train | tr '\n' ' ')" \
    'checkpoint-2 checkpoint-3 '
equal 'no label: the loss of such a step is null' \
    "$(losses h20 | sed 's/[0-9.]\+/N/g' | tr '\n' ' ')" 'null N null '
close 'no label: 2 ranks have the loss of one process' "$(losses h1 | sed -n 2p)" \
    "$(losses h20 | sed -n 2p)" 1e-6
equal 'no label: a run without any trained token exits with 65' \
    "$(code train 2 none max_steps=1 "${holes[@]}" holes.sfts)" 65
equal 'no label: that run writes nothing' "$(ls -d none 2>/dev/null)" ''
said 'no label: that run names max_steps' \
    'holes.sfts: no trained token in the steps up to max_steps \(1 of 3\)'
equal 'no label: one rank alone tells it' "$(grep -c 'no trained token' stderr)" 1
late() { train 2 late max_steps=1 "${holes[@]}" - <holes.sfts; }
late >stdout 2>stderr && rc=0 || rc=$?
equal 'no label: a pipe without a trained token exits with 65 and makes no checkpoint' \
    "$rc $(ls late/sft_train)" '65 '
cp -r h20 h1r && rm -r "$(checkpoint h1r)"
equal 'no label: one process continues the run of two' \
    "$(code run h1r --resume auto "${holes[@]}" holes.sfts)" 0
same 'no label: the continued step leaves the weights' "$(weights h1r 3)" "$(weights h20 2)"

# ---- a checkpoint goes on, on any number of ranks ----
equal 'resume: ZeRO-1 goes on with a checkpoint of ZeRO-0' "$(again r01 two0 2 $zero1)" 0
same 'resume: ZeRO-1 after ZeRO-0 ends with the same state' "$(state two0)" "$(state r01)"
equal 'resume: ZeRO-0 goes on with a checkpoint of ZeRO-1' "$(again r10 two1 2)" 0
same 'resume: ZeRO-0 after ZeRO-1 ends with the same state' "$(state two0)" "$(state r10)"
equal 'resume: 1 rank goes on with a checkpoint of 2' "$(again r21 two1 1)" 0
near 'resume: 1 rank after 2 has the losses of one process' one r21
equal 'resume: 2 ranks go on with a checkpoint of 1' "$(again r12 one 2 $zero1)" 0
near 'resume: 2 ranks after 1 have the losses of one process' one r12
cp -r two1 broken && rm -rf broken/sft_train/checkpoint-3
damage "$(weights broken 2)" 9000 x
equal 'resume: a damaged checkpoint is set aside' \
    "$(code train 2 broken --resume auto train.sfts)" 0
same 'resume: without a whole checkpoint the run begins anew' "$(weights two0)" "$(weights broken)"

# ---- asked to stop; a rank that is lost ----
sft-pack -q -l 128 -b 12 --epochs 4000 -o long.sfts train.samples
# long DIR ARGUMENT...: starts an endless run and waits for its first step; its process is in $job
long() {
    train 2 "$1" $zero1 save_steps=0 eval_steps=0 sft_train.training_args.num_train_epochs=4000 \
        "${@:2}" long.sfts >stdout 2>stderr </dev/null &
    job=$!
    reached "$1" 1
}
mpirun_of() { pgrep -P "$1" mpirun || echo "$1"; }
trainers() { pgrep -P "$(mpirun_of "$job")" sft-train; }
long usr1
equal 'signals: no thread of MPI or OpenMP takes one' \
    "$(for p in $(trainers); do stoppable "$p"; done)" 'other other '
kill -USR1 "$(mpirun_of $job)"
wait $job && rc=0 || rc=$?
equal 'signals: USR1 to mpirun saves and exits with 75' "$rc $(ls usr1/sft_train | wc -l)" '75 1'
long one_rank
kill -USR1 "$(trainers | tail -n 1)"
wait $job && rc=0 || rc=$?
equal 'signals: USR1 to one rank stops all after the same step' \
    "$rc $(ls one_rank/sft_train | wc -l)" '75 1'
once 'signals: one rank tells it'
long lost
kill -KILL "$(trainers | tail -n 1)"
wait $job && rc=0 || rc=$?
equal 'lost rank: the others end' "$((rc != 0)) $(trainers)" '1 '

long stuck sft.collective_timeout=5
kill -STOP "$(trainers | tail -n 1)"
wait $job && rc=0 || rc=$?
equal 'stuck rank: the job ends with 69' "$rc $(trainers)" '69 '
said 'stuck rank: the message tells which one and how long' \
    'rank [01] on .* has stood still for [0-9]+ seconds in step [0-9]+, (in|after) [a-z_]+ '

# ---- one error for all ----
equal 'errors: a folder in use exits with 73' "$(code train 2 two0 train.sfts)" 73
once 'errors: a folder in use is told once'
head -c 900 train.sfts >cut.sfts
equal 'errors: a damaged stream exits with 65' "$(code train 2 x cut.sfts)" 65
once 'errors: a damaged stream is told once'
equal 'errors: a missing model exits with 66' "$(code train 2 x pretrain=./nowhere train.sfts)" 66
once 'errors: a missing model is told once'
cp -r model nan && damage nan/model.safetensors -2 '\xff\x7f'
equal 'errors: a loss that is not finite exits with 76' \
    "$(code train 2 n $zero1 pretrain=./nan train.sfts)" 76
once 'errors: a loss that is not finite is told once'
equal 'errors: a loss that is not finite has the rows of all ranks' \
    "$(tail -n 1 "$(metrics n)" | jq -c '.["sft_train/suspect_rows"]')" \
    "$(sft-view train.sfts | jq -c 'select(.step == 0) | .source[]' | jq -sc .)"
equal 'errors: a missing validation stream exits with 66' \
    "$(code train 2 n2 --val none.sfts train.sfts)" 66
once 'errors: a missing validation stream is told once'

# ---- numbers of workers and processes ----
two='sft_train.device_mapping=[0,1]'
half=sft_train.training_args.gradient_accumulation_steps=6
started='2 workers, but 1 process was started; type: mpirun -np 2 --bind-to none sft-train -q'
started+=' --config config.yaml'
fails 'launch: two workers in one process are refused with the command to type' 78 \
    "$started 'sft_train.device_mapping=\[0,1\]' .*; or, .*add: sft_train.device_mapping='\[0\]'" \
    sft-train -q --config config.yaml $two $half train.sfts
equal 'launch: two workers in three processes are refused' \
    "$(code ranks 3 sft-train -q --config config.yaml $two $half train.sfts)" 78
said 'launch: the message has the command for two' \
    '2 workers, but 3 processes were started; type: mpirun -np 2 '
once 'launch: three processes tell it once'
equal 'launch: one worker in two processes is refused' \
    "$(code ranks 2 sft-train -q --config config.yaml train.sfts)" 78
said 'launch: the message has the command for one' \
    'one worker, but 2 processes were started; type: sft-train -q '
srun='type: srun --mpi=pmix -n'
SLURM_NTASKS=2 SLURM_PROCID=0 fails "launch: Slurm without a PMI is refused with srun's option" 78 \
    "$srun 2 sft-train -q --config config.yaml 'sft_train.device_mapping=\[0,1\]' .* train.sfts" \
    sft-train -q --config config.yaml $two $half train.sfts
SLURM_NTASKS=2 SLURM_PROCID=1 sft-train -q --config config.yaml $two $half train.sfts \
    >stdout 2>stderr && rc=0 || rc=$?
equal 'launch: the other task of Slurm says nothing' "$rc $(wc -c <stderr)" '78 0'
SLURM_NTASKS=2 SLURM_PROCID=0 fails 'launch: one worker in two tasks of Slurm is refused' 78 \
    "2 processes were started; $srun 1 sft-train -q" \
    sft-train -q --config config.yaml train.sfts
job='SLURM_JOB_ID=7 SLURM_NTASKS=2 SLURM_PROCID=0'
fails 'launch: two tasks of srun are refused' 78 "$srun 2 sft-train -q" \
    env $job SLURM_STEP_NUM_TASKS=2 sft-train -q --config config.yaml $two $half train.sfts
equal 'launch: a script of a Slurm job may train in one process' \
    "$(code env $job sft-train -q --config config.yaml output_dir=script logging_dir=script/logs \
        train.sfts)" 0
OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=0 \
    fails 'launch: variables that a launcher left are told' 69 \
    'mpirun.* started 2 processes, but .* sees 1' \
    sft-train -q --config config.yaml train.sfts
equal 'launch: a plan needs no launcher' "$(code sft-train --config config.yaml $two --plan)" 0
mkdir other && cp "$O/test/alloc_watch.so" other/mpi.so
equal 'plugin: one of another version exits with 69' \
    "$(SFT_PLUGIN_PATH=$PWD/other code train 2 x train.sfts)" 69
said 'plugin: one of another version is told' 'other/mpi.so: of another version'
once 'plugin: one of another version is told once'
mkdir empty
export SFT_PLUGIN_PATH=$PWD/empty
equal 'plugin: a missing one exits with 69' "$(code train 2 x train.sfts)" 69
said 'plugin: a missing one names the package to install' 'libopenmpi-dev'
once 'plugin: a missing one is told once'
exit $bad
