/* SPDX-License-Identifier: Apache-2.0 */
/* Converts to GGUF: what can be converted, the metadata, and the order of the parts. */
#include "hf/gguf_export_impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "hf/family.h"

/* The numbers of general.file_type: enum llama_ftype of llama.h. */
static const struct {
    enum gguf_type type;
    int number;
} file_types[] = {
    {GGUF_TYPE_F32, 0},
    {GGUF_TYPE_F16, 1},
    {GGUF_TYPE_Q4_0, 2},
    {GGUF_TYPE_Q8_0, 7},
    {GGUF_TYPE_Q4_K, 14} /* Q4_K_S */,
    {GGUF_TYPE_Q6_K, 18},
    {GGUF_TYPE_BF16, 32},
};
enum { QUANTIZATION_VERSION = 2 };

static bool is_rope(const struct hf_config *c, const char *type)
{
    return strcmp(c->rope.type, type) == 0;
}

/* llama.cpp computes YaRN's factor of attention from the factor of the scaling. */
static bool is_plain_yarn(const struct hf_rope *r)
{
    const double usual = 0.1 * log(r->factor) + 1;
    return r->truncate && r->mscale == 0 && r->mscale_all_dim == 0 &&
           (r->attention_factor == 0 || fabs(r->attention_factor - usual) < 1e-6);
}

static int check_family(const struct hf_config *c, struct err *e)
{
    char names[HF_FAMILY_NAMES];
    if (c->shell[0])
        return err_set(e, ERR_DATA, "model_type %s: multimodal models cannot be written as GGUF",
                       c->shell);
    if (c->family && c->family->gguf != HF_GGUF_NONE && !hf_config_is_moe(c)) return 0;
    return err_set(e, ERR_DATA, "model_type %s: cannot be written as GGUF; %s can", c->model_type,
                   hf_family_names(true, " and ", names));
}

static int check(const struct hf_config *c, struct err *e)
{
    if (check_family(c, e)) return -1;
    if (c->quantized)
        return err_set(e, ERR_DATA, "quantization_config: quantized weights cannot be written");
    if (strcmp(c->hidden_act, "silu") != 0)
        return err_set(e, ERR_DATA, "hidden_act %s: GGUF files of this family have silu",
                       c->hidden_act);
    if (hf_rotary_dim(c) != c->head_dim || c->head_dim % 2)
        return err_set(e, ERR_DATA,
                       "partial_rotary_factor, head_dim: llama.cpp rotates whole heads "
                       "of an even size in this family");
    if (!is_rope(c, "default") && !is_rope(c, "linear") && !is_rope(c, "llama3") &&
        !(is_rope(c, "yarn") && is_plain_yarn(&c->rope)))
        return err_set(e, ERR_DATA,
                       "rope_scaling %s: cannot be written with these settings; default, linear, "
                       "llama3 and yarn without attention_factor can",
                       c->rope.type);
    if (c->family->gguf == HF_GGUF_PLAIN && c->o_bias)
        return err_set(e, ERR_DATA, "attention_bias: llama.cpp has no such bias in %s",
                       c->model_type);
    return 0;
}

int gguf_export_check(const struct hf_config *c, const char *dir, struct err *e)
{
    return check(c, e) ? err_prefix(e, "%s/config.json", dir) : 0;
}

static void add_rope(struct gguf_head *h, const struct hf_config *c)
{
    const struct hf_rope *r = &c->rope;
    if (is_rope(c, "linear") || is_rope(c, "yarn")) {
        gguf_add_str(h, ".rope.scaling.type", str_z(r->type));
        gguf_add_f32(h, ".rope.scaling.factor", r->factor);
    }
    if (is_rope(c, "yarn")) {
        gguf_add_u32(h, ".rope.scaling.original_context_length", r->original_max_position);
        if (r->beta_fast > 0) gguf_add_f32(h, ".rope.scaling.yarn_beta_fast", r->beta_fast);
        if (r->beta_slow > 0) gguf_add_f32(h, ".rope.scaling.yarn_beta_slow", r->beta_slow);
    }
    gguf_add_f32(h, ".rope.freq_base", r->theta);
    gguf_add_u32(h, ".rope.dimension_count", c->head_dim);
}

static void add_sizes(struct gguf_head *h, const struct hf_config *c)
{
    gguf_add_u32(h, ".block_count", c->num_hidden_layers);
    gguf_add_u32(h, ".context_length", c->max_position_embeddings);
    gguf_add_u32(h, ".embedding_length", c->hidden_size);
    gguf_add_u32(h, ".feed_forward_length", c->intermediate_size);
    gguf_add_u32(h, ".attention.head_count", c->num_attention_heads);
    gguf_add_u32(h, ".attention.head_count_kv", c->num_key_value_heads);
    gguf_add_u32(h, ".attention.key_length", c->head_dim);
    gguf_add_u32(h, ".attention.value_length", c->head_dim);
    gguf_add_f32(h, ".attention.layer_norm_rms_epsilon", c->rms_norm_eps);
    gguf_add_u32(h, ".vocab_size", c->vocab_size);
}

/* Adds general.size_label: two digits at least, as "1.2B" or "135M". */
static void add_label(struct gguf_head *h, uint64_t parameters)
{
    static const char units[] = "KMBT";
    char label[32];
    double n = (double)parameters * 1e-3;
    int unit = 0;
    while (n > 1e3 && unit < 3) n *= 1e-3, unit++;
    snprintf(label, sizeof label, "%.*f%c",
             nearbyint(n) >= 10  ? 0
             : nearbyint(n) >= 1 ? 1
                                 : 2,
             n, units[unit]);
    gguf_add_str(h, "general.size_label", str_z(label));
}

static void add_general(struct gguf_head *h, const struct gguf_export *x, uint64_t parameters)
{
    gguf_add_str(h, "general.architecture", str_z(h->arch));
    gguf_add_str(h, "general.type", STR("model"));
    gguf_add_str(h, "general.name", str_z(x->name));
    add_label(h, parameters);
    for (size_t i = 0; i < sizeof file_types / sizeof *file_types; i++)
        if (file_types[i].type == x->type)
            gguf_add_u32(h, "general.file_type", file_types[i].number);
    gguf_add_u32(h, "general.quantization_version", QUANTIZATION_VERSION);
}

static int write_file(const struct gguf_head *h, struct gguf_tensors *t, int threads,
                      const char *out, uint64_t *bytes, struct err *e)
{
    struct io_out *f = io_create(out, e);
    int rc = f ? gguf_head_write(h, f, e) : -1;
    if (rc == 0) rc = gguf_tensors_write(t, threads, f, e);
    if (rc == 0) *bytes = io_written(f);
    if (rc == 0) return io_commit(f, e);
    io_abort(f);
    return -1;
}

static int export_model(const struct gguf_export *x, const struct hf_config *c, const char *out,
                        struct gguf_exported *done, struct err *e)
{
    struct gguf_head h = {.arch = c->family->gguf == HF_GGUF_PERMUTED ? "llama" : c->model_type};
    struct gguf_tensors *t = gguf_tensors_begin(x, c, &h, done, e);
    if (t) add_general(&h, x, done->parameters);
    if (t) add_sizes(&h, c);
    if (t) add_rope(&h, c);
    int rc = t ? gguf_add_tokenizer(&h, x->dir, c, &x->tokens, done, e) : -1;
    if (rc == 0) rc = write_file(&h, t, x->threads, out, &done->bytes, e);
    gguf_tensors_end(t);
    gguf_head_free(&h);
    return rc;
}

/* A window that is no shorter than the context has no effect. */
static int64_t window_of(const struct hf_config *c)
{
    bool any = false;
    for (int64_t l = 0; l < c->num_hidden_layers; l++) any |= hf_layer_is(c->window_layers, l);
    return any && c->sliding_window < c->max_position_embeddings ? c->sliding_window : 0;
}

int gguf_export(const struct gguf_export *x, const char *out, struct gguf_exported *done,
                struct err *e)
{
    struct hf_config c;
    *done = (struct gguf_exported){0};
    if (hf_config_read(x->dir, &c, e)) return -1;
    int rc = gguf_export_check(&c, x->dir, e);
    if (rc == 0) {
        done->window = window_of(&c);
        rc = export_model(x, &c, out, done, e);
    }
    hf_config_free(&c);
    return rc;
}
