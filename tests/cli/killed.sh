#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A run killed with SIGKILL at many system calls, some of them in a continued run, ends with the
# same bytes and losses as one that was left alone; a run whose disk is full, read-only, gone or
# limited says so, keeps the checkpoints before, and is continued later. KILLS=N: kills of each
# kind. The trainer is the copy of tests/kill/kill_at.c. What is written stays in memory where that
# can be: a killed process loses nothing of it, and fsync costs nothing.
if [ -w /dev/shm ]; then TEST_TMP=/dev/shm; fi
source "$(dirname "$0")/../train.sh"
trainer=("$O/test/train_kill")
last=6

model model hidden_size=64 intermediate_size=64 num_hidden_layers=2
rows 1 20 >train.jsonl
samples train.jsonl >samples.sfts
sft-pack -q -l 128 -b 8 --epochs 2 -o train.sfts samples.sfts # 20 samples: steps of 8, 8, 4; twice

config <<'END'
track_with: tensorboard
sequence_length: 128
save_steps: 1
sft_train:
  training_args:
    num_train_epochs: 2
    per_device_train_batch_size: 4
    gradient_accumulation_steps: 2
    learning_rate: 1.0e-3
    lr_scheduler_type: cosine
END
dtype=fp32 # of the run
train() { # train DIR [ARGUMENT...]
    run "$1" -@ 1 sft_train.model_args.dtype=$dtype "${@:2}" train.sfts >"$1.out" 2>"$1.err"
}
# result DIR: prints the hashes of the last checkpoint, and the metrics without time and memory
result() {
    sha256sum <"$(weights "$1")" && sha256sum <"$(state "$1")" &&
        cat "$(checkpoint "$1")/sft_train/manifest.json" && steady "$1"
}
# whole DIR: each checkpoint that is there verifies
whole() {
    local c
    for c in "$1"/sft_train/checkpoint-*; do
        [ ! -d "$c" ] || sft-ckpt verify -q "$c" || return 1
    done
}

# kept DIR: a run that did step 3 has a checkpoint, since a save ends before the next one begins
kept() {
    ! grep -q '"system/step":3' "$(metrics "$1")" 2>/dev/null ||
        compgen -G "$1/sft_train/checkpoint-*" >/dev/null
}

kills=${KILLS:-14}
for dtype in fp32 bf16; do
    rm -rf whole
    KILL_LOG=calls train whole
    equal "killed, $dtype: an uninterrupted run has its six checkpoints" \
        "$? $(ls whole/sft_train | wc -l)" '0 6'
    result whole >whole.result
    calls=$(<calls)
    bad_kills='' killed=0
    for i in $(seq 1 "$kills"); do
        k=$((1 + (calls - 2) * i / kills))
        rm -rf k
        keep=$((i % 2)) # 1: each save removes the checkpoint before it
        KILL_AT=$k train k max_ckpt_to_keep=$keep
        [ $? -eq 137 ] && killed=$((killed + 1))
        whole k || bad_kills+=" $k(damaged)"
        kept k || bad_kills+=" $k(nothing kept)"
        # every third is killed again while it goes on, at a save or while it cleans up
        if [ $((i % 3)) -eq 0 ]; then KILL_AT=$((k % 50 + 9)) train k --resume auto; fi
        if [ $((i % 3)) -eq 1 ]; then # the newest is damaged, in a file whose size stays the same
            newest=$(ls -d k/sft_train/checkpoint-* 2>/dev/null | sort -V | tail -n 1)
            if [ -n "$newest" ]; then
                damage "$newest/sft_train/state/optimizer.safetensors" 9000 x
            fi
        fi
        train k --resume auto max_ckpt_to_keep=$keep ||
            bad_kills+=" $k(exit $?: $(tail -n 1 k.err))"
        [ "$(result k)" == "$(<whole.result)" ] || bad_kills+=" $k(differs)"
        [ -z "$(hidden k)" ] || bad_kills+=" $k($(hidden k))"
    done
    equal "killed, $dtype, at $kills of $calls calls: continued runs have the same bytes" \
        "$bad_kills" ''
    check "killed, $dtype: three quarters of the kills happen" [ $killed -ge $((kills * 3 / 4)) ]
done

# ---- failures: from some call on nothing can be written ----
dtype=bf16
faults=${KILLS:-8}
for errno in 28:'No space left' 30:'Read-only' 5:'Input/output error'; do
    bad_faults=''
    for i in $(seq 1 "$faults"); do
        k=$((1 + (calls - 12) * i / faults))
        rm -rf k
        FAIL_AT=$k FAIL_ERRNO=${errno%%:*} train k max_ckpt_to_keep=$((i % 2)) &&
            bad_faults+=" $k(exit 0)"
        rc=$?
        [ $rc -eq 74 ] || [ $rc -eq 73 ] || bad_faults+=" $k(exit $rc)"
        grep -q "${errno#*:}" k.err || bad_faults+=" $k($(tail -n 1 k.err))"
        [ "$(wc -l <k.err)" -le 1 ] || bad_faults+=" $k(lines)"
        [ -z "$(hidden k)" ] || bad_faults+=" $k(left $(hidden k))"
        whole k || bad_faults+=" $k(damaged)"
        kept k || bad_faults+=" $k(nothing kept)"
        train k --resume auto && [ "$(result k)" == "$(<whole.result)" ] ||
            bad_faults+=" $k(differs)"
    done
    equal "failing, ${errno#*:} at $faults calls: the run tells it and is continued later" \
        "$bad_faults" ''
done
rm -rf k
(ulimit -f 600 && train k) && rc=0 || rc=$?
equal 'failing, a limit on the size of files: the run tells it and leaves nothing' \
    "$rc $(grep -c 'File too large' k.err) $(ls k/sft_train) $(hidden k)" '74 1  '
check 'failing, a limit on the size of files: the run is done without it' train k --resume auto
bad_faults=''
for i in $(seq 1 "$faults"); do
    k=$((20 + (calls - 60) * i / faults))
    rm -rf k
    RUN_AT=$k RUN_COMMAND='rm -rf k/sft_train' train k && bad_faults+=" $k(exit 0)"
    rc=$?
    [ $rc -eq 74 ] || [ $rc -eq 73 ] || bad_faults+=" $k(exit $rc)"
    [ "$(wc -l <k.err)" -eq 1 ] &&
        grep -Eq 'checkpoint-.*(No such file|folder is gone)|folder is gone.*checkpoint-' k.err ||
        bad_faults+=" $k($(tail -n 1 k.err))"
done
equal "failing, a folder removed at $faults calls: the run tells it" "$bad_faults" ''

# ---- settings that a run may be continued with ----
shopt -s extglob
cp "$(checkpoint whole)/sft_train/manifest.json" whole.manifest
rm -rf k whole/sft_train/checkpoint-!(4)
again() { rm -rf k && cp -r whole k && train k --resume auto "$@"; }
again && rc=0 || rc=$?
equal 'continued: with the same settings nothing is said' "$rc $(wc -l <k.err)" '0 0'
rm -rf k && cp -r whole k
quiet='' run k sft_train.model_args.dtype=$dtype --resume auto \
    sft_train.training_args.learning_rate=2e-3 max_grad_norm=2 train.sfts >/dev/null 2>k.err &&
    rc=0 || rc=$?
equal 'continued: other settings are told, and the run goes on' \
    "$rc $(grep -c 'when the checkpoint was made' k.err) $(
    grep -c 'learning_rate is 0.002, but was 0.001 when' k.err)" '0 2 1'
# refused WHAT CODE PATTERN ARGUMENT...: the run does not go on, and its checkpoint stays
refused() {
    local name=$1 code=$2 pattern=$3 rc=0
    shift 3
    rm -rf k && cp -r whole k
    run k sft_train.model_args.dtype=$dtype --resume auto "$@" >/dev/null 2>k.err || rc=$?
    equal "continued: $name is refused, and the checkpoint stays" \
        "$rc $(grep -c "$pattern" k.err) $(ls k/sft_train)" "$code 1 checkpoint-4"
}
others='not those that the checkpoint was trained on'
sft-pack -q -l 128 -b 8 --epochs 2 --seed 9 -o seed.sfts samples.sfts
refused 'another seed of the stream' 78 "$others" seed.sfts
sft-pack -q -l 128 -b 8 --epochs 2 --in-order -o order.sfts samples.sfts
refused 'another order of the stream' 78 "$others" order.sfts
sed 's/word/work/' train.jsonl >words.jsonl
samples words.jsonl | sft-pack -q -l 128 -b 8 --epochs 2 -o words.sfts
refused 'a stream of other texts' 78 "$others" words.sfts
cp -r model other && other_tokenizer other
refused 'another tokenizer' 65 'another tokenizer' pretrain=./other train.sfts
model wide hidden_size=64 intermediate_size=128 num_hidden_layers=2
refused 'a model of another shape' 78 'config.json: of another model: its intermediate_size' \
    pretrain=./wide train.sfts
refused 'another optimizer' 78 'sft.master_dtype' sft_train.training_args.optim=sgd train.sfts
rm -rf k
train k resume_from_checkpoint=true max_ckpt_to_keep=2
equal 'continued: resume_from_checkpoint=true without a checkpoint begins anew' \
    "$? $(ls k/sft_train | tr '\n' ' ')" '0 checkpoint-5 checkpoint-6 '
same 'continued: the run that begins anew has the same bytes' \
    "$(checkpoint k)/sft_train/manifest.json" whole.manifest
fails 'continued: a checkpoint that does not exist is no input' 66 'no such checkpoint' run k3 \
    --resume k/sft_train/checkpoint-4 train.sfts
exit $bad
