/* SPDX-License-Identifier: Apache-2.0 */
/* Weights of which each data-parallel rank has a part. ZeRO-2: a backward pass computes the
 * gradients of a layer in a buffer, whose reduction runs while the next layer is computed; the rank
 * keeps the sum of its parts. ZeRO-3: the values of a layer are gathered in a buffer while the
 * layer before is computed. Two buffers take turns for the layers; a third one has the embedding or
 * the head, or both of them where they share a matrix.
 *
 * Where ranks share out the experts, a layer may have two buckets, of which one is exchanged by the
 * ranks with the same experts.
 *
 * A group has one queue. To leave a reduction running beside the next layer, everything queued is
 * waited for just before the next reduction and the next gather are queued. */
#include <stdint.h>

#include "base/mem.h"
#include "model/model_impl.h"
#include "parallel/collect.h"

/* ---- where a bucket lies ---- */
static size_t all_buckets(const struct weights *w)
{
    return w->params.nbuckets + w->params.nfrozen;
}

static bool is_end(const struct weights *w, int layer) { return layer < 0 || layer == w->m.layers; }

/* Returns the layer under which a slot has this one: tied ends are gathered together. */
static int name_of(const struct weights *w, int layer)
{
    return layer < 0 && w->m.tied ? w->m.layers : layer;
}

static bool is_in(const struct weights *w, size_t bucket, int name)
{
    return name_of(w, w->params.buckets[bucket].layer) == name;
}

static size_t size_of(const struct weights *w, size_t bucket)
{
    return w->params.buckets[bucket].end - w->params.buckets[bucket].begin;
}

/* Returns the elements of the slot that has a layer. */
static size_t gathered(const struct weights *w, int layer)
{
    size_t n = 0;
    for (size_t b = 0; b < all_buckets(w); b++)
        if (is_in(w, b, name_of(w, layer))) n += size_of(w, b);
    return n;
}

/* Returns the group that has the parts of a bucket. */
static struct comm *group_of(const struct weights *w, size_t bucket)
{
    return w->buffers.group[w->params.buckets[bucket].experts];
}

/* Returns the buffer for the gradients of a bucket, and its offset in it: those of tied ends are
 * computed at one time, and the buckets of one layer. */
static int buffer_of(const struct weights *w, size_t bucket, size_t *offset)
{
    const struct params *p = &w->params;
    const int layer = p->buckets[bucket].layer;
    *offset = 0;
    if (bucket > 0 && p->buckets[bucket - 1].layer == layer) *offset = size_of(w, bucket - 1);
    if (!is_end(w, layer)) return layer & 1;
    if (w->m.tied && layer >= 0 && p->buckets[0].layer < 0) *offset = size_of(w, 0);
    return WEIGHTS_OF_ENDS;
}

/* ---- memory ---- */
static void plan_values(struct weights *w, struct plan *plan)
{
    struct weights_buffers *x = &w->buffers;
    size_t layer = 0, end = 0, n;
    for (int l = -1; l <= w->m.layers; l++) {
        size_t *most = is_end(w, l) ? &end : &layer;
        if ((n = gathered(w, l)) > *most) *most = n;
    }
    plan_add(plan, PLAN_WEIGHTS, "weights", -1,
             params_held(&w->params, all_buckets(w), w->own.parts), dtype_size(w->compute),
             PLAN_ALWAYS, 0, &w->own.flat);
    for (int i = 0; i < WEIGHTS_SLOTS; i++)
        plan_add(plan, PLAN_WEIGHTS, "gathered weights", -1, i == WEIGHTS_OF_ENDS ? end : layer,
                 dtype_size(w->compute), PLAN_ALWAYS, 0, &x->slot[i].memory);
}

static void plan_gradients(struct weights *w, struct plan *plan)
{
    size_t most[WEIGHTS_SLOTS] = {0}, offset;
    for (size_t b = 0; b < w->params.nbuckets; b++) {
        const int i = buffer_of(w, b, &offset);
        if (offset + size_of(w, b) > most[i]) most[i] = offset + size_of(w, b);
    }
    plan_add(plan, PLAN_GRADIENTS, "gradients", -1,
             params_held(&w->params, w->params.nbuckets, w->sum.parts), dtype_size(w->gradient),
             PLAN_ALWAYS, 0, &w->sum.flat);
    for (int i = 0; i < WEIGHTS_SLOTS; i++)
        plan_add(plan, PLAN_GRADIENTS, "gradients of a layer", -1, most[i], dtype_size(w->gradient),
                 PLAN_ALWAYS, 0, &w->buffers.gradients[i]);
}

int parts_init(struct weights *w, const struct weights_parts *o, struct plan *plan, struct err *e)
{
    struct weights_buffers *x = &w->buffers;
    const int parts = collect_size(o->group), at = collect_rank(o->group);
    *x = (struct weights_buffers){
        .group = {o->group, o->experts}, .parts = parts, .at = at, .reduced = {SIZE_MAX, SIZE_MAX}};
    weights_changed(w);
    if (parts == 1) return 0;
    if (o->values) {
        w->own = (struct weights_state){.type = w->compute, .parts = parts, .at = at};
        if (!(x->value = mem_alloc(all_buckets(w), sizeof *x->value, e))) return -1;
        plan_values(w, plan);
    }
    if (o->gradients && w->has_gradients) {
        w->sum = (struct weights_state){.type = w->gradient, .parts = o->all_sums ? 1 : parts};
        w->sum.at = o->all_sums ? 0 : at;
        if (!(x->gradient = mem_alloc(w->params.nbuckets, sizeof *x->gradient, e))) return -1;
        plan_gradients(w, plan);
    }
    return 0;
}

void parts_free(struct weights *w)
{
    mem_free(w->buffers.value);
    mem_free(w->buffers.gradient);
}

size_t weights_collective(const struct weights *w, bool experts)
{
    size_t most = 0;
    for (size_t b = 0; b < (w->own.parts ? all_buckets(w) : w->params.nbuckets); b++) {
        if (w->params.buckets[b].experts != experts) continue;
        size_t bytes = size_of(w, b) * dtype_size(w->compute);
        if (b < w->params.nbuckets && dtype_size(w->gradient) > dtype_size(w->compute))
            bytes = size_of(w, b) * dtype_size(w->gradient);
        if (bytes > most) most = bytes;
    }
    return most;
}

/* ---- collectives ---- */
struct params_part weights_summed(const struct weights *w, size_t bucket)
{
    return params_part(&w->params, bucket, w->buffers.parts, w->buffers.at);
}

/* Adds the parts of a bucket that have been reduced. */
static void add_reduced(struct weights *w, size_t bucket)
{
    const struct params_bucket *b = &w->params.buckets[bucket];
    const struct params_part own = weights_summed(w, bucket);
    void *sum = weights_own_gradient(w, bucket, own.begin);
    op_add(w->device, &(struct op_add){.y = sum,
                                       .a = sum,
                                       .b = w->buffers.gradient[bucket] +
                                            (own.begin - b->begin) * dtype_size(w->gradient),
                                       .n = (int64_t)(own.end - own.begin),
                                       .dtype = w->gradient});
}

/* Makes the device wait for all that is queued, and adds the parts that have been reduced. */
static void settle(struct weights *w)
{
    struct weights_buffers *x = &w->buffers;
    for (int g = 0; g < WEIGHTS_GROUPS; g++)
        if (x->gathers || x->reduced[g] != SIZE_MAX) collect_join(w->device, x->group[g]);
    x->gathers = false;
    for (int g = 0; g < WEIGHTS_GROUPS; g++) {
        if (x->reduced[g] != SIZE_MAX && x->adds) add_reduced(w, x->reduced[g]);
        x->reduced[g] = SIZE_MAX;
    }
}

/* Queues the reduction of a bucket, after all that was queued is settled. The parts of a step's
 * first micro-batch are written to their sum; those of later ones go to the buffer first. */
static void reduce(struct weights *w, size_t bucket)
{
    struct weights_buffers *x = &w->buffers;
    const struct params_bucket *b = &w->params.buckets[bucket];
    const struct params_part own = weights_summed(w, bucket);
    char *from = x->gradient[bucket];
    void *to = x->first ? weights_own_gradient(w, bucket, own.begin)
                        : from + (own.begin - b->begin) * dtype_size(w->gradient);
    collect_reduce_scatter(w->device, group_of(w, bucket), to, from, own.end - own.begin,
                           w->gradient);
    x->reduced[b->experts] = bucket;
    x->adds = !x->first;
}

/* ---- values ---- */
static int slot_of(const struct weights *w, int name)
{
    for (int i = 0; i < WEIGHTS_SLOTS; i++)
        if (w->buffers.slot[i].layer == name) return i;
    return -1;
}

/* Gives the buckets of a layer their place in a slot, which then has no other; returns the slot. */
static int place(struct weights *w, int name)
{
    struct weights_buffers *x = &w->buffers;
    const int at = is_end(w, name) ? WEIGHTS_OF_ENDS : !x->current;
    char *to = x->slot[at].memory;
    for (size_t b = 0; b < all_buckets(w); b++) {
        if (is_in(w, b, x->slot[at].layer)) x->value[b] = NULL;
        if (!is_in(w, b, name)) continue;
        x->value[b] = to;
        to += size_of(w, b) * dtype_size(w->compute);
    }
    x->slot[at].layer = name;
    return at;
}

/* Queues the gathers of a layer. */
static int gather(struct weights *w, int name)
{
    struct weights_buffers *x = &w->buffers;
    const int at = place(w, name);
    for (size_t b = 0; b < all_buckets(w); b++) {
        if (!is_in(w, b, name)) continue;
        const struct params_part own = params_part(&w->params, b, w->own.parts, w->own.at);
        collect_all_gather(w->device, group_of(w, b), x->value[b],
                           weights_own_value(w, b, own.begin), own.end - own.begin, w->compute);
        x->gathers = true;
    }
    return at;
}

/* Makes the values of a layer complete until the next call but one, or, of the embedding and the
 * head, until the other of them is used; and begins to gather those of `next`, the layer that the
 * pass uses then, or WEIGHTS_NO_LAYER. All ranks of the group use the same layers in the same
 * order. */
static void use(struct weights *w, int layer, int next)
{
    struct weights_buffers *x = &w->buffers;
    if (!x->value) return;
    int at = slot_of(w, name_of(w, layer));
    if (at < 0) at = gather(w, name_of(w, layer));
    if (x->gathers) settle(w);
    if (at != WEIGHTS_OF_ENDS) x->current = at;
    if (next != WEIGHTS_NO_LAYER && slot_of(w, name_of(w, next)) < 0) gather(w, name_of(w, next));
}

void weights_place(struct weights *w, int layer)
{
    if (w->buffers.value && slot_of(w, layer) < 0) place(w, layer);
}

void weights_changed(struct weights *w)
{
    for (int i = 0; i < WEIGHTS_SLOTS; i++) w->buffers.slot[i].layer = WEIGHTS_NO_LAYER;
}

/* ---- gradients ---- */
/* Returns true if the memory of a bucket is that of one whose reduction is queued. */
static bool is_busy(const struct weights *w, size_t bucket, const char *to)
{
    const struct weights_buffers *x = &w->buffers;
    const char *const end = to + size_of(w, bucket) * dtype_size(w->gradient);
    bool busy = false;
    for (int g = 0; g < WEIGHTS_GROUPS; g++) {
        const size_t b = x->reduced[g];
        if (b == SIZE_MAX) continue;
        const char *from = x->gradient[b];
        busy |= from < end && to < from + size_of(w, b) * dtype_size(w->gradient);
    }
    return busy;
}

/* Products overwrite the gradients of matrices; vectors and alignment have to be zero before. */
static void begin_bucket(struct weights *w, size_t bucket, bool zeros)
{
    struct weights_buffers *x = &w->buffers;
    const struct params_bucket *b = &w->params.buckets[bucket];
    const bool sums = b->layer < 0 && weights_sums_embedding(w);
    size_t offset;
    const int i = buffer_of(w, bucket, &offset);
    char *to = (char *)x->gradients[i] + offset * dtype_size(w->gradient);
    if (is_busy(w, bucket, to)) settle(w);
    x->gradient[bucket] = to;
    weights_clear(w, zeros || sums || b->gaps ? b->begin : b->decay_end, b->end);
}

/* Gives the gradients of a layer their place in a buffer, where a backward pass begins with them;
 * zeros: cleared, for a rank that adds nothing. */
static void begin_gradients(struct weights *w, int layer, bool zeros)
{
    if (!w->buffers.gradient) return;
    for (size_t b = 0; b < w->params.nbuckets; b++)
        if (w->params.buckets[b].layer == layer) begin_bucket(w, b, zeros);
}

void weights_end_layer(struct weights *w, int layer)
{
    struct weights_buffers *x = &w->buffers;
    if (!x->gradient) return;
    bool any = false;
    for (size_t b = 0; b < w->params.nbuckets; b++) {
        if (w->params.buckets[b].layer != layer) continue;
        weights_sum_partial(w, w->params.buckets[b].begin, w->params.buckets[b].end);
        any = true;
    }
    if (any) settle(w);
    for (size_t b = w->params.nbuckets; b-- > 0;)
        if (w->params.buckets[b].layer == layer) reduce(w, b);
}

void weights_end_step(struct weights *w) { settle(w); }

/* ---- passes ---- */
void stage_use(struct stage *s, const struct chunk *k, int layer)
{
    const int next = layer < 0 ? k->first : layer + 1;
    const bool has = next < k->end || (next == k->end && k->head);
    use(s->w, layer, has ? next : WEIGHTS_NO_LAYER);
}

/* The head of a tied model begins the gradient of the embedding. */
static void begin_layer(struct weights *w, const struct chunk *k, int layer, bool zeros)
{
    if (layer < 0 && !weights_sums_embedding(w)) return;
    begin_gradients(w, layer, zeros);
    if (k->head && layer == k->end && w->m.tied) begin_gradients(w, -1, zeros);
}

static void use_backward(struct weights *w, const struct chunk *k, int layer, bool zeros)
{
    const int next = layer - 1 >= chunk_lowest(w, k) ? layer - 1 : WEIGHTS_NO_LAYER;
    if (layer >= 0) use(w, layer, next);
    begin_layer(w, k, layer, zeros);
}

void stage_use_backward(struct stage *s, const struct chunk *k, int layer)
{
    use_backward(s->w, k, layer, false);
}

void stage_idle_forward(struct stage *s, const struct chunk *k)
{
    if (k->embedding) stage_use(s, k, -1);
    for (int l = k->first; l < k->end; l++) stage_use(s, k, l);
    if (k->head) stage_use(s, k, k->end);
}

void stage_idle_backward(struct stage *s, const struct chunk *k)
{
    for (int l = k->head ? k->end : k->end - 1; l >= chunk_lowest(s->w, k); l--) {
        use_backward(s->w, k, l, true);
        weights_end_layer(s->w, l);
    }
    if (k->embedding) use_backward(s->w, k, -1, true);
    if (chunk_has_embedding(s->w, k)) weights_end_layer(s->w, -1);
}
