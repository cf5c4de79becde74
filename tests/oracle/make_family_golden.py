# SPDX-License-Identifier: Apache-2.0
"""Golden values of every family from transformers in fp32: tests/golden/families/.

usage: make_family_golden.py OUTPUT_DIR [GROUP...]

GROUP.json: for each case of the group its config.json and, for one packed batch of documents, the
norm and projections of the logits, loss, NLLs, and those of every gradient. Each document is run alone in a
model that saw none before: packing is to change nothing. Weights are made by the formula of
tests/tiny.h; those of cases with a "folder" are as transformers saved them there (config.json and
safetensors, one of them in shards, one for each type of element).
"""
import json
import os
import shutil
import sys

import numpy as np
import torch
from make_train_golden import describe, documents, weights, write
from on_disk import on_disk
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

LENGTHS = [37, 9, 1, 83, 12]
VOCAB = 97
SIZES = {"vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
         "rms_norm_eps": 1e-5}
SMALL = {**SIZES, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2,
         "num_key_value_heads": 1, "head_dim": 8}
THREE = {**SIZES, "num_hidden_layers": 3}


def llama3(**more):
    return {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64, **more}


# name, config.json; those written by transformers 5 hold rope_parameters, older ones rope_scaling
LLAMA = [
    ("llama 2: all heads have their own keys, untied",
     {"model_type": "llama", **SIZES, "num_key_value_heads": None}),
    ("llama 3.2: llama3 scaling, tied",
     {"model_type": "llama", **SIZES, "head_dim": 16, "tie_word_embeddings": True,
      "rope_theta": 500000.0, "rope_scaling": llama3()}),
    ("llama 3.1: rope_parameters",
     {"model_type": "llama", **SIZES, "rope_parameters": llama3(rope_theta=500000.0, factor=8.0)}),
    ("llama: attention_bias and mlp_bias",
     {"model_type": "llama", **SIZES, "attention_bias": True, "mlp_bias": True}),
    ("llama: linear", {"model_type": "llama", **SIZES, "rope_scaling": {"type": "linear", "factor": 4.0}}),
    ("llama: dynamic, documents on both sides of the limit",
     {"model_type": "llama", **SIZES, "max_position_embeddings": 32,
      "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}),
    ("llama: yarn with mscale, not truncated",
     {"model_type": "llama", **SIZES, "head_dim": 32,
      "rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0,
                          "original_max_position_embeddings": 16, "mscale": 0.7,
                          "mscale_all_dim": 1.3, "truncate": False}}),
    ("qwen2.5: tied", {"model_type": "qwen2", **SIZES, "tie_word_embeddings": True,
                       "rope_theta": 1000000.0, "sliding_window": 24, "use_sliding_window": False}),
    ("qwen2: windows from a layer on, yarn",
     {"model_type": "qwen2", **THREE, "use_sliding_window": True, "sliding_window": 24,
      "max_window_layers": 1, "head_dim": 16,
      "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}}),
    ("qwen3: head_dim apart from hidden_size, tied",
     {"model_type": "qwen3", **SIZES, "head_dim": 24, "tie_word_embeddings": True,
      "rope_theta": 1000000.0}),
    ("qwen3: layer_types, attention_bias, untied",
     {"model_type": "qwen3", **THREE, "head_dim": 16, "attention_bias": True,
      "use_sliding_window": True, "sliding_window": 10,
      "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}),
    ("qwen3: yarn with its factors",
     {"model_type": "qwen3", **SIZES, "head_dim": 32,
      "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32,
                       "attention_factor": 1.25, "beta_fast": 16.0, "beta_slow": 2.0}}),
    ("mistral: a window", {"model_type": "mistral", **SIZES, "sliding_window": 24}),
    ("mistral: no window, tied",
     {"model_type": "mistral", **SIZES, "sliding_window": None, "tie_word_embeddings": True,
      "head_dim": 16}),
]
# A text model inside of a multimodal one, whose other parts a text does not reach.
PIXTRAL = {"model_type": "pixtral", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
           "num_attention_heads": 2, "head_dim": 8, "image_size": 16, "patch_size": 4}
SHELLS = [
    ("mistral3 around mistral: a window, untied",
     {"model_type": "mistral3", "tie_word_embeddings": False, "vision_config": PIXTRAL,
      "text_config": {"model_type": "mistral", **SIZES, "sliding_window": 24}}),
    ("llava around qwen3: tied by text_config",
     {"model_type": "llava", "image_token_index": 96, "vision_config": PIXTRAL,
      "text_config": {"model_type": "qwen3", **SIZES, "head_dim": 24, "tie_word_embeddings": True}}),
    ("gemma3 around gemma3_text: keys of released files, the others absent",
     {"model_type": "gemma3", "image_token_index": 96, "mm_tokens_per_image": 4,
      "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
                        "num_attention_heads": 2, "image_size": 16, "patch_size": 8},
      "text_config": {"model_type": "gemma3_text", **SIZES, "num_hidden_layers": 7, "head_dim": 16, "sliding_window": 24,
                      "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "pad_token_id": None}}),
]
NO_PAD = {"pad_token_id": None}  # by default an id, whose embedding has no gradient there
NO_DROPOUT = {"attention_dropout": 0.0, "residual_dropout": 0.0}
ROWS = [
    ("seed_oss: biases of q, k and v by default, head_dim apart from hidden_size",
     {"model_type": "seed_oss", **SIZES, "head_dim": 16, **NO_DROPOUT, **NO_PAD}),
    ("seed_oss: no biases of q, k and v, but of the others, tied",
     {"model_type": "seed_oss", **SIZES, "head_dim": None, "attention_bias": False, "attention_out_bias": True,
      "mlp_bias": True, "tie_word_embeddings": True, "rope_parameters": {"rope_type": "default", "rope_theta": 1e7},
      **NO_DROPOUT, **NO_PAD}),
    ("ministral: windows in all layers by default",
     {"model_type": "ministral", **SIZES, "head_dim": 16, "sliding_window": 24}),
    ("ministral: windows by layer_types",
     {"model_type": "ministral", **THREE, "head_dim": 8, "sliding_window": 10, "rope_theta": 1e8,
      "layer_types": ["full_attention", "sliding_attention", "sliding_attention"]}),
    ("smollm3: every fourth layer is not rotated, tied",
     {"model_type": "smollm3", **SIZES, "num_hidden_layers": 5, **NO_PAD}),
    # without attention_bias: where nothing is rotated a bias of k changes no score, and its gradient is 0
    ("smollm3: a list of layers that are not rotated, windows in those, biases of the MLP, untied",
     {"model_type": "smollm3", **THREE, "head_dim": 16, "no_rope_layers": [0, 1, 0, 1], "use_sliding_window": True,
      "sliding_window": 24, "mlp_bias": True, "tie_word_embeddings": False, **NO_PAD}),
    ("smollm3: every second layer is not rotated, windows by layer_types, yarn",
     {"model_type": "smollm3", **THREE, "no_rope_layer_interval": 2, "use_sliding_window": True, "sliding_window": 10,
      "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
      "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}, **NO_PAD}),
    ("granite: multipliers of a released model, tied",
     {"model_type": "granite", **SIZES, "embedding_multiplier": 12.0, "logits_scaling": 8.0, "residual_multiplier": 0.22,
      "attention_multiplier": 0.015625, "tie_word_embeddings": True, "rope_theta": 1e7}),
    ("granite: absent multipliers are 1, attention's too, biases",
     {"model_type": "granite", **SIZES, "attention_bias": True, "mlp_bias": True}),
    ("granite: multipliers below and above 1, biases, linear",
     {"model_type": "granite", **THREE, "num_key_value_heads": None, "head_dim": 16, "embedding_multiplier": 0.3,
      "logits_scaling": 0.7, "residual_multiplier": 1.7, "attention_multiplier": 0.6, "attention_bias": True,
      "mlp_bias": True, "rope_scaling": {"type": "linear", "factor": 4.0}}),
]
LONGROPE = {"rope_type": "longrope", "short_factor": [1.0, 1.1], "long_factor": [2.0, 4.0]}
# transformers gives the row of the padding token no gradient
PADLESS = {**SIZES, "pad_token_id": None}
ROTATION = [
    ("ernie4_5: use_bias, tied by default", {"model_type": "ernie4_5", **PADLESS, "head_dim": 16, "use_bias": True}),
    ("ernie4_5: seven pairs, llama3 scaling, untied",
     {"model_type": "ernie4_5", **PADLESS, "head_dim": 14, "tie_word_embeddings": False,
      "rope_scaling": llama3(factor=8.0)}),
    ("helium: attention_bias and mlp_bias",
     {"model_type": "helium", **PADLESS, "head_dim": 8, "attention_bias": True, "mlp_bias": True}),
    ("helium: yarn, tied",
     {"model_type": "helium", **PADLESS, "head_dim": 8, "tie_word_embeddings": True,
      "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}}),
    ("phi3: a window", {"model_type": "phi3", **PADLESS, "sliding_window": 24}),
    ("phi4-mini: a part of a head, tied, all heads have their own keys",
     {"model_type": "phi3", **PADLESS, "num_key_value_heads": None, "partial_rotary_factor": 0.75,
      "tie_word_embeddings": True, "rope_scaling": None}),
    ("phi3: longrope of a part, documents on both sides of the limit",
     {"model_type": "phi3", **PADLESS, "original_max_position_embeddings": 32,
      "rope_parameters": {**LONGROPE, "rope_theta": 10000.0, "partial_rotary_factor": 0.5}}),
    ("phi3: su, the positions at the top count, a factor, a window",
     {"model_type": "phi3", **PADLESS, "original_max_position_embeddings": 16, "sliding_window": 30,
      "partial_rotary_factor": 0.5,
      "rope_scaling": {**LONGROPE, "rope_type": "su", "factor": 6.0, "original_max_position_embeddings": 64}}),
    ("llama: longrope with its attention_factor",
     {"model_type": "llama", **PADLESS,
      "rope_scaling": {"rope_type": "longrope", "original_max_position_embeddings": 40, "factor": 4.0,
                       "attention_factor": 1.3, "short_factor": [1.0, 1.05, 1.2, 1.5],
                       "long_factor": [1.0, 2.0, 5.0, 11.5]}}),
    ("glm: defaults", {"model_type": "glm", **PADLESS, "head_dim": 16}),
    ("glm: rope_parameters, no biases, tied",
     {"model_type": "glm", **PADLESS, "head_dim": 24, "attention_bias": False, "tie_word_embeddings": True,
      "partial_rotary_factor": 0.5,
      "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0, "partial_rotary_factor": 0.25}}),
    ("ministral3: no rotary settings", {"model_type": "ministral3", **PADLESS, "head_dim": 16}),
    ("ministral3: documents beyond the original positions, a window",
     {"model_type": "ministral3", **PADLESS, "head_dim": 16, "sliding_window": 24,
      "rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "mscale": 1.0,
                          "mscale_all_dim": 1.0, "original_max_position_embeddings": 16,
                          "llama_4_scaling_beta": 0.3}}),
    ("ministral3: not scaled but for q, tied",
     {"model_type": "ministral3", **PADLESS, "head_dim": 8, "tie_word_embeddings": True,
      "rope_scaling": {"rope_type": "default", "rope_theta": 10000.0,
                       "original_max_position_embeddings": 20, "llama_4_scaling_beta": 0.2}}),
    ("mistral3 around ministral3",
     {"model_type": "mistral3", "tie_word_embeddings": False, "vision_config": PIXTRAL,
      "text_config": {"model_type": "ministral3", **PADLESS, "head_dim": 16,
                      "rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0,
                                          "original_max_position_embeddings": 16, "llama_4_scaling_beta": 0.3}}}),
]
HUNYUAN = {"model_type": "hunyuan_v1_dense", **SIZES, "head_dim": 16, **NO_PAD}
ACT = [
    ("arcee: no gate, all heads have their own keys", {"model_type": "arcee", **SIZES, "num_key_value_heads": None}),
    ("arcee: biases, gelu, tied",
     {"model_type": "arcee", **SIZES, "attention_bias": True, "mlp_bias": True, "hidden_act": "gelu",
      "tie_word_embeddings": True}),
    ("llama: gates of relu2", {"model_type": "llama", **SIZES, "hidden_act": "relu2"}),
    ("hunyuan: alpha", {**HUNYUAN, "rope_scaling": {"type": "dynamic", "alpha": 1000.0, "factor": 1.0}}),
    ("hunyuan: dynamic without alpha, biases, tied",
     {**HUNYUAN, "attention_bias": True, "tie_word_embeddings": True, "max_position_embeddings": 32,
      "rope_parameters": {"rope_type": "dynamic", "factor": 4.0}}),
    ("hunyuan: untied, kv heads absent", {k: v for k, v in HUNYUAN.items() if k != "num_key_value_heads"}),
    ("gemma: head_dim and activation absent", {"model_type": "gemma", **SIZES, **NO_PAD}),
    ("gemma: gelu of old files, biases, untied",
     {"model_type": "gemma", **SIZES, "head_dim": 16, "hidden_act": "gelu", "hidden_activation": None,
      "attention_bias": True, "tie_word_embeddings": False, **NO_PAD}),
    ("gemma: silu, yarn",
     {"model_type": "gemma", **SIZES, "head_dim": 16, "hidden_act": "silu",
      "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}, **NO_PAD}),
]
NORMS = [
    ("olmo2: norms of results, norms of whole q and k",
     {"model_type": "olmo2", **SIZES, **NO_PAD, "num_key_value_heads": None}),
    ("olmo2: attention_bias, grouped keys, tied, yarn",
     {"model_type": "olmo2", **SIZES, **NO_PAD, "head_dim": 16, "attention_bias": True, "tie_word_embeddings": True,
      "rope_parameters": {"rope_type": "yarn", "rope_theta": 500000.0, "factor": 4.0,
                          "original_max_position_embeddings": 32}}),
]
NORMS += [("glm4: norms before and behind", {"model_type": "glm4", **SIZES, **NO_PAD, "head_dim": 16}),
          ("glm4: no biases, tied",
           {"model_type": "glm4", **SIZES, **NO_PAD, "head_dim": 8, "attention_bias": False, "tie_word_embeddings": True})]
FIVE = {**SIZES, "num_hidden_layers": 5, "num_attention_heads": 2, "head_dim": 8}
NORMS += [
    ("exaone4: norms of heads, windows in three of four layers, the other is not rotated",
     {"model_type": "exaone4", **FIVE, "sliding_window": 10}),
    ("exaone4: no window, all layers are rotated, llama3 scaling, tied",
     {"model_type": "exaone4", **SIZES, "sliding_window": None, "sliding_window_pattern": None,
      "layer_types": ["full_attention"] * 2, "tie_word_embeddings": True, "rope_theta": 1e6,
      "rope_scaling": llama3(factor=16.0)}),
    ("exaone4: windows by layer_types beside a pattern of letters",
     {"model_type": "exaone4", **SIZES, "sliding_window": 24, "sliding_window_pattern": "LG",
      "layer_types": ["sliding_attention", "full_attention"]}),
    ("olmo3: windows in three of four layers, yarn in the other, by the old keys",
     {"model_type": "olmo3", **FIVE, **NO_PAD, "sliding_window": 10, "attention_bias": True, "rope_theta": 7000.0,
      "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}}),
    ("olmo3: rope_parameters by type of layer, windows by layer_types, tied",
     {"model_type": "olmo3", **SIZES, **NO_PAD, "sliding_window": 24, "tie_word_embeddings": True,
      "layer_types": ["sliding_attention", "full_attention"],
      "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 20000.0},
                          "sliding_attention": {"rope_type": "default", "rope_theta": 300.0}}}),
]
QWEN3_MOE = {"model_type": "qwen3_moe", **SIZES, "head_dim": 16, "num_experts": 4,
             "num_experts_per_tok": 2, "moe_intermediate_size": 24}
MIXTRAL = {"model_type": "mixtral", **SIZES, "num_local_experts": 4, "num_experts_per_tok": 2}
EXPERTS = [
    ("qwen3_moe: normalised, a window in all layers",
     {**QWEN3_MOE, "norm_topk_prob": True, "use_sliding_window": True, "sliding_window": 10}),
    ("qwen3_moe: a dense layer between, attention_bias, the key of transformers 5",
     {**{k: v for k, v in QWEN3_MOE.items() if k != "num_experts"}, "num_hidden_layers": 3,
      "num_local_experts": 5, "attention_bias": True, "mlp_only_layers": [1],
      "norm_topk_prob": True, "num_experts_per_tok": 3}),
    ("qwen3_moe: every second layer, tied, an expert without a token",
     {**QWEN3_MOE, "decoder_sparse_step": 2, "num_experts": 24, "num_experts_per_tok": 1,
      "tie_word_embeddings": True}),
    ("qwen3_moe: every expert has every token", {**QWEN3_MOE, "num_experts_per_tok": 4}),
    ("qwen3_moe: with its auxiliary loss",
     {**QWEN3_MOE, "num_hidden_layers": 3, "mlp_only_layers": [0], "norm_topk_prob": True,
      "output_router_logits": True, "router_aux_loss_coef": 0.5}),
    ("mixtral: a window", {**MIXTRAL, "sliding_window": 24}),
    ("mixtral: tied, its auxiliary loss",
     {**MIXTRAL, "num_key_value_heads": 4, "tie_word_embeddings": True,
      "output_router_logits": True}),
]
GEMMA2 = {"model_type": "gemma2", **SIZES, **NO_PAD, "head_dim": 16, "sliding_window": 24}
GEMMA3 = {"model_type": "gemma3_text", **SIZES, **NO_PAD, "head_dim": 16, "sliding_window": 24}
GEMMA = [
    ("gemma2: caps of scores and logits that count", {**GEMMA2, "query_pre_attn_scalar": 24, "attn_logit_softcapping": 0.5,
                                                      "final_logit_softcapping": 2.0}),
    ("gemma2: defaults but for the windows, biases", {**GEMMA2, "attention_bias": True}),
    ("gemma2: no caps, untied, windows by layer_types",
     {**GEMMA2, "num_hidden_layers": 3, "attn_logit_softcapping": None, "final_logit_softcapping": None,
      "tie_word_embeddings": False, "layer_types": ["full_attention", "sliding_attention", "full_attention"]}),
    ("gemma3: windows in two of three layers, frequencies of their own, the other linear",
     {**GEMMA3, "num_hidden_layers": 3, "rms_norm_eps": 1e-3, "sliding_window_pattern": 3,
      "query_pre_attn_scalar": 64, "rope_theta": 7000.0, "rope_local_base_freq": 300.0, "rope_scaling": {"rope_type": "linear", "factor": 4.0}}),
    ("gemma3: a cap of logits, rope_parameters by type of layer, untied, gelu",
     {**GEMMA3, "final_logit_softcapping": 2.0, "attn_logit_softcapping": 1.0, "tie_word_embeddings": False,
      "hidden_activation": "gelu", "layer_types": ["sliding_attention", "full_attention"],
      "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 20000.0},
                          "sliding_attention": {"rope_type": "default", "rope_theta": 300.0}}}),
]
OLMOE = {"model_type": "olmoe", **SIZES, **NO_PAD, "num_experts": 4, "num_experts_per_tok": 2}
QWEN2_MOE = {"model_type": "qwen2_moe", **SIZES, **NO_PAD, "num_experts": 4, "num_experts_per_tok": 2,
             "moe_intermediate_size": 24, "shared_expert_intermediate_size": 56}
GRANITEMOE = {"model_type": "granitemoe", **SIZES, **NO_PAD, "num_local_experts": 4, "num_experts_per_tok": 2}
SPARSE = [
    ("olmoe: all heads have their own keys, weights that do not sum to 1", {**OLMOE, "num_key_value_heads": None}),
    ("olmoe: normalised, attention_bias, tied, its auxiliary loss",
     {**OLMOE, "attention_bias": True, "norm_topk_prob": True, "tie_word_embeddings": True, "clip_qkv": None,
      "output_router_logits": True, "router_aux_loss_coef": 0.5}),
    ("qwen2_moe: windows in every second layer",
     {**QWEN2_MOE, "num_hidden_layers": 4, "max_window_layers": 3, "use_sliding_window": True, "sliding_window": 10}),
    ("qwen2_moe: normalised, dense layers between, no biases, tied, a shared expert smaller than the others",
     {**QWEN2_MOE, "num_hidden_layers": 4, "decoder_sparse_step": 2, "mlp_only_layers": [3], "qkv_bias": False,
      "norm_topk_prob": True, "tie_word_embeddings": True, "shared_expert_intermediate_size": 13, "hidden_act": "gelu",
      "use_sliding_window": False, "sliding_window": 10}),
    ("qwen2_moe: its auxiliary loss, windows by layer_types",
     {**QWEN2_MOE, "num_experts": 5, "num_experts_per_tok": 3, "output_router_logits": True, "router_aux_loss_coef": 0.5,
      "use_sliding_window": True, "sliding_window": 24, "layer_types": ["full_attention", "sliding_attention"]}),
    ("granitemoe: multipliers, tied",
     {**GRANITEMOE, "embedding_multiplier": 12.0, "logits_scaling": 6.0, "residual_multiplier": 0.22,
      "attention_multiplier": 0.015625, "tie_word_embeddings": True}),
    ("granitemoe: absent multipliers are 1, attention's too, biases, its auxiliary loss",
     {**GRANITEMOE, "num_local_experts": 5, "num_experts_per_tok": 3, "attention_bias": True, "output_router_logits": True,
      "router_aux_loss_coef": 0.5}),
    ("granitemoeshared: an expert of all tokens without a weight, multipliers",
     {**GRANITEMOE, "model_type": "granitemoeshared", "num_key_value_heads": None, "shared_intermediate_size": 56,
      "residual_multiplier": 1.7, "embedding_multiplier": 0.3, "logits_scaling": 0.7}),
    ("granitemoeshared: no expert of all tokens", {**GRANITEMOE, "model_type": "granitemoeshared"}),
]
GROUPS = {"families": LLAMA, "shells": SHELLS, "rows": ROWS, "rotation": ROTATION, "act": ACT, "norms": NORMS,
          "experts": EXPERTS, "gemma": GEMMA, "sparse": SPARSE}
# group, name, config.json, folder, type of element, size of a shard
SAVED = [
    ("families", "qwen3 in shards of bf16", {"model_type": "qwen3", **SMALL}, "sharded-bf16", torch.bfloat16, "6KB"),
    ("families", "mistral in fp16", {"model_type": "mistral", **SMALL, "sliding_window": 24}, "fp16", torch.float16, "1GB"),
    ("families", "llama in fp32", {"model_type": "llama", **SMALL, "tie_word_embeddings": True,
                                   "rope_parameters": llama3(rope_theta=500000.0)}, "fp32", torch.float32, "1GB"),
    ("shells", "mistral3 as it is saved, in bf16",
     {"model_type": "mistral3", "tie_word_embeddings": False, "vision_config": PIXTRAL,
      "text_config": {"model_type": "mistral", **SMALL, "sliding_window": None}}, "mistral3", torch.bfloat16, "1GB"),
]


def auxiliary(model, router):
    """The loss that balances experts, over the rows of all documents, as for one batch."""
    config = model.config
    if not getattr(config, "output_router_logits", False):
        return 0.0
    layers = tuple(torch.cat(x) for x in zip(*router))
    loss = load_balancing_loss_func(layers, model.num_experts, config.num_experts_per_tok)
    return config.router_aux_loss_coef * loss.double()


def build(config, folder):
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/config.json", "w") as f:
        json.dump(config, f)
    kind = AutoModelForImageTextToText if "text_config" in config else AutoModelForCausalLM
    model = kind.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        for name, p in model.named_parameters():
            for n, x in on_disk(model, name, p):
                x.copy_(torch.from_numpy(weights(n, x.numel()).reshape(x.shape)))
    return model.train()


def run(model, name):
    """Each document alone; a new rotary embedding, since that of dynamic scaling remembers."""
    docs, logits, nll, router, loss = documents(LENGTHS, VOCAB, 0), [], [], [], 0.0
    total = sum(w.sum().item() for _, w in docs)
    text = getattr(model.model, "language_model", model.model)
    for ids, w in docs:
        text.rotary_emb = type(text.rotary_emb)(text.config)
        out = model(input_ids=ids[None], use_cache=False)
        router.append(getattr(out, "router_logits", None) or ())
        x = out.logits[0]
        logits.append(x.detach().double().numpy())
        if len(ids) < 2:
            continue
        each = torch.nn.functional.cross_entropy(x[:-1], ids[1:], reduction="none")
        nll += [v for v, y in zip(each.tolist(), w[1:].tolist()) if y > 0]
        loss = loss + (each.double() * w[1:]).sum()
    loss = loss / total + auxiliary(model, router)
    loss.backward()
    grads = {n: x.double().flatten().numpy() for name, p in model.named_parameters() if p.grad is not None
             for n, x in on_disk(model, name, p.grad)}
    return {"name": name, "loss": loss.item(), "nll": nll,
            "logits": describe({"logits": np.concatenate(logits).flatten()})["logits"],
            "gradients": describe(grads)}


def saved(out, name, config, folder, dtype, shard):
    path = f"{out}/{folder}"
    shutil.rmtree(path, ignore_errors=True)
    model = build(config, path).to(dtype)
    model.save_pretrained(path, max_shard_size=shard)
    os.path.exists(f"{path}/generation_config.json") and os.remove(f"{path}/generation_config.json")
    return {"folder": folder, **run(model.float(), name)}


def cases_of(out, group):
    cases = [{"config": config, **run(build(config, f"{out}/tmp"), name)} for name, config in GROUPS[group]]
    shutil.rmtree(f"{out}/tmp")
    return cases + [saved(out, *case[1:]) for case in SAVED if case[0] == group]


def main():
    out = sys.argv[1]
    for group in sys.argv[2:] or GROUPS:
        write(f"{out}/{group}.json", {"lengths": LENGTHS, "cases": cases_of(out, group)}, 8)


if __name__ == "__main__":
    main()
