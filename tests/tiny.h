/* SPDX-License-Identifier: Apache-2.0 */
/* A tiny transformer for tests: weights by formula, so that tests/oracle/make_train_golden.py makes
 * the same ones, and one packed micro-batch. */
#ifndef SFT_TEST_TINY_H
#define SFT_TEST_TINY_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/stage.h"

#define TINY static __attribute__((unused)) /* a test uses what it needs */

/* Finaliser of MurmurHash3 over a counter; fnv1a of the name picks the sequence. */
TINY uint32_t tiny_hash(const char *name, uint32_t i)
{
    uint32_t x = 2166136261u;
    for (; *name; name++) x = (x ^ (unsigned char)*name) * 16777619u;
    x += i * 0x9e3779b1u;
    x ^= x >> 16;
    x *= 0x85ebca6bu;
    x ^= x >> 13;
    x *= 0xc2b2ae35u;
    return x ^ x >> 16;
}

/* Uniform in [-1/2, 1/2), exact in fp32. */
TINY float tiny_uniform(const char *name, uint32_t i)
{
    return (float)((int32_t)(tiny_hash(name, i) >> 8) - (1 << 23)) / (float)(1 << 24);
}

/* Element i of the tensor of that name. */
TINY float tiny_value(const char *name, uint32_t i)
{
    float u = tiny_uniform(name, i);
    if (strstr(name, "norm")) return 1 + u / 4;
    return strstr(name, "embed") ? u : u / 4;
}

/* The blocks of the whole tensors that are here. master: of the trained ones; NULL: there is none.
 */
TINY void tiny_weights(struct weights *w, const struct weights_state *master)
{
    for (size_t i = 0; i < w->params.count; i++) {
        const struct param *p = &w->params.p[i];
        float *v = malloc(p->n * sizeof *v);
        for (struct param_run r = {0}; param_next(p, SIZE_MAX, &r);)
            for (size_t j = 0; j < r.n; j++)
                v[r.at + j] = tiny_value(p->name, (uint32_t)(r.whole + j));
        weights_set(w, master, p, 0, p->n, v);
        free(v);
    }
}

TINY struct model tiny_model(bool tied, bool bias)
{
    return (struct model){.family = hf_family_find("llama"),
                          .layers = 2,
                          .heads = 4,
                          .kv_heads = 2,
                          .head_dim = 8,
                          .hidden = 24,
                          .inter = 40,
                          .vocab = 97,
                          .positions = 64,
                          .eps = 1e-5,
                          .embed_scale = 1,
                          .logit_scale = 1,
                          .residual_scale = 1,
                          .attention_scale = 1 / sqrt(8),
                          .pre_norm = true,
                          .rope = {.theta = 10000},
                          .rope_layers = {UINT64_MAX},
                          .gated = true,
                          .tied = tied,
                          .qkv_bias = bias};
}

/* Documents of the given lengths; token t of document d is trained when the hash says so, with
 * weight 1 or, now and then, 1/2. Everything in one allocation that tiny_free releases. */
TINY struct micro_batch tiny_batch(const int *lengths, int docs, int vocab, uint32_t first)
{
    int T = 0, k = 0, max = 0;
    for (int d = 0; d < docs; d++) T += lengths[d];
    int32_t *p = malloc((size_t)(5 * T + docs + 1) * sizeof *p);
    struct micro_batch b = {.T = T,
                            .docs = docs,
                            .ids = p,
                            .pos = p + T,
                            .rows = p + 2 * T,
                            .target = p + 3 * T,
                            .weight = (float *)(p + 4 * T),
                            .cu = p + 5 * T};
    for (int d = 0, t = 0; d < docs; d++) {
        b.cu[d] = t;
        if (lengths[d] > max) max = lengths[d];
        for (int i = 0; i < lengths[d]; i++, t++) {
            uint32_t h = tiny_hash("ids", first + (uint32_t)t);
            b.ids[t] = (int32_t)(h % (uint32_t)vocab);
            b.pos[t] = i;
            if (i == 0 || h >> 30 == 0) continue;
            b.rows[k] = t - 1;
            b.target[k] = b.ids[t];
            b.weight[k++] = h >> 30 == 1 ? 0.5F : 1;
        }
    }
    b.cu[docs] = T;
    b.targets = k;
    b.max_len = max;
    return b;
}
TINY double tiny_weight(const struct micro_batch *b)
{
    double w = 0;
    for (int64_t i = 0; i < b->targets; i++) w += (double)b->weight[i];
    return w;
}
TINY void tiny_free(struct micro_batch *b) { free(b->ids); }

/* A model, or some layers of it, in memory of its own. */
struct tiny {
    struct memory memory;
    struct weights w;
    struct stage s;
};
struct tiny_options {
    struct weights_options w;
    struct stage_options s;
};
TINY void tiny_close(struct tiny *t)
{
    if (!t) return;
    stage_free(&t->s);
    weights_free(&t->w);
    memory_free(&t->memory);
    free(t);
}
TINY void tiny_rehearse(void *stage) { stage_rehearse(stage); }
TINY int tiny_plan(struct tiny *t, const struct model *m, struct device *d,
                   const struct tiny_options *o, struct err *e)
{
    struct plan *plan = &t->memory.plan;
    if (weights_init(&t->w, m, &o->w, d, plan, e) || stage_init(&t->s, &t->w, &o->s, plan, e))
        return -1;
    return memory_place(&t->memory, &t->w.device, tiny_rehearse, &t->s, e);
}
/* Open, with its weights; or NULL after a message. */
TINY struct tiny *tiny_open_with(const struct model *m, struct device *d,
                                 const struct tiny_options *o)
{
    struct err e = {0};
    struct tiny *t = calloc(1, sizeof *t);
    if (tiny_plan(t, m, d, o, &e) || memory_alloc(&t->memory, &e)) {
        printf("not ok tiny: %s\n", e.msg);
        tiny_close(t);
        return NULL;
    }
    stage_bind(&t->s);
    weights_fill_rotary(&t->w);
    tiny_weights(&t->w, NULL);
    return t;
}
TINY struct tiny_options tiny_options(enum dtype t, enum recompute r, int64_t tokens)
{
    return (struct tiny_options){.w = {.compute = t, .gradients = true, .length = 32},
                                 .s = {.recompute = r, .tokens = tokens, .chunk = 7}};
}
TINY struct tiny *tiny_open(const struct model *m, struct device *d, enum dtype t, enum recompute r,
                            int64_t tokens)
{
    const struct tiny_options o = tiny_options(t, r, tokens);
    return tiny_open_with(m, d, &o);
}
/* Bytes that the plan has for a class. */
TINY size_t tiny_planned(const struct plan *p, enum plan_class class)
{
    size_t bytes = 0;
    for (size_t i = 0; i < p->count; i++)
        if (p->b[i].class == class) bytes += p->b[i].bytes;
    return bytes;
}

TINY void tiny_copy(void *to, const void *from, int64_t count)
{
    if (from) memmove(to, from, (size_t)count * sizeof(int32_t));
}
/* Copies a batch into a pass, and uploads it. */
TINY void tiny_upload(struct stage *s, struct pass *p, const struct micro_batch *b)
{
    struct micro_batch *to = &p->b;
    stage_refill(s, p);
    tiny_copy(to->ids, b->ids, b->T);
    tiny_copy(to->pos, b->pos, b->T);
    tiny_copy(to->sample, b->sample, b->T);
    tiny_copy(to->cu, b->cu, b->docs + 1);
    tiny_copy(to->rows, b->rows, b->targets);
    tiny_copy(to->target, b->target, b->targets);
    tiny_copy(to->weight, b->weight, b->targets);
    to->T = b->T;
    to->targets = b->targets;
    to->max_len = b->max_len;
    to->docs = b->docs;
    micro_batch_sort(to);
    stage_upload(s, p);
}

/* The loss of the batch, in a stage that is a whole model; with gradients, those are in the
 * weights' gradients. */
TINY double tiny_loss(struct stage *s, const struct micro_batch *b, bool gradients)
{
    double loss = NAN;
    struct err e;
    struct device *d = s->w->device;
    tiny_upload(s, s->pass, b);
    op_zero(d, &(struct op_zero){.y = s->loss, .bytes = sizeof loss});
    if (gradients) weights_begin(s->w);
    stage_forward(s, s->pass);
    if (gradients)
        stage_backward(s, s->pass, 1 / tiny_weight(b), NULL);
    else
        stage_loss(s, s->pass);
    if (d->ops->download(d, &loss, s->loss, sizeof loss, &e)) printf("not ok tiny: %s\n", e.msg);
    return loss / tiny_weight(b);
}

#endif
