/* SPDX-License-Identifier: Apache-2.0 */
/* The parameter table: every tensor of the model, its name in a checkpoint, its place. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "model/model.h"

enum { ALIGN = 64 }; /* elements; a matrix product starts on a cache line in any type */

/* The zones are made one after the other, each by a pass over all blocks. */
enum zone { ZONE_MATRICES, ZONE_VECTORS, ZONE_FROZEN, ZONES };
struct maker {
    const struct model *m;
    struct params_options o;
    struct params *t;
    struct err *e;
    enum zone zone;
    bool apart;   /* a frozen tensor lies after the last trained one */
    bool adapter; /* what is put is an adapter's */
    bool failed;
};
/* Tensors that lie side by side, all with the same number of columns; 0: vectors. */
struct part {
    const char *name;
    int64_t rows;
    enum shard shard;
};
enum { MOST_PARTS = LORA_PARTS, LORA_BLOCKS = 4 }; /* of a layer: qkv, o, gate_up, down */

static size_t aligned(size_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

/* p is to be updated: a new run, or the last one grows over the alignment before p. */
static int note_run(struct maker *k, const struct param *p)
{
    struct params *t = k->t;
    struct params_run *last = t->nruns ? &t->runs[t->nruns - 1] : NULL;
    if (last && !k->apart && last->decay == p->decay) {
        last->end = p->offset + p->n;
        return 0;
    }
    k->apart = false;
    if (mem_grow(&t->runs, &t->runs_cap, t->nruns + 1, sizeof *t->runs, k->e)) return -1;
    t->runs[t->nruns++] = (struct params_run){p->offset, p->offset + p->n, p->decay};
    return 0;
}

/* Appends one tensor right after the one before it. */
static int put(struct maker *k, const struct param *p)
{
    struct params *t = k->t;
    size_t end;
    if (mem_add(t->total, p->n, &end) || end > SIZE_MAX / 64)
        return err_set(k->e, ERR_DATA, "tensor %s is too large", p->name);
    if (mem_grow(&t->p, &t->cap, t->count + 1, sizeof *t->p, k->e)) return -1;
    struct param *at = &t->p[t->count++];
    *at = *p;
    at->offset = t->total;
    t->total = end;
    t->elements += at->n;
    k->apart |= !at->trained;
    if (!at->trained) return 0;
    t->elements_trained += at->n;
    return note_run(k, at);
}

static int describe(const struct maker *k, const struct part *x, int64_t cols, const char *prefix,
                    struct param *p)
{
    *p = (struct param){.rank = cols ? 2 : 1,
                        .shape = {(uint64_t)x->rows, (uint64_t)cols},
                        .shard = x->shard,
                        .decay = cols != 0,
                        .adapter = k->adapter};
    snprintf(p->name, sizeof p->name, "%s%s", prefix, x->name);
    p->trained = k->adapter || !k->o.frozen || !k->o.frozen(k->o.arg, p->name);
    if (mem_mul((size_t)x->rows, cols ? (size_t)cols : 1, &p->n))
        return err_set(k->e, ERR_DATA, "tensor %s is too large", p->name);
    return 0;
}

/* True if the tensors of this layer are in the table: -1 is the embedding, m->layers the norm and
 * the head behind the last layer. A tied head needs the embedding's matrix. */
static bool holds(const struct maker *k, int layer)
{
    const struct params *t = k->t;
    if (layer < 0) return t->has_embedding || (k->m->tied && t->has_head);
    if (layer == k->m->layers) return t->has_head;
    return layer >= t->first && layer < t->end;
}

/* A block of up to three tensors, if it belongs to the zone that is being made. layer: whose it is;
 * that of the embedding is -1. Returns its offset, which stays what it is (at) in other passes. */
static size_t put_block(struct maker *k, int layer, size_t at, int64_t cols, const char *prefix,
                        const struct part *x, int parts)
{
    struct param p[MOST_PARTS];
    bool trained = false;
    for (int i = 0; i < parts && !k->failed; i++) {
        k->failed = describe(k, &x[i], cols, prefix, &p[i]) != 0;
        trained |= p[i].trained;
    }
    enum zone zone = !trained ? ZONE_FROZEN : cols ? ZONE_MATRICES : ZONE_VECTORS;
    if (k->failed || zone != k->zone) return at;
    if (trained && layer < k->t->lowest) k->t->lowest = layer;
    if (!holds(k, layer)) return at;
    at = k->t->total = aligned(k->t->total);
    for (int i = 0; i < parts && !k->failed; i++) k->failed = put(k, &p[i]) != 0;
    return at;
}

/* "self_attn.q_proj.lora_A.weight" of "self_attn.q_proj.weight" */
static void adapter_name(const struct part *x, const char *factor, char *out, size_t size)
{
    snprintf(out, size, "%.*s.%s.weight", (int)(strlen(x->name) - strlen(".weight")), x->name,
             factor);
}

static bool is_target(const struct maker *k, const char *prefix, const struct part *x)
{
    char module[96];
    snprintf(module, sizeof module, "%s%.*s", prefix, (int)(strlen(x->name) - strlen(".weight")),
             x->name);
    return k->o.lora.target(k->o.lora.arg, module);
}

/* The adapters of a block's members: their A side by side, then each B. */
static void put_adapters(struct maker *k, int l, struct lora_block *to, int64_t in,
                         const char *prefix, const struct part *x, int parts)
{
    const int64_t r = k->o.lora.rank;
    char a[MOST_PARTS][48], b[MOST_PARTS][48];
    struct part left[MOST_PARTS], right[MOST_PARTS];
    const bool columns = x->shard == SHARD_COLUMNS; /* in is cut, and not out */
    int n = 0;
    for (int i = 0; i < parts; to->out += x[i++].rows) {
        if (!is_target(k, prefix, &x[i])) continue;
        adapter_name(&x[i], "lora_A", a[n], sizeof a[n]);
        adapter_name(&x[i], "lora_B", b[n], sizeof b[n]);
        left[n] = (struct part){a[n], r, columns ? SHARD_COLUMNS : SHARD_REPLICATED};
        right[n] = (struct part){b[n], x[i].rows, columns ? SHARD_REPLICATED : SHARD_ROWS};
        to->part[n++] = (struct lora_part){.column = to->out, .out = x[i].rows};
    }
    to->parts = holds(k, l) ? n : 0;
    k->adapter = true;
    if (n) to->a = put_block(k, l, 0, in, prefix, left, n);
    for (int i = 0; i < n; i++) to->part[i].b = put_block(k, l, 0, r, prefix, &right[i], 1);
    k->adapter = false;
}

/* A block of linear layers [., in]: number `which` of LORA_BLOCKS in its layer. */
static size_t put_linear(struct maker *k, int l, int which, size_t at, int64_t in,
                         const char *prefix, const struct part *x, int parts)
{
    struct lora_block *to = k->t->lora ? &k->t->lora[l * LORA_BLOCKS + which] : NULL;
    at = put_block(k, l, at, in, prefix, x, parts);
    if (to && k->zone == ZONE_MATRICES) {
        to->in = in;
        to->site = (uint32_t)((l * LORA_BLOCKS + which) * LORA_PARTS);
        put_adapters(k, l, to, in, prefix, x, parts);
    }
    if (to) to->weight = at; /* settled by the last pass */
    return at;
}

static void layer_matrices(struct maker *k, int l, const char *prefix)
{
    const struct model *m = k->m;
    struct layer_offsets *w = &k->t->layers[l];
    const int64_t H = m->hidden, q = model_q_width(m), kv = model_kv_width(m);
    const struct part qkv[] = {{"self_attn.q_proj.weight", q, SHARD_ROWS},
                               {"self_attn.k_proj.weight", kv, SHARD_ROWS},
                               {"self_attn.v_proj.weight", kv, SHARD_ROWS}};
    const struct part o = {"self_attn.o_proj.weight", H, SHARD_COLUMNS};
    const struct part gate_up[] = {{"mlp.gate_proj.weight", m->inter, SHARD_ROWS},
                                   {"mlp.up_proj.weight", m->inter, SHARD_ROWS}};
    const struct part down = {"mlp.down_proj.weight", H, SHARD_COLUMNS};
    w->qkv = put_linear(k, l, 0, w->qkv, H, prefix, qkv, 3);
    w->o = put_linear(k, l, 1, w->o, q, prefix, &o, 1);
    w->gate_up = put_linear(k, l, 2, w->gate_up, H, prefix, gate_up, 2);
    w->down = put_linear(k, l, 3, w->down, m->inter, prefix, &down, 1);
}

static void layer_vectors(struct maker *k, int l, const char *prefix)
{
    const struct model *m = k->m;
    struct layer_offsets *w = &k->t->layers[l];
    const struct part norm1 = {"input_layernorm.weight", m->hidden, SHARD_REPLICATED};
    const struct part bias[] = {{"self_attn.q_proj.bias", model_q_width(m), SHARD_ROWS},
                                {"self_attn.k_proj.bias", model_kv_width(m), SHARD_ROWS},
                                {"self_attn.v_proj.bias", model_kv_width(m), SHARD_ROWS}};
    const struct part q_norm = {"self_attn.q_norm.weight", m->head_dim, SHARD_REPLICATED};
    const struct part k_norm = {"self_attn.k_norm.weight", m->head_dim, SHARD_REPLICATED};
    const struct part o_bias = {"self_attn.o_proj.bias", m->hidden, SHARD_REPLICATED};
    const struct part norm2 = {"post_attention_layernorm.weight", m->hidden, SHARD_REPLICATED};
    const struct part gate_up[] = {{"mlp.gate_proj.bias", m->inter, SHARD_ROWS},
                                   {"mlp.up_proj.bias", m->inter, SHARD_ROWS}};
    const struct part down = {"mlp.down_proj.bias", m->hidden, SHARD_REPLICATED};
    w->norm1 = put_block(k, l, w->norm1, 0, prefix, &norm1, 1);
    if (m->qkv_bias) w->qkv_bias = put_block(k, l, w->qkv_bias, 0, prefix, bias, 3);
    if (m->qk_norm) w->q_norm = put_block(k, l, w->q_norm, 0, prefix, &q_norm, 1);
    if (m->qk_norm) w->k_norm = put_block(k, l, w->k_norm, 0, prefix, &k_norm, 1);
    if (m->o_bias) w->o_bias = put_block(k, l, w->o_bias, 0, prefix, &o_bias, 1);
    w->norm2 = put_block(k, l, w->norm2, 0, prefix, &norm2, 1);
    if (!m->mlp_bias) return;
    w->gate_up_bias = put_block(k, l, w->gate_up_bias, 0, prefix, gate_up, 2);
    w->down_bias = put_block(k, l, w->down_bias, 0, prefix, &down, 1);
}

/* One pass: every block that belongs to the zone. */
static void put_zone(struct maker *k, enum zone zone)
{
    const struct model *m = k->m;
    struct params *t = k->t;
    char prefix[32];
    const struct part embed = {"embed_tokens.weight", m->vocab, SHARD_VOCAB};
    const struct part head = {"lm_head.weight", m->vocab, SHARD_VOCAB};
    const struct part norm = {"norm.weight", m->hidden, SHARD_REPLICATED};
    k->zone = zone;
    t->embed = put_block(k, -1, t->embed, m->hidden, "model.", &embed, 1);
    for (int l = 0; l < m->layers; l++) {
        snprintf(prefix, sizeof prefix, "model.layers.%d.", l);
        if (zone != ZONE_VECTORS) layer_matrices(k, l, prefix);
        if (zone != ZONE_MATRICES) layer_vectors(k, l, prefix);
    }
    if (!m->tied) t->head = put_block(k, m->layers, t->head, m->hidden, "", &head, 1);
    t->final_norm = put_block(k, m->layers, t->final_norm, 0, "model.", &norm, 1);
    t->total = aligned(t->total);
}

/* The alignment at the end of the trained zones belongs to nobody, and so is updated by nobody. */
static void pad(struct params *t, size_t multiple)
{
    if (multiple) t->total = (t->total + multiple - 1) / multiple * multiple;
    t->trained = t->total;
}

int params_make(const struct model *m, const struct params_options *o, struct params *t,
                struct err *e)
{
    *t = (struct params){.lowest = m->layers};
    struct maker k = {.m = m, .t = t, .e = e};
    if (o) k.o = *o;
    t->first = k.o.first;
    t->end = k.o.end ? k.o.end : m->layers;
    t->has_embedding = t->first == 0;
    t->has_head = t->end == m->layers;
    t->layers = mem_alloc((size_t)m->layers, sizeof *t->layers, e);
    if (!t->layers) return -1;
    if (k.o.lora.rank > 0) {
        t->nlora = (size_t)m->layers * LORA_BLOCKS;
        t->lora = mem_alloc(t->nlora, sizeof *t->lora, e);
        k.failed = !t->lora;
    }
    put_zone(&k, ZONE_MATRICES);
    t->decay_end = t->total;
    put_zone(&k, ZONE_VECTORS);
    pad(t, k.o.multiple);
    put_zone(&k, ZONE_FROZEN);
    if (m->tied) t->head = t->embed;
    if (!k.failed) return 0;
    params_free(t);
    return -1;
}

void params_free(struct params *t)
{
    mem_free(t->p);
    mem_free(t->layers);
    mem_free(t->runs);
    mem_free(t->lora);
    *t = (struct params){0};
}

const struct param *params_find(const struct params *t, const char *name, size_t n)
{
    for (size_t i = 0; i < t->count; i++) {
        if (strlen(t->p[i].name) == n && memcmp(t->p[i].name, name, n) == 0) return &t->p[i];
    }
    return NULL;
}
