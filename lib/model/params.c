/* SPDX-License-Identifier: Apache-2.0 */
/* The parameter table: the rows of the model's family in each layer, each tensor with its place. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/params_impl.h"

enum { ALIGN = 64 }; /* elements; a matrix product starts on a cache line in any type */

/* The zones are made one after the other, each by a pass over all blocks. */
enum zone { ZONE_MATRICES, ZONE_VECTORS, ZONE_FROZEN, ZONES };
struct maker {
    const struct model *m;
    struct hf_sizes sizes; /* of the whole model */
    struct params_options o;
    struct params *t;
    struct err *e;
    enum zone zone;
    bool apart; /* a frozen tensor lies after the last trained one */
    bool failed;
    size_t linear;    /* blocks of linear layers in a layer */
    size_t at_linear; /* the next of them */
};

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

/* ---- blocks ---- */
/* True if the tensors of this layer are in the table: -1 is the embedding, m->layers the norm and
 * the head behind the last layer. A tied head needs the embedding's matrix. */
static bool holds(const struct maker *k, int layer)
{
    const struct params *t = k->t;
    if (layer < 0) return t->has_embedding || (k->m->tied && t->has_head);
    if (layer == k->m->layers) return t->has_head;
    return layer >= t->first && layer < t->end;
}

/* Tensors side by side, if they belong to the zone that is being made. layer: whose they are; that
 * of the embedding is -1. Returns their offset, which stays what it is (at) in other passes. */
static size_t put_block(struct maker *k, int layer, size_t at, const struct param *p, int n)
{
    bool trained = false;
    for (int i = 0; i < n; i++) trained |= p[i].trained;
    enum zone zone = !trained ? ZONE_FROZEN : p->decay ? ZONE_MATRICES : ZONE_VECTORS;
    if (k->failed || zone != k->zone) return at;
    if (trained && layer < k->t->lowest) k->t->lowest = layer;
    if (!holds(k, layer)) return at;
    at = k->t->total = aligned(k->t->total);
    for (int i = 0; i < n && !k->failed; i++) k->failed = put(k, &p[i]) != 0;
    return at;
}

static bool is_target(const struct maker *k, const struct param *base)
{
    char module[sizeof base->name];
    snprintf(module, sizeof module, "%.*s", param_module(base), base->name);
    return k->o.lora.target(k->o.lora.arg, module);
}

/* The adapters of a block's members: their A side by side, then each B. */
static void put_adapters(struct maker *k, int l, struct lora_block *to, const struct param *p,
                         int count)
{
    struct param a[HF_BLOCK_ROWS], b[HF_BLOCK_ROWS];
    int n = 0;
    for (int i = 0; i < count && !k->failed; to->out += (int64_t)p[i++].shape[0]) {
        if (!is_target(k, &p[i])) continue;
        k->failed = param_describe_a(&k->o, &p[i], &a[n], k->e) ||
                    param_describe_b(&k->o, &p[i], &b[n], k->e);
        to->part[n++] = (struct lora_part){.column = to->out, .out = (int64_t)p[i].shape[0]};
    }
    to->parts = holds(k, l) ? n : 0;
    if (n) to->a = put_block(k, l, 0, a, n);
    for (int i = 0; i < n; i++) to->part[i].b = put_block(k, l, 0, &b[i], 1);
}

/* The adapters that go with a block of linear layers at `at`, which the last pass settles. */
static void put_lora(struct maker *k, int l, size_t at, const struct param *p, int n)
{
    const size_t site = (size_t)l * k->linear + k->at_linear++;
    struct lora_block *to = &k->t->lora[site];
    if (k->zone == ZONE_MATRICES) {
        to->in = (int64_t)p->shape[1];
        to->site = (uint32_t)(site * LORA_PARTS);
        put_adapters(k, l, to, p, n);
    }
    to->weight = at;
}

#define SLOT(field) offsetof(struct layer_offsets, field)
/* Where the offset of a block is noted. */
static size_t *slot(struct params *t, int layer, enum hf_block block)
{
    static const size_t of_layer[HF_BLOCKS] = {
        [HF_BLOCK_NORM1] = SLOT(norm1),       [HF_BLOCK_QKV] = SLOT(qkv),
        [HF_BLOCK_QKV_BIAS] = SLOT(qkv_bias), [HF_BLOCK_Q_NORM] = SLOT(q_norm),
        [HF_BLOCK_K_NORM] = SLOT(k_norm),     [HF_BLOCK_O] = SLOT(o),
        [HF_BLOCK_O_BIAS] = SLOT(o_bias),     [HF_BLOCK_NORM2] = SLOT(norm2),
        [HF_BLOCK_GATE_UP] = SLOT(gate_up),   [HF_BLOCK_GATE_UP_BIAS] = SLOT(gate_up_bias),
        [HF_BLOCK_DOWN] = SLOT(down),         [HF_BLOCK_DOWN_BIAS] = SLOT(down_bias),
    };
    if (block == HF_BLOCK_EMBED) return &t->embed;
    if (block == HF_BLOCK_HEAD) return &t->head;
    if (block == HF_BLOCK_NORM_FINAL) return &t->final_norm;
    return (size_t *)(void *)((char *)&t->layers[layer] + of_layer[block]);
}

static void put_rows(struct maker *k, int layer, const struct hf_row *const *rows, int n)
{
    struct param p[HF_BLOCK_ROWS];
    const struct hf_role_info *x = hf_row_info(rows[0]);
    for (int i = 0; i < n && !k->failed; i++)
        k->failed = param_describe(&k->o, &k->sizes, rows[i], layer, &p[i], k->e) != 0;
    if (k->failed) return;
    size_t *to = slot(k->t, layer, x->block);
    *to = put_block(k, layer, *to, p, n);
    if (k->t->lora && hf_row_is_linear(rows[0])) put_lora(k, layer, *to, p, n);
}

/* ---- passes ---- */
/* True when the block of the rows so far ends before `next`. */
static bool ends_block(const struct hf_row *const *rows, int n, const struct hf_row *next)
{
    return n == HF_BLOCK_ROWS || (n && hf_row_info(rows[0])->block != hf_row_info(next)->block);
}

/* The blocks of matrices, or those of vectors, of one bucket. */
static void put_bucket(struct maker *k, enum hf_bucket bucket, int layer, bool matrices)
{
    const struct hf_row *r, *end, *rows[HF_BLOCK_ROWS];
    int n = 0;
    for (hf_rows_of(k->m->family->tensors, bucket, &r, &end); r < end; r++) {
        if (!hf_row_exists(r, &k->sizes) || param_is_matrix(hf_row_info(r)) != matrices) continue;
        if (ends_block(rows, n, r)) {
            put_rows(k, layer, rows, n);
            n = 0;
        }
        rows[n++] = r;
    }
    if (n) put_rows(k, layer, rows, n);
}

static void put_both(struct maker *k, enum hf_bucket bucket, int layer)
{
    k->at_linear = 0;
    if (k->zone != ZONE_VECTORS) put_bucket(k, bucket, layer, true);
    if (k->zone != ZONE_MATRICES) put_bucket(k, bucket, layer, false);
}

/* One pass: every block that belongs to the zone. */
static void put_zone(struct maker *k, enum zone zone)
{
    k->zone = zone;
    put_both(k, HF_EMBED, -1);
    for (int l = 0; l < k->m->layers && !k->failed; l++) put_both(k, HF_LAYER, l);
    put_both(k, HF_HEAD, k->m->layers);
    k->t->total = aligned(k->t->total);
}

/* The alignment at the end of the trained zones belongs to nobody, and so is updated by nobody. */
static void pad(struct params *t, size_t multiple)
{
    if (multiple) t->total = (t->total + multiple - 1) / multiple * multiple;
    t->trained = t->total;
}

/* Blocks of linear layers in a layer. */
static size_t count_linear(const struct hf_row *table)
{
    const struct hf_row *r, *end, *last = NULL;
    size_t n = 0;
    for (hf_rows_of(table, HF_LAYER, &r, &end); r < end; r++) {
        if (!hf_row_is_linear(r)) continue;
        n += !last || hf_row_info(last)->block != hf_row_info(r)->block;
        last = r;
    }
    return n;
}

static int by_name(const void *x, const void *y)
{
    const struct param *const *a = x, *const *b = y;
    return strcmp((*a)->name, (*b)->name);
}

static int make_index(struct params *t, struct err *e)
{
    t->by_name = mem_alloc(t->count, sizeof *t->by_name, e);
    if (!t->by_name) return -1;
    for (size_t i = 0; i < t->count; i++) t->by_name[i] = &t->p[i];
    qsort(t->by_name, t->count, sizeof *t->by_name, by_name);
    return 0;
}

static int make_lora(struct maker *k, struct params *t)
{
    k->linear = count_linear(k->m->family->tensors);
    t->nlora = (size_t)k->m->layers * k->linear;
    t->lora = mem_alloc(t->nlora, sizeof *t->lora, k->e);
    return t->lora ? 0 : -1;
}

int params_make(const struct model *m, const struct params_options *o, struct params *t,
                struct err *e)
{
    struct model local;
    *t = (struct params){.lowest = m->layers};
    struct maker k = {.m = m, .t = t, .e = e};
    if (o) k.o = *o;
    t->first = k.o.first;
    t->end = k.o.end ? k.o.end : m->layers;
    t->has_embedding = t->first == 0;
    t->has_head = t->end == m->layers;
    if (model_local(m, k.o.tp, k.o.at, &local, e)) return -1;
    model_sizes(m, &k.sizes);
    t->layers = mem_alloc((size_t)m->layers, sizeof *t->layers, e);
    if (!t->layers) return -1;
    if (k.o.lora.rank > 0) k.failed = make_lora(&k, t) != 0;
    put_zone(&k, ZONE_MATRICES);
    t->decay_end = t->total;
    put_zone(&k, ZONE_VECTORS);
    pad(t, k.o.multiple);
    put_zone(&k, ZONE_FROZEN);
    if (m->tied) t->head = t->embed;
    if (!k.failed && make_index(t, e) == 0) return 0;
    params_free(t);
    return -1;
}

void params_free(struct params *t)
{
    mem_free(t->p);
    mem_free(t->by_name);
    mem_free(t->layers);
    mem_free(t->runs);
    mem_free(t->lora);
    *t = (struct params){0};
}

static int is_name(const void *key, const void *element)
{
    const struct str *s = key;
    const struct param *const *p = element;
    const int c = strncmp(s->p, (*p)->name, s->n);
    return c ? c : -((*p)->name[s->n] != 0);
}

const struct param *params_find(const struct params *t, const char *name, size_t n)
{
    const struct str key = {name, n};
    const struct param **p =
        t->count ? bsearch(&key, t->by_name, t->count, sizeof *t->by_name, is_name) : NULL;
    return p ? *p : NULL;
}
