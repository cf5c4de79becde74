/* SPDX-License-Identifier: Apache-2.0 */
/* The table of families: transformers 5, models/FAMILY/configuration_FAMILY.py and
 * modeling_FAMILY.py. */
#include "hf/family.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "hf/config.h"

#define LAYER "model.layers.%d."
#define BLOCK "blk.%d."

/* Names that most families share. */
static const struct hf_row llama_tensors[] = {
    {"model.embed_tokens.weight", "token_embd.weight", {HF_ROLE_EMBED}},
    {LAYER "input_layernorm.weight", BLOCK "attn_norm.weight", {HF_ROLE_NORM1}},
    {LAYER "self_attn.q_proj.weight", BLOCK "attn_q.weight", {HF_ROLE_Q}},
    {LAYER "self_attn.q_proj.bias", BLOCK "attn_q.bias", {HF_ROLE_Q_BIAS}},
    {LAYER "self_attn.k_proj.weight", BLOCK "attn_k.weight", {HF_ROLE_K}},
    {LAYER "self_attn.k_proj.bias", BLOCK "attn_k.bias", {HF_ROLE_K_BIAS}},
    {LAYER "self_attn.v_proj.weight", BLOCK "attn_v.weight", {HF_ROLE_V}},
    {LAYER "self_attn.v_proj.bias", BLOCK "attn_v.bias", {HF_ROLE_V_BIAS}},
    {LAYER "self_attn.q_norm.weight", BLOCK "attn_q_norm.weight", {HF_ROLE_Q_NORM}},
    {LAYER "self_attn.q_norm.weight", NULL, {HF_ROLE_Q_NORM_ROW}},
    {LAYER "self_attn.k_norm.weight", BLOCK "attn_k_norm.weight", {HF_ROLE_K_NORM}},
    {LAYER "self_attn.k_norm.weight", NULL, {HF_ROLE_K_NORM_ROW}},
    {LAYER "self_attn.o_proj.weight", BLOCK "attn_output.weight", {HF_ROLE_O}},
    {LAYER "self_attn.o_proj.bias", BLOCK "attn_output.bias", {HF_ROLE_O_BIAS}},
    {LAYER "post_attention_layernorm.weight", BLOCK "ffn_norm.weight", {HF_ROLE_NORM2}},
    {LAYER "mlp.gate_proj.weight", BLOCK "ffn_gate.weight", {HF_ROLE_GATE}},
    {LAYER "mlp.gate_proj.bias", BLOCK "ffn_gate.bias", {HF_ROLE_GATE_BIAS}},
    {LAYER "mlp.up_proj.weight", BLOCK "ffn_up.weight", {HF_ROLE_UP}},
    {LAYER "mlp.up_proj.bias", BLOCK "ffn_up.bias", {HF_ROLE_UP_BIAS}},
    {LAYER "mlp.down_proj.weight", BLOCK "ffn_down.weight", {HF_ROLE_DOWN}},
    {LAYER "mlp.down_proj.bias", BLOCK "ffn_down.bias", {HF_ROLE_DOWN_BIAS}},
    {LAYER "mlp.gate.weight", NULL, {HF_ROLE_ROUTER}},
    {LAYER "mlp.shared_expert_gate.weight", NULL, {HF_ROLE_SHARED_ROUTER}},
    {LAYER "mlp.experts.%d.gate_proj.weight", NULL, {HF_ROLE_EXPERT_GATE}},
    {LAYER "mlp.experts.%d.up_proj.weight", NULL, {HF_ROLE_EXPERT_UP}},
    {LAYER "mlp.experts.%d.down_proj.weight", NULL, {HF_ROLE_EXPERT_DOWN}},
    {LAYER "mlp.shared_expert.gate_proj.weight", NULL, {HF_ROLE_SHARED_GATE}},
    {LAYER "mlp.shared_expert.up_proj.weight", NULL, {HF_ROLE_SHARED_UP}},
    {LAYER "mlp.shared_expert.down_proj.weight", NULL, {HF_ROLE_SHARED_DOWN}},
    {"model.norm.weight", "output_norm.weight", {HF_ROLE_NORM_FINAL}},
    {"lm_head.weight", "output.weight", {HF_ROLE_HEAD}},
    {NULL, NULL, {HF_ROLE_END}},
};

static const struct hf_row hunyuan_tensors[] = {
    {"model.embed_tokens.weight", NULL, {HF_ROLE_EMBED}},
    {LAYER "input_layernorm.weight", NULL, {HF_ROLE_NORM1}},
    {LAYER "self_attn.q_proj.weight", NULL, {HF_ROLE_Q}},
    {LAYER "self_attn.q_proj.bias", NULL, {HF_ROLE_Q_BIAS}},
    {LAYER "self_attn.k_proj.weight", NULL, {HF_ROLE_K}},
    {LAYER "self_attn.k_proj.bias", NULL, {HF_ROLE_K_BIAS}},
    {LAYER "self_attn.v_proj.weight", NULL, {HF_ROLE_V}},
    {LAYER "self_attn.v_proj.bias", NULL, {HF_ROLE_V_BIAS}},
    {LAYER "self_attn.query_layernorm.weight", NULL, {HF_ROLE_Q_NORM}},
    {LAYER "self_attn.key_layernorm.weight", NULL, {HF_ROLE_K_NORM}},
    {LAYER "self_attn.o_proj.weight", NULL, {HF_ROLE_O}},
    {LAYER "self_attn.o_proj.bias", NULL, {HF_ROLE_O_BIAS}},
    {LAYER "post_attention_layernorm.weight", NULL, {HF_ROLE_NORM2}},
    {LAYER "mlp.gate_proj.weight", NULL, {HF_ROLE_GATE}},
    {LAYER "mlp.up_proj.weight", NULL, {HF_ROLE_UP}},
    {LAYER "mlp.down_proj.weight", NULL, {HF_ROLE_DOWN}},
    {"model.norm.weight", NULL, {HF_ROLE_NORM_FINAL}},
    {"lm_head.weight", NULL, {HF_ROLE_HEAD}},
    {NULL, NULL, {HF_ROLE_END}},
};
/* As llama_tensors, with gate and up in one tensor. */
static const struct hf_row glm_tensors[] = {
    {"model.embed_tokens.weight", NULL, {HF_ROLE_EMBED}},
    {LAYER "input_layernorm.weight", NULL, {HF_ROLE_NORM1}},
    {LAYER "self_attn.q_proj.weight", NULL, {HF_ROLE_Q}},
    {LAYER "self_attn.q_proj.bias", NULL, {HF_ROLE_Q_BIAS}},
    {LAYER "self_attn.k_proj.weight", NULL, {HF_ROLE_K}},
    {LAYER "self_attn.k_proj.bias", NULL, {HF_ROLE_K_BIAS}},
    {LAYER "self_attn.v_proj.weight", NULL, {HF_ROLE_V}},
    {LAYER "self_attn.v_proj.bias", NULL, {HF_ROLE_V_BIAS}},
    {LAYER "self_attn.o_proj.weight", NULL, {HF_ROLE_O}},
    {LAYER "post_self_attn_layernorm.weight", NULL, {HF_ROLE_NORM1_OUT}},
    {LAYER "post_attention_layernorm.weight", NULL, {HF_ROLE_NORM2}},
    {LAYER "mlp.gate_up_proj.weight", NULL, {HF_ROLE_GATE, HF_ROLE_UP}},
    {LAYER "mlp.down_proj.weight", NULL, {HF_ROLE_DOWN}},
    {LAYER "post_mlp_layernorm.weight", NULL, {HF_ROLE_NORM2_OUT}},
    {"model.norm.weight", NULL, {HF_ROLE_NORM_FINAL}},
    {"lm_head.weight", NULL, {HF_ROLE_HEAD}},
    {NULL, NULL, {HF_ROLE_END}},
};
static const struct hf_row phi3_tensors[] = {
    {"model.embed_tokens.weight", NULL, {HF_ROLE_EMBED}},
    {LAYER "input_layernorm.weight", NULL, {HF_ROLE_NORM1}},
    {LAYER "self_attn.qkv_proj.weight", NULL, {HF_ROLE_Q, HF_ROLE_K, HF_ROLE_V}},
    {LAYER "self_attn.o_proj.weight", NULL, {HF_ROLE_O}},
    {LAYER "post_attention_layernorm.weight", NULL, {HF_ROLE_NORM2}},
    {LAYER "mlp.gate_up_proj.weight", NULL, {HF_ROLE_GATE, HF_ROLE_UP}},
    {LAYER "mlp.down_proj.weight", NULL, {HF_ROLE_DOWN}},
    {"model.norm.weight", NULL, {HF_ROLE_NORM_FINAL}},
    {"lm_head.weight", NULL, {HF_ROLE_HEAD}},
    {NULL, NULL, {HF_ROLE_END}},
};
static const struct hf_row mixtral_tensors[] = {
    {"model.embed_tokens.weight", NULL, {HF_ROLE_EMBED}},
    {LAYER "input_layernorm.weight", NULL, {HF_ROLE_NORM1}},
    {LAYER "self_attn.q_proj.weight", NULL, {HF_ROLE_Q}},
    {LAYER "self_attn.k_proj.weight", NULL, {HF_ROLE_K}},
    {LAYER "self_attn.v_proj.weight", NULL, {HF_ROLE_V}},
    {LAYER "self_attn.o_proj.weight", NULL, {HF_ROLE_O}},
    {LAYER "post_attention_layernorm.weight", NULL, {HF_ROLE_NORM2}},
    {LAYER "block_sparse_moe.gate.weight", NULL, {HF_ROLE_ROUTER}},
    {LAYER "block_sparse_moe.experts.%d.w1.weight", NULL, {HF_ROLE_EXPERT_GATE}},
    {LAYER "block_sparse_moe.experts.%d.w3.weight", NULL, {HF_ROLE_EXPERT_UP}},
    {LAYER "block_sparse_moe.experts.%d.w2.weight", NULL, {HF_ROLE_EXPERT_DOWN}},
    {"model.norm.weight", NULL, {HF_ROLE_NORM_FINAL}},
    {"lm_head.weight", NULL, {HF_ROLE_HEAD}},
    {NULL, NULL, {HF_ROLE_END}},
};
/* The experts of a layer are stacked; in some models the expert of all tokens has gate and up in
 * one tensor, too. */
static const struct hf_row granitemoe_tensors[] = {
    {"model.embed_tokens.weight", NULL, {HF_ROLE_EMBED}},
    {LAYER "input_layernorm.weight", NULL, {HF_ROLE_NORM1}},
    {LAYER "self_attn.q_proj.weight", NULL, {HF_ROLE_Q}},
    {LAYER "self_attn.q_proj.bias", NULL, {HF_ROLE_Q_BIAS}},
    {LAYER "self_attn.k_proj.weight", NULL, {HF_ROLE_K}},
    {LAYER "self_attn.k_proj.bias", NULL, {HF_ROLE_K_BIAS}},
    {LAYER "self_attn.v_proj.weight", NULL, {HF_ROLE_V}},
    {LAYER "self_attn.v_proj.bias", NULL, {HF_ROLE_V_BIAS}},
    {LAYER "self_attn.o_proj.weight", NULL, {HF_ROLE_O}},
    {LAYER "self_attn.o_proj.bias", NULL, {HF_ROLE_O_BIAS}},
    {LAYER "post_attention_layernorm.weight", NULL, {HF_ROLE_NORM2}},
    {LAYER "block_sparse_moe.router.layer.weight", NULL, {HF_ROLE_ROUTER}},
    {LAYER "block_sparse_moe.input_linear.weight", NULL, {HF_ROLE_EXPERT_GATE, HF_ROLE_EXPERT_UP}},
    {LAYER "block_sparse_moe.output_linear.weight", NULL, {HF_ROLE_EXPERT_DOWN}},
    {LAYER "shared_mlp.input_linear.weight", NULL, {HF_ROLE_SHARED_GATE, HF_ROLE_SHARED_UP}},
    {LAYER "shared_mlp.output_linear.weight", NULL, {HF_ROLE_SHARED_DOWN}},
    {"model.norm.weight", NULL, {HF_ROLE_NORM_FINAL}},
    {"lm_head.weight", NULL, {HF_ROLE_HEAD}},
    {NULL, NULL, {HF_ROLE_END}},
};
/* Norms before and behind attention and the MLP. */
static const struct hf_row gemma2_tensors[] = {
    {"model.embed_tokens.weight", NULL, {HF_ROLE_EMBED}},
    {LAYER "input_layernorm.weight", NULL, {HF_ROLE_NORM1}},
    {LAYER "self_attn.q_proj.weight", NULL, {HF_ROLE_Q}},
    {LAYER "self_attn.q_proj.bias", NULL, {HF_ROLE_Q_BIAS}},
    {LAYER "self_attn.k_proj.weight", NULL, {HF_ROLE_K}},
    {LAYER "self_attn.k_proj.bias", NULL, {HF_ROLE_K_BIAS}},
    {LAYER "self_attn.v_proj.weight", NULL, {HF_ROLE_V}},
    {LAYER "self_attn.v_proj.bias", NULL, {HF_ROLE_V_BIAS}},
    {LAYER "self_attn.q_norm.weight", NULL, {HF_ROLE_Q_NORM}},
    {LAYER "self_attn.k_norm.weight", NULL, {HF_ROLE_K_NORM}},
    {LAYER "self_attn.o_proj.weight", NULL, {HF_ROLE_O}},
    {LAYER "self_attn.o_proj.bias", NULL, {HF_ROLE_O_BIAS}},
    {LAYER "post_attention_layernorm.weight", NULL, {HF_ROLE_NORM1_OUT}},
    {LAYER "pre_feedforward_layernorm.weight", NULL, {HF_ROLE_NORM2}},
    {LAYER "mlp.gate_proj.weight", NULL, {HF_ROLE_GATE}},
    {LAYER "mlp.up_proj.weight", NULL, {HF_ROLE_UP}},
    {LAYER "mlp.down_proj.weight", NULL, {HF_ROLE_DOWN}},
    {LAYER "post_feedforward_layernorm.weight", NULL, {HF_ROLE_NORM2_OUT}},
    {"model.norm.weight", NULL, {HF_ROLE_NORM_FINAL}},
    {"lm_head.weight", NULL, {HF_ROLE_HEAD}},
    {NULL, NULL, {HF_ROLE_END}},
};
/* Names of families with norms behind attention and the MLP, not before them. The norms of q and k
 * are of each head or of all, as the family's key says. */
static const struct hf_row post_tensors[] = {
    {"model.embed_tokens.weight", NULL, {HF_ROLE_EMBED}},
    {LAYER "self_attn.q_proj.weight", NULL, {HF_ROLE_Q}},
    {LAYER "self_attn.q_proj.bias", NULL, {HF_ROLE_Q_BIAS}},
    {LAYER "self_attn.k_proj.weight", NULL, {HF_ROLE_K}},
    {LAYER "self_attn.k_proj.bias", NULL, {HF_ROLE_K_BIAS}},
    {LAYER "self_attn.v_proj.weight", NULL, {HF_ROLE_V}},
    {LAYER "self_attn.v_proj.bias", NULL, {HF_ROLE_V_BIAS}},
    {LAYER "self_attn.q_norm.weight", NULL, {HF_ROLE_Q_NORM}},
    {LAYER "self_attn.q_norm.weight", NULL, {HF_ROLE_Q_NORM_ROW}},
    {LAYER "self_attn.k_norm.weight", NULL, {HF_ROLE_K_NORM}},
    {LAYER "self_attn.k_norm.weight", NULL, {HF_ROLE_K_NORM_ROW}},
    {LAYER "self_attn.o_proj.weight", NULL, {HF_ROLE_O}},
    {LAYER "self_attn.o_proj.bias", NULL, {HF_ROLE_O_BIAS}},
    {LAYER "post_attention_layernorm.weight", NULL, {HF_ROLE_NORM1_OUT}},
    {LAYER "mlp.gate_proj.weight", NULL, {HF_ROLE_GATE}},
    {LAYER "mlp.up_proj.weight", NULL, {HF_ROLE_UP}},
    {LAYER "mlp.down_proj.weight", NULL, {HF_ROLE_DOWN}},
    {LAYER "post_feedforward_layernorm.weight", NULL, {HF_ROLE_NORM2_OUT}},
    {"model.norm.weight", NULL, {HF_ROLE_NORM_FINAL}},
    {"lm_head.weight", NULL, {HF_ROLE_HEAD}},
    {NULL, NULL, {HF_ROLE_END}},
};

/* A key with one value for absent and null; a value without a key. */
#define KEY(key, field, absent)                                                                    \
    {                                                                                              \
        key, field, absent, absent                                                                 \
    }
#define FIXED(field, value)                                                                        \
    {                                                                                              \
        NULL, field, value, value                                                                  \
    }
#define END                                                                                        \
    {                                                                                              \
        NULL, HF_FIELD_END, 0, 0                                                                   \
    }
/* null is not absent: as many as heads */
#define KV_HEADS(absent)                                                                           \
    {                                                                                              \
        "num_key_value_heads", HF_FIELD_KV_HEADS, absent, 0                                        \
    }
/* null: hidden_size / heads */
#define HEAD_DIM(absent)                                                                           \
    {                                                                                              \
        "head_dim", HF_FIELD_HEAD_DIM, absent, 0                                                   \
    }

const struct hf_key hf_common_keys[] = {
    KV_HEADS(0),
    KEY("head_dim", HF_FIELD_HEAD_DIM, 0),
    KEY("max_position_embeddings", HF_FIELD_POSITIONS, 2048),
    KEY("rms_norm_eps", HF_FIELD_EPS, 1e-6),
    KEY("initializer_range", HF_FIELD_INIT_RANGE, 0.02),
    KEY("attention_dropout", HF_FIELD_DROPOUT, 0),
    KEY("rope_theta", HF_FIELD_THETA, 10000),
    KEY("partial_rotary_factor", HF_FIELD_PARTIAL, 1),
    KEY("tie_word_embeddings", HF_FIELD_TIED, false),
    FIXED(HF_FIELD_EMBED_SCALE, 1),
    FIXED(HF_FIELD_RESIDUAL_SCALE, 1),
    FIXED(HF_FIELD_LOGIT_DIVISOR, 1),
    FIXED(HF_FIELD_ATTENTION_SCALE, 0),
    FIXED(HF_FIELD_QUERY_SCALAR, 0),
    FIXED(HF_FIELD_ATTENTION_CAP, 0),
    FIXED(HF_FIELD_LOGIT_CAP, 0),
    FIXED(HF_FIELD_GATED, true),
    FIXED(HF_FIELD_PRE_NORM, true),
    END,
};
static const struct hf_key llama_keys[] = {
    KEY("attention_bias", HF_FIELD_QKV_BIAS, false),
    KEY("attention_bias", HF_FIELD_O_BIAS, false),
    KEY("mlp_bias", HF_FIELD_MLP_BIAS, false),
    END,
};
static const struct hf_key mistral_keys[] = {
    KV_HEADS(8),
    KEY("max_position_embeddings", HF_FIELD_POSITIONS, 131072),
    END,
};
static const struct hf_key qwen2_keys[] = {
    FIXED(HF_FIELD_QKV_BIAS, true),
    KV_HEADS(32),
    KEY("max_position_embeddings", HF_FIELD_POSITIONS, 32768),
    END,
};
static const struct hf_key qwen3_keys[] = {
    KEY("attention_bias", HF_FIELD_QKV_BIAS, false),
    KEY("attention_bias", HF_FIELD_O_BIAS, false),
    FIXED(HF_FIELD_QK_NORM, HF_QK_NORM_HEAD),
    KV_HEADS(32),
    KEY("head_dim", HF_FIELD_HEAD_DIM, 128),
    KEY("max_position_embeddings", HF_FIELD_POSITIONS, 32768),
    END,
};
static const struct hf_key ernie_keys[] = {
    KEY("use_bias", HF_FIELD_QKV_BIAS, false),
    KEY("use_bias", HF_FIELD_O_BIAS, false),
    KEY("use_bias", HF_FIELD_MLP_BIAS, false),
    KV_HEADS(2),
    HEAD_DIM(128),
    KEY("max_position_embeddings", HF_FIELD_POSITIONS, 131072),
    KEY("rms_norm_eps", HF_FIELD_EPS, 1e-5),
    KEY("rope_theta", HF_FIELD_THETA, 500000),
    KEY("tie_word_embeddings", HF_FIELD_TIED, true),
    FIXED(HF_FIELD_DROPOUT, 0), /* it has no such key */
    END,
};
static const struct hf_key helium_keys[] = {
    KEY("attention_bias", HF_FIELD_QKV_BIAS, false),
    KEY("mlp_bias", HF_FIELD_MLP_BIAS, false),
    KV_HEADS(20),
    HEAD_DIM(128),
    KEY("max_position_embeddings", HF_FIELD_POSITIONS, 4096),
    KEY("rms_norm_eps", HF_FIELD_EPS, 1e-8),
    KEY("rope_theta", HF_FIELD_THETA, 100000),
    END,
};
static const struct hf_key phi3_keys[] = {
    KEY("max_position_embeddings", HF_FIELD_POSITIONS, 4096),
    KEY("rms_norm_eps", HF_FIELD_EPS, 1e-5),
    KEY("resid_pdrop", HF_FIELD_RESIDUAL_DROPOUT, 0),
    END,
};
static const struct hf_key glm_keys[] = {
    KEY("attention_bias", HF_FIELD_QKV_BIAS, true),
    KV_HEADS(2),
    HEAD_DIM(128),
    KEY("max_position_embeddings", HF_FIELD_POSITIONS, 131072),
    KEY("rms_norm_eps", HF_FIELD_EPS, 1.5625e-7),
    KEY("partial_rotary_factor", HF_FIELD_PARTIAL, 0.5),
    END,
};
static const struct hf_key glm4_keys[] = {
    KEY("attention_bias", HF_FIELD_QKV_BIAS, true),
    KV_HEADS(2),
    HEAD_DIM(128),
    KEY("max_position_embeddings", HF_FIELD_POSITIONS, 131072),
    KEY("rms_norm_eps", HF_FIELD_EPS, 1.5625e-7),
    KEY("partial_rotary_factor", HF_FIELD_PARTIAL, 0.5),
    FIXED(HF_FIELD_POST_NORM, true),
    END,
};
static const struct hf_key ministral3_keys[] = {
    KV_HEADS(8),
    HEAD_DIM(128),
    KEY("max_position_embeddings", HF_FIELD_POSITIONS, 262144),
    KEY("rms_norm_eps", HF_FIELD_EPS, 1e-5),
    END,
};
static const struct hf_rope ministral3_rope = {
    .type = "yarn",
    .theta = 1e6,
    .factor = 16,
    .original_max_position = 16384,
    .beta_fast = 32,
    .beta_slow = 1,
    .mscale = 1,
    .mscale_all_dim = 1,
    .truncate = true,
    .partial_rotary_factor = 1,
    .q_beta = 0.1,
};

/* Windows in the layers from max_window_layers on. */
#define LAST_LAYERS(absent)                                                                        \
    .window = HF_WINDOW_LAST, .window_key = "max_window_layers", .window_number = absent,          \
    .window_keys = 4096, .window_flag = true, .layer_types = true

static const struct hf_key seed_oss_keys[] = {
    KEY("attention_bias", HF_FIELD_QKV_BIAS, true),
    KEY("attention_out_bias", HF_FIELD_O_BIAS, false),
    KEY("mlp_bias", HF_FIELD_MLP_BIAS, false),
    KV_HEADS(8),
    {"head_dim", HF_FIELD_HEAD_DIM, 128, 0}, /* null: hidden_size / heads */
    KEY("max_position_embeddings", HF_FIELD_POSITIONS, 524288),
    FIXED(HF_FIELD_DROPOUT, 0), /* its files ask for 0.1; nothing is dropped here */
    END,
};

static const struct hf_key smollm3_keys[] = {
    KEY("attention_bias", HF_FIELD_QKV_BIAS, false),
    KEY("attention_bias", HF_FIELD_O_BIAS, false),
    KEY("mlp_bias", HF_FIELD_MLP_BIAS, false),
    KV_HEADS(4),
    KEY("max_position_embeddings", HF_FIELD_POSITIONS, 32768),
    KEY("rope_theta", HF_FIELD_THETA, 2e6),
    KEY("tie_word_embeddings", HF_FIELD_TIED, true),
    END,
};

static const struct hf_key granite_keys[] = {
    KEY("attention_bias", HF_FIELD_QKV_BIAS, false),
    KEY("attention_bias", HF_FIELD_O_BIAS, false),
    KEY("mlp_bias", HF_FIELD_MLP_BIAS, false),
    KEY("embedding_multiplier", HF_FIELD_EMBED_SCALE, 1),
    KEY("residual_multiplier", HF_FIELD_RESIDUAL_SCALE, 1),
    KEY("attention_multiplier", HF_FIELD_ATTENTION_SCALE, 1),
    KEY("logits_scaling", HF_FIELD_LOGIT_DIVISOR, 1),
    END,
};

#define GRANITEMOE_KEYS                                                                            \
    KEY("attention_bias", HF_FIELD_QKV_BIAS, false),                                               \
        KEY("attention_bias", HF_FIELD_O_BIAS, false),                                             \
        KEY("embedding_multiplier", HF_FIELD_EMBED_SCALE, 1),                                      \
        KEY("residual_multiplier", HF_FIELD_RESIDUAL_SCALE, 1),                                    \
        KEY("attention_multiplier", HF_FIELD_ATTENTION_SCALE, 1),                                  \
        KEY("logits_scaling", HF_FIELD_LOGIT_DIVISOR, 1), FIXED(HF_FIELD_EXPERTS, 8),              \
        KEY("num_experts_per_tok", HF_FIELD_EXPERTS_PER_TOKEN, 2),                                 \
        FIXED(HF_FIELD_NORMALISE_EXPERTS, true),                                                   \
        KEY("output_router_logits", HF_FIELD_ROUTER_LOSS, false),                                  \
        KEY("router_aux_loss_coef", HF_FIELD_ROUTER_LOSS_SCALE, 0.001)
static const struct hf_key granitemoe_keys[] = {
    GRANITEMOE_KEYS,
    END,
};
static const struct hf_key granitemoeshared_keys[] = {
    GRANITEMOE_KEYS,
    KEY("shared_intermediate_size", HF_FIELD_SHARED_SIZE, 0),
    END,
};

static const struct hf_key arcee_keys[] = {
    KEY("attention_bias", HF_FIELD_QKV_BIAS, false),
    KEY("attention_bias", HF_FIELD_O_BIAS, false),
    KEY("mlp_bias", HF_FIELD_MLP_BIAS, false),
    KEY("max_position_embeddings", HF_FIELD_POSITIONS, 4096),
    KEY("rms_norm_eps", HF_FIELD_EPS, 1e-5),
    FIXED(HF_FIELD_GATED, false),
    END,
};

static const struct hf_key hunyuan_keys[] = {
    KEY("attention_bias", HF_FIELD_QKV_BIAS, false), KEY("attention_bias", HF_FIELD_O_BIAS, false),
    KEY("rms_norm_eps", HF_FIELD_EPS, 1e-5),         FIXED(HF_FIELD_QK_NORM, HF_QK_NORM_HEAD),
    FIXED(HF_FIELD_QK_NORM_AFTER_ROPE, true),        END,
};

static const struct hf_key gemma_keys[] = {
    KEY("attention_bias", HF_FIELD_QKV_BIAS, false),
    KEY("attention_bias", HF_FIELD_O_BIAS, false),
    KV_HEADS(16),
    KEY("head_dim", HF_FIELD_HEAD_DIM, 256),
    KEY("max_position_embeddings", HF_FIELD_POSITIONS, 8192),
    KEY("tie_word_embeddings", HF_FIELD_TIED, true),
    KEY("use_bidirectional_attention", HF_FIELD_BIDIRECTIONAL, false),
    FIXED(HF_FIELD_EMBED_SCALE, 0), /* sqrt(hidden_size) */
    FIXED(HF_FIELD_GAIN_OFFSET, true),
    END,
};

/* The cap of attention's scores is read of gemma3_text too, and has no effect there. */
#define GEMMA_KEYS                                                                                 \
    KEY("attention_bias", HF_FIELD_QKV_BIAS, false),                                               \
        KEY("attention_bias", HF_FIELD_O_BIAS, false), KV_HEADS(4), HEAD_DIM(256),                 \
        KEY("tie_word_embeddings", HF_FIELD_TIED, true),                                           \
        KEY("use_bidirectional_attention", HF_FIELD_BIDIRECTIONAL, false),                         \
        KEY("query_pre_attn_scalar", HF_FIELD_QUERY_SCALAR, 256),                                  \
        FIXED(HF_FIELD_EMBED_SCALE, 0), /* sqrt(hidden_size) */                                    \
        FIXED(HF_FIELD_GAIN_OFFSET, true), FIXED(HF_FIELD_POST_NORM, true)
static const struct hf_key gemma2_keys[] = {
    GEMMA_KEYS,
    KEY("max_position_embeddings", HF_FIELD_POSITIONS, 8192),
    {"attn_logit_softcapping", HF_FIELD_ATTENTION_CAP, 50, 0},
    {"final_logit_softcapping", HF_FIELD_LOGIT_CAP, 30, 0},
    END,
};
/* rope_theta is of layers without a window. */
static const struct hf_key gemma3_keys[] = {
    GEMMA_KEYS,
    KEY("max_position_embeddings", HF_FIELD_POSITIONS, 131072),
    KEY("final_logit_softcapping", HF_FIELD_LOGIT_CAP, 0),
    KEY("rope_theta", HF_FIELD_THETA, 1e6),
    KEY("rope_local_base_freq", HF_FIELD_WINDOW_THETA, 1e4),
    FIXED(HF_FIELD_QK_NORM, HF_QK_NORM_HEAD),
    END,
};

static const struct hf_key olmo2_keys[] = {
    KEY("attention_bias", HF_FIELD_QKV_BIAS, false),
    KEY("attention_bias", HF_FIELD_O_BIAS, false),
    KEY("rms_norm_eps", HF_FIELD_EPS, 1e-5),
    FIXED(HF_FIELD_QK_NORM, HF_QK_NORM_ROW),
    FIXED(HF_FIELD_PRE_NORM, false),
    FIXED(HF_FIELD_POST_NORM, true),
    END,
};

static const struct hf_key exaone4_keys[] = {
    KV_HEADS(32),
    KEY("rms_norm_eps", HF_FIELD_EPS, 1e-5),
    FIXED(HF_FIELD_QK_NORM, HF_QK_NORM_HEAD),
    FIXED(HF_FIELD_PRE_NORM, false),
    FIXED(HF_FIELD_POST_NORM, true),
    END,
};
/* rope_theta is of layers without a window. */
static const struct hf_key olmo3_keys[] = {
    KEY("attention_bias", HF_FIELD_QKV_BIAS, false),
    KEY("attention_bias", HF_FIELD_O_BIAS, false),
    KEY("rms_norm_eps", HF_FIELD_EPS, 1e-5),
    KEY("rope_theta", HF_FIELD_THETA, 5e5),
    FIXED(HF_FIELD_WINDOW_THETA, 5e5),
    FIXED(HF_FIELD_QK_NORM, HF_QK_NORM_ROW),
    FIXED(HF_FIELD_PRE_NORM, false),
    FIXED(HF_FIELD_POST_NORM, true),
    END,
};

/* Windows in all layers but each fourth, unless layer_types tells them. */
#define THREE_OF_FOUR                                                                              \
    .window = HF_WINDOW_PERIODIC, .window_number = 4, .window_keys = 4096, .layer_types = true

/* The number of experts has one of several names: see hf_read_experts. */
static const struct hf_key qwen3_moe_keys[] = {
    KEY("attention_bias", HF_FIELD_QKV_BIAS, false),
    KEY("attention_bias", HF_FIELD_O_BIAS, false),
    FIXED(HF_FIELD_QK_NORM, HF_QK_NORM_HEAD),
    KV_HEADS(4),
    KEY("max_position_embeddings", HF_FIELD_POSITIONS, 32768),
    FIXED(HF_FIELD_EXPERTS, 128),
    KEY("num_experts_per_tok", HF_FIELD_EXPERTS_PER_TOKEN, 8),
    KEY("moe_intermediate_size", HF_FIELD_EXPERT_SIZE, 768),
    KEY("norm_topk_prob", HF_FIELD_NORMALISE_EXPERTS, false),
    KEY("decoder_sparse_step", HF_FIELD_SPARSE_STEP, 1),
    KEY("output_router_logits", HF_FIELD_ROUTER_LOSS, false),
    KEY("router_aux_loss_coef", HF_FIELD_ROUTER_LOSS_SCALE, 0.001),
    END,
};
static const struct hf_key mixtral_keys[] = {
    KV_HEADS(8),
    KEY("max_position_embeddings", HF_FIELD_POSITIONS, 131072),
    KEY("rms_norm_eps", HF_FIELD_EPS, 1e-5),
    KEY("rope_theta", HF_FIELD_THETA, 1e6),
    FIXED(HF_FIELD_EXPERTS, 8),
    KEY("num_experts_per_tok", HF_FIELD_EXPERTS_PER_TOKEN, 2),
    FIXED(HF_FIELD_NORMALISE_EXPERTS, true),
    KEY("output_router_logits", HF_FIELD_ROUTER_LOSS, false),
    KEY("router_aux_loss_coef", HF_FIELD_ROUTER_LOSS_SCALE, 0.001),
    KEY("router_jitter_noise", HF_FIELD_ROUTER_JITTER, 0),
    END,
};
static const struct hf_key qwen2_moe_keys[] = {
    KEY("qkv_bias", HF_FIELD_QKV_BIAS, true),
    KV_HEADS(16),
    KEY("max_position_embeddings", HF_FIELD_POSITIONS, 32768),
    FIXED(HF_FIELD_EXPERTS, 60),
    KEY("num_experts_per_tok", HF_FIELD_EXPERTS_PER_TOKEN, 4),
    KEY("moe_intermediate_size", HF_FIELD_EXPERT_SIZE, 1408),
    KEY("shared_expert_intermediate_size", HF_FIELD_SHARED_SIZE, 5632),
    FIXED(HF_FIELD_SHARED_ROUTER, true),
    KEY("norm_topk_prob", HF_FIELD_NORMALISE_EXPERTS, false),
    KEY("decoder_sparse_step", HF_FIELD_SPARSE_STEP, 1),
    KEY("output_router_logits", HF_FIELD_ROUTER_LOSS, false),
    KEY("router_aux_loss_coef", HF_FIELD_ROUTER_LOSS_SCALE, 0.001),
    END,
};
static const struct hf_key olmoe_keys[] = {
    KEY("attention_bias", HF_FIELD_QKV_BIAS, false),
    KEY("attention_bias", HF_FIELD_O_BIAS, false),
    FIXED(HF_FIELD_QK_NORM, HF_QK_NORM_ROW),
    KEY("clip_qkv", HF_FIELD_QKV_CLIP, 0),
    KEY("max_position_embeddings", HF_FIELD_POSITIONS, 4096),
    KEY("rms_norm_eps", HF_FIELD_EPS, 1e-5),
    FIXED(HF_FIELD_EXPERTS, 64),
    KEY("num_experts_per_tok", HF_FIELD_EXPERTS_PER_TOKEN, 8),
    KEY("norm_topk_prob", HF_FIELD_NORMALISE_EXPERTS, false),
    KEY("output_router_logits", HF_FIELD_ROUTER_LOSS, false),
    KEY("router_aux_loss_coef", HF_FIELD_ROUTER_LOSS_SCALE, 0.01),
    END,
};

static const struct hf_family families[] = {
    {.type = "llama",
     .architecture = "LlamaForCausalLM",
     .tensors = llama_tensors,
     .keys = llama_keys,
     .divides = true,
     .gguf = HF_GGUF_PERMUTED},
    {.type = "mistral",
     .architecture = "MistralForCausalLM",
     .tensors = llama_tensors,
     .keys = mistral_keys,
     .window = HF_WINDOW_ALL,
     .window_keys = 4096,
     .gguf = HF_GGUF_PERMUTED},
    {.type = "qwen2",
     .architecture = "Qwen2ForCausalLM",
     .tensors = llama_tensors,
     .keys = qwen2_keys,
     LAST_LAYERS(28),
     .gguf = HF_GGUF_PLAIN},
    {.type = "qwen3",
     .architecture = "Qwen3ForCausalLM",
     .tensors = llama_tensors,
     .keys = qwen3_keys,
     LAST_LAYERS(28),
     .gguf = HF_GGUF_PLAIN},
    {.type = "seed_oss",
     .architecture = "SeedOssForCausalLM",
     .tensors = llama_tensors,
     .keys = seed_oss_keys},
    {.type = "ministral",
     .architecture = "MinistralForCausalLM",
     .tensors = llama_tensors,
     .keys = mistral_keys,
     .window = HF_WINDOW_ALL,
     .window_keys = 4096,
     .layer_types = true},
    {.type = "smollm3",
     .architecture = "SmolLM3ForCausalLM",
     .tensors = llama_tensors,
     .keys = smollm3_keys,
     .no_rope_interval = 4,
     .window = HF_WINDOW_UNROTATED,
     .window_flag = true,
     .layer_types = true},
    {.type = "granite",
     .architecture = "GraniteForCausalLM",
     .tensors = llama_tensors,
     .keys = granite_keys},
    {.type = "ernie4_5",
     .architecture = "Ernie4_5ForCausalLM",
     .tensors = llama_tensors,
     .keys = ernie_keys,
     .interleaved = true},
    {.type = "helium",
     .architecture = "HeliumForCausalLM",
     .tensors = llama_tensors,
     .keys = helium_keys,
     .square = true,
     .interleaved = true},
    {.type = "phi3",
     .architecture = "Phi3ForCausalLM",
     .tensors = phi3_tensors,
     .keys = phi3_keys,
     .window = HF_WINDOW_ALL,
     .partial_rotary = true,
     .longrope = true,
     .original = 4096},
    {.type = "glm",
     .architecture = "GlmForCausalLM",
     .tensors = glm_tensors,
     .keys = glm_keys,
     .interleaved = true,
     .partial_rotary = true},
    {.type = "glm4",
     .architecture = "Glm4ForCausalLM",
     .tensors = glm_tensors,
     .keys = glm4_keys,
     .interleaved = true,
     .partial_rotary = true},
    {.type = "ministral3",
     .architecture = "Ministral3ForCausalLM",
     .tensors = llama_tensors,
     .keys = ministral3_keys,
     .window = HF_WINDOW_ALL,
     .position_scale = true,
     .rope = &ministral3_rope},
    {.type = "arcee",
     .architecture = "ArceeForCausalLM",
     .tensors = llama_tensors,
     .keys = arcee_keys,
     .divides = true,
     .act = "relu2"},
    {.type = "hunyuan_v1_dense",
     .architecture = "HunYuanDenseV1ForCausalLM",
     .tensors = hunyuan_tensors,
     .keys = hunyuan_keys,
     .rope_alpha = true},
    {.type = "gemma",
     .architecture = "GemmaForCausalLM",
     .tensors = llama_tensors,
     .keys = gemma_keys,
     .gelu_tanh = true,
     .act = "gelu_pytorch_tanh"},
    {.type = "gemma2",
     .architecture = "Gemma2ForCausalLM",
     .tensors = gemma2_tensors,
     .keys = gemma2_keys,
     .divides = true,
     .act_key = "hidden_activation",
     .act = "gelu_pytorch_tanh",
     .window = HF_WINDOW_PERIODIC,
     .window_number = 2,
     .window_keys = 4096,
     .layer_types = true},
    {.type = "gemma3_text",
     .architecture = "Gemma3ForCausalLM",
     .tensors = gemma2_tensors,
     .keys = gemma3_keys,
     .vocab = 262208, /* what released files leave out */
     .heads = 8,
     .divides = true,
     .act_key = "hidden_activation",
     .act = "gelu_pytorch_tanh",
     .window = HF_WINDOW_PERIODIC,
     .window_key = "sliding_window_pattern",
     .window_number = 6,
     .window_keys = 4096,
     .layer_types = true,
     .ropes = true},
    {.type = "olmo2",
     .architecture = "Olmo2ForCausalLM",
     .tensors = post_tensors,
     .keys = olmo2_keys},
    {.type = "exaone4",
     .architecture = "Exaone4ForCausalLM",
     .tensors = post_tensors,
     .keys = exaone4_keys,
     .window_key = "sliding_window_pattern",
     .rope_within = true,
     THREE_OF_FOUR},
    {.type = "olmo3",
     .architecture = "Olmo3ForCausalLM",
     .tensors = post_tensors,
     .keys = olmo3_keys,
     .ropes = true,
     THREE_OF_FOUR},
    {.type = "qwen3_moe",
     .architecture = "Qwen3MoeForCausalLM",
     .tensors = llama_tensors,
     .keys = qwen3_moe_keys,
     .window = HF_WINDOW_ALL,
     .window_keys = 4096,
     .window_flag = true,
     .adapts_experts = true,
     .sparse = HF_SPARSE_STEPS},
    {.type = "mixtral",
     .architecture = "MixtralForCausalLM",
     .tensors = mixtral_tensors,
     .keys = mixtral_keys,
     .window = HF_WINDOW_ALL,
     .adapts_experts = true,
     .sparse = HF_SPARSE_ALL,
     .experts_key = "num_local_experts"},
    {.type = "olmoe",
     .architecture = "OlmoeForCausalLM",
     .tensors = llama_tensors,
     .keys = olmoe_keys,
     .square = true,
     .adapts_experts = true,
     .sparse = HF_SPARSE_ALL},
    {.type = "qwen2_moe",
     .architecture = "Qwen2MoeForCausalLM",
     .tensors = llama_tensors,
     .keys = qwen2_moe_keys,
     .window = HF_WINDOW_EVEN,
     .window_key = "max_window_layers",
     .window_number = 28,
     .window_keys = 4096,
     .window_flag = true,
     .layer_types = true,
     .sparse = HF_SPARSE_STEPS},
    {.type = "granitemoe",
     .architecture = "GraniteMoeForCausalLM",
     .tensors = granitemoe_tensors,
     .keys = granitemoe_keys,
     .sparse = HF_SPARSE_ALL,
     .experts_key = "num_local_experts"},
    {.type = "granitemoeshared",
     .architecture = "GraniteMoeSharedForCausalLM",
     .tensors = granitemoe_tensors,
     .keys = granitemoeshared_keys,
     .sparse = HF_SPARSE_ALL,
     .experts_key = "num_local_experts"},
};
enum { FAMILIES = sizeof families / sizeof *families };

const struct hf_family *hf_family_find(const char *type)
{
    for (size_t i = 0; i < FAMILIES; i++)
        if (strcmp(families[i].type, type) == 0) return &families[i];
    return NULL;
}

const char *hf_family_key(const struct hf_family *f, enum hf_field field, const char *none)
{
    for (const struct hf_key *k = f->keys; k->field; k++)
        if (k->field == field && k->key) return k->key;
    return none;
}

/* ---- lists for messages ---- */
/* Appends a name to a list of which `left` are to come, this one included. */
static void append(char out[HF_FAMILY_NAMES], struct str name, size_t left, const char *between,
                   const char *last)
{
    const size_t n = strlen(out);
    const char *before = n == 0 ? "" : left == 1 ? last : between;
    snprintf(out + n, HF_FAMILY_NAMES - n, "%s%.*s", before, STR_FMT(name));
}

static bool is_listed(size_t i, bool gguf) { return !gguf || families[i].gguf != HF_GGUF_NONE; }

const char *hf_family_names(bool gguf, const char *last, char out[HF_FAMILY_NAMES])
{
    size_t left = 0;
    for (size_t i = 0; i < FAMILIES; i++) left += is_listed(i, gguf);
    out[0] = 0;
    for (size_t i = 0; i < FAMILIES; i++)
        if (is_listed(i, gguf)) append(out, str_z(families[i].type), left--, ", ", last);
    return out;
}

static const struct hf_row *tensors_of(const struct hf_family *f)
{
    return f ? f->tensors : llama_tensors;
}

const char *hf_family_tensor(const struct hf_family *f, enum hf_role role)
{
    const struct hf_row *r = hf_row_find(tensors_of(f), role);
    return r ? r->name : "";
}

/* "q_proj" of "model.layers.%d.self_attn.q_proj.weight". */
static struct str short_name(const char *name)
{
    const char *end = strrchr(name, '.'), *begin = end;
    while (begin > name && begin[-1] != '.') begin--;
    return (struct str){begin, (size_t)(end - begin)};
}

static bool is_adapted(const struct hf_family *f, const struct hf_row *r, const struct hf_sizes *s)
{
    return s ? hf_row_is_adapted(r, s, f->adapts_experts) : hf_row_is_linear(r);
}

/* Returns true if row r is adapted, and none before it with the same short name. */
static bool is_next(const struct hf_family *f, const struct hf_row *begin, const struct hf_row *r,
                    const struct hf_sizes *s)
{
    bool next = is_adapted(f, r, s);
    for (const struct hf_row *x = begin; x < r; x++)
        next &= !is_adapted(f, x, s) || !str_eq(short_name(x->name), short_name(r->name));
    return next;
}

const char *hf_family_linear(const struct hf_family *f, const struct hf_sizes *s,
                             const char *between, const char *last, char out[HF_FAMILY_NAMES])
{
    const struct hf_row *begin, *end;
    size_t left = 0;
    hf_rows_of(tensors_of(f), HF_LAYER, &begin, &end);
    for (const struct hf_row *r = begin; r < end; r++) left += is_next(f, begin, r, s);
    out[0] = 0;
    for (const struct hf_row *r = begin; r < end; r++)
        if (is_next(f, begin, r, s)) append(out, short_name(r->name), left--, between, last);
    return out;
}
