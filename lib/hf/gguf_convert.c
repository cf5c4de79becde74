/* SPDX-License-Identifier: Apache-2.0 */
/* Converts from GGUF: the configuration, and the order of the parts. */
#include "hf/gguf_convert.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/doc.h"
#include "base/num.h"
#include "hf/config_read.h"
#include "hf/family.h"
#include "hf/folder.h"
#include "hf/gguf_pre.h"
#include "hf/gguf_rope.h"

/* The name of the architecture is the name of the family. */
static int set_family(const struct gguf *g, struct hf_config *c, struct err *e)
{
    struct str arch = {"", 0};
    char names[HF_FAMILY_NAMES];
    if (gguf_get_str(g, "general.architecture", &arch, e) < 0) return -1;
    snprintf(c->model_type, sizeof c->model_type, "%.*s", STR_FMT(arch));
    const struct hf_family *f = hf_family_find(c->model_type);
    if (!f || f->gguf == HF_GGUF_NONE)
        return err_set(e, ERR_DATA, "%s: architecture \"%.*s\" cannot be converted; %s can",
                       gguf_name(g), STR_FMT(arch), hf_family_names(true, " and ", names));
    c->family = f;
    snprintf(c->architecture, sizeof c->architecture, "%s", f->architecture);
    hf_set_fixed(f, c);
    return 0;
}

/* Writes "llama." + key. */
static const char *key_of(const struct hf_config *c, const char *key, char out[128])
{
    snprintf(out, 128, "%s.%s", c->model_type, key);
    return out;
}

static int need(const struct gguf *g, const struct hf_config *c, const char *key, int64_t max,
                int64_t *out, struct err *e)
{
    char k[128];
    int rc = gguf_get_int(g, key_of(c, key, k), 1, max, out, e);
    if (rc == 0) err_set(e, ERR_DATA, "%s: metadata \"%s\": is missing", gguf_name(g), k);
    return rc == 1 ? 0 : -1;
}

/* GGUF stores numbers in fp32. The shortest decimal with the same fp32 value is the number of the
 * original config.json (1e-05). */
static int get_real(const struct gguf *g, const struct hf_config *c, const char *key, double *out,
                    struct err *e)
{
    char k[128], text[NUM_TEXT];
    double v;
    int rc = gguf_get_real(g, key_of(c, key, k), &v, e);
    if (rc != 1) return rc;
    hf_real_text(v, true, text);
    return num_f64(text, out);
}

/* The factor of attention is the usual one, which llama.cpp computes. */
static int set_yarn(const struct gguf *g, struct hf_config *c, struct err *e)
{
    struct hf_rope *r = &c->rope;
    snprintf(r->type, sizeof r->type, "yarn");
    r->factor = 1;
    return need(g, c, "rope.scaling.original_context_length", INT32_MAX, &r->original_max_position,
                e) ||
                   get_real(g, c, "rope.scaling.factor", &r->factor, e) < 0 ||
                   get_real(g, c, "rope.scaling.yarn_beta_fast", &r->beta_fast, e) < 0 ||
                   get_real(g, c, "rope.scaling.yarn_beta_slow", &r->beta_slow, e) < 0
               ? -1
               : 0;
}

static int set_llama3(const struct gguf *g, struct hf_config *c, const struct gguf_tensor *t,
                      struct err *e)
{
    if (t->type != GGUF_TYPE_F32 || t->ndim != 1)
        return err_set(e, ERR_DATA, "%s: tensor \"" GGUF_ROPE_FREQS "\": must be a vector in F32",
                       gguf_name(g));
    float *f = mem_alloc((size_t)t->count, sizeof *f, e);
    if (!f) return -1;
    gguf_dequant(t->type, t->data, (size_t)t->count, f);
    int rc = gguf_rope_from_factors(c, f, (size_t)t->count, e);
    mem_free(f);
    return rc ? err_prefix(e, "%s", gguf_name(g)) : 0;
}

static int set_rope(const struct gguf *g, struct hf_config *c, struct err *e)
{
    char k[128];
    struct str type = STR("none");
    const struct gguf_tensor *factors = gguf_find(g, GGUF_ROPE_FREQS);
    snprintf(c->rope.type, sizeof c->rope.type, "default");
    c->rope.theta = 10000;
    c->rope.partial_rotary_factor = 1;
    c->rope.truncate = true;
    if (get_real(g, c, "rope.freq_base", &c->rope.theta, e) ||
        gguf_get_str(g, key_of(c, "rope.scaling.type", k), &type, e) < 0)
        return -1;
    if (str_is(type, "linear")) {
        snprintf(c->rope.type, sizeof c->rope.type, "linear");
        c->rope.factor = 1;
        return get_real(g, c, "rope.scaling.factor", &c->rope.factor, e);
    }
    if (str_is(type, "yarn")) return set_yarn(g, c, e);
    if (!str_is(type, "none"))
        return err_set(e, ERR_DATA, "%s: rotary scaling \"%.*s\" cannot be converted", gguf_name(g),
                       STR_FMT(type));
    return factors ? set_llama3(g, c, factors, e) : 0;
}

static int set_sizes(const struct gguf *g, struct hf_config *c, struct err *e)
{
    char k[128];
    int64_t experts = 0;
    if (gguf_get_int(g, key_of(c, "expert_count", k), 0, INT32_MAX, &experts, e) < 0) return -1;
    if (experts > 0)
        return err_set(e, ERR_DATA, "%s: a mixture of experts (MoE), which is not supported",
                       gguf_name(g));
    if (need(g, c, "block_count", HF_MAX_LAYERS, &c->num_hidden_layers, e) ||
        need(g, c, "context_length", INT32_MAX, &c->max_position_embeddings, e) ||
        need(g, c, "embedding_length", 1 << 20, &c->hidden_size, e) ||
        need(g, c, "feed_forward_length", 1 << 24, &c->intermediate_size, e) ||
        need(g, c, "attention.head_count", 1 << 16, &c->num_attention_heads, e))
        return -1;
    c->num_key_value_heads = c->num_attention_heads;
    if (gguf_get_int(g, key_of(c, "attention.head_count_kv", k), 1, 1 << 16,
                     &c->num_key_value_heads, e) < 0)
        return -1;
    c->head_dim = c->hidden_size / c->num_attention_heads;
    if (gguf_get_int(g, key_of(c, "attention.key_length", k), 1, 1 << 16, &c->head_dim, e) < 0)
        return -1;
    int64_t rotary = c->head_dim;
    if (gguf_get_int(g, key_of(c, "rope.dimension_count", k), 1, 1 << 16, &rotary, e) < 0)
        return -1;
    if (c->head_dim == 0 || c->num_attention_heads % c->num_key_value_heads || c->head_dim % 2 ||
        rotary != c->head_dim)
        return err_set(e, ERR_DATA,
                       "%s: the numbers of heads, their size and the rotary size do "
                       "not fit each other",
                       gguf_name(g));
    return 0;
}

/* The size of the vocabulary is the number of rows of the embedding. */
static int set_vocab(const struct gguf *g, struct hf_config *c, struct err *e)
{
    const struct gguf_tensor *t = gguf_find(g, "token_embd.weight");
    if (!t || t->ndim != 2 || t->dim[1] == 0 || t->dim[1] > 1 << 26)
        return err_set(e, ERR_DATA, "%s: tensor \"token_embd.weight\": missing or not a matrix",
                       gguf_name(g));
    c->vocab_size = (int64_t)t->dim[1];
    c->tie_word_embeddings = !gguf_find(g, "output.weight");
    int64_t last = c->vocab_size - 1;
    if (gguf_get_special(g, GGUF_EOS, last, &c->eos_token_id[0], e) ||
        gguf_get_special(g, GGUF_BOS, last, &c->bos_token_id, e) ||
        gguf_get_special(g, GGUF_PAD, last, &c->pad_token_id, e))
        return -1;
    c->eos_count = c->eos_token_id[0] >= 0;
    return 0;
}

/* Detects the biases by their tensors, because the metadata has no key for them. Unless the family
 * always has a bias of q, k and v, attention_bias includes a bias of o. */
static void set_biases(const struct gguf *g, struct hf_config *c)
{
    char name[128];
    const struct hf_row *r = hf_row_find(c->family->tensors, HF_ROLE_Q_BIAS);
    if (c->qkv_bias || !r || !r->gguf) return;
    hf_row_name(r->gguf, 0, 0, name, sizeof name);
    c->qkv_bias = c->o_bias = gguf_find(g, name);
    c->mlp_bias = gguf_find(g, "blk.0.ffn_gate.bias");
}

int gguf_config(const struct gguf *g, struct hf_config *c, struct err *e)
{
    memset(c, 0, sizeof *c);
    if (set_family(g, c, e) || set_sizes(g, c, e) || set_rope(g, c, e) || set_vocab(g, c, e))
        return -1;
    c->rms_norm_eps = 1e-6;
    c->initializer_range = 0.02;
    c->dtype = DT_BF16;
    snprintf(c->hidden_act, sizeof c->hidden_act, "silu");
    if (get_real(g, c, "attention.layer_norm_rms_epsilon", &c->rms_norm_eps, e)) return -1;
    set_biases(g, c);
    return 0;
}

static int write_generation(const struct hf_config *c, const char *dir, struct err *e)
{
    const struct {
        const char *key;
        int64_t id;
    } ids[] = {{"bos_token_id", c->bos_token_id},
               {"eos_token_id", c->eos_count ? c->eos_token_id[0] : HF_NO_TOKEN},
               {"pad_token_id", c->pad_token_id}};
    struct doc d;
    doc_begin(&d);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (ids[i].id >= 0) doc_int(&d, ids[i].key, ids[i].id);
    return doc_put(&d, dir, "generation_config.json", e);
}

int gguf_convert(const struct gguf *g, const char *dir, const char *tokenizer,
                 struct gguf_converted *done, struct err *e)
{
    struct hf_config c;
    *done = (struct gguf_converted){0};
    if (gguf_config(g, &c, e)) return -1;
    /* The tokenizer first: it is the part that fails most often, and it is quick. */
    int rc = tokenizer ? hf_folder_copy_tokenizer(tokenizer, dir, e)
                       : gguf_write_tokenizer(g, &c, dir, done, e);
    if (rc == 0) rc = gguf_write_weights(g, &c, dir, e);
    if (rc == 0) rc = hf_config_write(&c, dir, e);
    if (rc == 0) rc = write_generation(&c, dir, e);
    hf_config_free(&c);
    return rc;
}
