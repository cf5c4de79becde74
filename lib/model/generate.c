/* SPDX-License-Identifier: Apache-2.0 */
/* Generation of documents with a cache of keys and values. Each document has rows of the cache that
 * follow one another; those of several documents may have gaps between them, into which they grow.
 *
 * Where ranks have parts of the model all of them extend the same documents. Each has the keys and
 * values of its heads and layers, and in the end all logits. */
#include <math.h>

#include "model/model_impl.h"
#include "parallel/collect.h"

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

/* ---- ranks that have parts of the model ---- */
/* Sends the stream from the stage of chunk i, of the chunks of all stages, to that of the next. */
static void pass_on(struct stage *s, struct pass *p, int i)
{
    enum { NOBODY = -1 };
    struct device *d = s->w->device;
    struct comm *pp = s->o.pp;
    const int stages = collect_size(pp), from = i % stages, to = (i + 1) % stages;
    const size_t bytes =
        (size_t)(stage_rows(s, p->b.T) * s->w->m.hidden) * dtype_size(s->w->accum);
    if (collect_rank(pp) == from)
        collect_send_receive(d, pp, stage_output(p), bytes, to, NULL, 0, NOBODY);
    if (collect_rank(pp) == to) {
        p->at = &s->chunk[(i + 1) / stages];
        collect_send_receive(d, pp, NULL, 0, NOBODY, stage_input(s, p), bytes, from);
    }
    collect_join(d, pp);
}

/* Runs all chunks, one after the other. */
static void forward(struct stage *s, struct pass *p)
{
    const int stages = collect_size(s->o.pp), all = stages * s->chunks;
    for (int i = 0; i < all; i++) {
        if (i % stages == collect_rank(s->o.pp)) {
            p->at = &s->chunk[i / stages];
            stage_forward(s, p);
        }
        if (i + 1 < all) pass_on(s, p, i);
    }
}

static void copy(struct stage *s, void *to, const void *from, size_t bytes)
{
    op_copy_rows(s->w->device, &(struct op_copy_rows){.y = to,
                                                      .x = from,
                                                      .rows = 1,
                                                      .bytes = bytes,
                                                      .y_stride = bytes,
                                                      .x_stride = bytes});
}

/* Puts together the logits [V] of a document at `to`, of which each rank of a stage with the output
 * projection has a part, at `own`. */
static void gather_logits(struct stage *s, char *to, const char *own)
{
    const struct weights *w = s->w;
    const size_t size = dtype_size(s->logit_type), each = (size_t)w->most_vocab;
    const int ranks = collect_size(w->tp);
    char *parts = s->whole.parts, *mine = parts + (size_t)collect_rank(w->tp) * each * size;
    copy(s, mine, own, (size_t)w->m.vocab * size);
    collect_all_gather(w->device, w->tp, parts, mine, each, s->logit_type);
    collect_join(w->device, w->tp);
    for (int r = 0; r < ranks; r++) {
        const size_t begin = shard_begin((uint64_t)w->whole.vocab, ranks, r),
                     end = shard_begin((uint64_t)w->whole.vocab, ranks, r + 1);
        copy(s, to + begin * size, parts + (size_t)r * each * size, (end - begin) * size);
    }
}

/* Gives all ranks the logits of all documents. */
static void share_logits(struct stage *s, int32_t docs)
{
    const struct weights *w = s->w;
    const size_t size = dtype_size(s->logit_type), row = (size_t)w->whole.vocab * size;
    for (int32_t d = 0; s->whole.logits && d < docs; d++) {
        char *to = (char *)s->whole.logits + (size_t)d * row;
        if (s->head)
            gather_logits(s, to, (char *)s->logits + (size_t)(d * w->m.vocab) * size);
        collect_broadcast(w->device, s->o.pp, to, row, collect_size(s->o.pp) - 1);
        collect_join(w->device, s->o.pp);
    }
}

static void *all_logits(const struct stage *s)
{
    return s->whole.logits ? s->whole.logits : s->logits;
}

static void next_tokens(struct stage *s, struct pass *p)
{
    forward(s, p);
    if (s->head) head_logits(s, p, p->rows, p->b.docs);
    share_logits(s, p->b.docs);
    op_argmax(s->w->device, &(struct op_argmax){.y = s->argmax,
                                                .logits = all_logits(s),
                                                .n = p->b.docs,
                                                .V = s->w->whole.vocab,
                                                .dtype = s->logit_type});
}

/* ---- a pass ---- */

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
    p->b.peers = s->o.ep ? p->b.T : 0;
    pass_upload(s, p);
    next_tokens(s, p);
}

void generate_rehearse(struct stage *s, int64_t T, int32_t docs)
{
    begin(&s->pass[0].b, T, docs, s->w->length);
    s->pass[0].b.peers = s->o.ep ? T : 0;
    next_tokens(s, &s->pass[0]);
}

int stage_next(struct stage *s, int32_t *ids, struct err *e)
{
    const size_t bytes = (size_t)s->pass[0].b.docs * sizeof *ids;
    return s->w->device->ops->download(s->w->device, ids, s->argmax, bytes, e);
}

int stage_logits(struct stage *s, int32_t d, float *out, struct err *e)
{
    const struct model *m = &s->w->whole;
    const size_t at = (size_t)d * (size_t)m->vocab;
    if (weights_get(s->w, all_logits(s), s->logit_type, at, (size_t)m->vocab, out, e)) return -1;
    for (int64_t i = 0; i < m->vocab && m->logit_cap > 0; i++)
        out[i] = (float)(m->logit_cap * tanh((double)out[i] / m->logit_cap));
    return 0;
}

void stage_copy(struct stage *s, int64_t to, int64_t from, int64_t n)
{
    for (int l = 0; n > 0 && l < s->w->m.layers; l++) {
        if (!s->cache[l]) continue; /* another stage's layer */
        op_copy_rows(s->w->device, &(struct op_copy_rows){.y = cache_row(s, l, to),
                                                          .x = cache_row(s, l, from),
                                                          .rows = n,
                                                          .bytes = row_bytes(s),
                                                          .y_stride = row_bytes(s),
                                                          .x_stride = row_bytes(s)});
    }
}

/* ---- memory ---- */
void generate_plan(struct stage *s, struct plan *plan)
{
    const struct weights *w = s->w;
    const size_t docs = (size_t)s->o.docs, size = dtype_size(s->logit_type);
    plan_add(plan, PLAN_DATA, "next", -1, docs, sizeof(int32_t), PLAN_ALWAYS, 0, &s->argmax);
    for (const struct chunk *k = s->chunk; k < s->chunk + s->chunks; k++)
        for (int l = k->first; l < k->end; l++)
            plan_add(plan, PLAN_ACTIVATIONS, "cache", l, (size_t)s->o.cache, row_bytes(s),
                     PLAN_ALWAYS, 0, &s->cache[l]);
    if (collect_size(w->tp) == 1 && collect_size(s->o.pp) == 1) return;
    plan_add(plan, PLAN_ACTIVATIONS, "all logits", -1, docs * (size_t)w->whole.vocab, size,
             PLAN_ALWAYS, 0, &s->whole.logits);
    plan_add(plan, PLAN_ACTIVATIONS, "logits of ranks", -1,
             (size_t)(collect_size(w->tp) * w->most_vocab), size, PLAN_ALWAYS, 0,
             &s->whole.parts);
}

size_t stage_pipeline(const struct stage *s)
{
    const struct weights *w = s->w;
    const size_t logits = (size_t)w->whole.vocab * dtype_size(s->logit_type);
    const size_t stream =
        (size_t)(stage_rows(s, s->o.tokens) * w->m.hidden) * dtype_size(w->accum);
    if (!s->o.pp) return 0;
    return logits > stream ? logits : stream;
}
