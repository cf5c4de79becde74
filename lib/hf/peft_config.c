/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and writes adapter_config.json. The reader refuses every key that would change the
 * computation. Keys and defaults: LoraConfig of peft. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/doc.h"
#include "base/io.h"
#include "base/json.h"
#include "hf/config.h"
#include "hf/peft.h"

enum { MAX_CONFIG = 16 << 20, MAX_NAMES = 1 << 16 };

/* Keys that do not change the computation of an adapter. */
static const char *const harmless[] = {
    "auto_mapping", "inference_mode", "megatron_core",     "peft_version", "revision",
    "task_type",    "loftq_config",   "qalora_group_size", "eva_config",   "runtime_config"};
/* Keys that exclude some of target_modules. */
static const char *const fewer[] = {"exclude_modules", "layers_to_transform", "layers_pattern"};
/* Initialisations that do not change the weights of the base. */
static const char *const inits[] = {"gaussian", "orthogonal", "eva"};

struct reader {
    const char *name;
    struct peft_config *c;
    struct err *e;
};

static int refuse(const struct reader *r, struct str key, const char *why)
{
    return err_set(r->e, ERR_DATA, "%s: %.*s: %s", r->name, STR_FMT(key), why);
}

static bool one_of(struct str key, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_is(key, list[i])) return true;
    return false;
}
#define ONE_OF(key, list) one_of(key, list, sizeof(list) / sizeof *(list))

/* True for null, false, "", [] and {}, which select nothing. */
static bool is_nothing(const struct json *v)
{
    if (v->kind == JSON_NULL) return true;
    if (v->kind == JSON_BOOL) return !v->truth;
    if (v->kind == JSON_STRING) return v->s.n == 0;
    return v->kind != JSON_NUMBER && v->count == 0;
}

static int get_string(const struct reader *r, struct str key, struct str s, const char **out)
{
    if (memchr(s.p, 0, s.n)) return refuse(r, key, "must be text without NUL");
    *out = arena_copy(&r->c->arena, s.p, s.n, r->e);
    return *out ? 0 : -1;
}

static int get_names(const struct reader *r, struct str key, const struct json *v,
                     struct peft_names *out)
{
    if (v->kind != JSON_ARRAY || v->count > MAX_NAMES)
        return refuse(r, key, "must be a list of names");
    out->v = arena_alloc(&r->c->arena, v->count * sizeof *out->v, r->e);
    if (!out->v) return -1;
    for (out->n = 0; out->n < v->count; out->n++) {
        const struct json *name = &v->items[out->n];
        if (name->kind != JSON_STRING || name->s.n == 0)
            return refuse(r, key, "must be a list of names");
        if (get_string(r, key, name->s, &out->v[out->n])) return -1;
    }
    return 0;
}

static int get_bool(const struct reader *r, struct str key, const struct json *v, bool *out)
{
    if (v->kind != JSON_BOOL) return refuse(r, key, "must be true or false");
    *out = v->truth;
    return 0;
}

static int get_real(const struct reader *r, struct str key, const struct json *v, double hi,
                    double *out)
{
    if (json_real(v, out) || !(*out >= 0 && *out <= hi))
        return refuse(r, key, "must be a number of plausible size");
    return 0;
}

#define GATE_UP ".*\\.gate_up_proj"
/* peft doubles rank and alpha of experts' gate_up_proj where gate and up are named, and says so by
 * a pattern; it is the only one that is supported. once: the value of the others. */
static int get_twice(const struct reader *r, struct str key, const struct json *v, double once)
{
    const struct json *value = v->kind == JSON_OBJECT ? json_get(v, GATE_UP) : NULL;
    double x;
    if (!value || v->count != 1 || json_real(value, &x) || x < 2 * once || x > 2 * once)
        return refuse(r, key, "an adapter with this set is not supported");
    r->c->twice = true;
    return 0;
}

/* Reads the supported keys. Returns 1 for another key. */
static int read_known(const struct reader *r, struct str key, const struct json *v)
{
    struct peft_config *c = r->c;
    if (str_is(key, "peft_type"))
        return v->kind == JSON_STRING && str_is(v->s, "LORA")
                   ? 0
                   : refuse(r, key, "only adapters of type LORA are supported");
    if (str_is(key, "bias"))
        return v->kind == JSON_STRING && str_is(v->s, "none")
                   ? 0
                   : refuse(r, key, "trained biases are not supported; only \"none\" is");
    if (str_is(key, "r")) {
        if (json_int(v, &c->rank) || c->rank < 1 || c->rank > PEFT_MAX_RANK)
            return refuse(r, key, "must be a positive integer of plausible size");
        return 0;
    }
    if (str_is(key, "lora_alpha")) return get_real(r, key, v, 1e9, &c->alpha);
    if (str_is(key, "lora_dropout")) return get_real(r, key, v, 1, &c->dropout);
    if (str_is(key, "use_rslora")) return get_bool(r, key, v, &c->rslora);
    if (str_is(key, "ensure_weight_tying")) return get_bool(r, key, v, &c->tie);
    if (str_is(key, "modules_to_save")) return get_names(r, key, v, &c->saved);
    if (str_is(key, "target_parameters")) return get_names(r, key, v, &c->parameters);
    if (str_is(key, "rank_pattern")) return get_twice(r, key, v, (double)c->rank);
    if (str_is(key, "alpha_pattern")) return get_twice(r, key, v, c->alpha);
    if (str_is(key, "target_modules"))
        return v->kind == JSON_STRING ? get_string(r, key, v->s, &c->pattern)
                                      : get_names(r, key, v, &c->targets);
    if (str_is(key, "base_model_name_or_path"))
        return v->kind == JSON_STRING ? get_string(r, key, v->s, &c->base)
                                      : refuse(r, key, "must be text");
    return 1;
}

static int read_key(const struct reader *r, struct str key, const struct json *v)
{
    if (str_is(key, "init_lora_weights")) {
        if (v->kind == JSON_BOOL || v->kind == JSON_NULL ||
            (v->kind == JSON_STRING && ONE_OF(v->s, inits)))
            return 0;
        return refuse(r, key,
                      "an adapter that began by changing the base's weights is not supported");
    }
    if (is_nothing(v) || ONE_OF(key, harmless)) return 0;
    if (ONE_OF(key, fewer)) {
        r->c->fewer = true;
        return 0;
    }
    int rc = read_known(r, key, v);
    return rc == 1 ? refuse(r, key, "an adapter with this set is not supported") : rc;
}

static bool is_pattern(struct str key)
{
    return str_is(key, "rank_pattern") || str_is(key, "alpha_pattern");
}

/* One pattern without the other would change the scale of the experts' adapters. */
static int check_patterns(const struct reader *r, const struct json *root)
{
    static const char *const keys[] = {"rank_pattern", "alpha_pattern"};
    for (size_t i = 0; i < 2 && r->c->twice; i++) {
        const struct json *v = json_get(root, keys[i]);
        if (!v || is_nothing(v))
            return refuse(r, str_z(keys[1 - i]), "an adapter with this set is not supported");
    }
    return 0;
}

static int read_all(const struct reader *r, const struct json *root)
{
    if (root->kind != JSON_OBJECT || !json_get(root, "peft_type"))
        return err_set(r->e, ERR_DATA, "%s: not the configuration of an adapter: no peft_type",
                       r->name);
    /* Another kind of adapter has other keys, which must not be what the message is about. */
    if (read_known(r, STR("peft_type"), json_get(root, "peft_type"))) return -1;
    for (size_t i = 0; i < root->count; i++)
        if (!is_pattern(root->keys[i]) && read_key(r, root->keys[i], &root->items[i])) return -1;
    for (size_t i = 0; i < root->count; i++) /* they are compared with r and lora_alpha */
        if (is_pattern(root->keys[i]) && read_key(r, root->keys[i], &root->items[i])) return -1;
    if (!json_get(root, "r")) return refuse(r, STR("r"), "must be present");
    return check_patterns(r, root);
}

int peft_config_parse(const char *text, size_t n, const char *name, struct peft_config *c,
                      struct err *e)
{
    struct arena a = {0};
    *c = (struct peft_config){.rank = 8, .alpha = 8};
    const struct reader r = {name, c, e};
    const struct json *root = doc_parse(text, n, &a, e);
    int rc = root ? read_all(&r, root) : err_prefix(e, "%s", name);
    arena_free(&a);
    return rc;
}

int peft_config_read(const char *dir, struct peft_config *c, struct err *e)
{
    struct buf text = {0};
    *c = (struct peft_config){0};
    char *path = io_path(dir, "adapter_config.json", e);
    int rc = path ? io_slurp(path, MAX_CONFIG, &text, e) : -1;
    if (rc == 0) rc = peft_config_parse(text.data ? text.data : "", text.len, path, c, e);
    buf_free(&text);
    mem_free(path);
    return rc;
}

void peft_config_free(struct peft_config *c)
{
    arena_free(&c->arena);
    *c = (struct peft_config){0};
}

double peft_scale(const struct peft_config *c)
{
    return c->alpha / (c->rslora ? sqrt((double)c->rank) : (double)c->rank);
}

/* ---- writing ---- */
/* empty: a list without names is one, and not null. */
static void put_names(struct doc *d, const char *key, const struct peft_names *n, bool empty)
{
    if (n->n == 0 && !empty) {
        doc_text(d, key, NULL);
        return;
    }
    doc_list(d, key);
    for (size_t i = 0; i < n->n; i++) doc_text(d, NULL, n->v[i]);
    doc_close(d);
}

/* value NULL: no pattern. */
static void put_pattern(struct doc *d, const char *key, const char *value)
{
    doc_object(d, key);
    if (value) doc_raw(d, GATE_UP, value);
    doc_close(d);
}

int peft_config_format(const struct peft_config *c, struct buf *b, struct err *e)
{
    char alpha[NUM_TEXT], dropout[NUM_TEXT], rank[NUM_TEXT];
    struct doc d;
    num_text(c->alpha, false, alpha); /* peft declares an integer, but accepts any number */
    hf_real_text(c->dropout, false, dropout);
    doc_begin(&d);
    doc_text(&d, "peft_type", "LORA");
    doc_text(&d, "task_type", "CAUSAL_LM");
    doc_text(&d, "base_model_name_or_path", c->base);
    doc_int(&d, "r", c->rank);
    doc_raw(&d, "lora_alpha", alpha);
    doc_raw(&d, "lora_dropout", dropout);
    doc_bool(&d, "use_rslora", c->rslora);
    if (c->pattern)
        doc_text(&d, "target_modules", c->pattern);
    else
        put_names(&d, "target_modules", &c->targets, c->parameters.n > 0);
    if (c->parameters.n) put_names(&d, "target_parameters", &c->parameters, false);
    put_names(&d, "modules_to_save", &c->saved, false);
    doc_bool(&d, "ensure_weight_tying", c->tie);
    doc_text(&d, "bias", "none");
    doc_bool(&d, "fan_in_fan_out", false);
    doc_bool(&d, "init_lora_weights", true);
    doc_bool(&d, "inference_mode", true);
    num_text(2 * c->alpha, false, alpha);
    snprintf(rank, sizeof rank, "%lld", 2 * (long long)c->rank);
    put_pattern(&d, "rank_pattern", c->twice ? rank : NULL);
    put_pattern(&d, "alpha_pattern", c->twice ? alpha : NULL);
    return doc_print(&d, b, e);
}

int peft_config_write(const struct peft_config *c, const char *dir, struct err *e)
{
    struct buf b = {0};
    char *path = peft_config_format(c, &b, e) == 0 ? io_path(dir, "adapter_config.json", e) : NULL;
    int rc = path ? io_put(path, b.data, b.len, e) : -1;
    mem_free(path);
    buf_free(&b);
    return rc;
}
