/* SPDX-License-Identifier: Apache-2.0 */
/* config.json of a Hugging Face model: read with every number range-checked, and written. */
#ifndef SFT_HF_CONFIG_H
#define SFT_HF_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/num.h"
#include "hf/dtype.h"

struct hf_family;

enum { HF_MAX_EOS = 16, HF_MAX_NAME = 64, HF_MAX_LAYERS = 4096 };
#define HF_NO_TOKEN ((int64_t)-1)

/* Scaling of the rotary embedding; fields that the type does not use are 0. */
struct hf_rope {
    char type[HF_MAX_NAME]; /* "default", "linear", "dynamic", "yarn", "longrope", "llama3";
                              "per-layer" when layers differ, which is not read further */
    double theta;
    double factor;
    double low_freq_factor, high_freq_factor;                              /* llama3 */
    double beta_fast, beta_slow, attention_factor, mscale, mscale_all_dim; /* yarn */
    bool truncate; /* yarn: the ramp begins and ends at whole pairs; true when absent */
    int64_t original_max_position;
    double partial_rotary_factor; /* 1: the whole head turns */
};

/* Absent keys hold the defaults of the family's configuration in transformers. The sizes are all
 * positive, except that they are all 0 for a mixture of experts and for models with a text_config,
 * which no part of this program supports: check hf_config_is_moe and family first. */
struct hf_config {
    const struct hf_family *family; /* the row of model_type; NULL: not a known one */
    char model_type[HF_MAX_NAME];   /* "llama" */
    char architecture[HF_MAX_NAME]; /* first of architectures, "" when absent */
    int64_t vocab_size, hidden_size, intermediate_size;
    int64_t num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim;
    int64_t max_position_embeddings;
    int64_t sliding_window; /* keys that a query sees, itself included; 0: all, in every layer */
    uint64_t window_layers[HF_MAX_LAYERS / 64]; /* bit l % 64 of l / 64: layer l has the window */
    double rms_norm_eps, initializer_range, attention_dropout;
    struct hf_rope rope;
    bool tie_word_embeddings, mlp_bias;
    bool qkv_bias, o_bias;
    bool qk_norm; /* per-head RMSNorm of q and k: Qwen3 */
    char hidden_act[HF_MAX_NAME];
    int64_t bos_token_id, pad_token_id; /* HF_NO_TOKEN when null or absent */
    int64_t eos_token_id[HF_MAX_EOS];
    int eos_count;
    enum dtype dtype;    /* of torch_dtype or dtype; DT_F32 when absent */
    int64_t num_experts; /* 0: dense */
    bool quantized;      /* has a quantization_config */
    struct buf text;     /* the file as read, to be written back unchanged; empty when made here */
};

/* dir/config.json. ERR_NOINPUT when missing, ERR_DATA when wrong. hf_config_free in either case
 * is safe. */
int hf_config_read(const char *dir, struct hf_config *c, struct err *e);
int hf_config_read_file(const char *path, struct hf_config *c, struct err *e);
int hf_config_parse(const char *text, size_t n, const char *name, struct hf_config *c,
                    struct err *e);
/* As hf_config_parse, but read as the keys of family f say, whatever model_type is. */
int hf_config_parse_as(const char *text, size_t n, const char *name, const struct hf_family *f,
                       struct hf_config *c, struct err *e);
void hf_config_free(struct hf_config *c);

/* The text of config.json for c (not c->text). Numbers are written so that they read back equal. */
int hf_config_format(const struct hf_config *c, struct buf *b, struct err *e);
/* dir/config.json: c->text when there is one, else as formatted. */
int hf_config_write(const struct hf_config *c, const char *dir, struct err *e);

/* A mixture of experts, by its model_type or by keys that only such models have. */
bool hf_config_is_moe(const struct hf_config *c);

/* num_text, and that of a real number: 1.0 rather than 1. */
void hf_real_text(double f, bool single, char out[NUM_TEXT]);

#endif
