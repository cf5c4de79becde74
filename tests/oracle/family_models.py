# SPDX-License-Identifier: Apache-2.0
"""A small model of every family, in which its features count: what make_steps_golden.py and the live
comparisons of families train. A new family is a line of MODELS, and one of SOME if its layers have
other names; tests/golden/steps/FAMILY.json is then made by make_steps_golden.py.

Each can be cut in two, by its tensors and by its layers. Documents have up to 23 tokens: windows,
and the positions at which a rotary scaling begins, are shorter."""
SIZES = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
         "pad_token_id": None}  # by default an id in some, whose embedding transformers gives no gradient
WIDE = {**SIZES, "head_dim": 16}
FOUR = {**SIZES, "num_hidden_layers": 4}
MODES = ["sliding_attention", "full_attention"]
WINDOW = 6


def scaled(kind, **more):
    return {"rope_type": kind, "factor": 4.0, "original_max_position_embeddings": 8, **more}


MODELS = {
    "llama": {**SIZES, "tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True,
              "rope_scaling": scaled("llama3", low_freq_factor=1.0, high_freq_factor=4.0)},
    "mistral": {**SIZES, "sliding_window": WINDOW},
    "qwen2": {**SIZES, "tie_word_embeddings": True, "use_sliding_window": True, "sliding_window": WINDOW,
              "max_window_layers": 1},
    "qwen3": {**SIZES, "head_dim": 24, "rope_scaling": scaled("yarn")},
    "seed_oss": {**WIDE, "attention_out_bias": True, "mlp_bias": True, "attention_dropout": 0.0, "residual_dropout": 0.0},
    "ministral": {**WIDE, "sliding_window": WINDOW, "layer_types": MODES},
    "smollm3": {**FOUR, "no_rope_layer_interval": 2, "use_sliding_window": True, "sliding_window": WINDOW,
                "layer_types": ["full_attention", "sliding_attention"] * 2},
    "granite": {**SIZES, "embedding_multiplier": 3.0, "logits_scaling": 1.7, "residual_multiplier": 0.7,
                "attention_multiplier": 0.5, "tie_word_embeddings": True, "attention_bias": True},
    "ernie4_5": {**WIDE, "use_bias": True},
    "helium": {**SIZES, "head_dim": 8, "attention_bias": True, "mlp_bias": True},
    "phi3": {**SIZES, "original_max_position_embeddings": 10, "sliding_window": 12,
             "rope_parameters": {"rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.5,
                                 "short_factor": [1.0, 1.1], "long_factor": [2.0, 4.0]}},
    "glm": WIDE,
    "glm4": {**WIDE, "tie_word_embeddings": True},
    "ministral3": {**WIDE, "sliding_window": WINDOW,
                   "rope_parameters": scaled("yarn", rope_theta=10000.0, mscale=1.0, mscale_all_dim=1.0,
                                             llama_4_scaling_beta=0.3)},
    "arcee": {**SIZES, "mlp_bias": True},
    "hunyuan_v1_dense": {**WIDE, "rope_scaling": {"type": "dynamic", "alpha": 50.0, "factor": 1.0}},
    "gemma": WIDE,
    "gemma2": {**WIDE, "sliding_window": WINDOW, "query_pre_attn_scalar": 24, "attn_logit_softcapping": 2.0,
               "final_logit_softcapping": 5.0},
    "gemma3_text": {**WIDE, "sliding_window": WINDOW, "sliding_window_pattern": 2, "query_pre_attn_scalar": 64,
                    "rope_theta": 7000.0, "rope_local_base_freq": 300.0,
                    "rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    "olmo2": {**SIZES, "attention_bias": True},
    "exaone4": {**SIZES, "sliding_window": WINDOW, "sliding_window_pattern": 2, "layer_types": MODES},
    "olmo3": {**SIZES, "sliding_window": WINDOW, "layer_types": MODES, "rope_theta": 7000.0,
              "rope_scaling": scaled("yarn")},
    "qwen3_moe": {**WIDE, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "norm_topk_prob": True,
                  "mlp_only_layers": [0]},
    "mixtral": {**SIZES, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": WINDOW},
    "olmoe": {**SIZES, "num_experts": 4, "num_experts_per_tok": 2, "attention_bias": True},
    "qwen2_moe": {**SIZES, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24,
                  "shared_expert_intermediate_size": 56, "mlp_only_layers": [1], "use_sliding_window": True,
                  "sliding_window": WINDOW},
    "granitemoe": {**SIZES, "num_local_experts": 4, "num_experts_per_tok": 2, "embedding_multiplier": 3.0,
                   "logits_scaling": 1.7, "residual_multiplier": 0.7, "attention_multiplier": 0.5,
                   "tie_word_embeddings": True},
    "granitemoeshared": {**SIZES, "num_local_experts": 4, "num_experts_per_tok": 2, "shared_intermediate_size": 24,
                         "residual_multiplier": 0.7, "attention_bias": True},
}
MODELS = {family: {"model_type": family, **config} for family, config in MODELS.items()}


def of_the_day(seed):
    """Every third family, others on the next day: the golden files hold all of them on each."""
    return list(MODELS)[seed % 3::3]


# The layers of the second adapter, where they are not these; the first is on all linear ones.
USUAL = ["q_proj", "v_proj", "down_proj"]
SOME = {"phi3": ["qkv_proj", "down_proj"], "glm": ["v_proj", "gate_up_proj"], "glm4": ["o_proj", "gate_up_proj"],
        "arcee": ["k_proj", "up_proj"], "qwen3_moe": ["q_proj", "gate_proj", "up_proj"], "mixtral": ["gate", "w2"],
        "olmoe": ["o_proj", "down_proj"], "qwen2_moe": ["k_proj", "down_proj", "shared_expert_gate"],
        "granitemoe": ["q_proj", "v_proj"], "granitemoeshared": ["v_proj", "input_linear"]}


def has_experts(family):
    return "num_experts_per_tok" in MODELS[family]


def chooses_all(family):
    """The model that is compared in bf16: there a token may choose another expert than in fp32, of two
    that are nearly as probable, and such chances would count more than roundings."""
    config = MODELS[family]
    if not has_experts(family):
        return config
    return config | {"num_experts_per_tok": config.get("num_experts") or config["num_local_experts"]}


def targets(family):
    """Of both adapters: as lora_target has it, and as peft is told."""
    some = SOME.get(family, USUAL)
    return [("all-linear", "all-linear"), (",".join(some), some)]
