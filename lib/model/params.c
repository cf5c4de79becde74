/* SPDX-License-Identifier: Apache-2.0 */
/* The parameter table: the tensors of the model's family in each layer, each with its position in
 * the canonical order. params_arrange.c assigns their offsets in memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/params_impl.h"

/* The zones of the canonical order. One pass over all blocks makes each zone. */
enum zone { ZONE_MATRICES, ZONE_VECTORS, ZONE_FROZEN, ZONES };
/* Until params_arrange runs, the offset fields of the table contain the place of each block. */
struct maker {
    const struct model *m;
    struct hf_sizes sizes; /* of the whole model */
    struct params_options o;
    struct params *t;
    struct err *e;
    enum zone zone;
    struct params_blocks blocks;
    size_t range; /* place where the range of the last trained tensor begins */
    bool open;    /* the next trained tensor may continue that range */
    int layer;    /* of the last block */
    bool decays;  /* the tensors of that range decay */
    bool experts; /* the last block is a share of experts */
    bool failed;
    struct param *members; /* of the current block */
    size_t members_cap;
    size_t linear;    /* number of blocks of linear layers in a layer */
    size_t at_linear; /* index of the next of them */
};

/* Assigns the next place to p. Tensors that this rank does not have also get places. */
static int place(struct maker *k, struct param *p)
{
    size_t n;
    p->place = k->t->places;
    if (mem_mul((size_t)(param_whole(p) / param_width(p)), (size_t)param_width(p), &n) ||
        mem_add(p->place, n, &k->t->places) || k->t->places > SIZE_MAX / 64)
        return err_set(k->e, ERR_DATA, "tensor %s is too large", p->name);
    k->open &= p->trained && k->decays == p->decay;
    if (!p->trained) return 0;
    if (!k->open) k->range = p->place;
    p->range = k->range;
    k->open = true;
    k->decays = p->decay;
    return 0;
}

/* Appends a tensor that this rank has. */
static int append(struct maker *k, const struct param *p)
{
    struct params *t = k->t;
    if (mem_grow(&t->p, &t->cap, t->count + 1, sizeof *t->p, k->e)) return -1;
    t->p[t->count++] = *p;
    t->elements += p->n;
    if (p->trained) t->elements_trained += p->n;
    return 0;
}

static int append_block(struct maker *k, const struct params_block *b)
{
    struct params_blocks *all = &k->blocks;
    if (mem_grow(&all->b, &all->cap, all->n + 1, sizeof *all->b, k->e)) return -1;
    all->b[all->n++] = *b;
    return 0;
}

/* ---- blocks ---- */
/* Returns true if the tensors of this layer are in the table. Layer -1 is the embedding; m->layers
 * is the norm and the head after the last layer. A tied head needs the embedding's matrix. */
static bool holds(const struct maker *k, int layer)
{
    const struct params *t = k->t;
    if (layer < 0) return t->has_embedding || (k->m->tied && t->has_head);
    if (layer == k->m->layers) return t->has_head;
    bool held = false;
    for (int c = 0, first, end; c < t->chunks; c++) {
        params_chunk(t, c, &first, &end);
        held |= layer >= first && layer < end;
    }
    return held;
}

/* Adjacent tensors p[n], of which this rank has [begin, end) if it has their layer. */
struct members {
    struct param *p;
    int n, begin, end;
    bool experts; /* ranks share them out */
};

/* Appends the tensors of a layer (-1: the embedding) if the current pass makes their zone, and
 * returns their place; in another pass, returns `at`. */
static size_t put_members(struct maker *k, int layer, size_t at, const struct members *m)
{
    struct param *p = m->p;
    const int n = m->n;
    bool trained = false;
    for (int i = 0; i < n; i++) trained |= p[i].trained;
    enum zone zone = !trained ? ZONE_FROZEN : p->decay ? ZONE_MATRICES : ZONE_VECTORS;
    if (k->failed || zone != k->zone) return at;
    if (trained && layer < k->t->lowest) k->t->lowest = layer;
    k->open &= layer == k->layer && m->experts == k->experts;
    k->layer = layer;
    k->experts = m->experts;
    at = k->t->places = params_aligned(k->t->places, 0);
    const struct params_block b = {at,      k->t->count, m->end - m->begin, layer,
                                   trained, p->decay,    m->experts,        0};
    const bool held = holds(k, layer);
    if (held) k->failed = append_block(k, &b) != 0;
    for (int i = 0; i < n && !k->failed; i++)
        k->failed = place(k, &p[i]) || (held && i >= m->begin && i < m->end && append(k, &p[i]));
    return at;
}

/* The same of tensors that every rank with their layer has. */
static size_t put_block(struct maker *k, int layer, size_t at, struct param *p, int n)
{
    return put_members(k, layer, at, &(struct members){p, n, 0, n, false});
}

static bool is_target(const struct maker *k, const struct param *base)
{
    char module[sizeof base->name];
    snprintf(module, sizeof module, "%.*s", param_module(base), base->name);
    return k->o.lora.target(k->o.lora.arg, module);
}

/* Appends the adapters of a block's members: first every A, then every B. */
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
    to->rank = k->o.lora.rank;
    if (n) to->a = put_block(k, l, 0, a, n);
    for (int i = 0; i < n; i++) to->part[i].b = put_block(k, l, 0, &b[i], 1);
}

/* Appends the adapters of a layer's experts, as those of one matrix [experts, out, in]. Each rank
 * has the part of the experts that it has of them. */
static void put_expert_adapters(struct maker *k, int l, struct lora_block *to,
                                const struct param *all)
{
    struct param a, b;
    const bool shared = k->t->ep > 1;
    if (k->failed || !is_target(k, all)) return;
    k->failed = param_describe_a(&k->o, all, &a, k->e) || param_describe_b(&k->o, all, &b, k->e);
    to->parts = holds(k, l);
    to->rank = (int64_t)param_adapter_rank(&k->o, all);
    to->experts = (int32_t)(all->experts / (uint64_t)k->t->ep);
    to->part[0].out = (int64_t)all->shape[0];
    to->a = put_members(k, l, 0, &(struct members){&a, 1, 0, 1, shared});
    to->part[0].b = put_members(k, l, 0, &(struct members){&b, 1, 0, 1, shared});
}

/* Records the place `at` of a block of linear layers, and appends its adapters in the first pass.
 */
static void put_lora(struct maker *k, int l, size_t at, const struct param *p, int n)
{
    const size_t site = (size_t)l * k->linear + k->at_linear++;
    struct lora_block *to = &k->t->lora[site];
    if (k->zone == ZONE_MATRICES) {
        to->in = (int64_t)p->shape[1];
        to->first = (int64_t)p->block[0].column;
        to->site = (uint32_t)(site * LORA_PARTS);
        if (p->experts)
            put_expert_adapters(k, l, to, p);
        else
            put_adapters(k, l, to, p, n);
    }
    to->weight = at;
}

/* Puts the name of a router or of experts among the modules of transformers in `name`, if the rows
 * are theirs. */
static bool is_routed(const struct maker *k, int layer, const struct hf_row *row,
                      char name[HF_TENSOR_NAME])
{
    char own[HF_TENSOR_NAME];
    const enum hf_block b = hf_row_info(row)->block;
    const char *module = b == HF_BLOCK_ROUTER           ? "gate"
                         : b == HF_BLOCK_EXPERT_GATE_UP ? "experts.gate_up_proj"
                         : b == HF_BLOCK_EXPERT_DOWN    ? "experts.down_proj"
                                                        : NULL;
    if (!module) return false;
    snprintf(own, sizeof own, "model.layers.%d.mlp.%s.weight", layer, module);
    hf_name_in(hf_module_names(k->m->names), own, name, HF_TENSOR_NAME);
    return true;
}

/* The same of the rows p[n] of a block, in the form in which peft adapts it. */
static void put_adapted(struct maker *k, int l, size_t at, const struct hf_row *row,
                        const struct param *p, int n)
{
    struct param x;
    char name[HF_TENSOR_NAME];
    if (!is_routed(k, l, row, name)) {
        put_lora(k, l, at, p, n);
        return;
    }
    const uint64_t experts = hf_row_is_expert(row) ? hf_row_tensors(row, &k->sizes) : 0;
    k->failed |= param_describe_routed(p, n, experts, name, &x, k->e) != 0;
    put_lora(k, l, at, &x, 1);
}

/* Describes the members of a block: its rows, or the rows of each expert. */
static struct param *describe(struct maker *k, int layer, const struct hf_row *const *rows, int n,
                              int experts)
{
    const size_t count = (size_t)n * (size_t)experts;
    const enum hf_names names = hf_module_names(k->m->names);
    k->failed |= mem_grow(&k->members, &k->members_cap, count, sizeof *k->members, k->e) != 0;
    for (int i = 0; i < n * experts && !k->failed; i++)
        k->failed = param_describe(&k->o, &k->sizes, rows[i % n], names, layer, i / n,
                                   &k->members[i], k->e) != 0;
    return k->members;
}

/* Returns the members of a block of rows, of which this rank may have the share of some experts. */
static struct members members_of(const struct maker *k, const struct hf_row *row, struct param *p,
                                 int n, int experts)
{
    const struct params *t = k->t;
    const bool shared = t->ep > 1 && hf_row_is_expert(row);
    const bool apart = shared && !hf_row_is_stacked(row); /* stacked ones are cut in themselves */
    const int each = n * experts / (apart ? t->ep : 1), begin = apart ? t->ep_at * each : 0;
    return (struct members){p, n * experts, begin, begin + each, shared};
}

static void put_rows(struct maker *k, int layer, const struct hf_row *const *rows, int n)
{
    const int experts = (int)hf_row_tensors(rows[0], &k->sizes);
    struct param *p = describe(k, layer, rows, n, experts);
    if (k->failed) return;
    const struct members m = members_of(k, rows[0], p, n, experts);
    size_t *to = params_slot(k->t, layer, hf_row_info(rows[0])->block);
    *to = put_members(k, layer, *to, &m);
    if (k->t->lora && hf_row_is_adapted(rows[0], &k->sizes, k->m->family->adapts_experts))
        put_adapted(k, layer, *to, rows[0], p, n);
}

/* ---- passes ---- */
/* Returns true if the block of the rows so far ends before `next`. */
static bool ends_block(const struct hf_row *const *rows, int n, const struct hf_row *next)
{
    return n == HF_BLOCK_ROWS || (n && hf_row_info(rows[0])->block != hf_row_info(next)->block);
}

/* Appends the blocks of matrices, or the blocks of vectors, of one bucket. */
static void put_bucket(struct maker *k, enum hf_bucket bucket, int layer, bool matrices)
{
    const struct hf_row *r, *end, *rows[HF_BLOCK_ROWS];
    int n = 0;
    for (hf_rows_of(k->m->family->tensors, bucket, &r, &end); r < end; r++) {
        if (!hf_row_exists(r, &k->sizes, layer) || param_is_matrix(hf_row_info(r)) != matrices)
            continue;
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

/* Makes one pass, which appends every block of the zone. */
static void put_zone(struct maker *k, enum zone zone)
{
    k->zone = zone;
    put_both(k, HF_EMBED, -1);
    for (int l = 0; l < k->m->layers && !k->failed; l++) put_both(k, HF_LAYER, l);
    put_both(k, HF_HEAD, k->m->layers);
    k->t->places = params_aligned(k->t->places, 0);
}

/* Returns the most blocks of a layer that may have adapters. */
static size_t count_linear(const struct maker *k)
{
    const struct hf_row *r, *end, *last = NULL;
    size_t n = 0;
    for (hf_rows_of(k->m->family->tensors, HF_LAYER, &r, &end); r < end; r++) {
        if (!hf_row_is_adapted(r, &k->sizes, k->m->family->adapts_experts)) continue;
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
    k->linear = count_linear(k);
    t->nlora = (size_t)k->m->layers * k->linear;
    t->lora = mem_alloc(t->nlora, sizeof *t->lora, k->e);
    return t->lora ? 0 : -1;
}

static int make(struct maker *k)
{
    struct params *t = k->t;
    t->layers = mem_alloc((size_t)k->m->layers, sizeof *t->layers, k->e);
    if (!t->layers || (k->o.lora.rank > 0 && make_lora(k, t))) return -1;
    for (enum zone z = ZONE_MATRICES; z < ZONES; z++) {
        put_zone(k, z);
        if (z != ZONE_FROZEN) t->places_trained = t->places;
    }
    if (k->failed || params_arrange(t, k->m->layers, &k->blocks, k->o.multiple, k->e)) return -1;
    if (k->m->tied) t->head = t->embed;
    return make_index(t, k->e);
}

/* Fails with a message if ranks cannot share out the experts of the model. */
static int check_experts(const struct model *m, const struct params_options *o, struct err *e)
{
    const char *ep_key = o->ep_key ? o->ep_key : "expert_model_parallel_size";
    const char *key = m->family->experts_key ? m->family->experts_key : "num_experts";
    if (o->ep <= 1) return 0;
    if (model_sparse_layers(m) == 0)
        return err_set(e, ERR_CONFIG,
                       "%s %d needs a model with experts, and this one has none; set it to 1",
                       ep_key, o->ep);
    if (m->experts % o->ep == 0) return 0;
    return err_set(e, ERR_CONFIG,
                   "%s %d does not divide the model's %s, which is %d; choose a divisor", ep_key,
                   o->ep, key, (int)m->experts);
}

int params_make(const struct model *m, const struct params_options *o, struct params *t,
                struct err *e)
{
    struct model local;
    *t = (struct params){.lowest = m->layers};
    struct maker k = {.m = m, .t = t, .e = e};
    if (o) k.o = *o;
    t->all = m->layers;
    t->stages = k.o.stages > 1 ? k.o.stages : 1;
    t->stage = k.o.stage;
    t->chunks = k.o.chunks > 1 ? k.o.chunks : 1;
    t->ep = k.o.ep > 1 ? k.o.ep : 1;
    t->ep_at = k.o.ep_at;
    t->has_embedding = t->stage == 0;
    t->has_head = t->stage + 1 == t->stages;
    if (check_experts(m, &k.o, e) || model_local(m, k.o.tp, k.o.at, &local, e)) return -1;
    model_sizes(m, &k.sizes);
    const int rc = make(&k);
    mem_free(k.blocks.b);
    mem_free(k.members);
    if (rc) params_free(t);
    return rc;
}

void params_chunk(const struct params *t, int c, int *first, int *end)
{
    const int parts = t->stages * t->chunks, part = c * t->stages + t->stage;
    *first = (int)shard_begin((uint64_t)t->all, parts, part);
    *end = (int)shard_begin((uint64_t)t->all, parts, part + 1);
}

void params_free(struct params *t)
{
    mem_free(t->p);
    mem_free(t->by_name);
    mem_free(t->layers);
    mem_free(t->runs);
    mem_free(t->buckets);
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
