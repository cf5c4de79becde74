#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The whole pipe on a tiny random model: settings that change no byte, and settings that change no
# loss. (The launcher's own tests are in wrapper.sh.)
source "$(dirname "$0")/../cli.sh"
root=$PWD
tokenizer=$root/share/tiny-tokenizer
export OMP_WAIT_POLICY=passive

declare -A dtypes=([float32]=fp32 [bfloat16]=bf16)
for type in "${!dtypes[@]}"; do
    cat >"$T/$type.json" <<END
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 2048,
 "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
 "num_key_value_heads": 2, "max_position_embeddings": 512, "rms_norm_eps": 1e-05, "rope_theta":
 10000.0, "hidden_act": "silu", "tie_word_embeddings": true, "attention_bias": false, "mlp_bias":
 false, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "$type"}
END
    check "model: one in $type is made" sft-ckpt init -q "$T/$type.json" --dtype ${dtypes[$type]} \
        --tokenizer "$tokenizer" --seed 1 -o "$T/$type"
done
jq '.[:40]' examples/data/train.json >"$T/train.json"
jq '.[:10]' examples/data/validation.json >"$T/val.json"
cat >"$T/job.yaml" <<END
exp_name: job
pretrain: $T/float32
sequence_length: 300
query_key: input
save_steps: 2
eval_steps: 100
validation: {data_args: {file_name: $T/val.json}}
sft_train:
  model_args: {dtype: fp32}
  training_args:
    per_device_train_batch_size: 1
    gradient_accumulation_steps: 8
    learning_rate: 1e-2
  data_args: {file_name: $T/train.json, preprocessing_num_workers: 2}
  strategy_args: {strategy_name: megatron_train}
  use_sequence_packing: true
sft: {device: cpu, threads: 2}
END

# where RUN: prints the overrides that give a run a folder of its own
where() { echo "output_dir=$T/$1" "logging_dir=$T/$1/logs"; }
# job RUN OVERRIDE...: a run by the launcher
job() {
    local name=$1
    shift
    # shellcheck disable=SC2046
    "$root/run_sft_pipeline.sh" --config_path "$T" --config_name job $(where "$name") "$@"
}
# runs RUN OVERRIDE...: checks that such a run succeeds
runs() {
    local rc
    rc=$(code job "$@")
    [ "$rc" -eq 0 ] || not_ok "job $1: the launcher succeeds" "exit $rc: $(tail -n 2 "$T/stderr" |
            tr '\n' ' ')"
}
# train RUN STREAM|- OPTION...: checks that the trainer succeeds with this stream
train() {
    # shellcheck disable=SC2046
    sft-train -q --config "$T/job.yaml" $(where "$1") --val "$T/a/data/validation.sfts" "${@:3}" \
        "$2" \
        >"$T/stdout" 2>"$T/stderr" || not_ok "job $1: the trainer succeeds" \
        "$(tail -n 2 "$T/stderr" | tr '\n' ' ')"
}
# same_runs NAME RUN RUN: every file of every checkpoint is equal
same_runs() {
    local files
    files=$(cd "$T/$2/sft_train" && find checkpoint-* -type f | wc -l)
    if [ "$files" -ge 14 ] && diff -rq "$T/$2/sft_train" "$T/$3/sft_train" >"$T/diff" 2>&1; then
        ok "$1"
    else
        not_ok "$1" "$files files; $(head -n 2 "$T/diff" | tr '\n' ' ')"
    fi
}
# metric RUN STEP KEY: prints a value of the metrics
metric() {
    jq -r "select(.\"system/step\" == $2) | .\"sft_train/$3\"" "$T/$1/logs/job/metrics.jsonl"
}

# ---- the same command twice ----
bf16=(pretrain="$T/bfloat16" sft_train.model_args.dtype=bf16)
runs a
runs b
same_runs 'repeat in fp32: checkpoints are the same' a b
for s in train validation; do
    same "repeat: the $s stream is the same" "$T/a/data/$s.sfts" "$T/b/data/$s.sfts"
done
runs a16 "${bf16[@]}"
runs b16 "${bf16[@]}"
same_runs 'repeat in bf16: checkpoints are the same' a16 b16
for run in a:F32 a16:BF16; do
    equal "checkpoint: it holds ${run#*:}" \
        "$(sft-ckpt show "$T/${run%:*}/sft_train/checkpoint-5" | grep -cw "${run#*:}")" 20
done
check 'checkpoint: all of them verify' sft-ckpt verify "$T"/a{,16}/sft_train/checkpoint-*
equal "training: every tensor differs from the initial model's" \
    "$(sft-ckpt diff "$T/float32" "$T/a/sft_train/checkpoint-2" | wc -l)" 20
close 'training: bf16 gives the loss of fp32 within 2e-3' "$(metric a16 5 loss)" \
    "$(metric a 5 loss)" 2e-3
check 'training: the validation loss falls by 0.3' \
    awk "BEGIN { exit !($(metric a 5 val_loss) < $(metric a 0 val_loss) - 0.3) }"

# ---- by hand: files and pipes ----
columns=(--query-key input)
sft-tokenize -q -m "$T/float32" "${columns[@]}" "$T/train.json" -o "$T/turns"
sft-template -q -m "$T/float32" "$T/turns" -o "$T/samples"
sft-pack -q -l 300 -b 8 --seed 42 "$T/samples" -o "$T/packed"
same "by hand: files give the launcher's stream" "$T/packed" "$T/a/data/train.sfts"
sft-tokenize -q -@ 1 -m "$T/float32" "${columns[@]}" <"$T/train.json" | sft-template -q -@ 1 \
    -m "$T/float32" |
    sft-pack -q -@ 1 -l 300 -b 8 --seed 42 | train pipe -
same_runs 'by hand: a pipe trains as a file does' a pipe

# ---- settings that change no byte ----
train far "$T/a/data/train.sfts" --device far
same_runs 'device: far gives the same bytes in fp32' a far
train far16 "$T/a/data/train.sfts" --device far "${bf16[@]}"
same_runs 'device: far gives the same bytes in bf16' a16 far16
mkdir -p "$T/again/sft_train"
cp -r "$T/a/sft_train/checkpoint-2" "$T/again/sft_train/"
train again "$T/a/data/train.sfts" --resume auto
same_runs 'resume: a continued run ends with the same bytes' a again

# ---- how the batch is cut ----
cut=sft_train.training_args
for each in 2 8; do
    runs "m$each" $cut.per_device_train_batch_size=$each \
        $cut.gradient_accumulation_steps=$((8 / each)) save_steps=0
done
runs rows sft_train.use_sequence_packing=false save_steps=0
runs rows8 sft_train.use_sequence_packing=false save_steps=0 $cut.per_device_train_batch_size=8 \
    $cut.gradient_accumulation_steps=1
runs recompute sft_train.strategy_args.strategy_config.recompute_granularity=full save_steps=0
check 'packing: rows hold several samples' [ "$(sft-view --count "$T/a/data/train.sfts")" -lt 30 ]
equal 'packing: without it each row holds one' "$(sft-view --count "$T/rows/data/train.sfts")" 40
for run in m2 m8 rows rows8 recompute; do
    for step in 1 5; do
        close "cut of the batch, $run: the loss of step $step is the same" \
            "$(metric a $step loss)" "$(metric $run $step loss)" 1e-7
    done
    close "cut of the batch, $run: the gradient norm is the same" "$(metric a 1 grad_norm)" \
        "$(metric $run 1 grad_norm)" 1e-7
    close "cut of the batch, $run: the validation loss is the same" "$(metric a 5 val_loss)" \
        "$(metric $run 5 val_loss)" 1e-7
done

# ---- the exit code is that of the first stage that failed ----
equal "exit code: it is sft-template's when that fails first" \
    "$(code job x sft_train.data_args.template=nosuch)" 64
equal "exit code: it is sft-pack's when that fails first" "$(code job x sequence_length=60)" 65
first='0:[0-9]+ \([0-9]+\)'
equal 'failure: sft-pack counts the long rows and names the first five' \
    "$(grep -Ec "40 of 40 samples .* 60 tokens: .* $first(, $first){4}, \.\.\.;" "$T/stderr")" 1
equal 'failure: no file is left' "$(find "$T/x" -type f ! -name .lock)" ''
jq 'map(.instruction = ([range(400)] | map("word") | join(" ")))' "$T/val.json" >"$T/long.json"
equal 'validation: a stream without a trained token is refused' \
    "$(code job x sft.over_length=cut validation.data_args.file_name="$T/long.json")" 65
said 'validation: sft-pack tells that no token is trained' \
    '^sft-pack: .*no trained token is in the plan.* 10 of 10 samples have lost'
equal 'validation: nothing is trained then' \
    "$(find "$T/x" -name 'checkpoint-*' -o -name metrics.jsonl)" ''
exit $bad
