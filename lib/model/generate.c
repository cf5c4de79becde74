/* SPDX-License-Identifier: Apache-2.0 */
/* Generation of documents with a cache of keys and values. Each document has rows of the cache that
 * follow one another; those of several documents may have gaps between them, into which they grow.
 */
#include <math.h>

#include "model/model_impl.h"

/* Returns the bytes of a row of the cache: k and v of a token. */
static size_t row_bytes(const struct stage *s)
{
    return (size_t)(2 * model_kv_width(&s->w->m)) * dtype_size(s->w->compute);
}

static void *cache_row(const struct stage *s, int l, int64_t row)
{
    return (char *)s->cache[l] + (size_t)row * row_bytes(s);
}

/* k and v are adjacent in a row of qkv, and so in a row of the cache. While the plan is made
 * the micro-batch has no arrays yet, and a copy needs no scratch. */
static void append(struct stage *s, const struct micro_batch *b, int l,
                   const struct op_attention *t)
{
    const size_t stride = (size_t)t->kv_stride * dtype_size(s->w->compute);
    for (int32_t d = 0; b->cu && d < b->docs; d++) {
        const int64_t at = b->cu[2 * d], T = b->cu[2 * d + 1] - at;
        op_copy_rows(s->w->device,
                     &(struct op_copy_rows){.y = cache_row(s, l, b->keys.end[2 * d] - T),
                                            .x = (const char *)t->k + (size_t)at * stride,
                                            .rows = T,
                                            .bytes = row_bytes(s),
                                            .y_stride = row_bytes(s),
                                            .x_stride = stride});
    }
}

void generate_attend(struct stage *s, const struct pass *p, int l, struct op_attention *t)
{
    const int64_t kv = model_kv_width(&s->w->m);
    append(s, &p->b, l, t);
    t->k = s->cache[l];
    t->v = stage_columns(s, s->cache[l], kv);
    t->kv_stride = 2 * kv;
    t->cu_k = p->key_cu;
    t->key_end = p->key_end;
    t->Tk = s->o.cache;
}

static void next_tokens(struct stage *s, struct pass *p)
{
    stage_forward(s, p);
    head_logits(s, p, p->rows, p->b.docs);
    op_argmax(s->w->device, &(struct op_argmax){.y = s->argmax,
                                                .logits = s->logits,
                                                .n = p->b.docs,
                                                .V = s->w->m.vocab,
                                                .dtype = s->logit_type});
}

static void begin(struct micro_batch *b, int64_t T, int32_t docs, int64_t max_len)
{
    b->T = T;
    b->targets = b->docs = docs;
    b->max_len = max_len;
    b->cached = true;
}

/* Puts the tokens of document d behind those of the documents before it. */
static void put(struct micro_batch *b, int32_t d, const struct stage_tokens *x)
{
    const int64_t at = b->T;
    for (int64_t t = 0; t < x->T; t++) {
        b->ids[at + t] = x->ids[t];
        b->pos[at + t] = (int32_t)(x->past + t);
    }
    b->T += x->T;
    b->cu[2 * d + 1] = b->cu[2 * d + 2] = (int32_t)b->T;
    b->rows[d] = (int32_t)(b->T - 1);
    b->keys.cu[d] = (int32_t)x->row;
    b->keys.end[2 * d] = b->keys.end[2 * d + 1] = b->keys.cu[d + 1] =
        (int32_t)(x->row + x->past + x->T);
    if (x->past + x->T > b->max_len) b->max_len = x->past + x->T;
}

void stage_extend(struct stage *s, const struct stage_tokens *x, int32_t docs)
{
    struct pass *p = &s->pass[0];
    stage_refill(s, p);
    begin(&p->b, 0, docs, 0);
    p->b.cu[0] = 0;
    for (int32_t d = 0; d < docs; d++) put(&p->b, d, &x[d]);
    pass_upload(s, p);
    next_tokens(s, p);
}

void generate_rehearse(struct stage *s, int64_t T, int32_t docs)
{
    begin(&s->pass[0].b, T, docs, s->w->length);
    next_tokens(s, &s->pass[0]);
}

int stage_next(struct stage *s, int32_t *ids, struct err *e)
{
    const size_t bytes = (size_t)s->pass[0].b.docs * sizeof *ids;
    return s->w->device->ops->download(s->w->device, ids, s->argmax, bytes, e);
}

int stage_logits(struct stage *s, int32_t d, float *out, struct err *e)
{
    const struct model *m = &s->w->m;
    const size_t at = (size_t)d * (size_t)m->vocab;
    if (weights_get(s->w, s->logits, s->logit_type, at, (size_t)m->vocab, out, e)) return -1;
    for (int64_t i = 0; i < m->vocab && m->logit_cap > 0; i++)
        out[i] = (float)(m->logit_cap * tanh((double)out[i] / m->logit_cap));
    return 0;
}

void stage_copy(struct stage *s, int64_t to, int64_t from, int64_t n)
{
    for (int l = 0; n > 0 && l < s->layers; l++)
        op_copy_rows(s->w->device, &(struct op_copy_rows){.y = cache_row(s, l, to),
                                                          .x = cache_row(s, l, from),
                                                          .rows = n,
                                                          .bytes = row_bytes(s),
                                                          .y_stride = row_bytes(s),
                                                          .x_stride = row_bytes(s)});
}
