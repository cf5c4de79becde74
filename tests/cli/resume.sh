#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Which checkpoint a run goes on from, and what may stand around it: names, links, halves, other runs,
# logs, signals, standard streams that are closed. That a run killed anywhere ends with the same bytes
# is killed.sh's.
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
  training_args: {num_train_epochs: 2, per_device_train_batch_size: 4, gradient_accumulation_steps: 2, learning_rate: 1.0e-3}
END
last=6
stream=train.sfts
quiet=''
train() { run "$@" $stream; } # train DIR [ARGUMENT...]
result() { # result DIR
    (cd "$(checkpoint "$1")/sft_train" && sha256sum ./*.safetensors state/* manifest.json) && steady "$1"
}
check 'an uninterrupted run' train whole
result whole >whole.result
# ends NAME DIR: as the uninterrupted run
ends() { equal "$1" "$(result "$2")" "$(<whole.result)"; }
# upto N...: k becomes the uninterrupted run with checkpoints N... alone
upto() {
    rm -rf k && cp -r whole k && rm -rf k/sft_train/checkpoint-*
    for n in "$@"; do cp -r "whole/sft_train/checkpoint-$n" k/sft_train/; done
}

# ---- what resume_from_checkpoint and --resume may be ----
upto 4
check 'a path that ends in a slash' train k --resume k/sft_train/checkpoint-4/
ends 'and goes on from there' k
for word in latest k/sft_train/checkpoint-5 /nowhere/checkpoint-3; do
    upto 4
    equal "$word: 66" "$(code train k "resume_from_checkpoint=$word") $(ls k/sft_train)" '66 checkpoint-4'
done
said 'named' '/nowhere/checkpoint-3: no such checkpoint'
equal 'a folder that is none: 78' "$(code train k --resume model)" 78
for word in false null '""'; do
    equal "resume_from_checkpoint: '$word' resumes nothing" "$(code train k "resume_from_checkpoint=$word")" 73
done
upto 4
ln -s "$PWD/whole/sft_train/checkpoint-5" k/sft_train/checkpoint-5
equal 'a link to a checkpoint' "$(code train k --resume auto max_ckpt_to_keep=1)" 0
ends 'is one' k
equal 'and only the link is pruned' "$(ls k/sft_train) $(code sft-ckpt verify -q whole/sft_train/checkpoint-5)" 'checkpoint-6 0'
upto 2
mv k/sft_train/checkpoint-2 k/sft_train/checkpoint-3
equal 'a checkpoint under another step: 78' "$(code train k --resume k/sft_train/checkpoint-3)" 78
said 'which says so' 'checkpoint-3: holds step 2'
upto 4
rm -r k/sft_train/checkpoint-4/sft_train/state
equal 'no state/: 65' "$(code train k --resume k/sft_train/checkpoint-4)" 65
said 'names the file' 'checkpoint-4/sft_train/state/'

# ---- what is newer and not complete stands in the way of no save ----
upto 2 3 5
truncate -s -1 k/sft_train/checkpoint-3/sft_train/state/optimizer.safetensors
rm k/sft_train/checkpoint-5/sft_train/manifest.json
: >k/sft_train/checkpoint-4
ln -s nowhere k/sft_train/checkpoint-6
equal 'halves, a file and a link' "$(code train k --resume auto)" 0
ends 'are no checkpoints' k
said 'said once' 'checkpoint-3, checkpoint-4, checkpoint-5, checkpoint-6 in k/sft_train: not complete; set aside'
equal 'and kept' "$(ls k/sft_train | tr '\n' ' ')" 'checkpoint-2 checkpoint-3 checkpoint-4 checkpoint-5 checkpoint-6 damaged-checkpoint-3 damaged-checkpoint-4 damaged-checkpoint-5 damaged-checkpoint-6 '
upto 2 3 4 5
for n in 3 5; do damage "$(weights k $n)" 9000 x; done
rm k/sft_train/checkpoint-4/sft_train/config.json
equal 'damaged, half, damaged: the one before' "$(code train k --resume auto) $(grep -c 'after step 2 from' stderr)" '0 1'
ends 'is gone on from' k
upto 1
damage k/sft_train/checkpoint-1/sft_train/manifest.json 40 x
equal 'the only one has a damaged manifest: anew' "$(code train k --resume auto) $(grep -c 'starting anew' stderr)" '0 1'
ends 'to the same end' k
: >k/sft_train/checkpoint-9
rm -rf k/sft_train/checkpoint-[1-6]
equal 'a fresh run meets a file of that name at once' "$(code train k)" 73

# ---- another model, whose tensors are all there ----
other() { # other KEY=VALUE: 78, and the checkpoint is left alone
    rm -rf other
    model other hidden_size=64 intermediate_size=64 num_hidden_layers=2 "$1"
    upto 4
    equal "another ${1%%=*}: 78" "$(code train k --resume auto pretrain=./other) $(ls k/sft_train)" '78 checkpoint-4'
    said 'named' "checkpoint-4/sft_train/config.json: of another model: its ${1%%=*} is not"
}
other num_hidden_layers=1
other num_attention_heads=2
other rope_theta=5000
other rms_norm_eps=0.1

# ---- metrics.jsonl and event files; tests/cli/records.sh has more ----
upto 4
printf '{"system/step":7,"sft_tr' >>k/logs/tiny/metrics.jsonl
check 'a half-written line' train k --resume auto
ends 'is dropped' k
upto 4
head -c $(($(wc -c <k/logs/tiny/metrics.jsonl) * 2 / 3)) whole/logs/tiny/metrics.jsonl >k/logs/tiny/metrics.jsonl
check 'and so is a line cut short' train k --resume auto
equal 'after which come the steps that follow' "$(tail -n 2 k/logs/tiny/metrics.jsonl | grep -o '"system/step":[0-9]*' | tr '\n' ' ')" \
    '"system/step":5 "system/step":6 '
upto 4
cp -r k/logs/tensorboard before
check 'an event file' train k --resume auto
diff -rq before k/logs/tensorboard >changes
new=$(sed -n 's|^Only in \(.*\): |\1/|p' changes)
equal 'of its own, and the others as they were' "$(wc -l <changes) ${new##*/events.out.*}" '1 '
equal 'has the steps that follow' "$(tr -c '[:print:]' '\n' <"$new" | grep -c 'sft_train/loss')" 2
upto 4
rm -r k/logs
check 'no logs at all' train k --resume auto
equal 'begin at the next step' "$(grep -o '"system/step":[0-9]*' k/logs/tiny/metrics.jsonl | tr '\n' ' ')" '"system/step":5 "system/step":6 '

# ---- what changes no byte ----
for how in '-@ 2' sft_train.training_args.dataloader_num_workers=3 sft.recompute=none sft.async_save=false sft.staging=8; do
    upto 4
    # shellcheck disable=SC2086
    check "resumed with $how" train k --resume auto $how
    ends 'to the same end' k
done
piped() { upto 3 && pack --epochs 2 | train k --resume auto -; }
stream=
check 'resumed from a pipe' piped
ends 'to the same end' k
cut_short() { upto 3 && head -c "$1" train.sfts | train k --resume auto -; }
size=$(stat -c %s train.sfts)
equal 'from a pipe that ends early: 65' "$(code cut_short $((size - 30)))" 65
stream=train.sfts
upto 6
equal 'a run that is done' "$(code train k --resume auto) $(jq -c '[.step, .steps]' stdout)" '0 [6,0]'
ends 'stays as it was' k

# ---- two runs; signals; streams that are closed ----
mkfifo fifo
# begun DIR COMMAND...: a run that waits for its stream, and catches signals; its process in $job
begun() {
    local dir=$1
    shift
    rm -rf "$dir"
    "$@" sft-train --config config.yaml "output_dir=$dir" "logging_dir=$dir/logs" fifo >"$dir.out" 2>"$dir.err" &
    job=$!
    exec 9>fifo
}
# going: it gets its stream; its exit status in $rc
going() { cat train.sfts >&9; exec 9>&-; wait $job && rc=0 || rc=$?; }
pack --epochs 20000 -o long.sfts
rm -rf k
sft-train -q --config config.yaml output_dir=k logging_dir=k/logs sft_train.training_args.num_train_epochs=20000 save_steps=0 long.sfts >k.out 2>k.err &
job=$!
reached k 1
kill -KILL $job
wait $job 2>/dev/null
equal 'logs may lie beside the checkpoints' "$(code train one logging_dir=one exp_name=sft_train)" 0
equal 'a killed one leaves no lock' "$(code train k)" 0
begun k env --default-signal=HUP
kill -HUP $job
going
equal 'HUP: saved, exit 75' "$rc $(ls k/sft_train)" '75 checkpoint-1'
begun k nohup
kill -HUP $job
going
equal 'HUP under nohup: nothing' "$rc" 0
ends 'and the run is the same' k
begun k
for _ in $(seq 100); do
    grep -q '^State:[^a-z]*[ZX]' "/proc/$job/status" && break
    kill -INT $job
    sleep 0.05
done
wait $job && rc=0 || rc=$?
exec 9>&-
equal 'a second INT ends it at once' "$rc" 130
rm -rf k
sft-train --config config.yaml output_dir=k logging_dir=k/logs train.sfts 2>&1 >k.out | true
equal 'nobody reads the messages any more' "${PIPESTATUS[0]}" 0
ends 'and the run is the same' k
rm -rf k
sft-train --config config.yaml output_dir=k logging_dir=k/logs train.sfts <&- >&- 2>&-
equal 'no standard stream is open: the summary cannot be written' $? 74
ends 'and the run is the same' k
equal 'with the log as it should be' "$(grep -vc '^sft-train: ' k/logs/tiny/log)" 0

# ---- the validation stream is looked at before anything is trained ----
upto 4
equal 'none' "$(code train k --resume auto --val none.sfts)" 66
said 'named' 'validation: none.sfts'
equal 'a pipe' "$(code train k --resume auto --val <(cat val.sfts))" 64
said 'said' 'validation: .*not a file'
equal 'for rows that are too long' "$(code train k --resume auto --val <(:) sequence_length=127)" 78
equal 'nothing was done' "$(ls k/sft_train)" checkpoint-4
exit $bad
