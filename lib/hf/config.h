/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and writes config.json of a Hugging Face model. The reader checks the range of every
 * number.
 */
#ifndef SFT_HF_CONFIG_H
#define SFT_HF_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/num.h"
#include "hf/dtype.h"
#include "hf/names.h"

struct hf_family;

enum { HF_MAX_EOS = 16, HF_MAX_NAME = 64, HF_MAX_LAYERS = 4096, HF_ROPE_PAIRS = 256 };
/* A set of layers: bit l % 64 of word l / 64 stands for layer l. */
enum { HF_LAYER_WORDS = HF_MAX_LAYERS / 64 };
static inline void hf_layer_add(uint64_t *set, int64_t l) { set[l / 64] |= (uint64_t)1 << l % 64; }
#define HF_NO_TOKEN ((int64_t)-1)

/* RMSNorm of q and k before the rotation: none, of each head, of all heads together. */
enum hf_qk_norm { HF_QK_NORM_NONE, HF_QK_NORM_HEAD, HF_QK_NORM_ROW };

/* The scaling of the rotary embedding. Fields that the type does not use are 0. */
struct hf_rope {
    char type[HF_MAX_NAME]; /* "default", "linear", "dynamic", "yarn", "longrope", "llama3";
                              "per-layer" when layers differ; then no other field is read */
    double theta;
    double factor;
    double low_freq_factor, high_freq_factor;                              /* llama3 */
    double beta_fast, beta_slow, attention_factor, mscale, mscale_all_dim; /* yarn */
    bool truncate; /* yarn: the ramp begins and ends at whole pairs; true when absent */
    int64_t original_max_position;
    double alpha; /* dynamic, in families that have it: theta is scaled by a constant */
    double partial_rotary_factor; /* the rotated part of a head; 1: all of it */
    /* longrope: `factors` numbers in each, one for each pair; transformers reads them as fp32 */
    float short_factor[HF_ROPE_PAIRS], long_factor[HF_ROPE_PAIRS];
    int64_t factors;
    double q_beta; /* llama_4_scaling_beta: q grows with the position (ministral3) */
};

/* Absent keys have the defaults of the family's configuration in transformers. All sizes are
 * positive, except that those of experts are 0 for a dense model, and all are 0 for an unknown
 * family and a mixture of experts in a family that has none, which are not supported: check family
 * and hf_config_is_moe first. A multimodal model is described by its text_config, and by the keys
 * outside it that are told here. */
struct hf_config {
    const struct hf_family *family; /* the row of model_type; NULL: unknown */
    char model_type[HF_MAX_NAME];   /* "llama" */
    char architecture[HF_MAX_NAME]; /* the first of architectures, "" when absent */
    char
        shell[HF_MAX_NAME]; /* model_type of the multimodal model around it, "mistral3"; "": none */
    enum hf_names names;    /* of the tensors in its files */
    bool untied;            /* tie_word_embeddings outside text_config is false */
    int64_t vocab_size, hidden_size, intermediate_size;
    int64_t num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim;
    int64_t max_position_embeddings;
    int64_t sliding_window; /* keys that a query attends to, itself included; 0: all */
    uint64_t window_layers[HF_MAX_LAYERS / 64]; /* hf_layer_is: layer l has the window */
    uint64_t rope_layers[HF_MAX_LAYERS / 64];   /* layer l has rotary positions */
    double rms_norm_eps, initializer_range, attention_dropout, residual_dropout;
    double embed_scale;     /* a factor of embeddings; 0: sqrt(hidden_size) in the weights' type */
    double residual_scale;  /* of what a branch adds to the residual stream */
    double attention_scale; /* of the products of queries and keys; 0: 1 / sqrt(query_scalar) */
    double query_scalar;    /* 0: head_dim */
    double attention_cap, logit_cap; /* soft caps of scores and of logits; 0: none */
    double logit_divisor;            /* logits are divided by it */
    struct hf_rope rope;
    struct hf_rope window_rope; /* of layers with a window, where the family has two; else unused */
    bool tie_word_embeddings, mlp_bias;
    bool qkv_bias, o_bias;
    int64_t qk_norm;          /* enum hf_qk_norm */
    double qkv_clip;          /* a bound of the elements of q, k and v; 0: none */
    bool pre_norm, post_norm; /* RMSNorm of the input of attention and of the MLP; of the result */
    bool qk_norm_after_rope;  /* of the rotated q and k */
    bool gain_offset;         /* the gain of every norm is 1 + w */
    bool bidirectional;       /* a token sees later ones: not supported */
    bool gated;               /* the MLP has a gate; its activation is hidden_act */
    char hidden_act[HF_MAX_NAME];
    int64_t bos_token_id, pad_token_id; /* HF_NO_TOKEN when null or absent */
    int64_t eos_token_id[HF_MAX_EOS];
    int eos_count;
    enum dtype dtype; /* of torch_dtype or dtype, outside text_config first; DT_F32 when absent */
    int64_t num_experts;                    /* 0: dense */
    int64_t experts_per_token, expert_size; /* experts that a token chooses; their inner size */
    bool normalise_experts;                 /* the weights of a token's experts have sum 1 */
    int64_t shared_size; /* the inner size of the expert of all tokens; 0: none */
    bool shared_router;  /* it has a weight, the sigmoid of a product */
    uint64_t sparse_layers[HF_LAYER_WORDS]; /* the layers with experts instead of an MLP */
    int64_t sparse_step;                    /* decoder_sparse_step */
    bool router_loss;                       /* output_router_logits: the loss has a term that
                                               balances the experts, times router_loss_scale */
    double router_loss_scale, router_jitter;
    bool quantized;  /* has a quantization_config */
    struct buf text; /* the file as read, for hf_config_write; empty for a new configuration */
};

/* Reads dir/config.json, a file, or a text of n bytes (name is for messages). 0, or -1 with
 * ERR_NOINPUT for a missing file, ERR_DATA for a wrong one. hf_config_free is safe in either case.
 * Reading the folder of a multimodal model also reads the names of its tensors. */
int hf_config_read(const char *dir, struct hf_config *c, struct err *e);
int hf_config_read_file(const char *path, struct hf_config *c, struct err *e);
int hf_config_parse(const char *text, size_t n, const char *name, struct hf_config *c,
                    struct err *e);
/* Parses with the keys of family f, whatever model_type is. */
int hf_config_parse_as(const char *text, size_t n, const char *name, const struct hf_family *f,
                       struct hf_config *c, struct err *e);
void hf_config_free(struct hf_config *c);

/* Appends a new text of config.json for c, without c->text. Numbers read back equal. */
int hf_config_format(const struct hf_config *c, struct buf *b, struct err *e);
/* Writes dir/config.json: c->text if it is not empty, else the formatted text. */
int hf_config_write(const struct hf_config *c, const char *dir, struct err *e);

/* True if layer l is in a set of layers: bit l % 64 of word l / 64. */
static inline bool hf_layer_is(const uint64_t *set, int64_t l) { return set[l / 64] >> l % 64 & 1; }

/* Returns the number of elements of a head that rotate. */
int64_t hf_rotary_dim(const struct hf_config *c);

/* True for a mixture of experts of a family that has no row here or has none in it, by model_type
 * or by keys that only such models have. */
bool hf_config_is_moe(const struct hf_config *c);

/* Writes f as num_text does, but always as a real number: 1.0, not 1. */
void hf_real_text(double f, bool single, char out[NUM_TEXT]);

#endif
