# SPDX-License-Identifier: Apache-2.0
# Qwen2.5 shapes for the groups that train, with random weights: folders without a weight.
# qwen NAME: writes $W/NAME with configuration and tokenizer ($W/tokenizer)
qwen() {
    local hidden inner layers heads kv vocabulary tied
    read -r hidden inner layers heads kv vocabulary tied < <(shape_of "$1")
    mkdir -p "$W/$1" && cp "$W/tokenizer"/* "$W/$1" || return
    cat >"$W/$1/config.json" <<END
{"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": $vocabulary,
 "hidden_size": $hidden, "intermediate_size": $inner, "num_hidden_layers": $layers,
 "num_attention_heads": $heads, "num_key_value_heads": $kv, "max_position_embeddings": 32768,
 "hidden_act": "silu", "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
 "tie_word_embeddings": $tied, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16"}
END
}
shape_of() {
    case $1 in
    0.5B) echo 896 4864 24 14 2 151936 true ;;
    1.5B) echo 1536 8960 28 12 2 151936 true ;;
    3B) echo 2048 11008 36 16 2 151936 true ;;
    7B) echo 3584 18944 28 28 4 152064 false ;;
    tiny) echo 128 96 1 2 1 2112 false ;;
    esac
}
# flops NAME LENGTH: prints FLOP a token, 6 P + 6 L d s, where P counts what a token is multiplied
# with: the projection to the vocabulary once, and no table of embeddings
flops() {
    shape_of "$1" | awk -v s="$2" '{
        H = $1; I = $2; L = $3; kv = $5 * H / $4; V = $6
        layer = H * (H + 2 * kv) + H + 2 * kv + H * H + 3 * H * I + 2 * H
        printf("%.0f", 6 * (L * layer + H + V * H) + 6 * L * H * s)
    }'
}
