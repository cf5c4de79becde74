/* SPDX-License-Identifier: Apache-2.0 */
/* The parameter table: every tensor of the model, its name in a checkpoint, its place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/model.h"

enum { ALIGN = 64 }; /* elements; a matrix product starts on a cache line in any type */

struct maker {
    struct params *t;
    struct err *e;
    bool failed;
};

/* Appends one tensor right after the one before it. cols 0: a vector. Returns its offset. */
static size_t put(struct maker *k, int64_t rows, int64_t cols, enum shard shard, const char *prefix,
                  const char *name)
{
    struct params *t = k->t;
    size_t n, end;
    if (k->failed) return 0;
    if (mem_grow(&t->p, &t->cap, t->count + 1, sizeof *t->p, k->e)) goto fail;
    if (mem_mul((size_t)rows, cols ? (size_t)cols : 1, &n) || mem_add(t->total, n, &end) ||
        end > SIZE_MAX / 64) {
        err_set(k->e, ERR_DATA, "tensor %s%s is too large", prefix, name);
        goto fail;
    }
    struct param *p = &t->p[t->count++];
    *p = (struct param){.rank = cols ? 2 : 1,
                        .shape = {(uint64_t)rows, (uint64_t)cols},
                        .offset = t->total,
                        .n = n,
                        .shard = shard,
                        .decay = cols != 0};
    snprintf(p->name, sizeof p->name, "%s%s", prefix, name);
    t->total = end;
    t->elements += n;
    return p->offset;
fail:
    k->failed = true;
    return 0;
}

static void align(struct maker *k) { k->t->total = (k->t->total + ALIGN - 1) / ALIGN * ALIGN; }

static size_t put_aligned(struct maker *k, int64_t rows, int64_t cols, enum shard shard,
                          const char *prefix, const char *name)
{
    align(k);
    return put(k, rows, cols, shard, prefix, name);
}

static void layer_matrices(struct maker *k, const struct model *m, struct layer_offsets *l,
                           const char *prefix)
{
    int64_t H = m->hidden, q = model_q_width(m), kv = model_kv_width(m);
    l->qkv = put_aligned(k, q, H, SHARD_ROWS, prefix, "self_attn.q_proj.weight");
    put(k, kv, H, SHARD_ROWS, prefix, "self_attn.k_proj.weight");
    put(k, kv, H, SHARD_ROWS, prefix, "self_attn.v_proj.weight");
    l->o = put_aligned(k, H, q, SHARD_COLUMNS, prefix, "self_attn.o_proj.weight");
    l->gate_up = put_aligned(k, m->inter, H, SHARD_ROWS, prefix, "mlp.gate_proj.weight");
    put(k, m->inter, H, SHARD_ROWS, prefix, "mlp.up_proj.weight");
    l->down = put_aligned(k, H, m->inter, SHARD_COLUMNS, prefix, "mlp.down_proj.weight");
}

static void layer_vectors(struct maker *k, const struct model *m, struct layer_offsets *l,
                          const char *prefix)
{
    l->norm1 = put_aligned(k, m->hidden, 0, SHARD_REPLICATED, prefix, "input_layernorm.weight");
    if (m->qkv_bias) {
        l->qkv_bias =
            put_aligned(k, model_q_width(m), 0, SHARD_ROWS, prefix, "self_attn.q_proj.bias");
        put(k, model_kv_width(m), 0, SHARD_ROWS, prefix, "self_attn.k_proj.bias");
        put(k, model_kv_width(m), 0, SHARD_ROWS, prefix, "self_attn.v_proj.bias");
    }
    l->norm2 =
        put_aligned(k, m->hidden, 0, SHARD_REPLICATED, prefix, "post_attention_layernorm.weight");
}

int params_make(const struct model *m, struct params *t, struct err *e)
{
    *t = (struct params){0};
    struct maker k = {.t = t, .e = e};
    char prefix[32];
    t->layers = mem_alloc((size_t)m->layers, sizeof *t->layers, e);
    if (!t->layers) return -1;
    t->embed = put(&k, m->vocab, m->hidden, SHARD_VOCAB, "model.", "embed_tokens.weight");
    for (int l = 0; l < m->layers; l++) {
        snprintf(prefix, sizeof prefix, "model.layers.%d.", l);
        layer_matrices(&k, m, &t->layers[l], prefix);
    }
    t->head = m->tied ? t->embed
                      : put_aligned(&k, m->vocab, m->hidden, SHARD_VOCAB, "", "lm_head.weight");
    align(&k);
    t->decay_end = t->total;
    for (int l = 0; l < m->layers; l++) {
        snprintf(prefix, sizeof prefix, "model.layers.%d.", l);
        layer_vectors(&k, m, &t->layers[l], prefix);
    }
    t->final_norm = put_aligned(&k, m->hidden, 0, SHARD_REPLICATED, "model.", "norm.weight");
    align(&k);
    if (!k.failed) return 0;
    params_free(t);
    return -1;
}

void params_free(struct params *t)
{
    free(t->p);
    free(t->layers);
    *t = (struct params){0};
}

const struct param *params_find(const struct params *t, const char *name, size_t n)
{
    for (size_t i = 0; i < t->count; i++) {
        if (strlen(t->p[i].name) == n && memcmp(t->p[i].name, name, n) == 0) return &t->p[i];
    }
    return NULL;
}
