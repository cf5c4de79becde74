#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Training of Qwen2.5's shapes, and of one with experts: random weights, sequences of 1024, steps of
# 65 536 tokens, moments in bf16, no master weights. Two steps warm up, three count. Beside them:
# what the model of a step's time predicts, PyTorch's best on an H100, and llmq's published figure
# (docs/benchmarks.md).
# CHECK_GPU_OPTIONS has more overrides for sft-train (sft.logits_dtype=bf16).
. tests/gpu/common.sh
. tests/gpu/qwen.sh
length=1024 rows=64 vocabulary=149595 warm=2 steps=5 peak=989.4e12
[ -z "$tiny" ] || length=40 rows=2 vocabulary=64 warm=1 steps=2
wide_tokenizer "$W/tokenizer" $vocabulary &&
    samples "$W/tokenizer" $((4 * rows)) $length $vocabulary |
    sft-pack -q -l $length -b $rows --epochs 3 -o "$W/train.sfts" || exit

# try SIZE MICRO OPTION...: trains with micro-batches of MICRO rows; sets $plan, and $why if that
# fails
try() {
    local size=$1 micro=$2 rc=0
    qwen "$size" && config $length $rows "$micro" 3 || return
    plan=$(planned "${@:3}")
    train "$O/gpu/train_random" "$size" $steps "${@:3}" || rc=$?
    why=$(grep 'sft-train: ' "$results/$group.log" | tail -n 1)
    return $rc
}
# bench SIZE MICROS PREDICTED PYTORCH LLMQ OPTION...: rows of that size, with the first of the
# micro-batches that fits
bench() {
    local size=$1 micro rc=71 why rate mfu plan
    local -a options=("pretrain=$W/$size" --device cuda sft.moments_dtype=bf16
        sft.master_dtype=bf16 sft_train.training_args.adam_beta2=0.95 "${@:6}")
    # shellcheck disable=SC2206
    options+=(${CHECK_GPU_OPTIONS:-})
    for micro in $2; do
        rc=0
        try "$size" "$micro" "${options[@]}" || rc=$?
        [ $rc -eq 71 ] || break # it does not fit
    done
    if [ $rc -eq 71 ]; then left_out "$size: training" "$why"
    elif [ $rc -ne 0 ]; then verdict "$size: $steps steps" FAIL "$why"; fi
    [ $rc -eq 0 ] || return
    rate=$(paste <(values "$W/$size.jsonl" sft_train/tokens) \
        <(values "$W/$size.jsonl" time/step_train) |
        awk -v warm=$warm 'NR > warm { t += $1; s += $2 } END { printf("%.0f", t / s) }')
    mfu=$(awk -v r="$rate" -v f="$(flops "$size" $length)" -v p=$peak \
        'BEGIN { printf("%.1f", 100 * r * f / p) }')
    # shellcheck disable=SC2046
    {
        row "$size: training" "$rate" tokens/s $(limit predicted "$3") "$micro rows a micro-batch"
        [ -n "$tiny" ] || row "$size: training" "$rate" tokens/s PyTorch "$4" 'its best on an H100'
        [ -n "$tiny" ] || row "$size: training" "$rate" tokens/s llmq "$5" "on its author's card"
    }
    row "$size: MFU" "$mfu" %
    row "$size: most memory" "$(mib "$(awk '{ print $3 }' "$W/$size.memory")")" MiB \
        predicted "$(mib "$plan")" 'the plan; measured with the context'
}
if [ -n "$tiny" ]; then
    bench tiny 2 - - - sft.gradient_dtype=bf16
    bench tiny-experts 2 - - - sft.gradient_dtype=bf16
    exit
fi
bench 0.5B '64 32' 120000 121589 150000
bench 1.5B '32 16' 51000 49346 58900
bench 3B '16 8' 27800 20697 30900
bench 7B '8 4' 12800 9935 13900 sft.gradient_dtype=bf16
bench A3B '32 16' - - - sft.gradient_dtype=bf16
