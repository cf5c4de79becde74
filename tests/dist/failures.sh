#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# When a rank of a job dies, stands still or fails, and when a job is asked to stop: the exit code,
# one line of one rank, no process that is left, and a newest checkpoint that is whole.
source "$(dirname "$0")/../ranks.sh"

# mpirun ends a job soon after it sees that a rank died. Under the command ./alone it sees neither
# that nor an exit code, as under a launcher that leaves this to the ranks. Both note the process of
# a rank in pid.RANK.
cat >seen <<'END'
#!/bin/bash
echo $$ >pid.$OMPI_COMM_WORLD_RANK
exec "$@"
END
chmod +x seen
alone_script

sft-pack -q -l 128 -b 12 --epochs 4000 -o long.sfts train.samples
# long LAUNCHER DIR ARGUMENT...: starts an endless run of three ranks, which saves after each step
long() {
    local program=("./$1" sft-train)
    rm -f pid.* code.*
    train 3 "$2" save_steps=1 eval_steps=0 max_ckpt_to_keep=2 \
        sft_train.training_args.num_train_epochs=4000 "${@:3}" long.sfts \
        >stdout 2>stderr </dev/null &
    job=$!
}
# trains LAUNCHER DIR ARGUMENT...: the same, and waits for its third step
trains() {
    long "$@"
    reached "$2" 3
}
# send SIGNAL RANK
send() { kill "-$1" "$(<"pid.$2")"; }
# left: prints the processes of ranks that are still there after half a minute
left() {
    local p all
    for _ in $(seq 600); do
        all=''
        for p in $(cat pid.*); do ! kill -0 "$p" 2>/dev/null || all+="$p "; done
        [ -n "$all" ] || return
        sleep 0.05
    done
    echo "$all"
}
newest() { find "$1/sft_train" -name 'checkpoint-*' -type d | sort -V | tail -n 1; }
host=$(hostname)
# ended AREA DIR CODE [PATTERN]: the job ends by itself with that code, and says one line, which
# matches (MPI's libraries may say more); it leaves no process, and its newest checkpoint is whole
ended() {
    local rc
    # A job that does not end by itself has failed the test.
    for _ in $(seq 600); do kill -0 "$job" 2>/dev/null || break; sleep 0.1; done
    ! kill -0 "$job" 2>/dev/null || kill -KILL "$job" $(cat pid.*)
    wait "$job" && rc=0 || rc=$?
    equal "$1: the job ends with $3" $rc "$3"
    if [ -n "${4:-}" ]; then
        grep '^sft-' stderr | grep -v ': step [0-9]* of \|: checkpoint-[0-9]*: ' | tail -n +$first \
            >lines
        equal "$1: one line tells why" "$(sed -E "s/$4.*/as expected/" lines)" 'as expected'
    fi
    equal "$1: no process is left" "$(left)" ''
    check "$1: the newest checkpoint is whole" sft-ckpt verify -q "$(newest "$2")"
}
first=1 # line of standard error that is looked at
where="on $host \(process [0-9]+\)"
step='in step [0-9]+, (in|after) (agreement|broadcast|all_reduce) [0-9]+ of (all|dp)'

# ---- a rank that dies ----
trains alone one
send KILL 1
ended 'a rank dies' one 69 "^sft-train: rank 1 $where died $step"
trains alone zero
send KILL 0
ended 'rank 0 dies' zero 69 "^sft-train: rank 0 $where died $step"
trains seen launcher
send KILL 1
ended 'a rank dies, seen by mpirun' launcher 137 "^sft-train: rank 1 $where died $step"

# Rank 1 is in a collective for which rank 2 is missing.
trains alone within
send STOP 2
sleep 2
send KILL 1
ended 'a rank dies in a collective' within 69 "^sft-train: rank 1 $where died $step"

# The launcher does nothing, so its ranks end without it.
trains alone paused
launcher=$(pgrep -P $job mpirun || echo $job)
kill -STOP "$launcher"
send KILL 1
equal 'a launcher that hangs: no process is left' "$(left)" ''
kill -CONT "$launcher"
ended 'a launcher that hangs' paused 69 "^sft-train: rank 1 $where died $step"

# ---- in the middle of a save, which rank 0 is kept from ending ----
# saves LAUNCHER DIR ARGUMENT...: starts a run, and waits until it is about to rename its second
# checkpoint
asan=$(ldd "$(type -P sft-train)" | awk '/libasan/ { print $3 }') # which has to be the first
saves() {
    HOLD=$2/sft_train/checkpoint-2 LD_PRELOAD="$asan $O/test/hold_rename.so" long "$@"
    for _ in $(seq 300); do [ ! -s "$2/sft_train/checkpoint-2.held" ] || break; sleep 0.1; done
}
for rank in 1 0; do
    saves alone save$rank
    send KILL $rank
    ended "rank $rank dies in a save" save$rank 69 "^sft-train: rank $rank $where died "
    equal "rank $rank dies in a save: the checkpoint before is the newest" \
        "$(newest save$rank)" save$rank/sft_train/checkpoint-1
    rm -f save$rank/sft_train/checkpoint-2.held
    equal "rank $rank dies in a save: the folder is free, and the run goes on" \
        "$(code train 3 save$rank --resume auto eval_steps=0 save_steps=0 max_steps=3 \
            sft_train.training_args.num_train_epochs=4000 long.sfts) $(newest save$rank)" \
        "0 save$rank/sft_train/checkpoint-3"
done

# ---- a rank that stands still ----
for rank in 1 0; do
    trains alone still$rank --comm-timeout 5
    send STOP $rank
    ended "rank $rank stands still" still$rank 69 \
        "^sft-train: rank $rank $where has stood still for [0-9]+ seconds $step"
done
# Twice as long as the limit, and less than a rank may be outside of collectives.
saves seen slow --comm-timeout 5
sleep 10
equal 'a slow save: the job goes on' "$(kill -0 "$job" && echo on; cat stderr)" on
rm slow/sft_train/checkpoint-2.held
reached slow 4
kill -USR1 "$(pgrep -P $job mpirun || echo $job)"
ended 'a slow save' slow 75

# ---- asked to stop ----
trains seen usr1
kill -USR1 "$(pgrep -P $job mpirun || echo $job)"
ended 'USR1 to mpirun' usr1 75

# ---- a rank that fails ----
# Rank 1 reads another stream, which is damaged, when the run goes on.
cp long.sfts bad.sfts
damage bad.sfts $(($(stat -c %s bad.sfts) / 2)) xxxx
cat >other <<'END'
#!/bin/bash
[ "$OMPI_COMM_WORLD_RANK" != 1 ] || set -- "${@:1:$#-1}" bad.sfts
exec ./seen "$@"
END
chmod +x other
cp -r usr1 data
long other data --resume auto
ended 'a rank has bad data' data 65 '^sft-train: rank 1: bad.sfts: '

# ---- under sft-run ----
# The folder bin has a copy of the launcher, and an sft-train that notes its process where mpirun
# starts it.
mkdir bin
cp "$root/run_sft_pipeline.sh" bin/
for c in sft-config sft-tokenize sft-template sft-pack; do ln -s "$(type -P $c)" bin/; done
cat >bin/sft-train <<END
#!/bin/bash
[ -z "\${OMPI_COMM_WORLD_RANK:-}" ] || echo \$\$ >pid.\$OMPI_COMM_WORLD_RANK
exec $(type -P sft-train) "\$@"
END
chmod +x bin/sft-train
# wrapped DIR: starts such a run by the launcher, and waits for its third step
wrapped() {
    rm -f pid.*
    env --default-signal=INT bin/run_sft_pipeline.sh --config_path . --config_name config \
        "output_dir=$1" "logging_dir=$1/logs" 'sft_train.device_mapping=[0,1,2]' sft.device=cpu \
        sft_train.training_args.gradient_accumulation_steps=4 save_steps=1 eval_steps=0 \
        max_ckpt_to_keep=2 sft_train.training_args.num_train_epochs=4000 \
        >stdout 2>stderr </dev/null &
    job=$!
    reached "$1" 3
}
for signal in TERM INT; do
    wrapped $signal
    kill -$signal $job
    ended "$signal to the launcher" $signal 75
done
wrapped lost
first=$(($(grep '^sft-' stderr | grep -vc ': step [0-9]* of \|: checkpoint-[0-9]*: ') + 1))
send KILL 1
ended 'a rank dies under the launcher' lost 69 "^sft-train: rank 1 $where died $step"
exit $bad
