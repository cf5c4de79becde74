/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of config.json that families read in their own way: see family.h. */
#include <string.h>

#include "hf/config_read.h"
#include "hf/family.h"

enum type { INTEGER, REAL, TRUTH };
#define AT(field) offsetof(struct hf_config, field)
static const struct {
    size_t at;
    enum type type;
    double min, max;
} fields[HF_FIELDS] = {
    [HF_FIELD_KV_HEADS] = {AT(num_key_value_heads), INTEGER, 1, 1 << 16},
    [HF_FIELD_HEAD_DIM] = {AT(head_dim), INTEGER, 1, 1 << 16},
    [HF_FIELD_POSITIONS] = {AT(max_position_embeddings), INTEGER, 1, INT32_MAX},
    [HF_FIELD_EPS] = {AT(rms_norm_eps), REAL, 0, 1},
    [HF_FIELD_INIT_RANGE] = {AT(initializer_range), REAL, 0, 1},
    [HF_FIELD_DROPOUT] = {AT(attention_dropout), REAL, 0, 1},
    [HF_FIELD_THETA] = {AT(rope.theta), REAL, 1, 1e15},
    [HF_FIELD_TIED] = {AT(tie_word_embeddings), TRUTH, 0, 1},
    [HF_FIELD_QKV_BIAS] = {AT(qkv_bias), TRUTH, 0, 1},
    [HF_FIELD_O_BIAS] = {AT(o_bias), TRUTH, 0, 1},
    [HF_FIELD_MLP_BIAS] = {AT(mlp_bias), TRUTH, 0, 1},
    [HF_FIELD_QK_NORM] = {AT(qk_norm), TRUTH, 0, 1},
};

/* Sets a key's field: to its value in config.json, else as an absent key or null means. r NULL: to
 * what an absent one means. */
static void read_key(struct reader *r, const struct hf_key *k, struct hf_config *c)
{
    const struct json *v = r && k->key ? json_get(r->object, k->key) : NULL;
    const double value = v && v->kind == JSON_NULL ? k->null : k->absent;
    const double min = fields[k->field].min, max = fields[k->field].max;
    void *to = (char *)c + fields[k->field].at;
    if (fields[k->field].type == INTEGER) {
        *(int64_t *)to = (int64_t)value;
        if (v) reader_int(r, k->key, (int64_t)min, (int64_t)max, to);
    } else if (fields[k->field].type == REAL) {
        *(double *)to = value;
        if (v) reader_real(r, k->key, min, max, to);
    } else {
        *(bool *)to = value != 0;
        if (v) reader_bool(r, k->key, to);
    }
}

void hf_read_keys(struct reader *r, struct hf_config *c)
{
    for (const struct hf_key *k = hf_common_keys; k->field; k++) read_key(r, k, c);
    for (const struct hf_key *k = c->family ? c->family->keys : NULL; k && k->field; k++)
        read_key(r, k, c);
}

void hf_set_fixed(const struct hf_family *f, struct hf_config *c)
{
    for (const struct hf_key *k = f->keys; k->field; k++)
        if (!k->key) read_key(NULL, k, c);
}

void hf_resolve_sizes(struct reader *r, struct hf_config *c)
{
    const int64_t heads = c->num_attention_heads;
    if (c->family && c->family->divides && c->hidden_size % heads)
        reader_fail(r, "num_attention_heads", "a divisor of hidden_size");
    if (c->num_key_value_heads == 0) c->num_key_value_heads = heads;
    if (c->head_dim == 0) c->head_dim = c->hidden_size / heads;
    if (heads % c->num_key_value_heads)
        reader_fail(r, "num_key_value_heads", "a divisor of num_attention_heads");
    if (c->head_dim == 0) reader_fail(r, "num_attention_heads", "at most hidden_size");
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
    int64_t full = c->family->window_layers;
    reader_int(r, "max_window_layers", 0, INT32_MAX, &full);
    for (int64_t l = full; l < c->num_hidden_layers && c->sliding_window; l++) set_window(c, l);
}

void hf_read_windows(struct reader *r, struct hf_config *c)
{
    const struct hf_family *f = c->family;
    const struct json *types = reader_get(r, "layer_types");
    bool use = f && f->window == HF_WINDOW_ALL, any = false;
    if (!f || f->window == HF_WINDOW_NONE) return;
    if (f->window == HF_WINDOW_LAYERS) reader_bool(r, "use_sliding_window", &use);
    if (use && !json_get(r->object, "sliding_window")) c->sliding_window = f->window_keys;
    if (use) reader_int(r, "sliding_window", 1, INT32_MAX, &c->sliding_window);
    if (f->window == HF_WINDOW_ALL)
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
