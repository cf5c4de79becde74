/* SPDX-License-Identifier: Apache-2.0 */
/* From config.json to a descriptor: the table of families, and refusal of what is not done here. */
#include "model/model.h"

#include <math.h>
#include <string.h>

/* A family that is this file's transformer; qkv_bias as its configuration resolves it. */
static const char *const families[] = {"llama", "qwen2", "mistral"};
#define SUPPORTED                                                                                  \
    "supported are dense models of the Llama family (llama, qwen2, mistral) with silu, full "      \
    "attention, default or llama3 rotary scaling"

static int unsupported(struct err *e, const char *what)
{
    return err_set(e, ERR_DATA, "config.json: %s is not supported; " SUPPORTED, what);
}

static const char *family_find(const char *type)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        if (strcmp(families[i], type) == 0) return families[i];
    }
    return NULL;
}

static int check_features(const struct hf_config *c, struct err *e)
{
    if (hf_config_is_moe(c))
        return err_set(e, ERR_DATA,
                       "config.json: model_type %s is a mixture of experts (MoE), which is not "
                       "supported; " SUPPORTED,
                       c->model_type);
    if (!family_find(c->model_type))
        return err_set(e, ERR_DATA, "config.json: model_type %s is not supported; " SUPPORTED,
                       c->model_type);
    if (c->quantized) return unsupported(e, "a quantized model (quantization_config)");
    if (c->sliding_window > 0) return unsupported(e, "sliding_window");
    if (strcmp(c->hidden_act, "silu") != 0) return unsupported(e, "hidden_act other than silu");
    if (c->mlp_bias) return unsupported(e, "mlp_bias");
    if (c->o_bias) return unsupported(e, "a bias of o_proj (attention_bias)");
    if (c->qk_norm) return unsupported(e, "a norm of q and k");
    if (c->attention_dropout != 0) return unsupported(e, "attention_dropout");
    if (strcmp(c->rope.type, "default") != 0 && strcmp(c->rope.type, "llama3") != 0)
        return err_set(e, ERR_DATA,
                       "config.json: rope_scaling of type %s is not supported; " SUPPORTED,
                       c->rope.type);
    if (c->rope.partial_rotary_factor != 1) return unsupported(e, "partial_rotary_factor");
    return 0;
}

static int check_sizes(const struct hf_config *c, struct err *e)
{
    const int64_t most = 1 << 20;
    if (c->vocab_size < 1 || c->vocab_size > INT32_MAX || c->hidden_size < 1 ||
        c->hidden_size > most || c->intermediate_size < 1 || c->intermediate_size > most ||
        c->num_hidden_layers < 1 || c->num_hidden_layers > 4096 || c->num_attention_heads < 1 ||
        c->num_attention_heads > 4096 || c->num_key_value_heads < 1 || c->head_dim < 2 ||
        c->head_dim > 4096)
        return unsupported(e, "a size out of range");
    if (c->num_attention_heads % c->num_key_value_heads)
        return err_set(e, ERR_DATA,
                       "config.json: num_attention_heads (%lld) is not a multiple of "
                       "num_key_value_heads (%lld)",
                       (long long)c->num_attention_heads, (long long)c->num_key_value_heads);
    if (c->head_dim % 2) return unsupported(e, "an odd head_dim");
    return 0;
}

int model_from_hf(const struct hf_config *c, struct model *m, struct err *e)
{
    if (check_features(c, e) || check_sizes(c, e)) return -1;
    *m = (struct model){
        .family = family_find(c->model_type),
        .layers = (int32_t)c->num_hidden_layers,
        .heads = (int32_t)c->num_attention_heads,
        .kv_heads = (int32_t)c->num_key_value_heads,
        .head_dim = (int32_t)c->head_dim,
        .hidden = c->hidden_size,
        .inter = c->intermediate_size,
        .vocab = c->vocab_size,
        .positions = c->max_position_embeddings,
        .eps = c->rms_norm_eps,
        .rope_theta = c->rope.theta,
        .tied = c->tie_word_embeddings,
        .qkv_bias = c->qkv_bias,
    };
    if (strcmp(c->rope.type, "llama3") == 0) {
        m->llama3.factor = c->rope.factor;
        m->llama3.low = c->rope.low_freq_factor;
        m->llama3.high = c->rope.high_freq_factor;
        m->llama3.original = (double)c->rope.original_max_position;
        if (!(m->llama3.factor >= 1 && m->llama3.high > m->llama3.low && m->llama3.original > 0))
            return unsupported(e, "rope_scaling with these factors");
    }
    return 0;
}

/* Llama 3.1: long wavelengths are stretched by factor, short ones kept, those between blended.
 * transformers, modeling_rope_utils.py, _compute_llama3_parameters. */
static float scaled_frequency(const struct model *m, float f)
{
    const double wavelength = 2 * M_PI / (double)f, ratio = m->llama3.original / wavelength;
    if (m->llama3.factor == 0 || ratio > m->llama3.high) return f;
    if (ratio < m->llama3.low) return (float)((double)f / m->llama3.factor);
    double smooth = (ratio - m->llama3.low) / (m->llama3.high - m->llama3.low);
    return (float)((1 - smooth) * (double)f / m->llama3.factor + smooth * (double)f);
}

void model_rope_table(const struct model *m, int64_t n, float *cosines, float *sines)
{
    const int64_t half = m->head_dim / 2;
    for (int64_t i = 0; i < half; i++) {
        float power =
            (float)pow((float)m->rope_theta, (double)((float)(2 * i) / (float)m->head_dim));
        float f = scaled_frequency(m, 1.0F / power);
        for (int64_t p = 0; p < n; p++) {
            float angle = (float)p * f;
            cosines[p * half + i] = (float)cos((double)angle);
            sines[p * half + i] = (float)sin((double)angle);
        }
    }
}

double model_flops(const struct model *m, double tokens, double targets, double squares)
{
    double H = (double)m->hidden, q = (double)model_q_width(m);
    double per_layer = H * (double)model_qkv_width(m) + q * H + 3 * H * (double)m->inter;
    double gemm = 2 * tokens * per_layer * m->layers + 2 * targets * H * (double)m->vocab;
    /* q k^T and p v: each 2 * width * half of the square of the length */
    return gemm + 2 * q * squares * m->layers;
}
