# SPDX-License-Identifier: Apache-2.0
# Shapes of Qwen2.5 for the groups that train, and of Qwen3-30B-A3B with 8 of its 48 layers (A3B);
# weights are random: folders without a weight.
# qwen NAME: writes $W/NAME with configuration and tokenizer ($W/tokenizer)
qwen() {
    local hidden inner layers heads kv vocabulary tied experts each dim family
    read -r hidden inner layers heads kv vocabulary tied experts each dim < <(shape_of "$1")
    family='"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"'
    [ -z "$experts" ] ||
        family='"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe",
 "num_experts": '$experts', "num_experts_per_tok": '$each', "moe_intermediate_size": '$inner',
 "norm_topk_prob": true, "decoder_sparse_step": 1, "mlp_only_layers": [], "head_dim": '$dim
    mkdir -p "$W/$1" && cp "$W/tokenizer"/* "$W/$1" || return
    cat >"$W/$1/config.json" <<END
{$family, "vocab_size": $vocabulary,
 "hidden_size": $hidden, "intermediate_size": $inner, "num_hidden_layers": $layers,
 "num_attention_heads": $heads, "num_key_value_heads": $kv, "max_position_embeddings": 32768,
 "hidden_act": "silu", "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
 "tie_word_embeddings": $tied, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16"}
END
}
# shape_of NAME: prints hidden, inner, layers, heads, heads of keys, vocabulary, tied; and for a
# model with experts their number, those of a token and the dimension of a head
shape_of() {
    case $1 in
    0.5B) echo 896 4864 24 14 2 151936 true ;;
    1.5B) echo 1536 8960 28 12 2 151936 true ;;
    3B) echo 2048 11008 36 16 2 151936 true ;;
    7B) echo 3584 18944 28 28 4 152064 false ;;
    A3B) echo 2048 768 8 32 4 151936 false 128 8 128 ;;
    tiny) echo 128 96 1 2 1 2112 false ;;
    tiny-experts) echo 64 32 1 2 1 2112 false 4 2 32 ;;
    esac
}
# flops NAME LENGTH: prints FLOP a token, 6 P + 6 L d s, where P counts what a token is multiplied
# with: the projection to the vocabulary once, and no table of embeddings
flops() {
    shape_of "$1" | awk -v s="$2" '{
        H = $1; I = $2; L = $3; d = $8 ? $10 : H / $4; q = d * $4; kv = d * $5; V = $6
        mlp = $8 ? H * $8 + $9 * 3 * H * I : 3 * H * I + q + 2 * kv
        layer = H * (q + 2 * kv) + q * H + mlp + 2 * H
        printf("%.0f", 6 * (L * layer + H + V * H) + 6 * L * q * s)
    }'
}
