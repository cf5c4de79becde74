/* SPDX-License-Identifier: Apache-2.0 */
/* Writes config.json in the form that transformers 4 and 5 and other programs read. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "hf/config.h"
#include "hf/family.h"

void hf_real_text(double f, bool single, char out[NUM_TEXT])
{
    num_text(f, single, out);
    size_t n = strlen(out);
    if (!strpbrk(out, ".en")) snprintf(out + n, NUM_TEXT - n, ".0");
}

static void put_int(struct buf *b, const char *key, int64_t v)
{
    buf_printf(b, ",\n  \"%s\": %" PRId64, key, v);
}

static void put_real(struct buf *b, const char *key, double v)
{
    char text[NUM_TEXT];
    hf_real_text(v, false, text);
    buf_printf(b, ",\n  \"%s\": %s", key, text);
}

static void put_bool(struct buf *b, const char *key, bool v)
{
    buf_printf(b, ",\n  \"%s\": %s", key, v ? "true" : "false");
}

static void put_str(struct buf *b, const char *key, const char *v)
{
    buf_printf(b, ",\n  \"%s\": ", key);
    buf_json(b, str_z(v));
}

static void put_eos(struct buf *b, const struct hf_config *c)
{
    if (c->eos_count == 1) put_int(b, "eos_token_id", c->eos_token_id[0]);
    if (c->eos_count < 2) return;
    buf_puts(b, ",\n  \"eos_token_id\": [");
    for (int i = 0; i < c->eos_count; i++)
        buf_printf(b, "%s%" PRId64, i ? ", " : "", c->eos_token_id[i]);
    buf_putc(b, ']');
}

static void put_rope(struct buf *b, const struct hf_rope *r)
{
    const struct {
        const char *key;
        double value;
    } reals[] = {
        {"factor", r->factor},
        {"low_freq_factor", r->low_freq_factor},
        {"high_freq_factor", r->high_freq_factor},
        {"beta_fast", r->beta_fast},
        {"beta_slow", r->beta_slow},
        {"attention_factor", r->attention_factor},
        {"mscale", r->mscale},
        {"mscale_all_dim", r->mscale_all_dim},
    };
    put_real(b, "rope_theta", r->theta);
    if (r->partial_rotary_factor != 1)
        put_real(b, "partial_rotary_factor", r->partial_rotary_factor);
    if (strcmp(r->type, "default") == 0) return;
    buf_puts(b, ",\n  \"rope_scaling\": {\n    \"rope_type\": ");
    buf_json(b, str_z(r->type));
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        char text[NUM_TEXT];
        if (reals[i].value == 0) continue;
        hf_real_text(reals[i].value, false, text);
        buf_printf(b, ",\n    \"%s\": %s", reals[i].key, text);
    }
    if (!r->truncate) buf_puts(b, ",\n    \"truncate\": false");
    if (r->original_max_position)
        buf_printf(b, ",\n    \"original_max_position_embeddings\": %" PRId64,
                   r->original_max_position);
    buf_puts(b, "\n  }");
}

/* A family with a window in all layers needs sliding_window even when it is null, because an absent
 * key means the family's default. Other families list the type of each layer. */
static void put_window(struct buf *b, const struct hf_config *c)
{
    const bool all = c->family && c->family->window == HF_WINDOW_ALL;
    if (c->sliding_window)
        put_int(b, "sliding_window", c->sliding_window);
    else if (all)
        buf_puts(b, ",\n  \"sliding_window\": null");
    if (!c->sliding_window || all) return;
    put_bool(b, "use_sliding_window", true);
    buf_puts(b, ",\n  \"layer_types\": [");
    for (int64_t l = 0; l < c->num_hidden_layers; l++)
        buf_printf(b, "%s\"%s\"", l ? ", " : "",
                   c->window_layers[l / 64] >> l % 64 & 1 ? "sliding_attention" : "full_attention");
    buf_putc(b, ']');
}

int hf_config_format(const struct hf_config *c, struct buf *b, struct err *e)
{
    buf_puts(b, "{\n  \"architectures\": [");
    if (c->architecture[0]) buf_json(b, str_z(c->architecture));
    buf_putc(b, ']');
    put_str(b, "model_type", c->model_type);
    put_int(b, "vocab_size", c->vocab_size);
    put_int(b, "hidden_size", c->hidden_size);
    put_int(b, "intermediate_size", c->intermediate_size);
    put_int(b, "num_hidden_layers", c->num_hidden_layers);
    put_int(b, "num_attention_heads", c->num_attention_heads);
    put_int(b, "num_key_value_heads", c->num_key_value_heads);
    put_int(b, "head_dim", c->head_dim);
    put_int(b, "max_position_embeddings", c->max_position_embeddings);
    put_str(b, "hidden_act", c->hidden_act);
    put_real(b, "rms_norm_eps", c->rms_norm_eps);
    put_rope(b, &c->rope);
    /* A family with a bias of only q, k and v always has it and has no such key. */
    put_bool(b, "attention_bias", c->qkv_bias && c->o_bias);
    put_bool(b, "mlp_bias", c->mlp_bias);
    put_real(b, "attention_dropout", c->attention_dropout);
    put_real(b, "initializer_range", c->initializer_range);
    put_window(b, c);
    put_bool(b, "tie_word_embeddings", c->tie_word_embeddings);
    if (c->bos_token_id >= 0) put_int(b, "bos_token_id", c->bos_token_id);
    put_eos(b, c);
    if (c->pad_token_id >= 0) put_int(b, "pad_token_id", c->pad_token_id);
    put_str(b, "torch_dtype", hf_dtype_torch(c->dtype));
    put_bool(b, "use_cache", true);
    buf_puts(b, "\n}\n");
    return buf_check(b, e);
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
