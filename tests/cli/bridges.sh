#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# share/bridges/sft-to-prometheus: the file has the latest values of a run, is whole at any time,
# and follows a run that is cut back and written again. tests/oracle/bridges_live.py tests the rest.
source "$(dirname "$0")/../cli.sh"
bridge=$PWD/share/bridges/sft-to-prometheus
cd "$T" || exit 70
mkdir -p logs/run out
prom=out/run.prom
# line STEP LOSS [MEMBER]: prints a line of metrics.jsonl
line() { printf '{"system/step":%d,"sft_train/loss":%s%s}\n' "$1" "$2" "${3:-}"; }
# value METRIC: prints its value in the file
value() { sed -n "s/^$1{run=\"run\"} //p" $prom; }
# soon METRIC VALUE: waits until the file has this value, a minute at most
soon() {
    for _ in $(seq 1200); do
        [ "$(value "$1" 2>/dev/null)" != "$2" ] || return 0
        sleep 0.05
    done
    return 1
}

# ---- one look ----
{
    line 0 9 ',"sft_train/val_loss":8.5'
    line 1 7 ',"sft_train/suspect_rows":[["a \"b\".json",3]],"checkpoint/MB_per_s":1.25e-05'
    echo 'no json'
    line 2 6
    line 3 null
    printf '{"system/step":4,"sft_train/loss":5,'
} >logs/run/metrics.jsonl
check 'once: the file is written' "$bridge" --once logs/run $prom
equal 'once: a value is that of the last line with it' \
    "$(value sft_system_step) $(value sft_train_val_loss) $(value sft_checkpoint_MB_per_s)" \
    '3 8.5 1.25e-05'
equal 'once: null is NaN' "$(value sft_train_loss)" NaN
sample='sft_[A-Za-z0-9_]+\{run="run"\} (NaN|[-+.0-9e]+)'
equal 'once: a line is a type or a sample, each name once' \
    "$(grep -cvE "^# TYPE sft_[A-Za-z0-9_]+ gauge$|^$sample$" $prom) $(grep -c '^#' $prom) \
$(grep '^# ' $prom | sort -u | wc -l)" '0 4 4'
equal 'once: nothing else is left in the folder' "$(ls -A out)" run.prom
check 'once: the file itself may be given, and another name' \
    "$bridge" --once --run 'a"b\c' logs/run/metrics.jsonl out/other.prom
check 'once: the name is quoted' grep -qxF 'sft_system_step{run="a\"b\\c"} 3' out/other.prom
seq 3000 | sed 's/.*/{"system\/step":&,"sft_train\/loss":&.5}/' >logs/run/metrics.jsonl
"$bridge" --once logs/run $prom
equal 'once: the last of many lines counts' "$(value sft_train_loss)" 3000.5

# ---- following ----
line 1 7 >logs/run/metrics.jsonl
sleep 100 &
job=$!
inode=$(stat -c %i $prom)
"$bridge" --interval 0.05 --pid $job logs/run $prom &
bridge_job=$!
check 'follow: the file comes' soon sft_train_loss 7
differ 'follow: it is another file, not the old one written over' <(echo "$inode") \
    <(stat -c %i $prom)
line 2 6 >>logs/run/metrics.jsonl
check 'follow: a new step is seen' soon sft_train_loss 6
line 1 4 >logs/run/metrics.jsonl
check 'follow: so is a file that was cut back' soon sft_train_loss 4
mv logs/run/metrics.jsonl logs/run/metrics-1.jsonl
sleep 0.2
equal 'follow: the values stay while there is no file' "$(value sft_train_loss)" 4
line 1 3 >logs/run/metrics.jsonl
check 'follow: a new file in its place is seen' soon sft_train_loss 3
line 2 2 >>logs/run/metrics.jsonl
kill $job
wait $bridge_job
equal 'follow: it ends with the process that it waits for' $? 0
equal 'follow: the last line was read' "$(value sft_train_loss)" 2
"$bridge" --interval 100 logs/run $prom &
bridge_job=$!
check 'follow: the values of a run that is over come at once' soon sft_system_step 2
kill $bridge_job
wait $bridge_job
equal 'follow: TERM ends it' $? 143
equal 'follow: nothing else is left in the folder' "$(ls -A out | paste -sd' ')" \
    'other.prom run.prom'

# ---- what cannot be ----
fails 'errors: both operands are required' 64 'give LOGS and FILE.prom' "$bridge"
fails 'errors: an unknown option' 64 'unknown option --twice' "$bridge" --twice logs/run $prom
fails 'errors: no process id' 64 'is no process id' "$bridge" --pid 1x logs/run $prom
fails 'errors: no number of seconds' 64 'is no number' "$bridge" --interval x logs/run $prom
fails 'errors: no folder of logs' 66 'nowhere: there is no such folder' \
    "$bridge" --once nowhere $prom
fails 'errors: no metrics in it' 66 'there is no such file' "$bridge" --once logs $prom
fails 'errors: no folder for the file' 73 'nowhere: there is no such folder' \
    "$bridge" --once logs/run nowhere/a.prom
exit $bad
