#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# No run destroys what another has recorded: metrics.jsonl, config.yaml, log, event files. Whose
# these are; runs that begin again, go on, were moved or copied; locks that name their process;
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
# train ARGUMENT...: into the folders of the configuration, ./out and ./out/logs
train() { sft-train -@ 1 --config config.yaml "$@" train.sfts; }
# at DIR ARGUMENT...: into that folder
at() { train "output_dir=$1" "logging_dir=$1/logs" "${@:2}"; }
# steps FOLDER: of logs, in metrics.jsonl
steps() { grep -o '"system/step":[0-9]*' "$1/tiny/metrics.jsonl" | cut -d: -f2 | paste -sd' '; }
# goes NAME FOLDER COMMAND...: succeeds, and has all steps in these logs
goes() { equal "$1" "$(code "${@:3}") $(steps "$2")" '0 1 2 3'; }
sums() { (cd "$1" && find . -type f | sort | xargs -d '\n' sha256sum); }
# unchanged NAME DIR: its files that are in the file `before` are as they were
unchanged() { equal "$1" "$(sums "$2" | grep -cxFf before)" "$(wc -l <before)"; }
id() { sed -n 's/^ *id: "\(.*\)"$/\1/p' "$1/config.yaml"; }
events() { find "$1" -name 'events.out.tfevents.*' | wc -l; }
# count FILE PATTERN: lines that match
count() { grep -c -- "$2" "$1"; }

# ---- whose a record is ----
first=out/logs/tiny
equal 'record: a run' "$(code train)" 0
equal 'record: config.yaml has the run' \
    "$(id $first | grep -cE '^[0-9]{8}T[0-9]{6}\.[0-9]{6}Z\..*\.[0-9]+$')" 1
equal 'record: and its folder' "$(count $first/config.yaml "^    output: $here/out$")" 1
sft-config -q $first/config.yaml >resolved.yaml
equal 'record: it loads, without them' "$(count resolved.yaml '^output_dir: ./out$') $(
    count resolved.yaml 'id:')" '1 0'
equal 'record: the first line of the log has the run' \
    "$(head -n 1 $first/log | grep -cF "run $(id $first): ")" 1
equal 'record: no checkpoint has it' "$(grep -rlF "$(id $first)" out/sft_train/checkpoint-*)" ''
sums out >before
equal 'another output folder alone: 73' "$(code train output_dir=./o3)" 73
said 'another output folder alone: whose the logs are' \
    "out/logs/tiny: has the logs of another run, of $here/out; "
said 'another output folder alone: what to type' 'exp_name=OTHER or logging_dir=OTHER$'
once 'another output folder alone: one line'
same 'another output folder alone: nothing was changed' before <(sums out)
equal 'another name: its own logs' "$(code train output_dir=./o3 exp_name=other)" 0
unchanged 'another name: the first logs are as they were' out
equal 'another name: another run' "$(count out/logs/other/config.yaml "$(id $first)")" 0

# ---- TensorBoard's folder may be shared ----
shared=tracker_kwargs.log_dir=./tb
equal 'event files: one run' "$(code at a $shared)" 0
sums tb >before
equal 'event files: another in the same folder' "$(code at b $shared) $(events tb/tiny)" '0 2'
said 'event files: it says that they will be one' \
    'tb/tiny: has event files of other runs, .*tracker_kwargs.log_dir=OTHER'
unchanged 'event files: the first is as it was' tb
rm -r b/sft_train/checkpoint-3
sums tb >before
equal 'event files: resumed, a third' "$(code at b $shared --resume auto) $(events tb/tiny)" '0 3'
unchanged 'event files: the first two are as they were' tb
find tb/tiny -type f -printf '%f\n' >names
equal 'event files: a name has time, host and process' \
    "$(grep -cE "^events\.out\.tfevents\.[0-9]{10}\.${host//./\\.}\.[0-9]+\.0$" names)" 3

# ---- going on ----
rm -r a/sft_train/checkpoint-3
run=$(id a/logs/tiny)
equal 'resumed: the same run' "$(code at a --resume auto) $(id a/logs/tiny)" "0 $run"
equal 'resumed: it appends' "$(steps a/logs)" '1 2 3'
again() { rm -rf k && cp -r a k && rm -r k/sft_train/checkpoint-3; } # k: a copy, to be resumed
again
sums a >before
equal "a copied folder with the first run's logs: 73" \
    "$(code train output_dir=k logging_dir=a/logs --resume auto)" 73
said "a copied folder with the first run's logs: whose they are" \
    "a/logs/tiny: has the logs of another run, of $here/a;"
equal "another run's checkpoint with that run's logs: 73" \
    "$(code train output_dir=new logging_dir=a/logs --resume a/sft_train/checkpoint-2)" 73
same "and the first run's files are as they were" before <(sums a)
goes 'a copy of all goes on in its own logs' k/logs at k --resume auto
again && mv k moved
goes 'a folder that was moved goes on in its logs' moved/logs at moved --resume auto
again && mv k/logs apart
goes 'logs that lie apart' apart train output_dir=k logging_dir=apart --resume auto
rm -r k/sft_train/checkpoint-3 && mv k k2
goes 'go on with a folder that was moved away from them' apart \
    train output_dir=k2 logging_dir=apart --resume auto
# old DIR: k becomes what a version that wrote no id would have left there
old() {
    again && rm k/.run
    sed -i -e '/^  run:/,$d' -e "s|^output_dir: .*|output_dir: $1|" k/logs/tiny/config.yaml
}
old k
goes 'a run of a version that wrote no id goes on' k/logs at k --resume auto
equal 'and has one from now on' "$(id k/logs/tiny)" "$(<k/.run)"
old elsewhere
equal 'but not with logs of another folder: 73' "$(code at k --resume auto)" 73
said 'which says that nobody knows whose they are' \
    'k/logs/tiny: has files that nothing there says this run wrote'
mkdir -p mine/tiny && cp config.yaml mine/tiny/
equal "a user's own config.yaml in the place of the run's: 73" \
    "$(code train output_dir=k3 logging_dir=mine)" 73
same "a user's own config.yaml is as it was" config.yaml mine/tiny/config.yaml

# ---- an attempt that left no checkpoint ----
endless=(sft-train --config config.yaml output_dir=k logging_dir=k/logs
    sft_train.training_args.num_train_epochs=20000 save_steps=0 long.sfts)
left=k/logs/tiny
# killed N: the N-th attempt, killed after its second step; copies of what it left
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
equal 'killed before a checkpoint: --check lets it begin again' \
    "$(code "${endless[@]}" --check) $(find $left -name '*-*')" '0 '
killed 2
same 'begun again: the first metrics have a name of their own' killed-1.jsonl $left/metrics-1.jsonl
same 'begun again: and their configuration' killed-1.yaml $left/config-1.yaml
equal 'begun again: which the log says' \
    "$(count $left/log 'kept as metrics-1.jsonl and config-1.yaml')" 1
goes 'begun a third time' k/logs at k --resume auto
said 'begun a third time: says so' \
    'k/logs/tiny: an earlier attempt left no checkpoint .*as metrics-2.jsonl and config-2.yaml'
same 'begun a third time: the second metrics are kept' killed-2.jsonl $left/metrics-2.jsonl
same 'begun a third time: and the first' killed-1.jsonl $left/metrics-1.jsonl
equal 'begun a third time: three event files' "$(events k/logs/tensorboard)" 3
for n in 2 3; do damage "$(weights k $n)" 9000 x; done
cp $left/metrics.jsonl all.jsonl
goes 'no checkpoint turns out whole' k/logs at k --resume auto
same 'no checkpoint turns out whole: what was measured is kept' all.jsonl $left/metrics-3.jsonl
rm -r k/sft_train
equal 'checkpoints that were removed: the run begins again' \
    "$(code at k) $(find $left -name 'metrics-*' | wc -l)" '0 4'

# ---- locks name their process ----
rm -rf k
"${endless[@]}" >k.out 2>k.err &
job=$!
reached k 1
equal 'a second run in the folder: 73' "$(code train output_dir=k logging_dir=k2/logs)" 73
said 'which names the first' "k/sft_train/\.lock: in use by process $job on $host since 20.*UTC"
equal 'a second run with the same logs: 73' "$(code train output_dir=k3 logging_dir=k/logs)" 73
said 'which names it too' \
    "k/logs/tiny/log: in use by the run of $here/k, process $job on $host"
equal '--check: 73 for the folder' "$(code train output_dir=k logging_dir=k2/logs --check)" 73
equal '--check: and for the logs' "$(code train output_dir=k3 logging_dir=k/logs --check)" 73
kill -KILL $job
wait $job 2>/dev/null
equal 'neither is locked any more' "$(code at k --check)" 0

# ---- --check ----
equal '--check: nothing in the way' "$(code at c --check)" 0
equal '--check: it leaves a folder to lock' "$(find c -type f)" c/sft_train/.lock
equal '--check: an earlier run' "$(code train --check)" 73
said '--check: an earlier run, it says' 'checkpoint-3: exists already'
equal '--check: to be resumed' "$(code train --check --resume auto)" 0
equal '--check: from what is not there' "$(code train --check --resume out/checkpoint-9)" 66
equal "--check: another's logs" "$(code train --check output_dir=c)" 73
equal '--check: what sft-train does not do' \
    "$(code at c --check sft_train.training_args.optim=adafactor)" 78
equal '--check: no model' "$(code at c --check pretrain=./nowhere)" 66
equal '--check: without a stream' \
    "$(code sft-train --config config.yaml output_dir=c logging_dir=c/logs --check)" 0

# ---- home folders, and values that are missing ----
mkdir home
export HOME=$here/home
tilde=('output_dir=~/runs' 'logging_dir=~/runs/logs')
equal 'home: in output_dir and logging_dir' "$(code train "${tilde[@]}")" 0
equal 'home: in no folder of that name' "$(ls home) $(find . -name '~*')" 'runs '
rm -r home/runs/sft_train/checkpoint-3
goes 'home: in --resume' home/runs/logs \
    train "${tilde[@]}" --resume '~/runs/sft_train/checkpoint-2'
unset HOME
equal 'home: there is none' "$(code train --resume '~/x')" 78
said 'home: there is none, it says' '^sft-train: --resume: HOME is not set'
for key in sft_train.training_args.learning_rate max_steps resume_from_checkpoint; do
    fails "$key= is no default" 78 "'$key=': a value is missing; .*$key=null" train "$key="
done
exit $bad
