/* SPDX-License-Identifier: Apache-2.0 */
/* The rotary settings of config.json: rope_scaling of transformers 4 and rope_parameters of 5, with
 * the precedence of modeling_rope_utils.py. */
#include <string.h>

#include "hf/config_read.h"
#include "hf/family.h"

/* Reads a list of factors, one for each pair, and their number. */
static void read_factors(struct reader *r, const char *key, float out[HF_ROPE_PAIRS], int64_t *n)
{
    const char *wanted = "a list of at most 256 numbers above 0";
    const struct json *v = reader_get(r, key);
    if (!v) return;
    *n = v->kind == JSON_ARRAY ? (int64_t)v->count : HF_ROPE_PAIRS + 1;
    if (*n > HF_ROPE_PAIRS) reader_fail(r, key, wanted);
    for (int64_t i = 0; i < *n && !r->failed; i++) {
        double d;
        if (json_real(&v->items[i], &d) || !(d >= 1e-6 && d <= 1e6))
            reader_fail(r, key, wanted);
        else
            out[i] = (float)d;
    }
}

static void read_longrope(struct reader *r, struct hf_rope *rope)
{
    int64_t others = 0;
    read_factors(r, "short_factor", rope->short_factor, &rope->factors);
    read_factors(r, "long_factor", rope->long_factor, &others);
    if (rope->factors != others) reader_fail(r, "long_factor", "a list as long as short_factor");
}

static void read_object(struct reader *top, const char *key, const char *where,
                        const struct hf_family *f, struct hf_rope *rope)
{
    const struct json *v = reader_get(top, key);
    struct reader r = {v, where, top->e, top->failed};
    reader_name(&r, "type", rope->type); /* the older key; rope_type overrides it */
    reader_name(&r, "rope_type", rope->type);
    reader_real(&r, "rope_theta", 1, 1e15, &rope->theta);
    reader_real(&r, "factor", 1e-3, 1e6, &rope->factor);
    if (f->rope_alpha) reader_real(&r, "alpha", 0, 1e9, &rope->alpha);
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
    reader_real(&r, "llama_4_scaling_beta", 0, 1e6, &rope->q_beta);
    read_longrope(&r, rope);
    /* transformers 5 may have settings for each kind of layer: {"full_attention": {...}, ...}. */
    for (size_t i = 0; i < v->count; i++)
        if (v->items[i].kind == JSON_OBJECT) memcpy(rope->type, "per-layer", sizeof "per-layer");
    top->failed = r.failed;
}

/* Returns true if the file has no rotary settings: rope_parameters as an empty object are some, but
 * rope_scaling is none. */
static bool is_absent(const struct reader *r)
{
    const struct json *scaling = reader_get(r, "rope_scaling");
    return !reader_get(r, "rope_parameters") &&
           (!scaling || (scaling->kind == JSON_OBJECT && scaling->count == 0));
}

static void set_default(struct hf_rope *rope)
{
    memcpy(rope->type, "default", sizeof "default");
    rope->truncate = true;
}

/* rope_parameters: an object with settings for full_attention, for sliding_attention, or both. */
static void read_types(struct reader *r, const struct json *v, struct hf_config *c)
{
    static const char *const keys[] = {"full_attention", "sliding_attention"};
    static const char *const where[] = {"rope_parameters.full_attention.",
                                        "rope_parameters.sliding_attention."};
    struct hf_rope *const ropes[] = {&c->rope, &c->window_rope};
    struct reader inner = {v, "rope_parameters.", r->e, r->failed};
    size_t known = 0;
    for (int i = 0; v->kind == JSON_OBJECT && i < 2; i++) {
        const struct json *one = json_get(v, keys[i]);
        known += one != NULL;
        if (!one || one->kind == JSON_NULL) continue;
        if (one->kind == JSON_OBJECT)
            read_object(&inner, keys[i], where[i], c->family, ropes[i]);
        else
            reader_fail(&inner, keys[i], "an object");
    }
    r->failed = inner.failed;
    if (v->kind != JSON_OBJECT || known != v->count)
        reader_fail(r, "rope_parameters",
                    "an object with full_attention and sliding_attention in this family");
}

/* The old key rope_scaling is for layers without a window. */
static void read_ropes(struct reader *r, struct hf_config *c)
{
    const struct json *types = reader_get(r, "rope_parameters");
    const struct json *old = reader_get(r, "rope_scaling");
    set_default(&c->rope);
    set_default(&c->window_rope);
    c->window_rope.partial_rotary_factor = 1;
    if (types) read_types(r, types, c);
    if (!old) return;
    if (old->kind != JSON_OBJECT)
        reader_fail(r, "rope_scaling", "an object");
    else if (json_get(old, "type") && !json_get(old, "rope_type"))
        reader_fail(r, "rope_scaling.rope_type", "present: in this family type does not count");
    else
        read_object(r, "rope_scaling", "rope_scaling.", c->family, &c->rope);
}

void hf_read_rope(struct reader *r, struct hf_config *c)
{
    if (c->family && c->family->ropes) {
        read_ropes(r, c);
        return;
    }
    static const char *const keys[] = {"rope_scaling", "rope_parameters"};
    static const char *const where[] = {"rope_scaling.", "rope_parameters."};
    bool done = false;
    set_default(&c->rope);
    if (c->family && c->family->rope && is_absent(r)) c->rope = *c->family->rope;
    for (int i = 0; i < 2 && !done; i++) {
        const struct json *v = reader_get(r, keys[i]);
        if (!v) continue;
        if (v->kind != JSON_OBJECT) {
            reader_fail(r, keys[i], "an object");
            return;
        }
        done = v->count > 0; /* only the first object that is not empty counts */
        read_object(r, keys[i], where[i], c->family, &c->rope);
    }
}

static bool is_rope(const struct hf_rope *p, const char *type)
{
    return strcmp(p->type, type) == 0;
}

/* In the family of Phi-3, su and yarn are older names of longrope, and there is no other scaling.
 */
static void resolve_type(struct reader *r, struct hf_config *c)
{
    if (!c->family || !c->family->longrope || is_rope(&c->rope, "default")) return;
    if (is_rope(&c->rope, "su") || is_rope(&c->rope, "yarn"))
        memcpy(c->rope.type, "longrope", sizeof "longrope");
    if (!is_rope(&c->rope, "longrope"))
        reader_fail(r, "rope_scaling.type", "longrope, su or yarn in this family");
}

/* Sets the positions of the base model's training. */
static void resolve_original(struct reader *r, const struct hf_config *c, struct hf_rope *p)
{
    if (c->family && c->family->original) p->original_max_position = c->family->original;
    if (!p->original_max_position) p->original_max_position = c->max_position_embeddings;
    /* the top-level key overrides the one inside the settings */
    reader_int(r, "original_max_position_embeddings", 1, INT32_MAX, &p->original_max_position);
}

static void resolve(struct reader *r, const struct hf_config *c, struct hf_rope *p)
{
    if (is_rope(p, "llama3") || is_rope(p, "yarn") || is_rope(p, "longrope"))
        resolve_original(r, c, p);
    if ((is_rope(p, "yarn") || is_rope(p, "longrope")) && p->factor == 0)
        p->factor = (double)c->max_position_embeddings / (double)p->original_max_position;
    if (p->alpha > 0 && is_rope(p, "dynamic")) return;
    if (p->factor == 0 && (is_rope(p, "linear") || is_rope(p, "dynamic") || is_rope(p, "llama3")))
        reader_fail(r, "rope_scaling.factor", "present: a number");
}

void hf_resolve_rope(struct reader *r, struct hf_config *c)
{
    resolve_type(r, c);
    resolve(r, c, &c->rope);
    if (c->family && c->family->ropes) resolve(r, c, &c->window_rope);
}

int64_t hf_rotary_dim(const struct hf_config *c)
{
    return (int64_t)((double)c->head_dim * c->rope.partial_rotary_factor);
}
