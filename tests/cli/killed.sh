#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A run killed with SIGKILL at many system calls, some of them in a continued run, ends with the same
# bytes and losses as one that was left alone; a run whose disk is full, read-only, gone or limited
# says so, keeps the checkpoints before, and is continued later. KILLS=N: kills of each kind.
# The trainer is the copy of tests/kill/kill_at.c. What is written stays in memory where that can be:
# a killed process loses nothing of it, and fsync costs nothing.
if [ -w /dev/shm ]; then TEST_TMP=/dev/shm; fi
source "$(dirname "$0")/../train.sh"
trainer=("${O:-$root/build}/test/train_kill")
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
# Everything that a run leaves, but what measures time or memory.
result() { # result DIR
    sha256sum <"$(weights "$1")" && sha256sum <"$(state "$1")" &&
        cat "$(checkpoint "$1")/sft_train/manifest.json" && steady "$1"
}
# Each complete checkpoint is what the manifest says.
whole() { # whole DIR
    local c
    for c in "$1"/sft_train/checkpoint-*; do
        [ ! -d "$c" ] || sft-ckpt verify -q "$c" || return 1
    done
}

# A save is over before the next begins: with the third step there is a checkpoint.
kept() { # kept DIR
    ! grep -q '"system/step":3' "$1/logs/tiny/metrics.jsonl" 2>/dev/null || ls -d "$1"/sft_train/checkpoint-* >/dev/null 2>&1
}

kills=${KILLS:-14}
for dtype in fp32 bf16; do
    rm -rf whole
    KILL_LOG=calls train whole
    equal "$dtype: an uninterrupted run" "$? $(ls whole/sft_train | wc -l)" '0 6'
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
        train k --resume auto max_ckpt_to_keep=$keep || bad_kills+=" $k(exit $?: $(tail -n 1 k.err))"
        [ "$(result k)" == "$(<whole.result)" ] || bad_kills+=" $k(differs)"
        [ -z "$(hidden k)" ] || bad_kills+=" $k($(hidden k))"
    done
    equal "$dtype: killed at $kills of $calls calls, continued: the same bytes and losses" "$bad_kills" ''
    if [ $killed -ge $((kills * 3 / 4)) ]; then ok "$dtype: the kills happen"; else not_ok "$dtype: the kills happen" "$killed of $kills"; fi
done

# ---- failures: from some call on nothing can be written ----
dtype=bf16
faults=${KILLS:-8}
for errno in 28:'No space left' 30:'Read-only' 5:'Input/output error'; do
    bad_faults=''
    for i in $(seq 1 "$faults"); do
        k=$((1 + (calls - 12) * i / faults))
        rm -rf k
        FAIL_AT=$k FAIL_ERRNO=${errno%%:*} train k max_ckpt_to_keep=$((i % 2)) && bad_faults+=" $k(exit 0)"
        rc=$?
        [ $rc -eq 74 ] || [ $rc -eq 73 ] || bad_faults+=" $k(exit $rc)"
        grep -q "${errno#*:}" k.err || bad_faults+=" $k($(tail -n 1 k.err))"
        [ "$(wc -l <k.err)" -le 1 ] || bad_faults+=" $k(lines)"
        [ -z "$(hidden k)" ] || bad_faults+=" $k(left $(hidden k))"
        whole k || bad_faults+=" $k(damaged)"
        kept k || bad_faults+=" $k(nothing kept)"
        train k --resume auto && [ "$(result k)" == "$(<whole.result)" ] || bad_faults+=" $k(differs)"
    done
    equal "${errno#*:} at $faults calls: said, and continued later" "$bad_faults" ''
done
rm -rf k
(ulimit -f 600 && train k) && rc=0 || rc=$?
equal 'a limit on the size of files: 74' "$rc $(grep -c 'File too large' k.err) $(ls k/sft_train) $(hidden k)" '74 1  '
check 'and the run is done without it' train k --resume auto
bad_faults=''
for i in $(seq 1 "$faults"); do
    k=$((20 + (calls - 60) * i / faults))
    rm -rf k
    RUN_AT=$k RUN_COMMAND='rm -rf k/sft_train' train k && bad_faults+=" $k(exit 0)"
    rc=$?
    [ $rc -eq 74 ] || [ $rc -eq 73 ] || bad_faults+=" $k(exit $rc)"
    [ "$(wc -l <k.err)" -eq 1 ] && grep -q 'checkpoint-.*\(No such file\|folder is gone\)\|folder is gone.*checkpoint-' k.err ||
        bad_faults+=" $k($(tail -n 1 k.err))"
done
equal "a folder removed at $faults calls: said" "$bad_faults" ''

# ---- what a run may be continued with ----
shopt -s extglob
cp "$(checkpoint whole)/sft_train/manifest.json" whole.manifest
rm -rf k whole/sft_train/checkpoint-!(4)
again() { rm -rf k && cp -r whole k && train k --resume auto "$@"; }
again && rc=0 || rc=$?
equal 'the same settings: nothing is said' "$rc $(wc -l <k.err)" '0 0'
rm -rf k && cp -r whole k
quiet='' run k sft_train.model_args.dtype=$dtype --resume auto \
    sft_train.training_args.learning_rate=2e-3 max_grad_norm=2 train.sfts >/dev/null 2>k.err && rc=0 || rc=$?
equal 'other settings: said, and the run goes on' "$rc $(grep -c 'when the checkpoint was made' k.err) $(
    grep -c 'learning_rate is 0.002, but was 0.001 when' k.err)" '0 2 1'
refused() { # refused NAME CODE PATTERN ARGUMENT...: and every checkpoint is still there
    local name=$1 code=$2 pattern=$3 rc=0
    shift 3
    rm -rf k && cp -r whole k
    run k sft_train.model_args.dtype=$dtype --resume auto "$@" >/dev/null 2>k.err || rc=$?
    equal "$name" "$rc $(grep -c "$pattern" k.err) $(ls k/sft_train)" "$code 1 checkpoint-4"
}
others='not those that the checkpoint was trained on'
sft-pack -q -l 128 -b 8 --epochs 2 --seed 9 -o seed.sfts samples.sfts
refused 'another seed of the stream: 78' 78 "$others" seed.sfts
sft-pack -q -l 128 -b 8 --epochs 2 --in-order -o order.sfts samples.sfts
refused 'another order: 78' 78 "$others" order.sfts
sed 's/word/work/' train.jsonl >words.jsonl
samples words.jsonl | sft-pack -q -l 128 -b 8 --epochs 2 -o words.sfts
refused 'other texts: 78' 78 "$others" words.sfts
cp -r model other && sed -i 's/"type":"NFC"/"type":"NFKC"/' other/tokenizer.json
refused 'another tokenizer: 65' 65 'another tokenizer' pretrain=./other train.sfts
model wide hidden_size=64 intermediate_size=128 num_hidden_layers=2
refused 'a model of another shape: 78, and nothing is set aside' 78 'config.json: of another model: its intermediate_size' pretrain=./wide train.sfts
refused 'another optimizer: 78' 78 'sft.master_dtype' sft_train.training_args.optim=sgd train.sfts
rm -rf k
train k resume_from_checkpoint=true max_ckpt_to_keep=2
equal 'resume_from_checkpoint: true without a checkpoint: a fresh start; the newest two are kept' \
    "$? $(ls k/sft_train | tr '\n' ' ')" '0 checkpoint-5 checkpoint-6 '
same 'of the same bytes' "$(checkpoint k)/sft_train/manifest.json" whole.manifest
fails 'a checkpoint that is not there: 66' 66 'no such checkpoint' run k3 --resume k/sft_train/checkpoint-4 train.sfts
exit $bad
