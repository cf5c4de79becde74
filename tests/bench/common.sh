# SPDX-License-Identifier: Apache-2.0
# Helpers for the parts of `make bench`, each of which sources this file from the repository root.
set -euo pipefail
O=${O:-build}
[[ $O == /* ]] || O=$PWD/$O
export O PATH="$O/bin:$PATH" LC_ALL=C.UTF-8
model=${MODEL:-$O/demo/SmolLM2-135M-Instruct}
length=2048 # of a row
batch=24    # samples of a step: one row of them, so one micro-batch
columns=(--prompt-key instruction --query-key input --response-key output --system-key system)
launcher=() # before sft-train, as mpirun -np 2
stream=      # instead of $B/train.sfts
note() { echo "bench: $*" >&2; }

# training_stream FILE: packs the demo's data for the timed steps
training_stream() {
    sft-tokenize -q -m "$model" "${columns[@]}" examples/data/train.json |
        sft-template -q -m "$model" | sft-pack -q -l $length -b $batch -o "$1"
}

# train RUN MAX_STEPS [OPTION...]: becomes sft-train on the stream, with results in $B/RUN-out
# and $B/RUN-log/*/; it saves nothing before the end
train() {
    exec "${launcher[@]}" sft-train --config examples/smollm2-135M-sft/sft_config.yaml \
        "pretrain=$model" "output_dir=$B/$1-out" "logging_dir=$B/$1-log" track_with='""' \
        "sequence_length=$length" \
        sft_train.training_args.per_device_train_batch_size=1 \
        "sft_train.training_args.gradient_accumulation_steps=$batch" \
        sft_train.training_args.num_train_epochs=1 "max_steps=$2" logging_steps=1 \
        save_steps=100000 eval_steps=100000 "${@:3}" "${stream:-$B/train.sfts}"
}

# gemm FILE: appends {"gflops": ...} to the file, the rate of the matrix products of a micro-batch
# like those of the stream
gemm() {
    local tokens targets H I heads kv dim V layers
    read -r tokens targets <"$B/micro_batch"
    read -r H I heads kv dim V layers < <(jq -r '[.hidden_size, .intermediate_size,
        .num_attention_heads, .num_key_value_heads,
        (.head_dim // (.hidden_size / .num_attention_heads)), .vocab_size,
        .num_hidden_layers] | join(" ")' "$model/config.json")
    "$O/test/bench_gemm" "$tokens" "$H" "$I" "$heads" "$kv" "$dim" "$V" 256 "$layers" "$targets" |
        tail -n 1 >>"$1"
}
