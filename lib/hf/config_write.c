/* SPDX-License-Identifier: Apache-2.0 */
/* Writes config.json in the form that transformers 4 and 5 and other programs read. */
#include <stdio.h>
#include <string.h>

#include "base/doc.h"
#include "base/io.h"
#include "hf/config_read.h"

void hf_real_text(double f, bool single, char out[NUM_TEXT])
{
    num_text(f, single, out);
    size_t n = strlen(out);
    if (!strpbrk(out, ".en")) snprintf(out + n, NUM_TEXT - n, ".0");
}

static void put_real(struct doc *d, const char *key, double v)
{
    char text[NUM_TEXT];
    hf_real_text(v, false, text);
    doc_raw(d, key, text);
}

static void put_eos(struct doc *d, const struct hf_config *c)
{
    if (c->eos_count == 1) doc_int(d, "eos_token_id", c->eos_token_id[0]);
    if (c->eos_count < 2) return;
    doc_list(d, "eos_token_id");
    for (int i = 0; i < c->eos_count; i++) doc_int(d, NULL, c->eos_token_id[i]);
    doc_close(d);
}

static void put_factors(struct doc *d, const char *key, const float *factors, int64_t n)
{
    char text[NUM_TEXT];
    doc_list(d, key);
    for (int64_t i = 0; i < n; i++) {
        hf_real_text((double)factors[i], true, text);
        doc_raw(d, NULL, text);
    }
    doc_close(d);
}

/* A part of a head that is the family's when absent, and positions that are read at the top. */
static void put_rope_top(struct doc *d, const struct hf_config *c)
{
    const struct hf_rope *r = &c->rope;
    put_real(d, "rope_theta", r->theta);
    if (r->partial_rotary_factor != 1 || (c->family && c->family->partial_rotary))
        put_real(d, "partial_rotary_factor", r->partial_rotary_factor);
    if (c->family && c->family->original && r->original_max_position)
        doc_int(d, "original_max_position_embeddings", r->original_max_position);
}

/* Writes the type of scaling and its numbers. */
static void put_scaling(struct doc *d, const struct hf_rope *r)
{
    const struct {
        const char *key;
        double value;
    } reals[] = {
        {"factor", r->factor},
        {"alpha", r->alpha},
        {"low_freq_factor", r->low_freq_factor},
        {"high_freq_factor", r->high_freq_factor},
        {"beta_fast", r->beta_fast},
        {"beta_slow", r->beta_slow},
        {"attention_factor", r->attention_factor},
        {"mscale", r->mscale},
        {"mscale_all_dim", r->mscale_all_dim},
        {"llama_4_scaling_beta", r->q_beta},
    };
    doc_text(d, "rope_type", r->type);
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        if (reals[i].value != 0) put_real(d, reals[i].key, reals[i].value);
    if (!r->truncate) doc_bool(d, "truncate", false);
    if (r->factors) put_factors(d, "short_factor", r->short_factor, r->factors);
    if (r->factors) put_factors(d, "long_factor", r->long_factor, r->factors);
    if (r->original_max_position)
        doc_int(d, "original_max_position_embeddings", r->original_max_position);
}

static void put_rope(struct doc *d, const struct hf_config *c)
{
    put_rope_top(d, c);
    if (strcmp(c->rope.type, "default") == 0 && !(c->family && c->family->rope)) return;
    doc_object(d, "rope_scaling");
    put_scaling(d, &c->rope);
    doc_close(d);
}

/* Settings for each type of layer. */
static void put_ropes(struct doc *d, const struct hf_config *c)
{
    const struct hf_rope *const ropes[] = {&c->rope, &c->window_rope};
    static const char *const keys[] = {"full_attention", "sliding_attention"};
    doc_object(d, "rope_parameters");
    for (int i = 0; i < 2; i++) {
        doc_object(d, keys[i]);
        put_real(d, "rope_theta", ropes[i]->theta);
        put_scaling(d, ropes[i]);
        doc_close(d);
    }
    doc_close(d);
}

/* A family with a window by default needs sliding_window even when it is null. */
static void put_window(struct doc *d, const struct hf_config *c)
{
    const struct hf_family *f = c->family;
    if (!f || f->window == HF_WINDOW_NONE) return;
    if (c->sliding_window)
        doc_int(d, "sliding_window", c->sliding_window);
    else if (f->window_keys && !f->window_flag)
        doc_text(d, "sliding_window", NULL);
    if (!c->sliding_window) return;
    if (f->window_flag) doc_bool(d, "use_sliding_window", true);
    if (!f->layer_types) return;
    doc_list(d, "layer_types");
    for (int64_t l = 0; l < c->num_hidden_layers; l++)
        doc_text(d, NULL,
                 hf_layer_is(c->window_layers, l) ? "sliding_attention" : "full_attention");
    doc_close(d);
}

/* A list has a key once for each field that it sets; a field of every family is written already. */
static bool is_written(const struct hf_key *keys, const struct hf_key *k)
{
    for (const struct hf_key *p = hf_common_keys; p->field; p++)
        if (p->field == k->field && p->key) return true;
    for (; keys < k; keys++)
        if (keys->key && strcmp(keys->key, k->key) == 0) return true;
    return false;
}

/* Returns true for a bound or a soft cap that is off. */
static bool is_off(enum hf_field field, double value)
{
    const bool cap = field == HF_FIELD_ATTENTION_CAP || field == HF_FIELD_LOGIT_CAP;
    return (cap || field == HF_FIELD_QKV_CLIP) && !(value > 0);
}

/* Writes the keys that only some families have. */
static void put_keys(struct doc *d, const struct hf_config *c)
{
    const struct hf_key *keys = c->family ? c->family->keys : NULL;
    for (const struct hf_key *k = keys; k && k->field; k++) {
        if (!k->key || is_written(keys, k)) continue;
        enum hf_field_type type;
        const double value = hf_field_get(c, k->field, &type);
        if (type == HF_INTEGER)
            doc_int(d, k->key, (int64_t)value);
        else if (is_off(k->field, value))
            doc_text(d, k->key, NULL);
        else if (type == HF_REAL)
            put_real(d, k->key, value);
        else
            doc_bool(d, k->key, value != 0);
    }
}

static void put_rope_layers(struct doc *d, const struct hf_config *c)
{
    if (!c->family || !c->family->no_rope_interval) return;
    doc_list(d, "no_rope_layers");
    for (int64_t l = 0; l < c->num_hidden_layers; l++)
        doc_int(d, NULL, hf_layer_is(c->rope_layers, l));
    doc_close(d);
}

/* Layers without experts are listed, whatever made them so. */
static void put_experts(struct doc *d, const struct hf_config *c)
{
    if (!c->family || c->family->sparse == HF_SPARSE_NONE) return;
    const bool steps = c->family->sparse == HF_SPARSE_STEPS;
    doc_int(d, c->family->experts_key ? c->family->experts_key : "num_experts", c->num_experts);
    if (!steps) return;
    doc_list(d, "mlp_only_layers");
    for (int64_t l = 0; l < c->num_hidden_layers; l++)
        if (!hf_layer_is(c->sparse_layers, l)) doc_int(d, NULL, l);
    doc_close(d);
}

int hf_config_format(const struct hf_config *c, struct buf *b, struct err *e)
{
    struct doc d;
    doc_begin(&d);
    doc_list(&d, "architectures");
    if (c->architecture[0]) doc_text(&d, NULL, c->architecture);
    doc_close(&d);
    doc_text(&d, "model_type", c->model_type);
    doc_int(&d, "vocab_size", c->vocab_size);
    doc_int(&d, "hidden_size", c->hidden_size);
    doc_int(&d, "intermediate_size", c->intermediate_size);
    doc_int(&d, "num_hidden_layers", c->num_hidden_layers);
    doc_int(&d, "num_attention_heads", c->num_attention_heads);
    doc_int(&d, "num_key_value_heads", c->num_key_value_heads);
    doc_int(&d, "head_dim", c->head_dim);
    doc_int(&d, "max_position_embeddings", c->max_position_embeddings);
    doc_text(&d, c->family && c->family->act_key ? c->family->act_key : "hidden_act",
             c->hidden_act);
    put_real(&d, "rms_norm_eps", c->rms_norm_eps);
    if (c->family && c->family->ropes)
        put_ropes(&d, c);
    else
        put_rope(&d, c);
    put_keys(&d, c);
    put_real(&d, "attention_dropout", c->attention_dropout);
    put_real(&d, "initializer_range", c->initializer_range);
    put_rope_layers(&d, c);
    put_window(&d, c);
    put_experts(&d, c);
    doc_bool(&d, "tie_word_embeddings", c->tie_word_embeddings);
    if (c->bos_token_id >= 0) doc_int(&d, "bos_token_id", c->bos_token_id);
    put_eos(&d, c);
    if (c->pad_token_id >= 0) doc_int(&d, "pad_token_id", c->pad_token_id);
    doc_text(&d, "torch_dtype", hf_dtype_torch(c->dtype));
    doc_bool(&d, "use_cache", true);
    return doc_print(&d, b, e);
}

int hf_config_write(const struct hf_config *c, const char *dir, struct err *e)
{
    struct buf formatted = {0};
    const struct buf *text = &c->text;
    int rc = 0;
    if (text->len == 0) {
        rc = hf_config_format(c, &formatted, e);
        text = &formatted;
    }
    char *path = rc == 0 ? io_path(dir, "config.json", e) : NULL;
    rc = path ? io_put(path, text->data, text->len, e) : -1;
    mem_free(path);
    buf_free(&formatted);
    return rc;
}
