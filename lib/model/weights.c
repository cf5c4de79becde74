/* SPDX-License-Identifier: Apache-2.0 */
/* The flat allocations of weights and gradients. */
#include "model/weights.h"

#include "base/mem.h"
#include "model/model_impl.h"

int weights_init(struct weights *w, const struct model *m, const struct weights_options *o,
                 struct device *d, struct plan *plan, struct err *e)
{
    *w = (struct weights){.whole = *m,
                          .m = *m,
                          .made = o->params,
                          .compute = o->compute,
                          .length = o->length,
                          .lora = o->params.lora,
                          .has_gradients = o->gradients,
                          .device = d,
                          .tp = o->tp};
    w->accum = o->compute == DT_F64 ? DT_F64 : DT_F32;
    w->gradient = o->gradient == DT_BF16 ? DT_BF16 : w->accum;
    if (w->gradient == DT_BF16 && w->compute != DT_BF16)
        return err_set(e, ERR_CONFIG,
                       "gradients in bf16 need a computation in bf16, but this one is in %s; use "
                       "sft.gradient_dtype=fp32",
                       dtype_name(w->compute));
    if (o->length < 1 || o->length > TOKENS_MOST)
        return err_set(e, ERR_MEMORY, "a document of %lld tokens does not fit",
                       (long long)o->length);
    if (model_local(m, o->params.tp, o->params.at, &w->m, e) ||
        params_make(m, &o->params, &w->params, e))
        return -1;
    w->most_vocab = o->params.tp > 1 ? (m->vocab - 1) / o->params.tp + 1 : m->vocab;
    w->staging = mem_alloc(STAGING, sizeof(double), e);
    if (!w->staging) return -1;
    if (parts_init(w, &o->parts, plan, e)) return -1;
    if (!w->own.parts)
        plan_add(plan, PLAN_WEIGHTS, "weights", -1, w->params.total, dtype_size(w->compute),
                 PLAN_ALWAYS, 0, &w->values);
    if (o->gradients && !w->sum.parts)
        plan_add(plan, PLAN_GRADIENTS, "gradients", -1, w->params.trained, dtype_size(w->gradient),
                 PLAN_ALWAYS, 0, &w->gradients);
    rotary_plan(w, plan);
    return 0;
}

int weights_table(const struct weights *w, struct params *t, struct err *e)
{
    struct params_options o = w->made;
    o.stages = o.stage = o.chunks = o.tp = o.at = o.ep = o.ep_at = 0;
    o.sequence = false;
    return params_make(&w->whole, &o, t, e);
}

const struct params *weights_whole(const struct weights *w, struct params *made, struct err *e)
{
    *made = (struct params){0};
    const bool has = w->params.has_embedding && w->params.has_head && w->params.ep == 1;
    if (has) return &w->params;
    return weights_table(w, made, e) ? NULL : made;
}

void weights_free(struct weights *w)
{
    parts_free(w);
    params_free(&w->params);
    mem_free(w->staging);
    *w = (struct weights){0};
}

/* Returns the address of an element in a flat allocation, or in the buffer that has its bucket. */
static void *find(const struct weights *w, void *flat, char **buckets, size_t offset, enum dtype t)
{
    if (!buckets) return (char *)flat + offset * dtype_size(t);
    const size_t b = params_bucket_at(&w->params, offset);
    return buckets[b] + (offset - w->params.buckets[b].begin) * dtype_size(t);
}

const void *weights_at(const struct weights *w, size_t offset)
{
    return find(w, w->values, w->buffers.value, offset, w->compute);
}

void *weights_gradient(const struct weights *w, size_t offset)
{
    if (!weights_trained(w, offset)) return NULL;
    return find(w, w->gradients, w->buffers.gradient, offset, w->gradient);
}

/* Returns the address of an element in a flat allocation, or in this rank's parts. */
static void *find_own(const struct weights *w, void *flat, const struct weights_state *s,
                      size_t bucket, size_t element, enum dtype t)
{
    if (!s->parts) return (char *)flat + element * dtype_size(t);
    const struct params_part own = params_part(&w->params, bucket, s->parts, s->at);
    return (char *)s->flat + (own.state + element - own.begin) * dtype_size(t);
}

void *weights_own_value(const struct weights *w, size_t bucket, size_t element)
{
    return find_own(w, w->values, &w->own, bucket, element, w->compute);
}

void *weights_own_gradient(const struct weights *w, size_t bucket, size_t element)
{
    return find_own(w, w->gradients, &w->sum, bucket, element, w->gradient);
}

void weights_clear(struct weights *w, size_t from, size_t to)
{
    if (from == to || !weights_trained(w, from)) return;
    op_zero(w->device, &(struct op_zero){.y = weights_gradient(w, from),
                                         .bytes = (to - from) * dtype_size(w->gradient)});
}

void weights_clear_all(struct weights *w)
{
    void *const all = w->sum.parts ? w->sum.flat : w->gradients;
    const size_t n = w->sum.parts ? params_held(&w->params, w->params.nbuckets, w->sum.parts)
                                  : w->params.trained;
    op_zero(w->device, &(struct op_zero){.y = all, .bytes = n * dtype_size(w->gradient)});
}

bool weights_sums_embedding(const struct weights *w)
{
    return w->params.has_embedding && !(w->params.has_head && w->m.tied);
}

void weights_begin(struct weights *w)
{
    const struct params *p = &w->params;
    w->begun++;
    if (w->sum.parts) return; /* begin_gradients clears */
    for (size_t i = 0; i < p->nbuckets; i++)
        weights_clear(w, p->buckets[i].decay_end, p->buckets[i].end);
    if (weights_sums_embedding(w))
        weights_clear(w, p->embed, p->embed + (size_t)(w->m.vocab * w->m.hidden));
}
