#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run_sft_pipeline.sh: two runs at once and the locks of a killed one, names of files that look like
# something else, home folders, and refusals before data is made.
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
# The folder bin has a copy of the launcher and links to the programs; its sft-pack waits as long as
# the file $HOLD exists.
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
# start DIR ROWS ARGUMENT...: becomes a run on ROWS.jsonl into DIR, with its logs in DIR/ROWS
start() {
    exec "${launch[@]}" "output_dir=$1" "logging_dir=$1/$2" \
        "sft_train.data_args.file_name=$2.jsonl" "${@:3}"
}
into() { (start "$@"); }
tokens() { jq -s 'map(."sft_train/tokens") | add' "$1/tiny/metrics.jsonl"; }
# until_there FILE: waits for the file, ten seconds at most
until_there() { for _ in $(seq 200); do [ ! -s "$1" ] || return 0; sleep 0.05; done; }
# until_free DIR: waits until no process has the lock of the folder, ten seconds at most
until_free() {
    for _ in $(seq 200); do
        sft-train -q --config config.yaml output_dir="$1" logging_dir=free --check 2>err && return 0
        sleep 0.05
    done
}
for rows in short long; do
    equal "alone: a run on the $rows rows succeeds" "$(code into $rows $rows)" 0
    eval "$rows=$(tokens $rows/$rows)"
done
differ 'alone: the two files of rows have different tokens' <(echo "$short") <(echo "$long")

# ---- two runs at once: the lock is there before a stream is made ----
# held DIR ROWS: starts a run and returns when its sft-pack waits; its process is in $job
held() {
    : >hold
    rm -f hold.on
    HOLD=$PWD/hold start "$@" >begun.out 2>begun.err &
    job=$!
    until_there hold.on
}
held both short
find both/data | sort >before
equal 'two at once: the second in the folder is refused' "$(code into both long)" 73
said 'two at once: the message names the first' \
    "both/sft_train/.lock: in use by process $job on $(hostname)"
once 'two at once: the message is one line'
same 'two at once: the second has not touched the streams' before <(find both/data | sort)
equal 'two at once: a trainer in the folder is refused' \
    "$(code sft-train --config config.yaml output_dir=both logging_dir=l short/data/train.sfts)" 73
rm hold
wait $job && rc=0 || rc=$?
equal 'two at once: the first trains on its own rows' "$rc $(tokens both/short)" "0 $short"
held apart short
equal 'two folders: the second trains on its own rows' \
    "$(code into other long) $(tokens other/long)" "0 $long"
rm hold
wait $job && rc=0 || rc=$?
equal 'two folders: the first trains on its own rows' "$rc $(tokens apart/short)" "0 $short"
held left short
kill -KILL $job
wait $job 2>/dev/null
equal 'killed launcher: its stages still have the lock' "$(code into left long)" 73
rm hold
until_free left
equal 'killed launcher: the next run trains on its own rows' \
    "$(code into left long) $(tokens left/long)" "0 $long"

# ---- while the trainer runs ----
endless=(sft_train.training_args.num_train_epochs=20000 max_steps=1000000)
# trains DIR ARGUMENT...: starts an endless run and waits for its first step; its process is in $job
trains() {
    start "$1" short "${endless[@]}" "${@:2}" >begun.out 2>begun.err &
    job=$!
    until_there "$1/short/tiny/metrics.jsonl"
}
trains busy
equal 'training: a second run in the folder is refused' "$(code into busy long)" 73
said 'training: the message names the launcher' "in use by process $job on "
trainer=$(pgrep -P $job sft-train)
kill -KILL $job
wait $job 2>/dev/null
equal "training: a killed launcher's trainer still has the lock" "$(code into busy long)" 73
kill -KILL "$trainer"
until_free busy
equal 'training: a killed trainer leaves no lock' "$(code into busy short)" 0
said "training: the killed run's metrics are kept" 'kept as metrics-1.jsonl'
if have_mpi; then
    export container=test ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
    trains ranks 'sft_train.device_mapping=[0,1]' \
        sft_train.training_args.gradient_accumulation_steps=1
    equal 'ranks: a second run in the folder is refused' "$(code into ranks long)" 73
    said 'ranks: the message names the launcher' "in use by process $job on "
    kill -TERM $job
    wait $job && rc=0 || rc=$?
    equal 'ranks: the stopped run has a checkpoint' "$rc $(ls ranks/sft_train | wc -l)" '75 1'
else
    skip 'ranks: a second run in the folder is refused' 'no MPI here'
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
equal 'names: rows in one file are trained on' "$(code into one all)" 0
odd=(pretrain=-m global_template=-t.jinja validation.data_args.file_name=-v=.jsonl
    output_dir=-o=1 logging_dir=-l)
equal 'names: files of odd names are trained on' \
    "$(code "${launch[@]}" "sft_train.data_args.file_name=$list" "${odd[@]}")" 0
equal 'names: they have the same tokens' "$(tokens ./-l)" "$(tokens one/all)"
equal 'names: no name is run as a command' "$(ls made 2>/dev/null)" ''
equal 'names: no file is overwritten by a name that looks like an option' \
    "$(tail -n 1 ./--output=kept)" "$(rows 5 5)"
equal 'names: the streams are in the output folder' "$(ls ./-o=1/data)" "$(
    printf '%s\n' train.sfts train.sfts.stamp validation.sfts validation.sfts.stamp)"
grep '^sft-tokenize .*train.sfts$' stderr | sed 's|-o .*|-o typed.sfts|' >typed.sh
equal 'names: the shown command can be typed' "$(code bash typed.sh)" 0
same 'names: the typed one gives the same stream' typed.sfts ./-o=1/data/train.sfts
equal 'names: a missing configuration of an odd name is no input' \
    "$(code bin/run_sft_pipeline.sh --config_path -d --config_name -n)" 66
mkdir ./-d && cp config.yaml ./-d/-n.yaml
equal 'names: a configuration of an odd name is read' \
    "$(code bin/run_sft_pipeline.sh --config_path -d --config_name -n \
    sft_train.data_args.file_name=short.jsonl output_dir=d logging_dir=d/l)" 0

# ---- home folders ----
mkdir home
cp short.jsonl home/
ln -s "$PWD/model" home/model
tilde=('output_dir=~/o' 'logging_dir=~/l' 'sft_train.data_args.file_name=~/short.jsonl'
    'pretrain=~/model')
equal 'home: ~ is expanded in every path' "$(HOME=$PWD/home code "${launch[@]}" "${tilde[@]}")" 0
equal 'home: streams and logs are in the home folder' \
    "$(ls home/o/data/train.sfts) $(tokens home/l)" \
    "home/o/data/train.sfts $short"
equal 'home: ~ is expanded in --config_path' \
    "$(HOME=$PWD/-d code bin/run_sft_pipeline.sh '--config_path=~/' --config_name=-n \
        sft_train.data_args.file_name=short.jsonl output_dir=e logging_dir=e/l)" 0

# ---- before data is made ----
rm -r both/data
# refused WHAT CODE PATTERN ARGUMENT...: a run is refused before it makes a stream
refused() {
    local name=$1 wanted=$2 pattern=$3
    shift 3
    equal "early: $name is refused and no stream is made" \
        "$(code into "$@") $(ls -d both/data new/data 2>/dev/null)" "$wanted "
    said "early: $name is told" "$pattern"
    once "early: $name is told in one line"
}
refused 'an earlier run' 73 'both/sft_train/checkpoint-3: exists already' both short
refused "a run with another's logs" 73 'both/short/tiny: has the logs of another run, of .*/both;' \
    new short logging_dir=both/short
refused 'an optimizer that is not supported' 78 'paged_adamw_8bit' new short \
    sft_train.training_args.optim=paged_adamw_8bit
refused 'a batch that does not fit' 71 'the run needs' new short \
    sft_train.training_args.per_device_train_batch_size=1000000
refused 'a missing checkpoint' 66 'no such checkpoint' new short --resume out/checkpoint-1
refused 'a name that leads out of the logs' 78 'exp_name=.*: has a /' new short exp_name=../../x
refused 'a variable that is not set' 78 "'seed=': a value is missing" new short seed=
refused 'a missing model folder' 66 './none: there is no such folder' new short pretrain=./none
refused 'a hub id that is in no cache' 66 'hf download org/none' new short pretrain=org/none
cp -r model other
echo '{"model_type":"gpt2","n_embd":64}' >other/config.json
refused 'a family that is not supported' 65 'model_type gpt2 is not supported' new short \
    pretrain=./other
cp model/config.json other
for name in tokenizer.json model.safetensors; do
    printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n' >other/$name
    refused "a git-lfs pointer in the place of $name" 65 "$name: is a git-lfs pointer" new short \
        pretrain=./other
    cp model/$name other
done
jq '.num_hidden_layers = 3' model/config.json >other/config.json
refused 'a model with too few tensors' 65 'model.layers.2.*is missing' new short pretrain=./other
rm other/model.safetensors
refused 'a model without weights' 66 'contains neither model.safetensors nor' new short \
    pretrain=./other
refused 'a template that is unknown' 64 'there is no template "nativ"' new short \
    global_template=nativ
echo '{% if %}' >bad.jinja
refused 'a template that is no template' 65 'bad.jinja: line 1' new short \
    global_template=bad.jinja
refused 'variables that are no object' 64 'vars' new short sft.template_vars='"[1]"'
refused 'a fault that cannot be allowed' 64 "allow: 'heads' is not one of" new short sft.allow=heads
refused 'a role that is unknown' 64 'role-tags' new short sft.role_tags=bot=robot
refused 'a data file that is missing' 66 'none.jsonl: cannot open' new short \
    sft_train.data_args.file_name='[short.jsonl,none.jsonl]'
refused 'a missing file for validation' 66 'none.jsonl: cannot open' new short \
    validation.data_args.file_name=none.jsonl
printf 'PAR1' >rows.parquet
refused 'a file of another form' 65 'is Parquet; export it' new short \
    sft_train.data_args.file_name='[short.jsonl,rows.parquet]'
TMPDIR=$PWD/none refused 'a folder for temporary files that is not there' 73 \
    'none: is no folder that can be written; set TMPDIR' new short
# A sparse file of twice the room that there is.
cp short.jsonl huge.jsonl
if truncate -s $(($(stat -f -c '2*%a*%S' .))) huge.jsonl; then
    refused 'streams that will not fit on the disk' 74 'the streams take about .* MiB are free; ' \
        new huge
else
    skip 'early: streams that will not fit on the disk are refused' 'no file can be as large'
fi
rm huge.jsonl
if ! sanitized; then
    LD_PRELOAD="$O/test/small_disk.so" ROOM=9999 refused \
        'a checkpoint that will not fit on the disk' 74 \
        'new: a checkpoint takes .* MiB, and 0.0 MiB of the disk are free' new short
fi

# ---- warnings come before data, too ----
equal 'early: a rank without a target is told before the rows are read' "$(code into told short \
    sft_train.model_args.lora_rank=4) $(grep -m 1 -nE 'lora_target|^sft-tokenize ' stderr |
    cut -c -59)" '0 1:sft-train: sft_train.model_args.lora_rank is set, but not'
exit $bad
