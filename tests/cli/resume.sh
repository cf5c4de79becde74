#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The checkpoint that a run goes on from, and other things beside it: names, links, incomplete
# checkpoints, other runs, logs, signals, closed standard streams. The test killed.sh kills a run
# anywhere.
if [ -w /dev/shm ]; then TEST_TMP=/dev/shm; fi
source "$(dirname "$0")/../train.sh"

model model hidden_size=64 intermediate_size=64 num_hidden_layers=2
rows 1 20 >train.jsonl
samples train.jsonl >train.samples
pack() { sft-pack -q -l 128 -b 8 "$@" train.samples; }
pack --epochs 2 -o train.sfts # 20 samples: steps of 8, 8, 4; twice
pack --mode none --in-order -o val.sfts
config <<'END'
track_with: tensorboard
sequence_length: 128
save_steps: 1
eval_steps: 2
sft_train:
  model_args: {dtype: bf16}
  training_args:
    num_train_epochs: 2
    per_device_train_batch_size: 4
    gradient_accumulation_steps: 2
    learning_rate: 1.0e-3
END
last=6
stream=train.sfts
quiet=''
# train DIR [ARGUMENT...]: a run with $stream, if there is one
train() { run "$@" $stream; }
# result DIR: prints the hashes of the last checkpoint, and the metrics without time and memory
result() {
    (cd "$(checkpoint "$1")/sft_train" && sha256sum ./*.safetensors state/* manifest.json) &&
        steady "$1"
}
check 'run: an uninterrupted one succeeds' train whole
result whole >whole.result
# ends NAME DIR: the run has the result of the uninterrupted one
ends() { equal "$1" "$(result "$2")" "$(<whole.result)"; }
# upto N...: makes k a copy of the uninterrupted run with checkpoints N... alone
upto() {
    rm -rf k && cp -r whole k && rm -rf k/sft_train/checkpoint-*
    for n in "$@"; do cp -r "whole/sft_train/checkpoint-$n" k/sft_train/; done
}

# ---- values of resume_from_checkpoint and --resume ----
upto 4
check 'path: one that ends in a slash is taken' train k --resume k/sft_train/checkpoint-4/
ends 'path: the run goes on from it to the same end' k
for word in latest k/sft_train/checkpoint-5 /nowhere/checkpoint-3; do
    upto 4
    equal "path: $word is no checkpoint and exits with 66" \
        "$(code train k "resume_from_checkpoint=$word") $(ls k/sft_train)" '66 checkpoint-4'
done
said 'path: the message names what is missing' '/nowhere/checkpoint-3: no such checkpoint'
equal 'path: a folder that is no checkpoint exits with 78' "$(code train k --resume model)" 78
for word in false null '""'; do
    equal "path: resume_from_checkpoint=$word resumes nothing" \
        "$(code train k "resume_from_checkpoint=$word")" 73
done
upto 4
ln -s "$PWD/whole/sft_train/checkpoint-5" k/sft_train/checkpoint-5
equal 'link: a link to a checkpoint is taken' "$(code train k --resume auto max_ckpt_to_keep=1)" 0
ends 'link: the run goes on to the same end' k
equal 'link: pruning removes the link and not its target' \
    "$(ls k/sft_train) $(code sft-ckpt verify -q whole/sft_train/checkpoint-5)" 'checkpoint-6 0'
upto 2
mv k/sft_train/checkpoint-2 k/sft_train/checkpoint-3
equal "wrong step: a checkpoint under another step's name exits with 78" \
    "$(code train k --resume k/sft_train/checkpoint-3)" 78
said 'wrong step: the message tells the step that it holds' 'checkpoint-3: holds step 2'
upto 4
rm -r k/sft_train/checkpoint-4/sft_train/state
equal 'halves: a checkpoint without state exits with 65' \
    "$(code train k --resume k/sft_train/checkpoint-4)" 65
said 'halves: the message names the missing file' 'checkpoint-4/sft_train/state/'

# ---- newer checkpoints that are not complete are in the way of no save ----
upto 2 3 5
truncate -s -1 k/sft_train/checkpoint-3/sft_train/state/optimizer.safetensors
rm k/sft_train/checkpoint-5/sft_train/manifest.json
: >k/sft_train/checkpoint-4
ln -s nowhere k/sft_train/checkpoint-6
equal 'halves: incomplete checkpoints, a file and a link are no obstacle' \
    "$(code train k --resume auto)" 0
ends 'halves: the run goes on from the whole one to the same end' k
said 'halves: one line names all that is set aside' \
    'checkpoint-3, checkpoint-4, checkpoint-5, checkpoint-6 in k/sft_train: not complete; set aside'
equal 'halves: they are kept under other names' "$(ls k/sft_train | paste -sd' ')" \
    "$(echo checkpoint-{2,3,4,5,6} damaged-checkpoint-{3,4,5,6})"
upto 2 3 4 5
for n in 3 5; do damage "$(weights k $n)" 9000 x; done
rm k/sft_train/checkpoint-4/sft_train/config.json
equal 'damage: the newest checkpoint that is whole is taken' \
    "$(code train k --resume auto) $(grep -c 'after step 2 from' stderr)" '0 1'
ends 'damage: the run goes on from it to the same end' k
upto 1
damage k/sft_train/checkpoint-1/sft_train/manifest.json 40 x
equal 'damage: without a whole checkpoint the run begins anew' \
    "$(code train k --resume auto) $(grep -c 'starting anew' stderr)" '0 1'
ends 'damage: the new run has the same end' k
: >k/sft_train/checkpoint-9
rm -rf k/sft_train/checkpoint-[1-6]
equal "new run: a file of a checkpoint's name is refused at once" "$(code train k)" 73

# ---- another model, whose tensors are all there ----
# other KEY=VALUE: checks that a model with another value is refused and the checkpoint stays
other() {
    rm -rf other
    model other hidden_size=64 intermediate_size=64 num_hidden_layers=2 "$1"
    upto 4
    equal "other model: another ${1%%=*} exits with 78" \
        "$(code train k --resume auto pretrain=./other) $(ls k/sft_train)" '78 checkpoint-4'
    said "other model: the message names ${1%%=*}" \
        "checkpoint-4/sft_train/config.json: of another model: its ${1%%=*} is not"
}
other num_hidden_layers=1
other num_attention_heads=2
other rope_theta=5000
other rms_norm_eps=0.1

# ---- metrics.jsonl and event files; tests/cli/records.sh has more ----
upto 4
printf '{"system/step":7,"sft_tr' >>k/logs/tiny/metrics.jsonl
check 'metrics: a half-written line is no obstacle' train k --resume auto
ends 'metrics: the half-written line is dropped' k
upto 4
head -c $(($(stat -c %s "$(metrics whole)") * 2 / 3)) "$(metrics whole)" >"$(metrics k)"
check 'metrics: a line cut short is no obstacle' train k --resume auto
equal 'metrics: the steps that follow come after the cut line' \
    "$(tail -n 2 k/logs/tiny/metrics.jsonl | jq '.["system/step"]' | paste -sd' ')" '5 6'
upto 4
cp -r k/logs/tensorboard before
check 'event files: a run with one is resumed' train k --resume auto
diff -rq before k/logs/tensorboard >changes
new=$(sed -n 's|^Only in \(.*\): |\1/|p' changes)
equal 'event files: the resumed run has one of its own and leaves the others' \
    "$(wc -l <changes) ${new##*/events.out.*}" '1 '
equal 'event files: the new one has the steps that follow' \
    "$(tr -c '[:print:]' '\n' <"$new" | grep -c 'sft_train/loss')" 2
upto 4
rm -r k/logs
check 'logs: a run without any is resumed' train k --resume auto
equal 'logs: they begin with the next step' "$(values k system/step | paste -sd' ')" '5 6'

# ---- settings that change no byte ----
for how in '-@ 2' sft_train.training_args.dataloader_num_workers=3 sft.recompute=none \
    sft.async_save=false sft.staging=8; do
    upto 4
    # shellcheck disable=SC2086
    check "settings: a run is resumed with $how" train k --resume auto $how
    ends "settings: with $how it has the same end" k
done
piped() { upto 3 && pack --epochs 2 | train k --resume auto -; }
stream=
check 'pipe: a run is resumed from one' piped
ends 'pipe: the run has the same end' k
cut_short() { upto 3 && head -c "$1" train.sfts | train k --resume auto -; }
size=$(stat -c %s train.sfts)
equal 'pipe: one that ends early exits with 65' "$(code cut_short $((size - 30)))" 65
stream=train.sfts
upto 6
equal 'done: a run that is done is resumed without a step' \
    "$(code train k --resume auto) $(jq -c '[.step, .steps]' stdout)" '0 [6,0]'
said 'done: a line tells it' '^sft-train: all 6 steps are done: nothing is left to train$'
ends 'done: its files stay as they were' k
equal 'done: so is one that has more steps than it is to have' \
    "$(code train k --resume auto max_steps=4) $(jq -c '[.step, .steps]' stdout)" '0 [6,0]'
said 'done: a line has both numbers' \
    'k/sft_train/checkpoint-6: has 6 steps, and the run has 4: nothing is left to train;'

# ---- answers of an attempt that left no metrics ----
upto
: >"$(metrics k)"
echo '{"step":0,"row":0}' >k/logs/tiny/samples.jsonl
echo '{"prompt":"Say"}' >prompts.jsonl
answers=(sft.sample_prompts=prompts.jsonl sft.sample_tokens=2 max_steps=1 --val val.sfts)
equal 'answers: a run that starts anew does not mind those of an attempt without metrics' \
    "$(code train k --resume auto "${answers[@]}") $(jq -c .step k/logs/tiny/samples.jsonl |
        paste -sd' ')" '0 0 1'
equal 'answers: they are kept beside its own' "$(cat k/logs/tiny/samples-1.jsonl)" \
    '{"step":0,"row":0}'

# ---- another stream ----
# other NAME PATTERN STREAM ARGUMENT...: a run that goes on with that stream is refused
other() {
    upto 3
    quiet=-q fails "$1" 78 "$2" run k --resume auto "${@:4}" "$3"
}
rows 2 21 >later.jsonl
samples later.jsonl | sft-pack -q -l 128 -b 8 --epochs 2 -o later.sfts
other 'stream: one of other data is refused, with its name' \
    '^sft-train: later.sfts: its first 3 steps are not those that the checkpoint' later.sfts
sft-pack -q -l 128 -b 4 --epochs 2 train.samples -o half.sfts
other 'stream: one of another global batch is refused, with both numbers' \
    'checkpoint-3: trained with a global batch of 8, and half.sfts has one of 4; resume' half.sfts \
    sft_train.training_args.gradient_accumulation_steps=1
cp -r model model-other
other_tokenizer model-other
sft-tokenize -q -m model-other --prompt-key q --response-key a train.jsonl |
    sft-template -q -m model-other | sft-pack -q -l 128 -b 8 --epochs 2 -o other.sfts
other 'stream: one of another tokenizer is refused, though its ids are the same' \
    'checkpoint-3: trained with another tokenizer \([0-9a-f]{32}\) than that of ./model-other and' \
    other.sfts pretrain=./model-other

# ---- two runs; signals; streams that are closed ----
mkfifo fifo
# begun DIR COMMAND...: starts a run, which waits for its stream; its process is in $job
begun() {
    local dir=$1
    shift
    rm -rf "$dir"
    "$@" sft-train --config config.yaml "output_dir=$dir" "logging_dir=$dir/logs" fifo \
        >"$dir.out" 2>"$dir.err" &
    job=$!
    exec 9>fifo # opens when the trainer, which by then catches signals, opens its end
}
# going: gives the run its stream and waits for its end; the exit code is in $rc
going() { cat train.sfts >&9; exec 9>&-; wait $job && rc=0 || rc=$?; }
pack --epochs 20000 -o long.sfts
rm -rf k
sft-train -q --config config.yaml output_dir=k logging_dir=k/logs \
    sft_train.training_args.num_train_epochs=20000 save_steps=0 long.sfts >k.out 2>k.err &
job=$!
reached k 1
kill -KILL $job
wait $job 2>/dev/null
equal "two runs: logs may lie beside another run's checkpoints" \
    "$(code train one logging_dir=one exp_name=sft_train)" 0
equal 'two runs: a killed one leaves no lock' "$(code train k)" 0
begun k env --default-signal=HUP
kill -HUP $job
going
equal 'signals: HUP saves and exits with 75' "$rc $(ls k/sft_train)" '75 checkpoint-1'
begun k nohup
kill -HUP $job
going
equal 'signals: HUP under nohup is ignored' "$rc" 0
ends 'signals: the run under nohup has the same end' k
begun k
for _ in $(seq 100); do
    grep -q '^State:[^a-z]*[ZX]' "/proc/$job/status" && break
    kill -INT $job
    sleep 0.05
done
wait $job && rc=0 || rc=$?
exec 9>&-
equal 'signals: a second INT ends the process at once' "$rc" 130
rm -rf k
sft-train --config config.yaml output_dir=k logging_dir=k/logs train.sfts 2>&1 >k.out | true
equal 'closed: a pipe that nobody reads does not end the run' "${PIPESTATUS[0]}" 0
ends 'closed: the run that nobody reads has the same end' k
rm -rf k
sft-train --config config.yaml output_dir=k logging_dir=k/logs train.sfts <&- >&- 2>&-
equal 'closed: without standard streams the summary is an I/O error' $? 74
ends 'closed: the run without standard streams has the same end' k
equal "closed: its log has the command's lines and no others" \
    "$(grep -vc '^sft-train: ' k/logs/tiny/log)" 0

# ---- the validation stream is looked at before anything is trained ----
upto 4
equal 'validation: a missing stream exits with 66' "$(code train k --resume auto --val none.sfts)" \
    66
said 'validation: the message names the missing stream' 'validation: none.sfts'
equal 'validation: a pipe exits with 64' "$(code train k --resume auto --val <(cat val.sfts))" 64
said 'validation: the message tells that a pipe is no file' 'validation: .*not a file'
equal 'validation: rows that are too long exit with 78' \
    "$(code train k --resume auto --val <(:) sequence_length=127)" 78
equal 'validation: a refused stream leaves the run as it was' "$(ls k/sft_train)" checkpoint-4
exit $bad
