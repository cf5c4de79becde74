# SPDX-License-Identifier: Apache-2.0
# Several ranks under mpirun: the collectives; ZeRO-0 and ZeRO-1 give the same bytes, and one rank
# nearly the same; checkpoints change hands; signals, lost ranks, and what is refused.
source "$(dirname "$0")/../ranks.sh"

# ---- the collectives ----
ranks 3 "$O/test/comm_ranks" >collectives 2>err && rc=0 || rc=$?
sed 's/^\(ok\|not ok\) /&3 ranks: /' collectives
equal '3 ranks: all pass' "$rc" 0
for device in cpu far; do
    for n in 2 3; do
        ranks $n "$O/test/zero_ranks" $device >zero 2>err && rc=0 || rc=$?
        sed "s/^\(ok\|not ok\) /&$device, $n ranks: /" zero
        equal "$device, $n ranks: sums and training: all pass" "$rc" 0
    done
    ranks 2 "$O/test/comm_ranks" $device >timeout 2>err && rc=0 || rc=$?
    sed "s/^\(ok\|not ok\) /&$device, /" timeout
    equal "$device, time-out: the job ends as with a lost rank" "$rc $(grep -c '^ok' timeout)" '69 4'
done
ranks 3 "$O/test/fences" >fences 2>stderr && rc=0 || rc=$?
sed 's/^\(ok\|not ok\) /&3 ranks, /' fences
equal '3 ranks: all stay inside' "$rc" 0

ranks 3 "$O/test/norm_ranks" >norm 2>err && rc=0 || rc=$?
sed 's/^\(ok\|not ok\) /&3 ranks: /' norm
equal 'norm, 3 ranks: all pass' "$rc" 0

# ---- a job of three steps ----
equal 'one process' "$(code run one --val val.sfts train.sfts)" 0
equal '2 ranks, ZeRO-0' "$(code train 2 two0 --val val.sfts train.sfts)" 0
equal 'one summary' "$(wc -l <stdout) $(jq -c .step stdout)" '1 3'
equal '2 ranks, ZeRO-1' "$(code train 2 two1 $zero1 --val val.sfts train.sfts)" 0
same 'ZeRO-0 and ZeRO-1: the same weights' "$(weights two0)" "$(weights two1)"
same 'ZeRO-0 and ZeRO-1: the same state' "$(state two0)" "$(state two1)"
equal 'and the same norm and validation' \
    "$(grep -oE '"sft_train/(grad_norm|val_loss)":[^,]*' "$(metrics two0)")" \
    "$(grep -oE '"sft_train/(grad_norm|val_loss)":[^,]*' "$(metrics two1)")"
near 'fp32: the losses of one process' one two0
equal 'bf16, ZeRO-0' "$(code train 2 b0 $bf16 --val val.sfts train.sfts)" 0
equal 'bf16, ZeRO-1, a device that cannot be read' "$(code train 2 b1 $bf16 $zero1 --device far train.sfts)" 0
same 'bf16: the same weights' "$(weights b0)" "$(weights b1)"
same 'bf16: the same state' "$(state b0)" "$(state b1)"
small="$bf16 sft.master_dtype=bf16 sft.moments_dtype=bf16"
equal 'bf16 alone, rounded at random, ZeRO-0' "$(code train 2 s0 $small train.sfts)" 0
equal 'bf16 alone, ZeRO-1' "$(code train 2 s1 $small $zero1 train.sfts)" 0
same 'bf16 alone: the same weights' "$(weights s0)" "$(weights s1)"
same 'bf16 alone: the same state' "$(state s0)" "$(state s1)"
equal '3 ranks, more than some steps have rows' "$(code train 3 three $zero1 train.sfts)" 0
near '3 ranks: the losses of one process' one three
equal '3 ranks, ZeRO-0' "$(code train 3 three0 train.sfts)" 0
same '3 ranks, ZeRO-0 and ZeRO-1: the same weights' "$(weights three)" "$(weights three0)"
same '3 ranks, ZeRO-0 and ZeRO-1: the same state' "$(state three)" "$(state three0)"
equal '3 ranks, a sample a row' "$(code train 3 single $zero1 sft_train.use_sequence_packing=false single.sfts)" 0
near 'a sample a row: the losses of one process' one single
piped() { sft-pack -q -l 128 -b 12 train.samples | train 2 pipe $zero1 -; }
piped >stdout 2>stderr && rc=0 || rc=$?
equal 'from a pipe' "$rc" 0
same 'from a pipe: the same state' "$(state two0)" "$(state pipe)"

# Rows of two steps that five ranks cannot share: most of them never have one.
head -n 6 train.jsonl >few.jsonl
samples few.jsonl | sft-pack -q -l 512 -b 5 -o few.sfts
few=(sequence_length=512 save_steps=1 --val few.sfts few.sfts)
equal '5 ranks, a row' "$(code train 5 few $zero1 sft_train.training_args.gradient_accumulation_steps=1 "${few[@]}")" 0
equal 'one process, that row' "$(code run alone sft_train.training_args.gradient_accumulation_steps=5 "${few[@]}")" 0
near '5 ranks, a row: the losses of one process' few alone

# Steps without a trained token: the first rows are cut before their answers.
long=$(printf 'word %.0s' $(seq 120))
sed "1,12s/Say/$long/; 25,36s/Say/$long/" train.jsonl >holes.jsonl
samples holes.jsonl | sft-pack -q -l 128 -b 12 --in-order --over-length cut -o holes.sfts
holes=(save_steps=1 sft.shuffle=false --val val.sfts)
equal 'one process, steps without a trained token' "$(code run h1 "${holes[@]}" holes.sfts)" 0
equal '2 ranks, ZeRO-0' "$(quiet='' code train 2 h20 "${holes[@]}" holes.sfts)" 0
equal 'each is told once' "$(grep -c 'step [13]: no trained token' stderr)" 2
equal '2 ranks, ZeRO-1' "$(code train 2 h21 $zero1 "${holes[@]}" holes.sfts)" 0
same 'steps without a trained token: the same weights' "$(weights h20)" "$(weights h21)"
same 'the same state' "$(state h20)" "$(state h21)"
same 'which the last step leaves as they were' "$(weights h20 3)" "$(weights h20 2)"
equal 'no checkpoint before the first update' "$(ls h20/sft_train | tr '\n' ' ')" \
    'checkpoint-2 checkpoint-3 '
equal 'null where there is no loss' "$(losses h20 | sed 's/[0-9.]\+/N/g' | tr '\n' ' ')" \
    'null N null '
close 'the loss of one process' "$(losses h1 | sed -n 2p)" "$(losses h20 | sed -n 2p)" 1e-6
equal 'nothing to learn: 65' "$(code train 2 none max_steps=1 "${holes[@]}" holes.sfts)" 65
equal 'before anything is written' "$(ls -d none 2>/dev/null)" ''
said 'said by one' 'holes.sfts: no trained token in the steps up to max_steps \(1 of 3\)'
equal 'said once' "$(grep -c 'no trained token' stderr)" 1
late() { train 2 late max_steps=1 "${holes[@]}" - <holes.sfts; }
late >stdout 2>stderr && rc=0 || rc=$?
equal 'nothing to learn from a pipe: 65, no checkpoint' "$rc $(ls late/sft_train)" '65 '
cp -r h20 h1r && rm -r "$(checkpoint h1r)"
equal 'continued by one process' "$(code run h1r --resume auto "${holes[@]}" holes.sfts)" 0
same 'the step leaves the weights' "$(weights h1r 3)" "$(weights h20 2)"

# ---- a checkpoint goes on, on as many ranks as there are ----
equal 'ZeRO-1 resumes ZeRO-0' "$(again r01 two0 2 $zero1)" 0
same 'to the same state' "$(state two0)" "$(state r01)"
equal 'ZeRO-0 resumes ZeRO-1' "$(again r10 two1 2)" 0
same 'to the same state' "$(state two0)" "$(state r10)"
equal '2 ranks, then 1' "$(again r21 two1 1)" 0
near 'the losses of one process' one r21
equal '1 rank, then 2' "$(again r12 one 2 $zero1)" 0
near 'the losses of one process' one r12
cp -r two1 broken && rm -rf broken/sft_train/checkpoint-3
damage "$(weights broken 2)" 9000 x
equal 'a damaged checkpoint is set aside' "$(code train 2 broken --resume auto train.sfts)" 0
same 'and the run starts anew' "$(weights two0)" "$(weights broken)"

# ---- asked to stop; a rank that is lost ----
sft-pack -q -l 128 -b 12 --epochs 4000 -o long.sfts train.samples
# long DIR ARGUMENT...: starts a run without end, waits for its first step; its process in $job
long() {
    train 2 "$1" $zero1 save_steps=0 eval_steps=0 sft_train.training_args.num_train_epochs=4000 "${@:2}" long.sfts >stdout 2>stderr </dev/null &
    job=$!
    reached "$1" 1
}
mpirun_of() { pgrep -P "$1" mpirun || echo "$1"; }
trainers() { pgrep -P "$(mpirun_of "$job")" sft-train; }
long usr1
equal 'no thread of MPI or OpenMP takes a signal' "$(for p in $(trainers); do stoppable "$p"; done)" 'other other '
kill -USR1 "$(mpirun_of $job)"
wait $job && rc=0 || rc=$?
equal 'USR1 to mpirun: saved, exit 75' "$rc $(ls usr1/sft_train | wc -l)" '75 1'
long one_rank
kill -USR1 "$(trainers | tail -n 1)"
wait $job && rc=0 || rc=$?
equal 'USR1 to one rank stops all after the same step' "$rc $(ls one_rank/sft_train | wc -l)" '75 1'
once 'which one of them says'
long lost
kill -KILL "$(trainers | tail -n 1)"
wait $job && rc=0 || rc=$?
if [ $rc -ne 0 ] && [ -z "$(trainers)" ]; then ok 'a lost rank ends the others'; else not_ok 'a lost rank ends the others' "exit $rc"; fi

long stuck sft.collective_timeout=2
kill -STOP "$(trainers | tail -n 1)"
wait $job && rc=0 || rc=$?
equal 'a rank that is stuck ends the job: 69' "$rc $(trainers)" '69 '
said 'stuck: the message tells who waited and how long' 'rank [01] waited 2 seconds in vain: .* sft.collective_timeout'

# ---- one error for all ----
equal 'a folder in use' "$(code train 2 two0 train.sfts)" 73
once 'is told once'
equal 'a damaged stream' "$(head -c 900 train.sfts >cut.sfts; code train 2 x cut.sfts)" 65
once 'is told once'
equal 'no such model' "$(code train 2 x pretrain=./nowhere train.sfts)" 66
cp -r model nan && damage nan/model.safetensors -2 '\xff\x7f'
equal 'a loss that is not finite' "$(code train 2 n $zero1 pretrain=./nan train.sfts)" 76
once 'is told once'
equal 'with the rows of all ranks' "$(tail -n 1 "$(metrics n)" | jq -c '.["sft_train/suspect_rows"]')" \
    "$(sft-view train.sfts | jq -c 'select(.step == 0) | .source[]' | jq -sc .)"
equal 'a validation stream that is not there' "$(code train 2 n2 --val none.sfts train.sfts)" 66
once 'is told once'

# ---- what is refused ----
two='sft_train.device_mapping=[0,1]'
half=sft_train.training_args.gradient_accumulation_steps=6
fails 'two workers, one process' 78 "2 workers, but 1 process was started; type: mpirun -np 2 --bind-to none sft-train -q --config config.yaml 'sft_train.device_mapping=\[0,1\]' .*; or, .*add: sft_train.device_mapping='\[0\]'" \
    sft-train -q --config config.yaml $two $half train.sfts
equal 'two workers, three processes' "$(code ranks 3 sft-train -q --config config.yaml $two $half train.sfts)" 78
said 'and how to start it' '2 workers, but 3 processes were started; type: mpirun -np 2 '
once 'is told once'
equal 'one worker, two processes' "$(code ranks 2 sft-train -q --config config.yaml train.sfts)" 78
said 'and how to start it' 'one worker, but 2 processes were started; type: sft-train -q '
srun='type: srun --mpi=pmix -n'
SLURM_NTASKS=2 SLURM_PROCID=0 fails 'Slurm without a PMI' 78 "$srun 2 sft-train -q --config config.yaml 'sft_train.device_mapping=\[0,1\]' .* train.sfts" \
    sft-train -q --config config.yaml $two $half train.sfts
SLURM_NTASKS=2 SLURM_PROCID=1 sft-train -q --config config.yaml $two $half train.sfts >stdout 2>stderr && rc=0 || rc=$?
equal 'which the other task leaves to the first' "$rc $(wc -c <stderr)" '78 0'
SLURM_NTASKS=2 SLURM_PROCID=0 fails 'Slurm without a PMI, and one worker' 78 "2 processes were started; $srun 1 sft-train -q" \
    sft-train -q --config config.yaml train.sfts
job='SLURM_JOB_ID=7 SLURM_NTASKS=2 SLURM_PROCID=0'
fails 'two tasks of srun' 78 "$srun 2 sft-train -q" \
    env $job SLURM_STEP_NUM_TASKS=2 sft-train -q --config config.yaml $two $half train.sfts
equal 'a job'"'"'s script may train in one process' "$(code env $job sft-train -q --config config.yaml output_dir=script logging_dir=script/logs train.sfts)" 0
OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=0 fails 'variables that a launcher has left' 69 'mpirun.* started 2 processes, but .* sees 1' \
    sft-train -q --config config.yaml train.sfts
equal 'sft-eval computes in one process' "$(code ranks 2 sft-eval -q -m model val.sfts) $(wc -c <stdout)" '78 0'
once 'is told once'
equal 'a plan needs no launcher' "$(code sft-train --config config.yaml $two --plan)" 0
mkdir other && cp "$O/test/alloc_watch.so" other/mpi.so
equal 'a plugin of another version' "$(SFT_PLUGIN_PATH=$PWD/other code train 2 x train.sfts)" 69
said 'is said' 'other/mpi.so: of another version'
once 'once'
mkdir empty
export SFT_PLUGIN_PATH=$PWD/empty
equal 'without the plugin' "$(code train 2 x train.sfts)" 69
said 'what to install' 'libopenmpi-dev'
once 'is told once'
exit $bad
