/* SPDX-License-Identifier: Apache-2.0 */
/* Reads config.json. */
#include "hf/config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"

enum { MAX_CONFIG = 16 << 20 };

/* A reader over one object that remembers the first failure, so that a run of gets needs one
 * check. `where` is put before key names in messages: "" or "rope_scaling.". */
struct reader {
    const struct json *object;
    const char *where;
    struct err *e;
    bool failed;
};

static const struct json *get(const struct reader *r, const char *key)
{
    const struct json *v = json_get(r->object, key);
    return v && v->kind != JSON_NULL ? v : NULL;
}

static void fail(struct reader *r, const char *key, const char *wanted)
{
    if (r->failed) return;
    r->failed = true;
    err_set(r->e, ERR_DATA, "%s%s: must be %s", r->where, key, wanted);
}

static void get_int(struct reader *r, const char *key, int64_t min, int64_t max, int64_t *out)
{
    const struct json *v = get(r, key);
    int64_t i;
    if (!v) return;
    if (json_int(v, &i) != 0 || i < min || i > max)
        fail(r, key, min > 0 ? "a positive integer of plausible size" : "an integer in range");
    else
        *out = i;
}

static void get_real(struct reader *r, const char *key, double min, double max, double *out)
{
    const struct json *v = get(r, key);
    double d;
    if (!v) return;
    if (json_real(v, &d) != 0 || !(d >= min && d <= max))
        fail(r, key, "a number of plausible size");
    else
        *out = d;
}

static void get_bool(struct reader *r, const char *key, bool *out)
{
    const struct json *v = get(r, key);
    if (!v) return;
    if (v->kind != JSON_BOOL)
        fail(r, key, "true or false");
    else
        *out = v->truth;
}

static void copy_name(struct reader *r, const char *key, const struct json *v, char *out)
{
    if (v->kind != JSON_STRING || v->s.n >= HF_MAX_NAME || memchr(v->s.p, 0, v->s.n)) {
        fail(r, key, "a short string");
        return;
    }
    memcpy(out, v->s.p, v->s.n);
    out[v->s.n] = 0;
}

static void get_name(struct reader *r, const char *key, char out[HF_MAX_NAME])
{
    const struct json *v = get(r, key);
    if (v) copy_name(r, key, v, out);
}

/* What must be there. */
static void need_int(struct reader *r, const char *key, int64_t max, int64_t *out)
{
    if (!get(r, key)) fail(r, key, "present: a positive integer");
    get_int(r, key, 1, max, out);
}

static void read_eos(struct reader *r, struct hf_config *c)
{
    const struct json *v = get(r, "eos_token_id");
    if (!v) return;
    const struct json *items = v->kind == JSON_ARRAY ? v->items : v;
    size_t n = v->kind == JSON_ARRAY ? v->count : 1;
    if (n > HF_MAX_EOS) {
        fail(r, "eos_token_id", "an id or a list of at most 16 ids");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        int64_t id;
        if (json_int(&items[i], &id) != 0 || id < -1 || id > INT32_MAX)
            fail(r, "eos_token_id", "an id or a list of at most 16 ids");
        else if (id >= 0)
            c->eos_token_id[c->eos_count++] = id;
    }
}

/* One object with rope settings: rope_scaling of transformers 4, rope_parameters of 5. */
static void read_rope_object(struct reader *top, const char *key, struct hf_rope *rope)
{
    const struct json *v = get(top, key);
    if (!v) return;
    if (v->kind != JSON_OBJECT) {
        fail(top, key, "an object");
        return;
    }
    struct reader r = {v, strcmp(key, "rope_scaling") == 0 ? "rope_scaling." : "rope_parameters.",
                       top->e, top->failed};
    get_name(&r, "type", rope->type); /* the older name; rope_type wins */
    get_name(&r, "rope_type", rope->type);
    get_real(&r, "rope_theta", 1, 1e15, &rope->theta);
    get_real(&r, "factor", 1e-3, 1e6, &rope->factor);
    get_real(&r, "low_freq_factor", 0, 1e6, &rope->low_freq_factor);
    get_real(&r, "high_freq_factor", 0, 1e6, &rope->high_freq_factor);
    get_real(&r, "beta_fast", 0, 1e6, &rope->beta_fast);
    get_real(&r, "beta_slow", 0, 1e6, &rope->beta_slow);
    get_real(&r, "attention_factor", 0, 1e6, &rope->attention_factor);
    get_real(&r, "mscale", 0, 1e6, &rope->mscale);
    get_real(&r, "mscale_all_dim", 0, 1e6, &rope->mscale_all_dim);
    get_real(&r, "partial_rotary_factor", 0, 1, &rope->partial_rotary_factor);
    get_int(&r, "original_max_position_embeddings", 1, INT32_MAX, &rope->original_max_position);
    /* transformers 5 may give each kind of layer its own: {"full_attention": {...}, ...}. */
    for (size_t i = 0; i < v->count; i++)
        if (v->items[i].kind == JSON_OBJECT) memcpy(rope->type, "per-layer", sizeof "per-layer");
    top->failed = r.failed;
}

static void read_rope(struct reader *r, struct hf_config *c)
{
    memcpy(c->rope.type, "default", sizeof "default");
    c->rope.theta = 10000;
    c->rope.partial_rotary_factor = 1;
    get_real(r, "rope_theta", 1, 1e15, &c->rope.theta);
    get_real(r, "partial_rotary_factor", 0, 1, &c->rope.partial_rotary_factor);
    read_rope_object(r, "rope_scaling", &c->rope);
    read_rope_object(r, "rope_parameters", &c->rope);
}

/* Sizes, and what follows from them. */
static void read_sizes(struct reader *r, struct hf_config *c)
{
    need_int(r, "vocab_size", 1 << 26, &c->vocab_size);
    need_int(r, "hidden_size", 1 << 20, &c->hidden_size);
    need_int(r, "intermediate_size", 1 << 24, &c->intermediate_size);
    need_int(r, "num_hidden_layers", 10000, &c->num_hidden_layers);
    need_int(r, "num_attention_heads", 1 << 16, &c->num_attention_heads);
    if (r->failed) return;
    c->num_key_value_heads = c->num_attention_heads;
    c->head_dim = c->hidden_size / c->num_attention_heads;
    c->max_position_embeddings = 2048;
    get_int(r, "num_key_value_heads", 1, 1 << 16, &c->num_key_value_heads);
    get_int(r, "head_dim", 1, 1 << 16, &c->head_dim);
    get_int(r, "max_position_embeddings", 1, INT32_MAX, &c->max_position_embeddings);
    if (c->num_attention_heads % c->num_key_value_heads)
        fail(r, "num_key_value_heads", "a divisor of num_attention_heads");
    if (c->head_dim == 0) fail(r, "num_attention_heads", "at most hidden_size");
}

static bool is_type(const struct hf_config *c, const char *type)
{
    return strcmp(c->model_type, type) == 0;
}

/* Which projections have a bias is a property of the family in transformers, not only of a key. */
static void read_family(struct reader *r, struct hf_config *c)
{
    bool attention_bias = false, use_window = true;
    get_bool(r, "attention_bias", &attention_bias);
    get_bool(r, "mlp_bias", &c->mlp_bias);
    c->qkv_bias = attention_bias || is_type(c, "qwen2");
    c->o_bias = attention_bias && !is_type(c, "qwen2");
    c->qk_norm = is_type(c, "qwen3");
    if (is_type(c, "qwen2") || is_type(c, "qwen3")) use_window = false;
    get_bool(r, "use_sliding_window", &use_window);
    get_int(r, "sliding_window", 0, INT32_MAX, &c->sliding_window);
    if (!use_window) c->sliding_window = 0;
}

static void read_experts(struct reader *r, struct hf_config *c)
{
    static const char *const keys[] = {"num_experts", "num_local_experts", "n_routed_experts",
                                       "moe_num_experts"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        get_int(r, keys[i], 0, 1 << 20, &c->num_experts);
}

static void read_dtype(struct reader *r, struct hf_config *c)
{
    const char *key = get(r, "dtype") ? "dtype" : "torch_dtype";
    char name[HF_MAX_NAME] = "float32";
    get_name(r, key, name);
    if (!r->failed && hf_dtype_find(str_z(name), &c->dtype) != 0)
        fail(r, key, "the name of an element type such as bfloat16");
}

static void read_all(struct reader *r, struct hf_config *c)
{
    const struct json *names = get(r, "architectures");
    if (!get(r, "model_type")) fail(r, "model_type", "present: a string such as \"llama\"");
    get_name(r, "model_type", c->model_type);
    if (names && names->kind == JSON_ARRAY && names->count > 0)
        copy_name(r, "architectures", &names->items[0], c->architecture);
    /* Experts first: the sizes of such models have other names, and their refusal names them. */
    read_experts(r, c);
    c->quantized = get(r, "quantization_config") != NULL;
    memcpy(c->hidden_act, "silu", sizeof "silu");
    get_name(r, "hidden_act", c->hidden_act);
    c->rms_norm_eps = 1e-6;
    c->initializer_range = 0.02;
    get_real(r, "rms_norm_eps", 0, 1, &c->rms_norm_eps);
    get_real(r, "initializer_range", 0, 1, &c->initializer_range);
    get_real(r, "attention_dropout", 0, 1, &c->attention_dropout);
    get_bool(r, "tie_word_embeddings", &c->tie_word_embeddings);
    c->bos_token_id = c->pad_token_id = HF_NO_TOKEN;
    get_int(r, "bos_token_id", -1, INT32_MAX, &c->bos_token_id);
    get_int(r, "pad_token_id", -1, INT32_MAX, &c->pad_token_id);
    read_eos(r, c);
    read_dtype(r, c);
    read_family(r, c);
    read_rope(r, c);
    /* Families that lib/model will refuse keep their sizes under other names or in text_config. */
    if (!hf_config_is_moe(c) && !get(r, "text_config")) read_sizes(r, c);
}

int hf_config_parse(const char *text, size_t n, const char *name, struct hf_config *c,
                    struct err *e)
{
    struct arena a = {.max = (size_t)256 << 20};
    memset(c, 0, sizeof *c);
    const struct json *root = json_parse(text, n, &a, e);
    int rc = -1;
    if (!root) {
        err_prefix(e, "%s", name);
    } else if (root->kind != JSON_OBJECT) {
        err_set(e, ERR_DATA, "%s: must be a JSON object", name);
    } else {
        struct reader r = {root, "", e, false};
        read_all(&r, c);
        if (r.failed) {
            err_prefix(e, "%s", name);
        } else {
            buf_add(&c->text, text, n);
            rc = buf_check(&c->text, e);
        }
    }
    arena_free(&a);
    if (rc != 0) hf_config_free(c);
    return rc;
}

int hf_config_read_file(const char *path, struct hf_config *c, struct err *e)
{
    struct buf text = {0};
    memset(c, 0, sizeof *c);
    int rc = io_slurp(path, MAX_CONFIG, &text, e);
    if (rc == 0) rc = hf_config_parse(text.data ? text.data : "", text.len, path, c, e);
    buf_free(&text);
    return rc;
}

int hf_config_read(const char *dir, struct hf_config *c, struct err *e)
{
    memset(c, 0, sizeof *c);
    char *path = io_path(dir, "config.json", e);
    int rc = path ? hf_config_read_file(path, c, e) : -1;
    free(path);
    return rc;
}

void hf_config_free(struct hf_config *c)
{
    buf_free(&c->text);
    memset(&c->text, 0, sizeof c->text);
}

bool hf_config_is_moe(const struct hf_config *c)
{
    size_t n = strlen(c->model_type);
    return c->num_experts > 1 || is_type(c, "mixtral") ||
           (n > 4 && strcmp(c->model_type + n - 4, "_moe") == 0);
}
