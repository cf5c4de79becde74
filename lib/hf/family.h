/* SPDX-License-Identifier: Apache-2.0 */
/* The families of decoder-only models, one row each: which keys of config.json count, what an
 * absent one means, and which tensors a checkpoint holds. docs/families.md tells how to add one. */
#ifndef SFT_HF_FAMILY_H
#define SFT_HF_FAMILY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hf/params.h"

struct hf_rope;

/* Fields of struct hf_config that keys of config.json set. */
enum hf_field {
    HF_FIELD_END, /* ends a list */
    HF_FIELD_KV_HEADS,
    HF_FIELD_HEAD_DIM,
    HF_FIELD_POSITIONS,
    HF_FIELD_EPS,
    HF_FIELD_INIT_RANGE,
    HF_FIELD_DROPOUT,
    HF_FIELD_RESIDUAL_DROPOUT,
    HF_FIELD_THETA,
    HF_FIELD_PARTIAL, /* the part of a head that rotates */
    HF_FIELD_WINDOW_THETA,
    HF_FIELD_TIED,
    HF_FIELD_QKV_BIAS,
    HF_FIELD_O_BIAS,
    HF_FIELD_MLP_BIAS,
    HF_FIELD_QK_NORM, /* enum hf_qk_norm */
    HF_FIELD_QKV_CLIP,
    HF_FIELD_EMBED_SCALE,
    HF_FIELD_RESIDUAL_SCALE,
    HF_FIELD_ATTENTION_SCALE,
    HF_FIELD_LOGIT_DIVISOR,
    HF_FIELD_QUERY_SCALAR,
    HF_FIELD_ATTENTION_CAP,
    HF_FIELD_LOGIT_CAP,
    HF_FIELD_QK_NORM_AFTER_ROPE,
    HF_FIELD_GATED,
    HF_FIELD_GAIN_OFFSET,
    HF_FIELD_BIDIRECTIONAL,
    HF_FIELD_PRE_NORM,
    HF_FIELD_POST_NORM,
    HF_FIELD_EXPERTS,
    HF_FIELD_EXPERTS_PER_TOKEN,
    HF_FIELD_EXPERT_SIZE, /* 0: intermediate_size */
    HF_FIELD_NORMALISE_EXPERTS,
    HF_FIELD_SHARED_SIZE,
    HF_FIELD_SHARED_ROUTER,
    HF_FIELD_SPARSE_STEP,
    HF_FIELD_ROUTER_LOSS,
    HF_FIELD_ROUTER_LOSS_SCALE,
    HF_FIELD_ROUTER_JITTER,
    HF_FIELDS
};
/* A key, and the value of its field when the key is absent or null. A number of key-value heads of
 * 0 stands for as many as heads, a head_dim of 0 for hidden_size / heads, a scale of attention of 0
 * for 1 / sqrt(head_dim), a scale of embeddings of 0 for sqrt(hidden_size) rounded to the type of
 * the weights. */
struct hf_key {
    const char *key; /* NULL: no key; the field always has the value `absent` */
    enum hf_field field;
    double absent, null;
};

/* The rule by which layers attend within a window, if sliding_window is not null and layer_types
 * does not say it. The rule may have a number. */
enum hf_window {
    HF_WINDOW_NONE,     /* no layer does; the keys are ignored */
    HF_WINDOW_ALL,      /* every layer */
    HF_WINDOW_PERIODIC, /* all but every number-th; 2: layers 0, 2, 4 ... */
    HF_WINDOW_LAST,     /* the layers from the number on */
    HF_WINDOW_EVEN,     /* layers 0, 2, 4 ... below the number */
    HF_WINDOW_UNROTATED /* the layers without rotary positions */
};
/* Which layers have experts instead of an MLP. */
enum hf_sparse {
    HF_SPARSE_NONE,
    HF_SPARSE_ALL,
    HF_SPARSE_STEPS /* every decoder_sparse_step-th layer that mlp_only_layers does not list */
};
/* How the family's GGUF files lay out the rows of q and k. */
enum hf_gguf {
    HF_GGUF_NONE,    /* its GGUF files are not converted */
    HF_GGUF_PLAIN,   /* as safetensors */
    HF_GGUF_PERMUTED /* each head's rows i and i + dim / 2 are neighbours */
};
struct hf_family {
    const char *type;         /* model_type; in GGUF files the architecture */
    const char *architecture; /* transformers' class of the model with its head */
    const struct hf_row *tensors;
    const struct hf_key *keys; /* besides those of every family, which they override */
    enum hf_window window;
    const char *window_key;   /* the key of the rule's number; NULL: it always is window_number */
    int64_t window_number;    /* the number when its key is absent */
    int64_t window_keys;      /* sliding_window when absent; 0: null */
    bool window_flag;         /* there is a window only if use_sliding_window is true */
    bool layer_types;         /* layer_types, if there is one, overrides the rule */
    int64_t no_rope_interval; /* the layers whose item of no_rope_layers is 0 have no rotary
                               * positions, by default every no_rope_layer_interval-th; this is
                               * the interval when absent. 0: all have them, whatever a file says */
    enum hf_sparse sparse;
    const char *experts_key; /* the key of the number of experts; NULL: num_experts */
    /* peft takes the names of a sparse layer's router and of its experts' layers for mlp.gate,
     * mlp.experts.gate_up_proj and mlp.experts.down_proj, in which transformers has them. In other
     * families it adapts neither. */
    bool adapts_experts;
    int64_t vocab, heads; /* vocab_size and num_attention_heads when absent; 0: must be there */
    bool divides;         /* heads must divide hidden_size, also where head_dim is told */
    bool square;          /* heads * head_dim must be hidden_size */
    bool interleaved;     /* the rotary embedding rotates neighbours, not halves */
    bool partial_rotary;  /* partial_rotary_factor counts; others with one are refused */
    bool position_scale;  /* llama_4_scaling_beta counts */
    bool longrope;        /* the only rotary scaling; su and yarn are names of it */
    int64_t original;     /* longrope: original_max_position_embeddings when absent at the top;
                             the one inside the rotary settings does not count */
    const struct hf_rope *rope; /* rotary settings when there are none; NULL: the default type */
    bool rope_alpha;            /* dynamic scaling may have an alpha, which is a factor of theta */
    bool gelu_tanh;             /* hidden_act gelu stands for gelu_pytorch_tanh */
    const char *act_key;        /* the key of the activation; NULL: hidden_act */
    const char *act;            /* hidden_act when absent; NULL: silu */
    bool rope_within;           /* if sliding_window is set, only layers with a window rotate */
    bool ropes;                 /* rope_parameters has settings for each type of layer */
    enum hf_gguf gguf;
};

/* The keys of every family, with what an absent one means in most. */
extern const struct hf_key hf_common_keys[];
/* By model_type; NULL: not a known family. */
const struct hf_family *hf_family_find(const char *type);
/* The key of config.json by which the family sets a field; `none` if it has none. */
const char *hf_family_key(const struct hf_family *f, enum hf_field field, const char *none);
/* The names of all families, or of those whose GGUF files can be converted: "a, b, c", with `last`
 * before the last one. */
enum { HF_FAMILY_NAMES = 512 };
const char *hf_family_names(bool gguf, const char *last, char out[HF_FAMILY_NAMES]);
/* In both, f NULL stands for the names that most families share. */
/* The name in checkpoints of the tensor that holds a role outside the layers. */
const char *hf_family_tensor(const struct hf_family *f, enum hf_role role);
/* The names of a layer's parts that an adapter may adapt, each the last part of one: "q_proj,
 * k_proj", with `between` and, before the last one, `last`. s: in a model of these sizes; NULL: all
 * linear layers. */
const char *hf_family_linear(const struct hf_family *f, const struct hf_sizes *s,
                             const char *between, const char *last, char out[HF_FAMILY_NAMES]);

#endif
