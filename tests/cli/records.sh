#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# No run destroys the records of another: metrics.jsonl, config.yaml, log, event files. The owner of
# records; runs that begin again, go on, were moved or copied; locks that name their process;
# --check; home folders and missing values.
if [ -w /dev/shm ]; then TEST_TMP=/dev/shm; fi
source "$(dirname "$0")/../train.sh"

model model hidden_size=64 intermediate_size=64 num_hidden_layers=2
rows 1 20 >train.jsonl
samples train.jsonl >train.samples
pack() { sft-pack -q -l 128 -b 8 "$@" train.samples; }
pack -o train.sfts # 3 steps
pack --epochs 20000 -o long.sfts
config <<'END'
track_with: tensorboard
sequence_length: 128
save_steps: 2
sft_train:
  model_args: {dtype: fp32}
  training_args:
    per_device_train_batch_size: 4
    gradient_accumulation_steps: 2
    learning_rate: 1.0e-3
END
here=$(pwd -P)
host=$(hostname)
# train ARGUMENT...: a run into the folders of the configuration, ./out and ./out/logs
train() { sft-train -@ 1 --config config.yaml "$@" train.sfts; }
# at DIR ARGUMENT...: a run into that folder
at() { train "output_dir=$1" "logging_dir=$1/logs" "${@:2}"; }
# steps LOGS: prints the steps in the metrics of that folder of logs
steps() { jq '.["system/step"]' "$1/tiny/metrics.jsonl" | paste -sd' '; }
# goes NAME LOGS COMMAND...: the command succeeds, and these logs have all steps
goes() { equal "$1" "$(code "${@:3}") $(steps "$2")" '0 1 2 3'; }
sums() { (cd "$1" && find . -type f | sort | xargs -d '\n' sha256sum); }
# unchanged NAME DIR: all files of DIR whose sums are in the file `before` have them still
unchanged() { equal "$1" "$(sums "$2" | grep -cxFf before)" "$(wc -l <before)"; }
id() { sed -n 's/^ *id: "\(.*\)"$/\1/p' "$1/config.yaml"; }
events() { find "$1" -name 'events.out.tfevents.*' | wc -l; }
# count FILE PATTERN: prints how many lines match
count() { grep -c -- "$2" "$1"; }

# ---- the owner of records ----
first=out/logs/tiny
equal 'record: a run succeeds' "$(code train)" 0
equal "record: config.yaml has the run's id" \
    "$(id $first | grep -cE '^[0-9]{8}T[0-9]{6}\.[0-9]{6}Z\..*\.[0-9]+$')" 1
equal "record: config.yaml has the run's folder" \
    "$(count $first/config.yaml "^    output: $here/out$")" 1
sft-config -q $first/config.yaml >resolved.yaml
equal 'record: config.yaml loads, without id and folder' \
    "$(count resolved.yaml '^output_dir: ./out$') $(
    count resolved.yaml 'id:')" '1 0'
equal "record: the first line of the log has the run's id" \
    "$(head -n 1 $first/log | grep -cF "run $(id $first): ")" 1
equal "record: no checkpoint has the run's id" \
    "$(grep -rlF "$(id $first)" out/sft_train/checkpoint-*)" ''
sums out >before
equal 'other output folder: the logs of the first run are refused' "$(code train output_dir=./o3)" \
    73
said 'other output folder: the message tells whose the logs are' \
    "out/logs/tiny: has the logs of another run, of $here/out; "
said 'other output folder: the message tells what to type' 'exp_name=OTHER or logging_dir=OTHER$'
once 'other output folder: the message is one line'
same 'other output folder: no file has changed' before <(sums out)
equal 'other name: the run has logs of its own' "$(code train output_dir=./o3 exp_name=other)" 0
unchanged "other name: the first run's files are as they were" out
equal 'other name: the run has an id of its own' \
    "$(count out/logs/other/config.yaml "$(id $first)")" 0

# ---- TensorBoard's folder may be shared ----
shared=tracker_kwargs.log_dir=./tb
equal 'event files: a run writes into a shared folder' "$(code at a $shared)" 0
sums tb >before
equal 'event files: a second run writes beside it' "$(code at b $shared) $(events tb/tiny)" '0 2'
said 'event files: the second run tells that both are shown as one' \
    'tb/tiny: has event files of other runs, .*tracker_kwargs.log_dir=OTHER'
unchanged "event files: the first run's file is as it was" tb
rm -r b/sft_train/checkpoint-3
sums tb >before
equal 'event files: a resumed run adds a third' \
    "$(code at b $shared --resume auto) $(events tb/tiny)" '0 3'
unchanged 'event files: the first two are as they were' tb
find tb/tiny -type f -printf '%f\n' >names
equal 'event files: each name has time, host and process' \
    "$(grep -cE "^events\.out\.tfevents\.[0-9]{10}\.${host//./\\.}\.[0-9]+\.0$" names)" 3

# ---- going on ----
rm -r a/sft_train/checkpoint-3
run=$(id a/logs/tiny)
equal 'resume: the run keeps its id' "$(code at a --resume auto) $(id a/logs/tiny)" "0 $run"
equal 'resume: the metrics go on' "$(steps a/logs)" '1 2 3'
# again: makes k a copy of the run a without its last checkpoint
again() { rm -rf k && cp -r a k && rm -r k/sft_train/checkpoint-3; }
again
sums a >before
equal "copy: the first run's logs are refused for a copied folder" \
    "$(code train output_dir=k logging_dir=a/logs --resume auto)" 73
said 'copy: the message tells whose the logs are' \
    "a/logs/tiny: has the logs of another run, of $here/a;"
equal 'copy: logs of the run whose checkpoint is taken are refused' \
    "$(code train output_dir=new logging_dir=a/logs --resume a/sft_train/checkpoint-2)" 73
same "copy: the first run's files are as they were" before <(sums a)
goes 'copy: a copy of all goes on in its own logs' k/logs at k --resume auto
again && mv k moved
goes 'copy: a moved folder goes on in its logs' moved/logs at moved --resume auto
again && mv k/logs apart
goes 'copy: logs in another folder go on' apart train output_dir=k logging_dir=apart --resume auto
rm -r k/sft_train/checkpoint-3 && mv k k2
goes 'copy: logs in another folder go on with a moved run' apart \
    train output_dir=k2 logging_dir=apart --resume auto
# old DIR: makes k a run of an older version, which wrote no id, into the folder DIR
old() {
    again && rm k/.run
    sed -i -e '/^  run:/,$d' -e "s|^output_dir: .*|output_dir: $1|" k/logs/tiny/config.yaml
}
old k
goes 'older version: a run without an id goes on' k/logs at k --resume auto
equal 'older version: the run has an id from then on' "$(id k/logs/tiny)" "$(<k/.run)"
old elsewhere
equal 'older version: logs of another folder are refused' "$(code at k --resume auto)" 73
said 'older version: the message tells that nobody knows whose they are' \
    'k/logs/tiny: has files that nothing there says this run wrote'
mkdir -p mine/tiny && cp config.yaml mine/tiny/
equal "user's files: a config.yaml in the place of the run's is refused" \
    "$(code train output_dir=k3 logging_dir=mine)" 73
same "user's files: the config.yaml is as it was" config.yaml mine/tiny/config.yaml

# ---- an attempt that left no checkpoint ----
endless=(sft-train --config config.yaml output_dir=k logging_dir=k/logs
    sft_train.training_args.num_train_epochs=20000 save_steps=0 long.sfts)
left=k/logs/tiny
# killed N: runs the N-th attempt, kills it after its second step and copies its records
killed() {
    "${endless[@]}" >k.out 2>k.err &
    job=$!
    for _ in $(seq 600); do [ "$1" -eq 1 ] || [ -e $left/metrics-1.jsonl ] || sleep 0.05; done
    reached k 2
    kill -KILL $job
    wait $job 2>/dev/null
    cp $left/metrics.jsonl "killed-$1.jsonl"
    cp $left/config.yaml "killed-$1.yaml"
}
rm -rf k
killed 1
equal 'attempts: --check allows another after one that was killed' \
    "$(code "${endless[@]}" --check) $(find $left -name '*-*')" '0 '
killed 2
same 'attempts: the second keeps the metrics of the first under another name' killed-1.jsonl \
    $left/metrics-1.jsonl
same 'attempts: the second keeps the configuration of the first' killed-1.yaml $left/config-1.yaml
equal 'attempts: the log names the kept files' \
    "$(count $left/log 'kept as metrics-1.jsonl and config-1.yaml')" 1
goes 'attempts: the third goes to its end' k/logs at k --resume auto
said 'attempts: the third tells what it keeps' \
    'k/logs/tiny: an earlier attempt left no checkpoint .*as metrics-2.jsonl and config-2.yaml'
same 'attempts: the third keeps the metrics of the second' killed-2.jsonl $left/metrics-2.jsonl
same 'attempts: the third keeps the metrics of the first' killed-1.jsonl $left/metrics-1.jsonl
equal 'attempts: each has an event file' "$(events k/logs/tensorboard)" 3
for n in 2 3; do damage "$(weights k $n)" 9000 x; done
cp $left/metrics.jsonl all.jsonl
goes 'attempts: a run without a whole checkpoint begins anew' k/logs at k --resume auto
same 'attempts: that run keeps what was measured' all.jsonl $left/metrics-3.jsonl
rm -r k/sft_train
equal 'attempts: a run whose checkpoints were removed begins anew' \
    "$(code at k) $(find $left -name 'metrics-*' | wc -l)" '0 4'

# ---- locks name their process ----
rm -rf k
"${endless[@]}" >k.out 2>k.err &
job=$!
reached k 1
equal 'locks: a second run in the folder is refused' \
    "$(code train output_dir=k logging_dir=k2/logs)" 73
said "locks: the message names the first run's process" \
    "k/sft_train/\.lock: in use by process $job on $host since 20.*UTC"
equal 'locks: a second run with the same logs is refused' \
    "$(code train output_dir=k3 logging_dir=k/logs)" 73
said 'locks: the message names the run and its process' \
    "k/logs/tiny/log: in use by the run of $here/k, process $job on $host"
equal 'locks: --check is refused for the folder' \
    "$(code train output_dir=k logging_dir=k2/logs --check)" 73
equal 'locks: --check is refused for the logs' \
    "$(code train output_dir=k3 logging_dir=k/logs --check)" 73
kill -KILL $job
wait $job 2>/dev/null
equal 'locks: a killed run leaves none' "$(code at k --check)" 0

# ---- --check ----
equal '--check: nothing is in the way of a new run' "$(code at c --check)" 0
equal '--check: it leaves a folder with a lock and no more' "$(find c -type f)" c/sft_train/.lock
equal '--check: an earlier run is in the way' "$(code train --check)" 73
said '--check: the message names the checkpoint' 'checkpoint-3: exists already'
equal '--check: an earlier run can be resumed' "$(code train --check --resume auto)" 0
equal '--check: a missing checkpoint cannot be resumed' \
    "$(code train --check --resume out/checkpoint-9)" 66
equal '--check: logs of another run are in the way' "$(code train --check output_dir=c)" 73
equal '--check: a setting that sft-train does not support is refused' \
    "$(code at c --check sft_train.training_args.optim=adafactor)" 78
equal '--check: a missing model is refused' "$(code at c --check pretrain=./nowhere)" 66
equal '--check: no stream is needed' \
    "$(code sft-train --config config.yaml output_dir=c logging_dir=c/logs --check)" 0

# ---- home folders, and values that are missing ----
mkdir home
export HOME=$here/home
tilde=('output_dir=~/runs' 'logging_dir=~/runs/logs')
equal 'home: ~ is expanded in output_dir and logging_dir' "$(code train "${tilde[@]}")" 0
equal 'home: no folder called ~ is made' "$(ls home) $(find . -name '~*')" 'runs '
rm -r home/runs/sft_train/checkpoint-3
goes 'home: ~ is expanded in --resume' home/runs/logs \
    train "${tilde[@]}" --resume '~/runs/sft_train/checkpoint-2'
unset HOME
equal 'home: without HOME ~ is an error' "$(code train --resume '~/x')" 78
said 'home: the message tells that HOME is not set' '^sft-train: --resume: HOME is not set'
for key in sft_train.training_args.learning_rate max_steps resume_from_checkpoint; do
    fails "override: $key without a value is an error" 78 \
        "'$key=': a value is missing; .*$key=null" train "$key="
done
exit $bad
