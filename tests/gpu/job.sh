#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A whole job as people run it, with the device left to choose: from rows to checkpoints by sft-run,
# twice, resumed, evaluated, beside the CPU; bf16, fp32 and an adapter.
. tests/gpu/common.sh
hidden=512 layers=8 rows=96 words=60 steps=6
[ -z "$tiny" ] || hidden=64 layers=1 rows=8 words=3 steps=2
sed 's/"hidden_size": .*/"hidden_size": '$hidden',/
    s/"num_hidden_layers": .*/"num_hidden_layers": '$layers',/
    s/"num_attention_heads": .*/"num_attention_heads": '$((hidden / 64 > 1 ? hidden / 64 : 2))',/
    s/"num_key_value_heads": .*/"num_key_value_heads": 2,\n  "head_dim": 64,/
    s/"intermediate_size": .*/"intermediate_size": '$((hidden * 3))',/' \
    examples/random-model.json >"$W/model.json"
sft-ckpt init -q "$W/model.json" -t share/tiny-tokenizer --seed 7 -o "$W/model" || exit
awk -v rows=$rows -v words=$words 'BEGIN {
    srand(5)
    for (r = 0; r < rows; r++) {
        printf("{\"q\":\"Count %d.\",\"a\":\"", r)
        for (i = 0; i < words * (0.5 + rand()); i++) printf("%d and ", r + i)
        print "done.\"}"
    }
}' >"$W/train.jsonl"
cat >"$W/job.yaml" <<END
exp_name: job
output_dir: $W/out
logging_dir: $W/logs
track_with: ""
pretrain: $W/model
sequence_length: 512
max_steps: $steps
save_steps: $((steps / 2))
prompt_key: q
response_key: a
sft_train:
  model_args: {dtype: bf16}
  training_args: {learning_rate: 1.0e-3, lr_scheduler_type: constant, num_train_epochs: 8,
    per_device_train_batch_size: 4, gradient_accumulation_steps: 2, adam_epsilon: 1.0e-5}
  data_args: {file_name: $W/train.jsonl, template: native}
  strategy_args: {strategy_name: megatron_train}
  use_sequence_packing: true
END
runner=sft-run
command -v sft-run >/dev/null || runner=./run_sft_pipeline.sh # as in the tree
# job NAME OVERRIDE...: a run by sft-run into $W/NAME; its log is $W/NAME.log
job() {
    local rc=0
    $runner --config_path "$W" --config_name job "output_dir=$W/$1" "logging_dir=$W/$1/logs" \
        "${@:2}" >"$W/$1.log" 2>&1 || rc=$?
    cat "$W/$1.log" >&2
    return $rc
}
losses() { values "$W/$1/logs/job/metrics.jsonl" sft_train/loss; }
last() { echo "$W/$1/sft_train/checkpoint-$steps/sft_train/model.safetensors"; }
# holds WHAT NOTE COMMAND...: a row that says whether the command succeeds
holds() {
    local what=$1 note=$2
    shift 2
    if "$@"; then verdict "$what" ok "$note"
    else verdict "$what" FAIL "$(tail -n 1 "$results/$group.log")"; fi
}
# near WHAT LIMIT NAME NAME: a row of the largest relative difference of two runs' losses
near() {
    row "$1" "$(paste <(losses "$3") <(losses "$4") | awk -v steps=$steps '
        { d = ($1 - $2) / $2; if (d < 0) d = -d; if (!(d <= worst)) worst = d }
        END { if (NR < steps) print "nan"; else printf("%.1e", worst) }')" 'of the loss' max "$2" \
        "$steps steps, last $(losses "$3" | tail -n 1)"
}
holds 'sft-run: rows become a checkpoint' '' job first
device=$(sed -n 's/.* on \(cuda:0 ([^)]*)\).*/\1/p' "$W/first.log" | head -n 1)
holds 'sft-run: it takes the GPU by itself' "$device" test -n "$device"
holds 'twice: a second run' '' job again
holds 'twice: the weights are the same' '' cmp "$(last first)" "$(last again)"
rm -rf "$W/again/sft_train/checkpoint-$steps"
holds 'resume: the run goes on from its middle' '' job again --resume auto
holds 'resume: the weights are those of the uninterrupted run' '' cmp "$(last first)" \
    "$(last again)"
for kind in 'bf16 2e-2' 'fp32 1e-5 sft_train.model_args.dtype=fp32' \
    'adapter 2e-2 sft_train.model_args.lora_target=all-linear sft_train.model_args.lora_rank=8'; do
    read -r name limit options <<<"$kind"
    # shellcheck disable=SC2086
    job "gpu-$name" sft.device=cuda $options &&
        job "cpu-$name" sft.device=cpu $options
    near "$name: losses beside the CPU's" "$limit" "gpu-$name" "cpu-$name"
done
# evaluated DEVICE: prints the loss of the trained model over the samples
evaluated() {
    sft-eval -q -m "$W/gpu-fp32/sft_train/checkpoint-$steps/sft_train" --device "$1" --dtype fp32 \
        "$W/gpu-fp32/data/train.sfts" | sed -n 's/.*"loss":\([^,}]*\).*/\1/p' | tail -n 1
}
worst=$(echo "$(evaluated cuda) $(evaluated cpu)" |
    awk 'NF == 2 { d = ($1 - $2) / $2; printf("%.1e", d < 0 ? -d : d) }')
row "sft-eval: the loss beside the CPU's" "${worst:-nan}" 'of the loss' max 1e-5
