/* SPDX-License-Identifier: Apache-2.0 */
/* Reads config.json. */
#include "hf/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/doc.h"
#include "base/io.h"
#include "base/json.h"
#include "hf/config_read.h"
#include "hf/family.h"
#include "hf/shell.h"

enum { MAX_CONFIG = 16 << 20 };

/* Reads a positive integer that must be present. */
static void need_int(struct reader *r, const char *key, int64_t max, int64_t *out)
{
    if (!reader_get(r, key)) reader_fail(r, key, "present: a positive integer");
    reader_int(r, key, 1, max, out);
}

static void read_eos(struct reader *r, struct hf_config *c)
{
    const struct json *v = reader_get(r, "eos_token_id");
    if (!v) return;
    c->eos_count = 0;
    const struct json *items = v->kind == JSON_ARRAY ? v->items : v;
    size_t n = v->kind == JSON_ARRAY ? v->count : 1;
    if (n > HF_MAX_EOS) {
        reader_fail(r, "eos_token_id", "an id or a list of at most 16 ids");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        int64_t id;
        if (json_int(&items[i], &id) || id < -1 || id > INT32_MAX)
            reader_fail(r, "eos_token_id", "an id or a list of at most 16 ids");
        else if (id >= 0)
            c->eos_token_id[c->eos_count++] = id;
    }
}

/* Reads a size that only some families may leave out: then it is `absent`, unless that is 0. */
static void read_size(struct reader *r, const char *key, int64_t absent, int64_t max, int64_t *out)
{
    *out = absent;
    if (absent == 0 || reader_get(r, key)) need_int(r, key, max, out);
}

static void read_sizes(struct reader *r, struct hf_config *c)
{
    read_size(r, "vocab_size", c->family->vocab, 1 << 26, &c->vocab_size);
    need_int(r, "hidden_size", 1 << 20, &c->hidden_size);
    need_int(r, "intermediate_size", 1 << 24, &c->intermediate_size);
    need_int(r, "num_hidden_layers", HF_MAX_LAYERS, &c->num_hidden_layers);
    read_size(r, "num_attention_heads", c->family->heads, 1 << 16, &c->num_attention_heads);
    if (r->failed) return;
    hf_resolve_sizes(r, c);
}

/* Reads the number of experts, whose key differs between versions of transformers. */
static void read_experts(struct reader *r, struct hf_config *c)
{
    static const char *const keys[] = {"num_experts", "num_local_experts", "n_routed_experts",
                                       "moe_num_experts"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        reader_int(r, keys[i], 0, 1 << 20, &c->num_experts);
}

static void read_dtype(struct reader *r, struct hf_config *c)
{
    const char *key = reader_get(r, "dtype") ? "dtype" : "torch_dtype";
    char name[HF_MAX_NAME];
    if (!reader_get(r, key)) return;
    reader_name(r, key, name);
    if (!r->failed && hf_dtype_find(str_z(name), &c->dtype))
        reader_fail(r, key, "the name of an element type such as bfloat16");
}

static void read_tokens(struct reader *r, struct hf_config *c)
{
    reader_int(r, "bos_token_id", -1, INT32_MAX, &c->bos_token_id);
    reader_int(r, "pad_token_id", -1, INT32_MAX, &c->pad_token_id);
    read_eos(r, c);
}

static void read_act(struct reader *r, struct hf_config *c)
{
    const struct hf_family *f = c->family;
    snprintf(c->hidden_act, sizeof c->hidden_act, "%s", f->act ? f->act : "silu");
    reader_name(r, f->act_key ? f->act_key : "hidden_act", c->hidden_act);
    if (f->gelu_tanh && strcmp(c->hidden_act, "gelu") == 0)
        snprintf(c->hidden_act, sizeof c->hidden_act, "gelu_pytorch_tanh");
}

/* Reads a model that lib/model refuses by its name: other families have other keys, whose values
 * must not be what the message is about. Keeps what copying and merging such a model need. */
static void read_other_family(const struct reader *r, struct hf_config *c)
{
    struct reader lenient = {.object = r->object, .where = r->where};
    read_experts(&lenient, c);
    reader_bool(&lenient, "tie_word_embeddings", &c->tie_word_embeddings);
}

/* Reads the object that describes the model. f: the family; NULL: the one of model_type. */
static void read_model(struct reader *r, const struct hf_family *f, struct hf_config *c)
{
    reader_name(r, "model_type", c->model_type);
    c->family = f ? f : hf_family_find(c->model_type);
    if (!c->family) {
        read_other_family(r, c);
        return;
    }
    const struct json *names = reader_get(r, "architectures");
    if (names && names->kind == JSON_ARRAY && names->count > 0)
        reader_copy_name(r, "architectures", &names->items[0], c->architecture);
    /* Experts first: such models have other keys for their sizes, and are refused as such. */
    read_experts(r, c);
    c->quantized = reader_get(r, "quantization_config");
    read_act(r, c);
    c->bos_token_id = c->pad_token_id = HF_NO_TOKEN;
    read_tokens(r, c);
    read_dtype(r, c);
    /* lib/model refuses these models, whose sizes have other keys. */
    if (hf_config_is_moe(c)) return;
    hf_read_keys(r, c);
    if (c->family->sparse != HF_SPARSE_NONE) read_experts(r, c);
    hf_read_rope(r, c);
    read_sizes(r, c);
    if (r->failed) return;
    hf_read_rope_layers(r, c);
    hf_read_windows(r, c);
    hf_read_sparse_layers(r, c);
    hf_resolve_rope(r, c);
}

/* The text_config of a multimodal model, which has a model_type of its own; NULL: there is none. */
static const struct json *text_of(const struct reader *r)
{
    const struct json *text = reader_get(r, "text_config");
    return text && text->kind == JSON_OBJECT && json_get(text, "model_type") ? text : NULL;
}

/* Reads what a multimodal model says of its text model outside text_config. */
static void read_shell(struct reader *r, struct hf_config *c)
{
    bool tied = true;
    reader_name(r, "model_type", c->shell);
    c->names = HF_NAMES_INNER;
    if (!c->family) return;
    reader_bool(r, "tie_word_embeddings", &tied);
    reader_bool(r, "tie_word_embeddings", &c->tie_word_embeddings);
    c->untied = !tied;
    c->quantized |= reader_get(r, "quantization_config") != NULL;
    read_tokens(r, c);
    read_dtype(r, c);
}

static void read_all(struct reader *r, const struct hf_family *f, struct hf_config *c)
{
    const struct json *text = text_of(r);
    if (!reader_get(r, "model_type"))
        reader_fail(r, "model_type", "present: a string such as \"llama\"");
    if (!text) {
        read_model(r, f, c);
        return;
    }
    struct reader inner = {text, "text_config.", r->e, r->failed};
    read_model(&inner, f, c);
    r->failed = inner.failed;
    read_shell(r, c);
}

int hf_config_parse_as(const char *text, size_t n, const char *name, const struct hf_family *f,
                       struct hf_config *c, struct err *e)
{
    struct arena a = {.max = (size_t)256 << 20};
    memset(c, 0, sizeof *c);
    const struct json *root = doc_parse(text, n, &a, e);
    int rc = -1;
    if (!root) {
        err_prefix(e, "%s", name);
    } else if (root->kind != JSON_OBJECT) {
        err_set(e, ERR_DATA, "%s: must be a JSON object", name);
    } else {
        struct reader r = {root, "", e, false};
        read_all(&r, f, c);
        if (r.failed) {
            err_prefix(e, "%s", name);
        } else {
            buf_add(&c->text, text, n);
            rc = buf_check(&c->text, e);
        }
    }
    arena_free(&a);
    if (rc) hf_config_free(c);
    return rc;
}

int hf_config_parse(const char *text, size_t n, const char *name, struct hf_config *c,
                    struct err *e)
{
    return hf_config_parse_as(text, n, name, NULL, c, e);
}

static int read_file(const char *path, bool member, struct hf_config *c, struct err *e)
{
    struct buf text = {0};
    memset(c, 0, sizeof *c);
    int rc = (member ? io_slurp : io_slurp_any)(path, MAX_CONFIG, &text, e);
    if (rc == 0) rc = hf_config_parse(text.data ? text.data : "", text.len, path, c, e);
    buf_free(&text);
    return rc;
}

int hf_config_read_file(const char *path, struct hf_config *c, struct err *e)
{
    return read_file(path, false, c, e);
}

/* Completes the configuration of a multimodal model by its files. Those who read the tensors tell
 * what is wrong with the files. */
static void resolve(const char *dir, struct hf_config *c)
{
    struct err why;
    struct safetensors *s = safetensors_open(dir, &why);
    if (s) hf_shell_resolve(c->family, s, &c->names, c->untied ? NULL : &c->tie_word_embeddings);
    safetensors_close(s);
}

int hf_config_read(const char *dir, struct hf_config *c, struct err *e)
{
    memset(c, 0, sizeof *c);
    char *path = io_path(dir, "config.json", e);
    int rc = path ? read_file(path, true, c, e) : -1;
    mem_free(path);
    if (rc == 0 && c->shell[0] && c->family) resolve(dir, c);
    return rc;
}

void hf_config_free(struct hf_config *c)
{
    buf_free(&c->text);
    memset(&c->text, 0, sizeof c->text);
}
