/* SPDX-License-Identifier: Apache-2.0 */
/* The offsets in memory of the tensors in a parameter table: the buckets of the trained tensors,
 * then those of the frozen ones. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "model/params_impl.h"

enum { ALIGN = 64 }; /* elements */

size_t params_aligned(size_t n, size_t multiple)
{
    if (!multiple) multiple = ALIGN;
    return (n + multiple - 1) / multiple * multiple;
}

/* ---- the table's offsets of blocks ---- */
#define SLOT(field) offsetof(struct layer_offsets, field)
size_t *params_slot(struct params *t, int layer, enum hf_block block)
{
    static const size_t of_layer[HF_BLOCKS] = {
        [HF_BLOCK_NORM1] = SLOT(norm1),
        [HF_BLOCK_QKV] = SLOT(qkv),
        [HF_BLOCK_QKV_BIAS] = SLOT(qkv_bias),
        [HF_BLOCK_Q_NORM] = SLOT(q_norm),
        [HF_BLOCK_K_NORM] = SLOT(k_norm),
        [HF_BLOCK_O] = SLOT(o),
        [HF_BLOCK_O_BIAS] = SLOT(o_bias),
        [HF_BLOCK_NORM2] = SLOT(norm2),
        [HF_BLOCK_GATE_UP] = SLOT(gate_up),
        [HF_BLOCK_GATE_UP_BIAS] = SLOT(gate_up_bias),
        [HF_BLOCK_DOWN] = SLOT(down),
        [HF_BLOCK_DOWN_BIAS] = SLOT(down_bias),
        [HF_BLOCK_NORM1_OUT] = SLOT(norm1_out),
        [HF_BLOCK_NORM2_OUT] = SLOT(norm2_out),
        [HF_BLOCK_ROUTER] = SLOT(router),
        [HF_BLOCK_EXPERT_GATE_UP] = SLOT(expert_gate_up),
        [HF_BLOCK_EXPERT_DOWN] = SLOT(expert_down),
        [HF_BLOCK_SHARED_ROUTER] = SLOT(shared_router),
        [HF_BLOCK_SHARED_GATE_UP] = SLOT(shared_gate_up),
        [HF_BLOCK_SHARED_DOWN] = SLOT(shared_down),
    };
    if (block == HF_BLOCK_EMBED) return &t->embed;
    if (block == HF_BLOCK_HEAD) return &t->head;
    if (block == HF_BLOCK_NORM_FINAL) return &t->final_norm;
    return (size_t *)(void *)((char *)&t->layers[layer] + of_layer[block]);
}

static int by_place(const void *key, const void *element)
{
    const size_t place = *(const size_t *)key;
    const struct params_block *b = element;
    return place < b->place ? -1 : place > b->place;
}

/* Replaces the place of a block by its offset, or by 0 if this rank does not have the block. */
static void resolve(const struct params_blocks *blocks, size_t *slot)
{
    const struct params_block *b =
        blocks->n ? bsearch(slot, blocks->b, blocks->n, sizeof *blocks->b, by_place) : NULL;
    *slot = b ? b->offset : 0;
}

static void resolve_all(struct params *t, int layers, const struct params_blocks *blocks)
{
    for (enum hf_block b = 0; b < HF_BLOCKS; b++) {
        const bool of_layer = b != HF_BLOCK_EMBED && b != HF_BLOCK_HEAD && b != HF_BLOCK_NORM_FINAL;
        for (int l = 0; l < (of_layer ? layers : 1); l++) resolve(blocks, params_slot(t, l, b));
    }
    for (size_t i = 0; i < t->nlora; i++) {
        struct lora_block *x = &t->lora[i];
        resolve(blocks, &x->weight);
        resolve(blocks, &x->a);
        for (int part = 0; part < x->parts; part++) resolve(blocks, &x->part[part].b);
    }
}

/* ---- buckets ---- */
/* Places the tensors of a block after the last one. */
static int put(struct params *t, struct params_block *b, struct err *e)
{
    b->offset = t->total = params_aligned(t->total, 0);
    for (int i = 0; i < b->n; i++) {
        struct param *p = &t->p[b->first + (size_t)i];
        p->offset = t->total;
        p->bucket = t->nbuckets + t->nfrozen;
        if (mem_add(t->total, p->n, &t->total) || t->total > SIZE_MAX / 64)
            return err_set(e, ERR_DATA, "tensor %s is too large", p->name);
    }
    return 0;
}

/* The tensors of a bucket. */
struct kind {
    int layer;
    bool trained, experts;
};

static bool is_of(const struct params_block *b, const struct kind *k)
{
    return b->trained == k->trained && b->layer == k->layer && b->experts == k->experts;
}

/* Returns the elements of the buckets so far that have shares of experts. */
static size_t shared(const struct params *t, size_t buckets)
{
    const struct params_bucket *last = buckets ? &t->buckets[buckets - 1] : NULL;
    if (!last) return 0;
    return last->shared + (last->experts ? last->end - last->begin : 0);
}

/* Adds the bucket of these tensors of a layer, unless the layer has none. */
static int put_bucket(struct params *t, const struct kind *kind, struct params_blocks *blocks,
                      size_t multiple, struct err *e)
{
    const size_t n = t->nbuckets + t->nfrozen;
    struct params_bucket k = {.begin = t->total,
                              .decay_end = t->total,
                              .layer = kind->layer,
                              .experts = kind->experts,
                              .shared = shared(t, n)};
    for (size_t i = 0; i < blocks->n; i++) {
        struct params_block *b = &blocks->b[i];
        if (!is_of(b, kind)) continue;
        if (put(t, b, e)) return -1;
        if (!b->decay) continue;
        k.decay_end = params_aligned(t->total, 0);
        k.gaps |= k.decay_end != t->total;
    }
    if (t->total == k.begin) return 0;
    k.end = t->total = k.begin + params_aligned(t->total - k.begin, multiple);
    if (mem_grow(&t->buckets, &t->buckets_cap, n + 1, sizeof *t->buckets, e)) return -1;
    t->buckets[n] = k;
    ++*(kind->trained ? &t->nbuckets : &t->nfrozen);
    return 0;
}

static int put_buckets(struct params *t, int layers, bool trained, struct params_blocks *blocks,
                       size_t multiple, struct err *e)
{
    for (int layer = -1; layer <= layers; layer++)
        for (int experts = 0; experts < 2; experts++)
            if (put_bucket(t, &(struct kind){layer, trained, experts}, blocks, multiple, e))
                return -1;
    return 0;
}

/* ---- runs ---- */
/* Returns true if r continues the run: only alignment is between them, of the same size in both
 * orders. */
static bool continues(const struct params_run *last, const struct params_run *r)
{
    return last->bucket == r->bucket && last->range == r->range && last->decay == r->decay &&
           r->begin - last->begin == r->place - last->place;
}

static int add_run(struct params *t, const struct params_run *r, struct err *e)
{
    struct params_run *last = t->nruns ? &t->runs[t->nruns - 1] : NULL;
    if (last && continues(last, r)) {
        last->end = r->end;
        return 0;
    }
    if (mem_grow(&t->runs, &t->runs_cap, t->nruns + 1, sizeof *t->runs, e)) return -1;
    t->runs[t->nruns++] = *r;
    return 0;
}

/* Adds the runs of a tensor. The elements of a block of rows have the same positions as in the
 * whole tensor. A block of columns has as many positions as elements, after the positions of the
 * columns to its left, so it is also one run. */
static int add_runs(struct params *t, const struct param *p, struct err *e)
{
    const uint64_t width = param_width(p);
    size_t at = p->offset;
    for (int i = 0; i < param_blocks(p); i++) {
        const struct shard_block b = param_block(p, i);
        const size_t n = (size_t)(b.rows * b.columns);
        const struct params_run r = {.begin = at,
                                     .end = at + n,
                                     .place =
                                         p->place + (size_t)(b.row * width + b.column * b.rows),
                                     .range = p->range,
                                     .bucket = p->bucket,
                                     .decay = p->decay};
        if (n && add_run(t, &r, e)) return -1;
        at += n;
    }
    return 0;
}

int params_arrange(struct params *t, int layers, struct params_blocks *blocks, size_t multiple,
                   struct err *e)
{
    t->total = 0;
    if (put_buckets(t, layers, true, blocks, multiple, e)) return -1;
    t->trained = t->total;
    if (put_buckets(t, layers, false, blocks, multiple, e)) return -1;
    resolve_all(t, layers, blocks);
    for (size_t i = 0; i < t->count; i++)
        if (t->p[i].trained && add_runs(t, &t->p[i], e)) return -1;
    return 0;
}

/* ---- parts ---- */
/* Every ep-th rank has the same experts. */
struct params_part params_part(const struct params *t, size_t bucket, int parts, int at)
{
    const struct params_bucket *b = &t->buckets[bucket];
    const int same = parts > 1 ? parts / t->ep : 1;
    const size_t state = (b->begin - b->shared) / (size_t)parts + b->shared / (size_t)same;
    if (b->experts && parts > 1) at /= t->ep;
    const size_t each = (b->end - b->begin) / (size_t)(b->experts ? same : parts);
    const size_t begin = b->begin + (size_t)at * each;
    return (struct params_part){begin, begin + each, state};
}

size_t params_held(const struct params *t, size_t buckets, int parts)
{
    if (buckets == 0) return 0;
    const struct params_part last = params_part(t, buckets - 1, parts, 0);
    return last.state + (last.end - last.begin);
}

bool params_shares(const struct params *t, size_t bucket, int r)
{
    return !t->buckets[bucket].experts || r % t->ep == t->ep_at;
}

size_t params_bucket_at(const struct params *t, size_t offset)
{
    size_t low = 0, high = t->nbuckets + t->nfrozen - 1;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (offset < t->buckets[middle].end)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void params_clip(size_t *begin, size_t *end, size_t from, size_t to)
{
    if (*begin < from) *begin = from;
    if (*end > to) *end = to;
    if (*end < *begin) *end = *begin;
}
