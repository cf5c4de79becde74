#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run_sft_pipeline.sh: two runs at once and what a killed one leaves locked, names of files that
# look like something else, home folders, and what is refused before data is made.
source "$(dirname "$0")/../train.sh"

model model hidden_size=64 intermediate_size=64 num_hidden_layers=2
rows 1 12 >short.jsonl
sed 's/Say/Please say/' short.jsonl >long.jsonl
config <<'END'
track_with: ""
sequence_length: 128
save_steps: 0
eval_steps: 0
sft: {device: cpu, threads: 1}
sft_train:
  training_args: {per_device_train_batch_size: 2, gradient_accumulation_steps: 2}
END
# A copy of the launcher among links to the programs, of which sft-pack waits while $HOLD is there.
mkdir bin
cp "$root/run_sft_pipeline.sh" bin/
for c in sft-config sft-tokenize sft-template sft-train; do ln -s "$(type -P $c)" bin/; done
cat >bin/sft-pack <<END
#!/bin/bash
if [ -e "\${HOLD:-}" ]; then
    echo >"\$HOLD.on"
    while [ -e "\$HOLD" ]; do sleep 0.02; done
fi
exec $(type -P sft-pack) "\$@"
END
chmod +x bin/sft-pack
launch=("$PWD/bin/run_sft_pipeline.sh" --config_path . --config_name config)
# start DIR ROWS ARGUMENT...: becomes a run into DIR, with logs of its own in DIR/ROWS
start() {
    exec "${launch[@]}" "output_dir=$1" "logging_dir=$1/$2" \
        "sft_train.data_args.file_name=$2.jsonl" "${@:3}"
}
into() { (start "$@"); }
tokens() { jq -s 'map(."sft_train/tokens") | add' "$1/tiny/metrics.jsonl"; }
# until_there FILE: waits for it, ten seconds at most
until_there() { for _ in $(seq 200); do [ ! -s "$1" ] || return 0; sleep 0.05; done; }
# until_free DIR: waits for its lock
until_free() {
    for _ in $(seq 200); do
        sft-train -q --config config.yaml output_dir="$1" logging_dir=free --check 2>err && return 0
        sleep 0.05
    done
}
for rows in short long; do
    equal "alone: $rows rows" "$(code into $rows $rows)" 0
    eval "$rows=$(tokens $rows/$rows)"
done
differ 'alone: the rows differ' <(echo "$short") <(echo "$long")

# ---- two runs at once: the lock is there before a stream is made ----
# held DIR ROWS: such a run, its process in $job, when its sft-pack waits
held() {
    : >hold
    rm -f hold.on
    HOLD=$PWD/hold start "$@" >begun.out 2>begun.err &
    job=$!
    until_there hold.on
}
held both short
find both/data | sort >before
equal 'two at once: the second is refused' "$(code into both long)" 73
said 'two at once: it names the first' "both/sft_train/.lock: in use by process $job on $(hostname)"
once 'two at once: in one line'
same 'two at once: it has not touched the streams' before <(find both/data | sort)
equal 'two at once: so is a trainer' \
    "$(code sft-train --config config.yaml output_dir=both logging_dir=l short/data/train.sfts)" 73
rm hold
wait $job && rc=0 || rc=$?
equal 'two at once: the first trains on its own rows' "$rc $(tokens both/short)" "0 $short"
held apart short
equal 'two at once in two folders' "$(code into other long) $(tokens other/long)" "0 $long"
rm hold
wait $job && rc=0 || rc=$?
equal 'two at once in two folders: the first' "$rc $(tokens apart/short)" "0 $short"
held left short
kill -KILL $job
wait $job 2>/dev/null
equal 'killed: what it started still has the lock' "$(code into left long)" 73
rm hold
until_free left
equal 'killed: then a run trains on its own rows' \
    "$(code into left long) $(tokens left/long)" "0 $long"

# ---- the trainer's time ----
endless=(sft_train.training_args.num_train_epochs=20000 max_steps=1000000)
# trains DIR ARGUMENT...: a run's process in $job, once its trainer has done a step
trains() {
    start "$1" short "${endless[@]}" "${@:2}" >begun.out 2>begun.err &
    job=$!
    until_there "$1/short/tiny/metrics.jsonl"
}
trains busy
equal 'training: a second run is refused' "$(code into busy long)" 73
said 'training: it names the launcher' "in use by process $job on "
trainer=$(pgrep -P $job sft-train)
kill -KILL $job
wait $job 2>/dev/null
equal 'training: so it is when the launcher was killed' "$(code into busy long)" 73
kill -KILL "$trainer"
until_free busy
equal 'training: and no longer than the trainer lives' "$(code into busy short)" 0
said 'training: what was measured before is kept' 'kept as metrics-1.jsonl'
if command -v mpirun >/dev/null && [ -e "$O/lib/sft/mpi.so" ]; then
    export container=test ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
    trains ranks 'sft_train.device_mapping=[0,1]' \
        sft_train.training_args.gradient_accumulation_steps=1
    equal 'ranks: a second run is refused' "$(code into ranks long)" 73
    said 'ranks: it names the launcher' "in use by process $job on "
    kill -TERM $job
    wait $job && rc=0 || rc=$?
    equal 'ranks: the first is stopped with a checkpoint' "$rc $(ls ranks/sft_train | wc -l)" '75 1'
else
    skip 'ranks' 'no MPI here'
fi

# ---- names of files ----
names=(-x.jsonl --output=kept - 'a b.jsonl' $'line\nbreak.jsonl' "q'\"q.jsonl" '$(touch made)'
    '*' '[a]' 'a=b.jsonl' 'a\b' '~' '#x' '-- ')
for i in "${!names[@]}"; do rows $((i * 3)) $((i * 3 + 2)); done >all.jsonl
for i in "${!names[@]}"; do rows $((i * 3)) $((i * 3 + 2)) >"./${names[i]}"; done
rows 1 3 >./-v=.jsonl
ln -s model ./-m
jq -r .chat_template model/tokenizer_config.json >./-t.jinja
list=$(jq -cn '$ARGS.positional' --args -- "${names[@]/#\~/.\/\~}")
equal 'names: the rows in one file' "$(code into one all)" 0
odd=(pretrain=-m global_template=-t.jinja validation.data_args.file_name=-v=.jsonl
    output_dir=-o=1 logging_dir=-l)
equal 'names: of all kinds' \
    "$(code "${launch[@]}" "sft_train.data_args.file_name=$list" "${odd[@]}")" 0
equal 'names: the same rows' "$(tokens ./-l)" "$(tokens one/all)"
equal 'names: nothing was run' "$(ls made 2>/dev/null)" ''
equal 'names: nothing was written over' "$(tail -n 1 ./--output=kept)" "$(rows 5 5)"
equal 'names: the streams are where they should be' "$(ls ./-o=1/data)" "$(
    printf '%s\n' train.sfts train.sfts.stamp validation.sfts validation.sfts.stamp)"
grep '^sft-tokenize .*train.sfts$' stderr | sed 's|-o .*|-o typed.sfts|' >typed.sh
equal 'names: the command that is shown can be typed' "$(code bash typed.sh)" 0
same 'names: with the same result' typed.sfts ./-o=1/data/train.sfts
equal 'names: of a configuration that is not there' \
    "$(code bin/run_sft_pipeline.sh --config_path -d --config_name -n)" 66
mkdir ./-d && cp config.yaml ./-d/-n.yaml
equal 'names: of one that is' "$(code bin/run_sft_pipeline.sh --config_path -d --config_name -n \
    sft_train.data_args.file_name=short.jsonl output_dir=d logging_dir=d/l)" 0

# ---- home folders ----
mkdir home
cp short.jsonl home/
ln -s "$PWD/model" home/model
tilde=('output_dir=~/o' 'logging_dir=~/l' 'sft_train.data_args.file_name=~/short.jsonl'
    'pretrain=~/model')
equal 'home: in every path' "$(HOME=$PWD/home code "${launch[@]}" "${tilde[@]}")" 0
equal 'home: the streams and logs are there' "$(ls home/o/data/train.sfts) $(tokens home/l)" \
    "home/o/data/train.sfts $short"
equal 'home: --config_path=~/DIR' "$(HOME=$PWD/-d code bin/run_sft_pipeline.sh '--config_path=~/' \
    --config_name=-n sft_train.data_args.file_name=short.jsonl output_dir=e logging_dir=e/l)" 0

# ---- before data is made ----
rm -r both/data
# refused NAME CODE PATTERN ARGUMENT...: with no stream made
refused() {
    local name=$1 wanted=$2 pattern=$3
    shift 3
    equal "$name" "$(code into "$@") $(ls -d both/data new/data 2>/dev/null)" "$wanted "
    said "$name: said" "$pattern"
    once "$name: in one line"
}
refused 'an earlier run' 73 'both/sft_train/checkpoint-3: exists already' both short
refused "another run's logs" 73 'both/short/tiny: has the logs of another run, of .*/both;' \
    new short logging_dir=both/short
refused 'what sft-train does not do' 78 'paged_adamw_8bit' new short \
    sft_train.training_args.optim=paged_adamw_8bit
refused 'no memory for it' 71 'the run needs' new short \
    sft_train.training_args.per_device_train_batch_size=1000000
refused 'no checkpoint to go on from' 66 'no such checkpoint' new short --resume out/checkpoint-1
refused 'a name that leads out of the logs' 78 'exp_name=.*: has a /' new short exp_name=../../x
refused 'a variable that is not set' 78 "'seed=': a value is missing" new short seed=
exit $bad
