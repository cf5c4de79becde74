#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# SmolLM2-135M's shape with weights of a seed, the same steps on the GPU and on the CPU. The limits
# are of the largest relative difference of a loss. Between two instruction sets of the CPU, a model
# of 8 layers had 7e-8 after 20 steps in fp32, and 3e-5 in bf16 beside fp32.
. tests/gpu/common.sh
shape=tests/bench/smollm2-135M.json steps=20 length=128 vocabulary=40000
if [ -n "$tiny" ]; then
    shape=$W/config.json steps=3 length=40 vocabulary=64
    sed 's/"vocab_size": .*/"vocab_size": 2112,/; s/"hidden_size": .*/"hidden_size": 64,/
        s/"intermediate_size": .*/"intermediate_size": 96,/; s/"head_dim": .*/"head_dim": 64,/
        s/"num_hidden_layers": .*/"num_hidden_layers": 1,/
        s/"num_attention_heads": .*/"num_attention_heads": 2,/
        s/"num_key_value_heads": .*/"num_key_value_heads": 1,/' \
        tests/bench/smollm2-135M.json >"$shape"
fi
wide_tokenizer "$W/tokenizer" "$vocabulary" &&
    sft-ckpt init -q "$shape" -t "$W/tokenizer" --seed 7 -o "$W/model" &&
    samples "$W/tokenizer" $((4 * (steps + 2))) $length "$vocabulary" |
    sft-pack -q -l $length -b 4 -o "$W/train.sfts" || exit
config $length 4 4 1

# curve NAME LIMIT OPTION...: the steps on both devices; a row of the largest difference
curve() {
    local name=$1 most=$2 worst device
    shift 2
    for device in cpu cuda; do
        train sft-train "$device" $steps --device $device "pretrain=$W/model" \
            sft_train.training_args.learning_rate=1e-4 "$@" ||
            { verdict "$name: $steps steps on the $device" FAIL 'the run ended before'; return; }
    done
    worst=$(paste <(values "$W/cuda.jsonl" sft_train/loss) <(values "$W/cpu.jsonl" sft_train/loss) |
        awk '{ d = ($1 - $2) / $2; if (d < 0) d = -d; if (!(d <= worst)) worst = d }
            END { printf("%.1e", worst) }')
    row "$name: losses of $steps steps beside the CPU's" "$worst" 'of the loss' max "$most" \
        "last $(values "$W/cuda.jsonl" sft_train/loss | tail -n 1)"
    worst=$(paste <(values "$W/cuda.jsonl" time/step_train) \
        <(values "$W/cpu.jsonl" time/step_train) | tail -n 1 | awk '{ print $1 * 1e3, $2 * 1e3 }')
    # shellcheck disable=SC2086
    row "$name: a step" ${worst% *} ms 'the CPU' ${worst#* }
}
curve fp32 1e-5 sft_train.model_args.dtype=fp32
curve bf16 2e-3
