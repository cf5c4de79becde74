/* SPDX-License-Identifier: Apache-2.0 */
/* The parameter list, from one table of what a layer holds. */
#include "hf/params.h"

#include <stdio.h>
#include <string.h>

/* Sizes that dimensions refer to. */
enum dim { NONE, HIDDEN, INNER, QUERY, KEYS, HEAD, DIMS };
/* Conditions on a row. */
enum when { ALWAYS, IF_QKV_BIAS, IF_O_BIAS, IF_MLP_BIAS, IF_QK_NORM, WHENS };

static const struct {
    const char *name;
    enum hf_param_kind kind;
    enum dim rows, cols;
    enum when when;
} layer_params[] = {
    {"input_layernorm.weight", HF_PARAM_NORM, HIDDEN, NONE, ALWAYS},
    {"self_attn.q_proj.weight", HF_PARAM_MATRIX, QUERY, HIDDEN, ALWAYS},
    {"self_attn.q_proj.bias", HF_PARAM_BIAS, QUERY, NONE, IF_QKV_BIAS},
    {"self_attn.k_proj.weight", HF_PARAM_MATRIX, KEYS, HIDDEN, ALWAYS},
    {"self_attn.k_proj.bias", HF_PARAM_BIAS, KEYS, NONE, IF_QKV_BIAS},
    {"self_attn.v_proj.weight", HF_PARAM_MATRIX, KEYS, HIDDEN, ALWAYS},
    {"self_attn.v_proj.bias", HF_PARAM_BIAS, KEYS, NONE, IF_QKV_BIAS},
    {"self_attn.q_norm.weight", HF_PARAM_NORM, HEAD, NONE, IF_QK_NORM},
    {"self_attn.k_norm.weight", HF_PARAM_NORM, HEAD, NONE, IF_QK_NORM},
    {"self_attn.o_proj.weight", HF_PARAM_MATRIX, HIDDEN, QUERY, ALWAYS},
    {"self_attn.o_proj.bias", HF_PARAM_BIAS, HIDDEN, NONE, IF_O_BIAS},
    {"post_attention_layernorm.weight", HF_PARAM_NORM, HIDDEN, NONE, ALWAYS},
    {"mlp.gate_proj.weight", HF_PARAM_MATRIX, INNER, HIDDEN, ALWAYS},
    {"mlp.gate_proj.bias", HF_PARAM_BIAS, INNER, NONE, IF_MLP_BIAS},
    {"mlp.up_proj.weight", HF_PARAM_MATRIX, INNER, HIDDEN, ALWAYS},
    {"mlp.up_proj.bias", HF_PARAM_BIAS, INNER, NONE, IF_MLP_BIAS},
    {"mlp.down_proj.weight", HF_PARAM_MATRIX, HIDDEN, INNER, ALWAYS},
    {"mlp.down_proj.bias", HF_PARAM_BIAS, HIDDEN, NONE, IF_MLP_BIAS},
};

static int list_layer(const struct hf_config *c, int layer, hf_param_fn *f, void *arg,
                      struct err *e)
{
    const uint64_t size[DIMS] = {
        [HIDDEN] = (uint64_t)c->hidden_size,
        [INNER] = (uint64_t)c->intermediate_size,
        [QUERY] = (uint64_t)(c->num_attention_heads * c->head_dim),
        [KEYS] = (uint64_t)(c->num_key_value_heads * c->head_dim),
        [HEAD] = (uint64_t)c->head_dim,
    };
    const bool have[WHENS] = {
        [ALWAYS] = true,           [IF_QKV_BIAS] = c->qkv_bias,
        [IF_O_BIAS] = c->o_bias,   [IF_MLP_BIAS] = c->mlp_bias,
        [IF_QK_NORM] = c->qk_norm,
    };
    for (size_t i = 0; i < sizeof layer_params / sizeof *layer_params; i++) {
        char name[128];
        if (!have[layer_params[i].when]) continue;
        snprintf(name, sizeof name, "model.layers.%d.%s", layer, layer_params[i].name);
        struct hf_param p = {name,
                             layer_params[i].kind,
                             layer,
                             layer_params[i].cols == NONE ? 1 : 2,
                             {size[layer_params[i].rows], size[layer_params[i].cols]}};
        int rc = f(arg, &p, e);
        if (rc != 0) return rc;
    }
    return 0;
}

static bool is_known(const struct hf_config *c)
{
    static const char *const types[] = {"llama", "mistral", "qwen2", "qwen3"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(c->model_type, types[i]) == 0) return true;
    return false;
}

int hf_param_list(const struct hf_config *c, hf_param_fn *f, void *arg, struct err *e)
{
    const uint64_t v = (uint64_t)c->vocab_size, h = (uint64_t)c->hidden_size;
    if (hf_config_is_moe(c))
        return err_set(e, ERR_DATA,
                       "model type %s is a mixture of experts (MoE), which is not "
                       "supported",
                       c->model_type);
    if (!is_known(c)) return err_set(e, ERR_DATA, "model type %s is not supported", c->model_type);
    struct hf_param p = {"model.embed_tokens.weight", HF_PARAM_EMBEDDING, -1, 2, {v, h}};
    int rc = f(arg, &p, e);
    for (int64_t i = 0; i < c->num_hidden_layers && rc == 0; i++)
        rc = list_layer(c, (int)i, f, arg, e);
    if (rc != 0) return rc;
    struct hf_param norm = {"model.norm.weight", HF_PARAM_NORM, -1, 1, {h, 0}};
    rc = f(arg, &norm, e);
    if (rc != 0 || c->tie_word_embeddings) return rc;
    struct hf_param head = {"lm_head.weight", HF_PARAM_MATRIX, -1, 2, {v, h}};
    return f(arg, &head, e);
}
