/* SPDX-License-Identifier: Apache-2.0 */
/* A stage and its passes, without the computation. */
#include "model/stage.h"

#include "base/mem.h"
#include "model/model_impl.h"

bool stage_stores_layers(const struct stage *s)
{
    return s->w->has_gradients && s->o.recompute != RECOMPUTE_FULL;
}
bool stage_stores_all(const struct stage *s)
{
    return s->w->has_gradients && s->o.recompute == RECOMPUTE_NONE;
}

/* Returns the number of targets whose logits the device prefers to compute at one time. */
static int64_t default_chunk(const struct device *d, enum dtype logits, int64_t vocab)
{
    const int64_t size = logits == DT_BF16 ? 2 : 4;
    const int64_t c = (int64_t)d->head.bytes / size / vocab / 64 * 64;
    return c < 64 ? 64 : c > d->head.most ? d->head.most : c;
}

static int check(const struct stage *s, struct err *e)
{
    const struct model *m = &s->w->m;
    const int64_t tokens = s->o.cp ? s->o.all : s->o.tokens;
    if (s->o.tokens < 1 || tokens > TOKENS_MOST)
        return err_set(e, ERR_MEMORY, "a micro-batch of %lld tokens does not fit",
                       (long long)tokens);
    if (s->o.cache > TOKENS_MOST)
        return err_set(e, ERR_MEMORY, "a cache of %lld tokens does not fit", (long long)s->o.cache);
    if (model_sparse_layers(m) && dispatch_most(s) > INT32_MAX / 4 / m->chosen)
        return err_set(e, ERR_MEMORY,
                       "a micro-batch of %lld tokens with num_experts_per_tok %d does not fit",
                       (long long)dispatch_most(s), m->chosen);
    if (s->o.cache && rope_moves(m, s->w->length))
        return err_set(e, ERR_DATA,
                       "config.json: generation beyond max_position_embeddings (%lld) is not "
                       "supported with rope_scaling of type dynamic, whose frequencies change with "
                       "every token; shorten the prompt or the answer",
                       (long long)m->positions);
    return 0;
}

/* Describes the chunks, whose first one has the embedding if the stage has it. */
static void init_chunks(struct stage *s)
{
    const struct params *p = &s->w->params;
    s->embedding = p->has_embedding;
    s->head = p->has_head;
    for (int c = 0; c < s->chunks; c++) {
        struct chunk *k = &s->chunk[c];
        params_chunk(p, c, &k->first, &k->end);
        k->embedding = s->embedding && c == 0;
        k->head = s->head && c + 1 == s->chunks;
        if (k->end - k->first > s->layers) s->layers = k->end - k->first;
    }
}

static void init_passes(struct stage *s)
{
    for (int i = 0; i < s->o.passes; i++)
        s->pass[i] = (struct pass){
            .at = s->chunk, .micro_batch = -1, .acts = s->layer + (size_t)(i * s->layers)};
}

int stage_init(struct stage *s, struct weights *w, const struct stage_options *o, struct plan *plan,
               struct err *e)
{
    *s = (struct stage){.w = w, .o = *o, .chunks = w->params.chunks};
    if (check(s, e)) return -1;
    s->chunk = mem_alloc((size_t)s->chunks, sizeof *s->chunk, e);
    if (!s->chunk) return -1;
    init_chunks(s);
    if (s->o.passes < 1) s->o.passes = 1;
    if (s->o.docs < 1) s->o.docs = 1;
    s->o.tokens = rows_all(w, o->tokens);
    s->logit_type = w->accum;
    if (w->compute == DT_BF16 && o->logits == DT_BF16) s->logit_type = DT_BF16;
    if (s->o.chunk <= 0) s->o.chunk = default_chunk(w->device, s->logit_type, w->most_vocab);
    if (s->o.chunk > o->tokens) s->o.chunk = o->tokens;
    s->pass = mem_alloc((size_t)s->o.passes, sizeof *s->pass, e);
    s->layer = mem_alloc((size_t)s->o.passes * (size_t)s->layers, sizeof *s->layer, e);
    s->cache = mem_alloc((size_t)w->m.layers, sizeof *s->cache, e);
    if (!s->pass || !s->layer || !s->cache) return -1;
    init_passes(s);
    stage_declare(s, plan);
    return 0;
}

void stage_free(struct stage *s)
{
    mem_free(s->chunk);
    mem_free(s->pass);
    mem_free(s->layer);
    mem_free(s->cache);
    *s = (struct stage){0};
}

/* ---- passes ---- */
struct pass *stage_claim(struct stage *s, int chunk, int micro_batch)
{
    struct pass *p = s->pass;
    while (p->micro_batch >= 0) p++;
    p->at = &s->chunk[chunk];
    p->micro_batch = micro_batch;
    return p;
}

struct pass *stage_pass(struct stage *s, int chunk, int micro_batch)
{
    struct pass *p = s->pass;
    while (p->micro_batch != micro_batch || p->at != &s->chunk[chunk]) p++;
    return p;
}

void stage_release(struct pass *p) { p->micro_batch = -1; }

struct activations stage_activations(const struct stage *s, const struct pass *p, int l)
{
    const int i = l - p->at->first;
    struct activations a = p->acts[stage_stores_layers(s) ? i : 0];
    if (s->w->has_gradients) a.res1 = p->acts[i].res1;
    a.h1 = a.h2 = s->h;
    if (!stage_stores_all(s)) {
        a.z = s->z;
        a.experts.rows = s->expert_rows;
        a.shared.z = s->z;
        a.rot = s->rot;
        a.keys = s->context.keys;
    }
    if (!s->w->m.qk_norm) a.rot = a.qkv;
    dispatch_bind(s, p, stage_stores_layers(s) ? i : 0, &a);
    return a;
}

void *stage_input(const struct stage *s, const struct pass *p)
{
    return stage_activations(s, p, p->at->first).res1;
}
void *stage_output(const struct pass *p) { return p->res_final; }
void *stage_gradient(const struct pass *p) { return p->dres; }

void *stage_columns(const struct stage *s, void *rows, int64_t column)
{
    return (char *)rows + (size_t)column * dtype_size(s->w->compute);
}

void stage_rehearse(struct stage *s)
{
    const int64_t T = s->o.tokens, length = s->w->length;
    struct pass *p = &s->pass[0];
    const int64_t all = s->o.cp ? s->o.all : T;
    /* many documents, each of maximum length: an upper bound of every batch */
    p->b.T = p->b.targets = p->b.keys.each = T;
    p->b.all = all;
    p->b.peers = s->o.ep ? T : 0;
    p->b.docs = (int32_t)all;
    p->b.max_len = length < all ? length : all;
    for (int c = s->chunks - 1; c >= 0; c--) {
        p->at = &s->chunk[c];
        stage_forward(s, p);
        if (s->w->has_gradients)
            stage_backward(s, p, 1, NULL);
        else if (p->at->head)
            stage_loss(s, p);
    }
    if (s->o.cache) {
        for (int32_t d = 1; d <= s->o.docs; d++) generate_rehearse(s, d, d);
        generate_rehearse(s, length < T ? length : T, 1);
    }
    weights_end_step(s->w);
    weights_changed(s->w);
}

double stage_product(struct stage *s)
{
    struct weights *w = s->w;
    const int first = s->pass[0].at->first;
    const struct activations a = stage_activations(s, &s->pass[0], first);
    const bool sparse = model_is_sparse(&w->m, first); /* has no product so large of all tokens */
    const struct layer_offsets *at = &w->params.layers[first];
    weights_place(w, first);
    const struct op_matmul p = {.c = sparse ? a.qkv : a.gate_up,
                                .a = a.h2,
                                .b = weights_at(w, sparse ? at->qkv : at->gate_up),
                                .m = s->o.tokens,
                                .n = sparse ? model_qkv_width(&w->m) : model_up_width(&w->m),
                                .k = w->m.hidden,
                                .tb = true,
                                .ab_dtype = w->compute,
                                .c_dtype = w->compute};
    op_matmul(w->device, &p);
    weights_changed(w); /* the layer was not gathered */
    return 2 * (double)p.m * (double)p.n * (double)p.k;
}
