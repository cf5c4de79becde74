/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of config.json that families read in their own way: see family.h. */
#include <string.h>

#include "hf/config_read.h"

#define AT(field) offsetof(struct hf_config, field)
static const struct {
    size_t at;
    enum hf_field_type type;
    double min, max;
} fields[HF_FIELDS] = {
    [HF_FIELD_KV_HEADS] = {AT(num_key_value_heads), HF_INTEGER, 1, 1 << 16},
    [HF_FIELD_HEAD_DIM] = {AT(head_dim), HF_INTEGER, 1, 1 << 16},
    [HF_FIELD_POSITIONS] = {AT(max_position_embeddings), HF_INTEGER, 1, INT32_MAX},
    [HF_FIELD_EPS] = {AT(rms_norm_eps), HF_REAL, 0, 1},
    [HF_FIELD_INIT_RANGE] = {AT(initializer_range), HF_REAL, 0, 1},
    [HF_FIELD_DROPOUT] = {AT(attention_dropout), HF_REAL, 0, 1},
    [HF_FIELD_RESIDUAL_DROPOUT] = {AT(residual_dropout), HF_REAL, 0, 1},
    [HF_FIELD_THETA] = {AT(rope.theta), HF_REAL, 1, 1e15},
    [HF_FIELD_PARTIAL] = {AT(rope.partial_rotary_factor), HF_REAL, 0, 1},
    [HF_FIELD_WINDOW_THETA] = {AT(window_rope.theta), HF_REAL, 1, 1e15},
    [HF_FIELD_TIED] = {AT(tie_word_embeddings), HF_TRUTH, 0, 1},
    [HF_FIELD_QKV_BIAS] = {AT(qkv_bias), HF_TRUTH, 0, 1},
    [HF_FIELD_O_BIAS] = {AT(o_bias), HF_TRUTH, 0, 1},
    [HF_FIELD_MLP_BIAS] = {AT(mlp_bias), HF_TRUTH, 0, 1},
    [HF_FIELD_QK_NORM] = {AT(qk_norm), HF_INTEGER, HF_QK_NORM_NONE, HF_QK_NORM_ROW},
    [HF_FIELD_QKV_CLIP] = {AT(qkv_clip), HF_REAL, 1e-6, 1e6},
    [HF_FIELD_EMBED_SCALE] = {AT(embed_scale), HF_REAL, 1e-6, 1e6},
    [HF_FIELD_RESIDUAL_SCALE] = {AT(residual_scale), HF_REAL, 1e-6, 1e6},
    [HF_FIELD_ATTENTION_SCALE] = {AT(attention_scale), HF_REAL, 1e-6, 1e6},
    [HF_FIELD_LOGIT_DIVISOR] = {AT(logit_divisor), HF_REAL, 1e-6, 1e6},
    [HF_FIELD_QUERY_SCALAR] = {AT(query_scalar), HF_REAL, 1e-6, 1e6},
    [HF_FIELD_ATTENTION_CAP] = {AT(attention_cap), HF_REAL, 1e-6, 1e6},
    [HF_FIELD_LOGIT_CAP] = {AT(logit_cap), HF_REAL, 1e-6, 1e6},
    [HF_FIELD_QK_NORM_AFTER_ROPE] = {AT(qk_norm_after_rope), HF_TRUTH, 0, 1},
    [HF_FIELD_GATED] = {AT(gated), HF_TRUTH, 0, 1},
    [HF_FIELD_GAIN_OFFSET] = {AT(gain_offset), HF_TRUTH, 0, 1},
    [HF_FIELD_BIDIRECTIONAL] = {AT(bidirectional), HF_TRUTH, 0, 1},
    [HF_FIELD_PRE_NORM] = {AT(pre_norm), HF_TRUTH, 0, 1},
    [HF_FIELD_POST_NORM] = {AT(post_norm), HF_TRUTH, 0, 1},
    [HF_FIELD_EXPERTS] = {AT(num_experts), HF_INTEGER, 0, 1 << 20},
    [HF_FIELD_EXPERTS_PER_TOKEN] = {AT(experts_per_token), HF_INTEGER, 1, 1 << 20},
    [HF_FIELD_EXPERT_SIZE] = {AT(expert_size), HF_INTEGER, 1, 1 << 24},
    [HF_FIELD_NORMALISE_EXPERTS] = {AT(normalise_experts), HF_TRUTH, 0, 1},
    [HF_FIELD_SHARED_SIZE] = {AT(shared_size), HF_INTEGER, 0, 1 << 24},
    [HF_FIELD_SHARED_ROUTER] = {AT(shared_router), HF_TRUTH, 0, 1},
    [HF_FIELD_SPARSE_STEP] = {AT(sparse_step), HF_INTEGER, 1, INT32_MAX},
    [HF_FIELD_ROUTER_LOSS] = {AT(router_loss), HF_TRUTH, 0, 1},
    [HF_FIELD_ROUTER_LOSS_SCALE] = {AT(router_loss_scale), HF_REAL, 0, 1e6},
    [HF_FIELD_ROUTER_JITTER] = {AT(router_jitter), HF_REAL, 0, 1},
};

/* Sets a key's field: to its value in config.json, else as an absent key or null means. r NULL: to
 * what an absent one means. */
static void read_key(struct reader *r, const struct hf_key *k, struct hf_config *c)
{
    const struct json *v = r && k->key ? json_get(r->object, k->key) : NULL;
    const double value = v && v->kind == JSON_NULL ? k->null : k->absent;
    const double min = fields[k->field].min, max = fields[k->field].max;
    void *to = (char *)c + fields[k->field].at;
    if (fields[k->field].type == HF_INTEGER) {
        *(int64_t *)to = (int64_t)value;
        if (v) reader_int(r, k->key, (int64_t)min, (int64_t)max, to);
    } else if (fields[k->field].type == HF_REAL) {
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

static void set_fixed(const struct hf_key *keys, struct hf_config *c)
{
    for (const struct hf_key *k = keys; k->field; k++)
        if (!k->key) read_key(NULL, k, c);
}

void hf_set_fixed(const struct hf_family *f, struct hf_config *c)
{
    set_fixed(hf_common_keys, c);
    set_fixed(f->keys, c);
}

double hf_field_get(const struct hf_config *c, enum hf_field field, enum hf_field_type *type)
{
    const void *at = (const char *)c + fields[field].at;
    *type = fields[field].type;
    if (*type == HF_INTEGER) return (double)*(const int64_t *)at;
    return *type == HF_REAL ? *(const double *)at : *(const bool *)at;
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
    if (c->family && c->family->square && c->head_dim * heads != c->hidden_size)
        reader_fail(r, "head_dim", "hidden_size / num_attention_heads in this family");
}

static void set_layer(uint64_t *set, int64_t l) { set[l / 64] |= (uint64_t)1 << l % 64; }

/* no_rope_layers: a list with an item for each layer, and maybe more. */
static void read_rope_layers(struct reader *r, const struct json *list, struct hf_config *c)
{
    const char *wanted = "a list with 0 (no rotary positions) or 1 for each layer";
    if (list->kind != JSON_ARRAY || (int64_t)list->count < c->num_hidden_layers) {
        reader_fail(r, "no_rope_layers", wanted);
        return;
    }
    for (int64_t l = 0; l < c->num_hidden_layers; l++) {
        int64_t rotates;
        if (json_int(&list->items[l], &rotates) || rotates < 0 || rotates > 1)
            reader_fail(r, "no_rope_layers", wanted);
        else if (rotates)
            set_layer(c->rope_layers, l);
    }
}

void hf_read_rope_layers(struct reader *r, struct hf_config *c)
{
    const bool some = c->family->no_rope_interval > 0;
    const struct json *list = some ? reader_get(r, "no_rope_layers") : NULL;
    int64_t interval = c->family->no_rope_interval;
    if (list) {
        read_rope_layers(r, list, c);
        return;
    }
    if (some) reader_int(r, "no_rope_layer_interval", 1, INT32_MAX, &interval);
    for (int64_t l = 0; l < c->num_hidden_layers; l++)
        if (!some || (l + 1) % interval != 0) set_layer(c->rope_layers, l);
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
            set_layer(c->window_layers, (int64_t)i);
        else if (t->kind != JSON_STRING || !str_is(t->s, "full_attention"))
            reader_fail(r, "layer_types", wanted);
    }
}

/* Reports whether layer l has a window by the rule of the family, which has this number. */
static bool has_window(const struct hf_config *c, int64_t number, int64_t l)
{
    switch (c->family->window) {
    case HF_WINDOW_ALL:
        return true;
    case HF_WINDOW_PERIODIC:
        return (l + 1) % number != 0;
    case HF_WINDOW_LAST:
        return l >= number;
    case HF_WINDOW_EVEN:
        return l % 2 == 0 && l < number;
    case HF_WINDOW_UNROTATED:
        return !hf_layer_is(c->rope_layers, l);
    case HF_WINDOW_NONE:
        break;
    }
    return false;
}

static void apply_rule(struct reader *r, struct hf_config *c)
{
    const struct hf_family *f = c->family;
    int64_t number = f->window_number;
    if (f->window_key)
        reader_int(r, f->window_key, f->window == HF_WINDOW_PERIODIC, INT32_MAX, &number);
    for (int64_t l = 0; l < c->num_hidden_layers; l++)
        if (has_window(c, number, l)) set_layer(c->window_layers, l);
}

void hf_read_windows(struct reader *r, struct hf_config *c)
{
    const struct hf_family *f = c->family;
    const struct json *types = f->layer_types ? reader_get(r, "layer_types") : NULL;
    bool use = !f->window_flag, any = false;
    if (f->window == HF_WINDOW_NONE) return;
    if (f->window_flag) reader_bool(r, "use_sliding_window", &use);
    if (use && !json_get(r->object, "sliding_window")) c->sliding_window = f->window_keys;
    if (use) reader_int(r, "sliding_window", 1, INT32_MAX, &c->sliding_window);
    if (types)
        read_layer_types(r, types, c);
    else if (c->sliding_window)
        apply_rule(r, c);
    if (f->rope_within && c->sliding_window)
        memcpy(c->rope_layers, c->window_layers, sizeof c->rope_layers);
    for (size_t i = 0; i < sizeof c->window_layers / sizeof *c->window_layers; i++)
        any |= c->window_layers[i] != 0;
    if (any && !use)
        reader_fail(r, "use_sliding_window", "true: layer_types has sliding_attention");
    else if (any && !c->sliding_window)
        reader_fail(r, "sliding_window", "set: layer_types has sliding_attention");
    if (!any) c->sliding_window = 0;
}

/* ---- experts ---- */
/* mlp_only_layers: a list of the indices of dense layers, which need not exist. */
static void read_dense_layers(struct reader *r, struct hf_config *c)
{
    const struct json *list = reader_get(r, "mlp_only_layers");
    const size_t n = list && list->kind == JSON_ARRAY ? list->count : 0;
    bool ok = !list || list->kind == JSON_ARRAY;
    for (size_t i = 0; i < n; i++) {
        int64_t l;
        const bool is = json_int(&list->items[i], &l) == 0;
        ok &= is;
        if (is && l >= 0 && l < HF_MAX_LAYERS) c->sparse_layers[l / 64] &= ~((uint64_t)1 << l % 64);
    }
    if (!ok) reader_fail(r, "mlp_only_layers", "a list of indices of layers");
}

void hf_read_sparse_layers(struct reader *r, struct hf_config *c)
{
    const enum hf_sparse sparse = c->family ? c->family->sparse : HF_SPARSE_NONE;
    if (sparse == HF_SPARSE_NONE) return;
    const int64_t step = sparse == HF_SPARSE_STEPS ? c->sparse_step : 1;
    for (int64_t l = step - 1; l < c->num_hidden_layers && c->num_experts; l += step)
        hf_layer_add(c->sparse_layers, l);
    if (sparse == HF_SPARSE_STEPS) read_dense_layers(r, c);
    if (c->expert_size == 0) c->expert_size = c->intermediate_size;
    if (c->num_experts && c->experts_per_token > c->num_experts)
        reader_fail(r, "num_experts_per_tok", "at most the number of experts");
}
