/* SPDX-License-Identifier: Apache-2.0 */
/* A tiny transformer for tests: weights by formula, so that tests/oracle/make_train_golden.py makes
 * the same ones, and one packed micro-batch. */
#ifndef SFT_TEST_TINY_H
#define SFT_TEST_TINY_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/net.h"

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

/* master: of the trained ones; NULL: there is none. */
TINY void tiny_weights(struct net *n, void *master)
{
    for (size_t i = 0; i < n->params.count; i++) {
        const struct param *p = &n->params.p[i];
        float *v = malloc(p->n * sizeof *v);
        for (size_t j = 0; j < p->n; j++) v[j] = tiny_value(p->name, (uint32_t)j);
        net_set(n, p->trained ? master : NULL, p->offset, p->n, v);
        free(v);
    }
}

TINY struct model tiny_model(bool tied, bool bias)
{
    return (struct model){.family = "llama",
                          .layers = 2,
                          .heads = 4,
                          .kv_heads = 2,
                          .head_dim = 8,
                          .hidden = 24,
                          .inter = 40,
                          .vocab = 97,
                          .positions = 64,
                          .eps = 1e-5,
                          .rope = {.theta = 10000},
                          .tied = tied,
                          .qkv_bias = bias};
}

/* Documents of the given lengths; token t of document d is trained when the hash says so, with
 * weight 1 or, now and then, 1/2. Everything in one allocation that tiny_free releases. */
TINY struct net_batch tiny_batch(const int *lengths, int docs, int vocab, uint32_t first)
{
    int T = 0, k = 0, max = 0;
    for (int d = 0; d < docs; d++) T += lengths[d];
    int32_t *p = malloc((size_t)(5 * T + docs + 1) * sizeof *p);
    struct net_batch b = {.T = T,
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
TINY double tiny_weight(const struct net_batch *b)
{
    double w = 0;
    for (int64_t i = 0; i < b->targets; i++) w += (double)b->weight[i];
    return w;
}
TINY void tiny_free(struct net_batch *b) { free(b->ids); }

/* An open net with its weights, or NULL after a message. */
TINY struct net *tiny_open_with(const struct model *m, struct device *d,
                                const struct net_options *o)
{
    struct err e = {0};
    struct net *n = calloc(1, sizeof *n);
    if (net_init(n, m, o, d, &e) || net_place(n, NULL, NULL, &e) || net_alloc(n, &e)) {
        printf("not ok tiny: %s\n", e.msg);
        net_close(n);
        free(n);
        return NULL;
    }
    tiny_weights(n, NULL);
    return n;
}
TINY struct net *tiny_open(const struct model *m, struct device *d, enum dtype t,
                           enum net_keep keep, int64_t tokens)
{
    struct net_options o = {.compute = t, .keep = keep, .tokens = tokens, .length = 32, .chunk = 7};
    return tiny_open_with(m, d, &o);
}
/* Bytes that the plan has for a class. */
TINY size_t tiny_planned(const struct net *n, enum plan_class class)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n->plan.count; i++)
        if (n->plan.b[i].class == class) bytes += n->plan.b[i].bytes;
    return bytes;
}
TINY void tiny_close(struct net *n)
{
    if (n) net_close(n);
    free(n);
}

/* Loss of the batch; with gradients, those are in n->gradients. */
TINY double tiny_loss(struct net *n, const struct net_batch *b, bool gradients)
{
    double loss = NAN;
    struct err e;
    net_upload(n, b);
    op_zero(n->device, &(struct op_zero){.y = n->loss, .bytes = sizeof loss});
    if (gradients) net_begin(n);
    net_forward(n, b);
    net_loss(n, b, gradients, 1 / tiny_weight(b));
    if (gradients) net_backward(n, b);
    if (n->device->ops->download(n->device, &loss, n->loss, sizeof loss, &e))
        printf("not ok tiny: %s\n", e.msg);
    return loss / tiny_weight(b);
}

#endif
