#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every family through the commands: a random model is trained for two steps; recomputation and the
# packing of rows change nothing; the checkpoint is evaluated and completes a prompt.
source "$(dirname "$0")/../train.sh"

# Samples of 40 to 120 tokens or so: below and above the windows and positions of these models.
for i in $(seq 1 12); do
    printf '{"q":"Say number %d and then some more words.","a":"The number is %d%s."}\n' "$i" "$i" \
        "$(printf ', word %d' $(seq 1 $((i * 3))))"
done >train.jsonl
config <<'END'
sequence_length: 256
save_steps: 100
sft_train:
  model_args: {dtype: fp32}
  training_args:
    num_train_epochs: 1
    per_device_train_batch_size: 1
    gradient_accumulation_steps: 6
    learning_rate: 1.0e-2
    lr_scheduler_type: constant
END
last=2
# train DIR [ARGUMENT...] STREAM
train() {
    rm -rf "$1"
    run "$@"
}

sizes='"vocab_size":2048,"hidden_size":64,"intermediate_size":96,"num_hidden_layers":2,
    "num_attention_heads":4,"num_key_value_heads":2,"bos_token_id":1,"eos_token_id":2,
    "torch_dtype":"float32"'
# family TYPE KEY=VALUE...: checks training and evaluation of a model of that model_type
family() {
    local name="$1 ${*:2}"
    echo "{$sizes,\"model_type\":\"$1\"$(members "${@:2}")}" >config.json
    rm -rf model
    sft-ckpt init -q config.json --tokenizer "$root/share/tiny-tokenizer" --seed 42 -o model
    samples train.jsonl >samples.sfts
    sft-pack -q -l 256 -b 6 --epochs 1 samples.sfts -o train.sfts
    sft-pack -q -l 256 -b 6 --epochs 1 --mode none samples.sfts -o single.sfts
    check "family $name: two steps are trained" train a train.sfts
    check "family $name: two steps are trained with everything recomputed" train r \
        sft.recompute=full train.sfts
    same "family $name: recomputing gives the same bytes" "$(weights a)" "$(weights r)"
    check "family $name: two steps of a sample a row are trained" train n \
        sft_train.use_sequence_packing=false single.sfts
    close "family $name: packing does not change the losses" "$(losses a)" "$(losses n)" 1e-5
    falls "family $name: the loss falls" a
    check "family $name: the checkpoint is evaluated" sft-eval -q -m "$(checkpoint a)" \
        --dtype fp32 samples.sfts
    check "family $name: the checkpoint completes a prompt" sft-eval -q -m "$(checkpoint a)" \
        --prompt 'Say number 3' --max-tokens 12
}
llama3='{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,
    "original_max_position_embeddings":64}'
yarn='{"type":"yarn","factor":4.0,"original_max_position_embeddings":64}'
family llama tie_word_embeddings=true \
    "rope_scaling=$llama3"
family llama max_position_embeddings=64 'rope_scaling={"type":"dynamic","factor":4.0}'
fails 'dynamic scaling: a prompt beyond the positions is refused' 65 'the model takes 1 to 63' \
    sft-eval -q -m "$(checkpoint a)" --prompt "$(printf 'word %d, ' $(seq 40))"
fails 'dynamic scaling: rows longer than it stretches the positions are refused' 78 \
    'the model has 256 positions' train a sequence_length=257 train.sfts
family mistral sliding_window=24
family qwen2 tie_word_embeddings=true use_sliding_window=true sliding_window=24 \
    max_window_layers=1 "rope_scaling=$yarn"
family qwen3 tie_word_embeddings=true head_dim=24
family seed_oss head_dim=24 attention_out_bias=true mlp_bias=true attention_dropout=0.1
family ministral sliding_window=24 'layer_types=["sliding_attention","full_attention"]'
family smollm3 'no_rope_layers=[0,1]' use_sliding_window=true sliding_window=24
family granite embedding_multiplier=12.0 logits_scaling=8.0 residual_multiplier=0.22 \
    attention_multiplier=0.0625
family ernie4_5 head_dim=24 use_bias=true
family helium head_dim=16
longrope='{"type":"longrope","short_factor":[1,1,1,1.5,1.5,1.5],"long_factor":[1,1.5,2,3,5,8]}'
family phi3 max_position_embeddings=256 original_max_position_embeddings=64 \
    partial_rotary_factor=0.75 sliding_window=40 "rope_scaling=$longrope"
check 'longrope: a prompt beyond the original positions is completed' \
    sft-eval -q -m "$(checkpoint a)" --prompt "$(printf 'word %d, ' $(seq 24))" --max-tokens 4
family glm head_dim=24
family glm4 head_dim=24
beta='"llama_4_scaling_beta":0.3'
family ministral3 head_dim=24 \
    'rope_parameters={"type":"yarn","factor":4.0,"original_max_position_embeddings":64,'"$beta}"
family arcee mlp_bias=true
family hunyuan_v1_dense head_dim=16 attention_bias=true \
    'rope_scaling={"type":"dynamic","alpha":1000.0,"factor":1.0}'
family gemma head_dim=24
# Behind a norm each block adds as much as a large embedding has: as these have.
types='layer_types=["sliding_attention","full_attention"]'
family olmo2 initializer_range=0.3 attention_bias=true
family exaone4 initializer_range=0.3 sliding_window=24 "$types"
family olmo3 initializer_range=0.3 sliding_window=24 "$types" rope_theta=8000.0
family qwen3_moe num_experts=6 num_experts_per_tok=2 moe_intermediate_size=40 norm_topk_prob=true \
    mlp_only_layers='[1]'
family mixtral num_local_experts=4 sliding_window=24
family olmoe num_experts=6 num_experts_per_tok=2 attention_bias=true
family qwen2_moe num_experts=6 num_experts_per_tok=2 moe_intermediate_size=40 \
    shared_expert_intermediate_size=72 mlp_only_layers='[1]' use_sliding_window=true \
    sliding_window=24
family granitemoe num_local_experts=5 num_experts_per_tok=2 embedding_multiplier=12.0 \
    logits_scaling=6.0 residual_multiplier=0.22 attention_multiplier=0.0625
family granitemoeshared num_local_experts=4 shared_intermediate_size=40 attention_bias=true
family gemma2 head_dim=24 query_pre_attn_scalar=20 sliding_window=24
family gemma3_text head_dim=24 sliding_window=24 "$types" final_logit_softcapping=30.0

# ---- the list of families ----
jq '.model_type = "none"' "$root/examples/random-model.json" >none.json
fails 'families: one that is not in the table is refused with those that are' 65 \
    'model_type none is not supported; .*model_type llama, ' \
    sft-ckpt init none.json -o none
listed=$(sed -n 's/.*(model_type \([^;]*\);.*/\1/p' "$T/.err" | tr -d ,)
told=$(tr '\n' ' ' <"$root/man/sft-train.in" |
    grep -oE 'model_type [a-z0-9_]+(, [a-z0-9_]+)* or [a-z0-9_]+')
told=$(sed 's/model_type //; s/ or / /; s/,//g' <<<"$told")
equal 'families: the manual has those that the refusal lists' "$told" "$listed"
# words TEXT: its words in order, a line each
words() { tr ' ' '\n' <<<"$1" | sort; }
table=$(sed -n '/^| model_type/,/^$/s/^| \([a-z0-9_]*\) |.*/\1/p' "$root/docs/families.md" | sed 1d)
equal 'families: the table of docs/families.md has them all' "$(words "$table")" \
    "$(words "$listed")"
exit $bad
