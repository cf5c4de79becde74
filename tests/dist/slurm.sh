#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# share/slurm/train.sbatch with stand-ins for the commands of Slurm: a job that is told to stop is
# queued anew until its last step is done, and ends as a run that nobody stopped.
source "$(dirname "$0")/../ranks.sh"
export MPIEXEC_TIMEOUT=120
script=$root/share/slurm/train.sbatch
check 'script: bash can read it' bash -n "$script"

# ---- the stand-ins ----
mkdir slurm
# sbatch reads the options in the script, then its own, and runs the script, again while it is
# queued anew; the first time, tasks get the signal of --signal when the run has done a step.
cat >slurm/sbatch <<'END'
#!/bin/bash
declare -A option=()
take() { local o=${1#--}; option[${o%%=*}]=${o#*=}; }
for last; do case $last in *.sbatch) break ;; esac; done
while read -r o; do take "$o"; done < <(sed -n 's/^#SBATCH //p' "$last")
while [[ $1 = --* ]]; do take "$1"; shift; done
for o in "${!option[@]}"; do echo "$o=${option[$o]}"; done | sort >options
export SLURM_JOB_ID=7 SLURM_NTASKS=${option[ntasks]} SLURM_CPUS_PER_TASK=${option[cpus-per-task]}
for SLURM_RESTART_COUNT in 0 1 2 3; do
    export SLURM_RESTART_COUNT
    rm -f requeued srun.pid
    bash "$@" >>job.out 2>&1 &
    if [ $SLURM_RESTART_COUNT -eq 0 ]; then
        until [ -s "$METRICS" ] || ! kill -0 $! 2>/dev/null; do sleep 0.05; done
        kill -"${option[signal]%@*}" "$(<srun.pid)"
    fi
    wait $!
    rc=$?
    [ -e requeued ] && [ "${option[requeue]}" = requeue ] || exit $rc
done
END
# srun starts the tasks; of its options those that the script must give are noted.
cat >slurm/srun <<'END'
#!/bin/bash
echo "$*" >>srun.log
while [[ $1 = -* ]]; do shift; done
echo $$ >srun.pid
exec mpirun -q -np "$SLURM_NTASKS" --bind-to none --oversubscribe "$@"
END
printf '#!/bin/bash\necho "$*" >>scontrol.log\n[ "$1" = requeue ] && : >requeued\n' >slurm/scontrol
chmod +x slurm/*

# ---- a job of four tasks on two nodes ----
sft-pack -q -l 128 -b 12 --epochs 80 -o long.sfts train.samples
long=(sft_train.training_args.num_train_epochs=80 save_steps=0 eval_steps=0
    'sft_train.device_mapping=list(range(0,4))'
    sft_train.training_args.gradient_accumulation_steps=3)
last=240
# batch DIR ARGUMENT...: submits a job of four tasks that trains into that folder
batch() {
    METRICS=$(metrics "$1") PATH=$PWD/slurm:$PATH sbatch --nodes=2 --ntasks=4 --ntasks-per-node=2 \
        --cpus-per-task=3 "$script" config.yaml "${@:2}" "output_dir=$1" "logging_dir=$1/logs" \
        "${long[@]}"
}
equal 'job: four tasks train to the last step' "$(code batch stopped long.sfts)" 0
equal 'job: it was told to stop once and queued anew' "$(<scontrol.log)" 'requeue 7'
equal 'job: its output has both attempts' "$(grep -c ' 4 ranks: ' job.out)" 2
check 'job: the second attempt goes on with the checkpoint of the first' \
    grep -q 'continuing after step [0-9]* from stopped' job.out
equal 'job: each attempt starts the tasks by PMIx, with their CPUs and an end to waiting' \
    "$(cut -d ' ' -f 1-6 srun.log | sort | uniq -c | sed 's/^ *//')" \
    '2 --mpi=pmix --cpus-per-task=3 --wait=120 sft-train --config config.yaml'
equal 'job: both attempts have the same command' "$(sort -u srun.log | wc -l)" 1
equal 'job: an uninterrupted run of four ranks trains' \
    "$(code ranks 4 sft-train -q --config config.yaml output_dir=whole logging_dir=whole/logs \
        "${long[@]}" long.sfts)" 0
same 'job: it ends with the weights of an uninterrupted run' "$(weights whole)" \
    "$(weights stopped)"
same 'job: it ends with the state of an uninterrupted run' "$(state whole)" "$(state stopped)"
equal 'script: it asks for the signal, for being queued anew and for one output' \
    "$(grep -cE '^(signal=USR1@[0-9]+|requeue=requeue|open-mode=append)$' options)" 3
rm scontrol.log
equal 'job: one that fails has the status of its error' "$(code batch bad none.sfts)" 66
equal 'job: one that fails is not queued anew' "$(cat scontrol.log 2>/dev/null)" ''
exit $bad
