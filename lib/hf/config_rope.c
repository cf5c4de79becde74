/* SPDX-License-Identifier: Apache-2.0 */
/* The rotary settings of config.json: rope_scaling of transformers 4 and rope_parameters of 5, with
 * the precedence of modeling_rope_utils.py. */
#include <string.h>

#include "hf/config_read.h"

static void read_object(struct reader *top, const char *key, const char *where,
                        struct hf_rope *rope)
{
    const struct json *v = reader_get(top, key);
    struct reader r = {v, where, top->e, top->failed};
    reader_name(&r, "type", rope->type); /* the older key; rope_type overrides it */
    reader_name(&r, "rope_type", rope->type);
    reader_real(&r, "rope_theta", 1, 1e15, &rope->theta);
    reader_real(&r, "factor", 1e-3, 1e6, &rope->factor);
    reader_real(&r, "low_freq_factor", 0, 1e6, &rope->low_freq_factor);
    reader_real(&r, "high_freq_factor", 0, 1e6, &rope->high_freq_factor);
    reader_real(&r, "beta_fast", 0, 1e6, &rope->beta_fast);
    reader_real(&r, "beta_slow", 0, 1e6, &rope->beta_slow);
    reader_real(&r, "attention_factor", 1e-6, 1e6, &rope->attention_factor);
    reader_real(&r, "mscale", 0, 1e6, &rope->mscale);
    reader_real(&r, "mscale_all_dim", 0, 1e6, &rope->mscale_all_dim);
    reader_bool(&r, "truncate", &rope->truncate);
    reader_real(&r, "partial_rotary_factor", 0, 1, &rope->partial_rotary_factor);
    reader_int(&r, "original_max_position_embeddings", 1, INT32_MAX, &rope->original_max_position);
    /* transformers 5 may have settings for each kind of layer: {"full_attention": {...}, ...}. */
    for (size_t i = 0; i < v->count; i++)
        if (v->items[i].kind == JSON_OBJECT) memcpy(rope->type, "per-layer", sizeof "per-layer");
    top->failed = r.failed;
}

void hf_read_rope(struct reader *r, struct hf_config *c)
{
    static const char *const keys[] = {"rope_scaling", "rope_parameters"};
    static const char *const where[] = {"rope_scaling.", "rope_parameters."};
    bool done = false;
    memcpy(c->rope.type, "default", sizeof "default");
    c->rope.partial_rotary_factor = 1;
    c->rope.truncate = true;
    reader_real(r, "partial_rotary_factor", 0, 1, &c->rope.partial_rotary_factor);
    for (int i = 0; i < 2 && !done; i++) {
        const struct json *v = reader_get(r, keys[i]);
        if (!v) continue;
        if (v->kind != JSON_OBJECT) {
            reader_fail(r, keys[i], "an object");
            return;
        }
        done = v->count > 0; /* only the first object that is not empty counts */
        read_object(r, keys[i], where[i], &c->rope);
    }
}

static bool is_rope(const struct hf_config *c, const char *type)
{
    return strcmp(c->rope.type, type) == 0;
}

void hf_resolve_rope(struct reader *r, struct hf_config *c)
{
    struct hf_rope *p = &c->rope;
    if (is_rope(c, "llama3") || is_rope(c, "yarn") || is_rope(c, "longrope")) {
        if (!p->original_max_position) p->original_max_position = c->max_position_embeddings;
        /* the top-level key overrides the one inside the settings */
        reader_int(r, "original_max_position_embeddings", 1, INT32_MAX, &p->original_max_position);
    }
    if (is_rope(c, "yarn") && p->factor == 0)
        p->factor = (double)c->max_position_embeddings / (double)p->original_max_position;
    if (p->factor == 0 && (is_rope(c, "linear") || is_rope(c, "dynamic") || is_rope(c, "llama3")))
        reader_fail(r, "rope_scaling.factor", "present: a number");
}
