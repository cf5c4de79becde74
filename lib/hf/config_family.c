/* SPDX-License-Identifier: Apache-2.0 */
/* What config.json means in each family, and what an absent key means: transformers 5,
 * models/FAMILY/configuration_FAMILY.py and modeling_FAMILY.py. */
#include <string.h>

#include "hf/config_read.h"

/* Which layers attend within a window. */
enum window {
    WINDOW_NONE,  /* the keys are ignored */
    WINDOW_ALL,   /* every layer, unless sliding_window is null */
    WINDOW_LAYERS /* as layer_types says, or from max_window_layers on; if use_sliding_window */
};
static const struct family {
    const char *type;
    bool qkv_bias;                 /* always */
    bool attention_bias, mlp_bias; /* these keys count */
    bool qk_norm;
    enum window window;
    int64_t kv_heads, head_dim, positions; /* when absent; 0: from the other sizes */
    bool divides; /* heads must divide hidden_size, also where head_dim is told */
} families[] = {
    {"llama", false, true, true, false, WINDOW_NONE, 0, 0, 2048, true},
    {"mistral", false, false, false, false, WINDOW_ALL, 8, 0, 131072, false},
    {"qwen2", true, false, false, false, WINDOW_LAYERS, 32, 0, 32768, false},
    {"qwen3", false, true, false, true, WINDOW_LAYERS, 32, 128, 32768, false},
};
enum { DEFAULT_WINDOW = 4096, DEFAULT_FULL_LAYERS = 28 };

/* NULL: not a family that is known here; another part refuses it. */
static const struct family *family_of(const struct hf_config *c)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strcmp(families[i].type, c->model_type) == 0) return &families[i];
    return NULL;
}

void hf_read_family(struct reader *r, struct hf_config *c)
{
    const struct family *f = family_of(c);
    bool attention_bias = false, mlp_bias = false;
    reader_bool(r, "attention_bias", &attention_bias);
    reader_bool(r, "mlp_bias", &mlp_bias);
    if (!f) return;
    c->o_bias = f->attention_bias && attention_bias;
    c->qkv_bias = f->qkv_bias || c->o_bias;
    c->mlp_bias = f->mlp_bias && mlp_bias;
    c->qk_norm = f->qk_norm;
}

void hf_read_family_sizes(struct reader *r, struct hf_config *c)
{
    static const struct family other = {.positions = 2048};
    const struct family *f = family_of(c);
    if (!f) f = &other;
    if (f->divides && c->hidden_size % c->num_attention_heads)
        reader_fail(r, "num_attention_heads", "a divisor of hidden_size");
    c->num_key_value_heads = f->kv_heads;
    /* null is not absent: as many as heads */
    if (!f->kv_heads || json_get(r->object, "num_key_value_heads"))
        c->num_key_value_heads = c->num_attention_heads;
    c->head_dim = f->head_dim ? f->head_dim : c->hidden_size / c->num_attention_heads;
    c->max_position_embeddings = f->positions;
    reader_int(r, "num_key_value_heads", 1, 1 << 16, &c->num_key_value_heads);
    reader_int(r, "head_dim", 1, 1 << 16, &c->head_dim);
    reader_int(r, "max_position_embeddings", 1, INT32_MAX, &c->max_position_embeddings);
}

static void set_window(struct hf_config *c, int64_t layer)
{
    c->window_layers[layer / 64] |= (uint64_t)1 << layer % 64;
}

/* layer_types: a list with the type of each layer. */
static void read_layer_types(struct reader *r, const struct json *list, struct hf_config *c)
{
    const char *wanted = "a list with full_attention or sliding_attention for each layer";
    if (list->kind != JSON_ARRAY || (int64_t)list->count != c->num_hidden_layers) {
        reader_fail(r, "layer_types", wanted);
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct json *t = &list->items[i];
        bool window = t->kind == JSON_STRING && str_is(t->s, "sliding_attention");
        if (window)
            set_window(c, (int64_t)i);
        else if (t->kind != JSON_STRING || !str_is(t->s, "full_attention"))
            reader_fail(r, "layer_types", wanted);
    }
}

/* Layers with a window come after max_window_layers others. */
static void read_last_layers(struct reader *r, struct hf_config *c)
{
    int64_t full = DEFAULT_FULL_LAYERS;
    reader_int(r, "max_window_layers", 0, INT32_MAX, &full);
    for (int64_t l = full; l < c->num_hidden_layers && c->sliding_window; l++) set_window(c, l);
}

void hf_read_windows(struct reader *r, struct hf_config *c)
{
    const struct family *f = family_of(c);
    const struct json *types = reader_get(r, "layer_types");
    bool use = f && f->window == WINDOW_ALL, any = false;
    if (!f || f->window == WINDOW_NONE) return;
    if (f->window == WINDOW_LAYERS) reader_bool(r, "use_sliding_window", &use);
    if (use && !json_get(r->object, "sliding_window")) c->sliding_window = DEFAULT_WINDOW;
    if (use) reader_int(r, "sliding_window", 1, INT32_MAX, &c->sliding_window);
    if (f->window == WINDOW_ALL)
        for (int64_t l = 0; l < c->num_hidden_layers && c->sliding_window; l++) set_window(c, l);
    else if (types)
        read_layer_types(r, types, c);
    else
        read_last_layers(r, c);
    for (size_t i = 0; i < sizeof c->window_layers / sizeof *c->window_layers; i++)
        any |= c->window_layers[i] != 0;
    if (any && !c->sliding_window)
        reader_fail(r, "sliding_window", "set: layer_types has sliding_attention");
    if (!any) c->sliding_window = 0;
}
