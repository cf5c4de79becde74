/* SPDX-License-Identifier: Apache-2.0 */
/* The layers backward against finite differences in double, and equality of the ways to keep
 * activations. */
#include "test.h"
#include "tiny.h"

/* Sets element `at` of the double weights. */
static void poke(struct net *n, size_t at, double v)
{
    n->device->ops->upload(n->device, (double *)n->weights + at, &v, sizeof v);
}

/* The largest relative difference, over a few elements of each tensor, between the gradient and
 * (loss(w + h) - loss(w - h)) / 2h; relative to the tensor's largest such gradient. */
static double worst(struct net *n, const struct net_batch *b)
{
    struct err e;
    const double h = 1e-5;
    double bad = 0;
    size_t total = n->params.total;
    double *g = malloc(total * sizeof *g), *w = malloc(total * sizeof *w);
    tiny_loss(n, b, true);
    if (n->device->ops->download(n->device, g, n->gradients, total * sizeof *g, &e) ||
        n->device->ops->download(n->device, w, n->weights, total * sizeof *w, &e))
        return INFINITY;
    for (size_t i = 0; i < n->params.count; i++) {
        const struct param *p = &n->params.p[i];
        double size = 0, off = 0;
        for (int k = 0; k < 6; k++) {
            size_t at = p->offset + tiny_hash(p->name, 1000u + (unsigned)k) % p->n;
            poke(n, at, w[at] + h);
            double up = tiny_loss(n, b, false);
            poke(n, at, w[at] - h);
            double down = tiny_loss(n, b, false);
            poke(n, at, w[at]);
            size = fmax(size, fabs(g[at]));
            off = fmax(off, fabs(g[at] - (up - down) / (2 * h)));
        }
        if (size > 0)
            bad = fmax(bad, off / size);
        else if (off > 1e-12)
            bad = INFINITY;
    }
    free(g);
    free(w);
    return bad;
}

/* All that a family may have besides: norms of q and k, every bias, a window in one layer, and
 * documents with rotary frequencies of their own. */
static struct model rich_model(bool tied)
{
    struct model m = tiny_model(tied, true);
    m.qk_norm = m.o_bias = m.mlp_bias = true;
    m.window = 3;
    m.window_layers[0] = 2;
    m.rope = (struct rope){.type = ROPE_DYNAMIC, .theta = 10000, .factor = 2};
    m.positions = 8;
    return m;
}

static void finite_differences(struct model m, const char *name)
{
    struct err e;
    const int lengths[] = {5, 1, 9, 3};
    struct device *d = device_open("ref64", 1, &e);
    struct net_batch b = tiny_batch(lengths, 4, (int)m.vocab, 0);
    struct net *n = tiny_open(&m, d, DT_F64, NET_KEEP_SELECTIVE, b.T);
    CHECK(name, n && worst(n, &b) < 1e-6);
    tiny_close(n);
    tiny_free(&b);
    device_close(d);
}

static bool every_layer(void *arg, const char *module)
{
    (void)arg, (void)module;
    return true;
}

/* Of the base and of an adapter of every layer beside it, with what a step drops. */
static void with_adapter(struct model m, double dropout, const char *name)
{
    struct err e;
    const int lengths[] = {5, 1, 9, 3};
    int32_t sample[18];
    struct device *d = device_open("ref64", 1, &e);
    struct net_batch b = tiny_batch(lengths, 4, (int)m.vocab, 0);
    for (int i = 0; i < 18; i++) sample[i] = i < 5 ? 3 : i < 6 ? 99 : i < 15 ? 7 : 8;
    b.sample = sample;
    const struct net_options o = {
        .compute = DT_F64,
        .keep = NET_KEEP_INPUTS,
        .tokens = b.T,
        .length = 32,
        .chunk = 7,
        .params.lora = {
            .rank = 3, .scale = 1.5, .dropout = dropout, .seed = 42, .target = every_layer}};
    struct net *n = tiny_open_with(&m, d, &o);
    if (n) lora_drop(n, true, 5);
    CHECK(name, n && worst(n, &b) < 1e-6);
    tiny_close(n);
    tiny_free(&b);
    device_close(d);
}

/* Gradients of one batch as bytes; the caller frees. */
static void *gradients(const struct model *m, const char *device, enum dtype t, enum net_keep keep,
                       const struct net_batch *b, double *loss, size_t *bytes)
{
    struct err e;
    struct device *d = device_open(device, 1, &e);
    struct net *n = d ? tiny_open(m, d, t, keep, b->T + 3) : NULL;
    void *g = NULL;
    if (n) {
        *loss = tiny_loss(n, b, true);
        *bytes = n->params.total * dtype_size(n->real);
        g = malloc(*bytes);
        if (d->ops->download(d, g, n->gradients, *bytes, &e)) printf("not ok: %s\n", e.msg);
    }
    tiny_close(n);
    device_close(d);
    return g;
}

static void keeping(struct model m, const char *device, enum dtype t)
{
    char name[64];
    const int lengths[] = {5, 1, 9, 3};
    struct net_batch b = tiny_batch(lengths, 4, (int)m.vocab, 0);
    double want, got;
    size_t n = 0, k = 0;
    void *all = gradients(&m, device, t, NET_KEEP_ALL, &b, &want, &n);
    static const char *const words[] = {"nothing", "all", "selective", "inputs"};
    for (enum net_keep keep = NET_KEEP_SELECTIVE; keep <= NET_KEEP_INPUTS; keep++) {
        void *other = gradients(&m, device, t, keep, &b, &got, &k);
        snprintf(name, sizeof name, "%s %s: keeping %s gives the same bytes", device, dtype_name(t),
                 words[keep]);
        CHECK(name, all && other && n == k && memcmp(all, other, n) == 0 && want == got);
        free(other);
    }
    free(all);
    tiny_free(&b);
}

/* The gradient of a batch is the weighted mean of those of its documents alone. */
static void documents_are_separate(struct model m, const char *name)
{
    struct err e;
    const int lengths[] = {5, 1, 9, 3};
    struct device *d = device_open("ref64", 1, &e);
    struct net_batch b = tiny_batch(lengths, 4, (int)m.vocab, 0);
    struct net *n = tiny_open(&m, d, DT_F64, NET_KEEP_SELECTIVE, b.T);
    double packed = tiny_loss(n, &b, false) * tiny_weight(&b), alone = 0;
    uint32_t first = 0;
    for (int i = 0; i < 4; i++) {
        struct net_batch one = tiny_batch(&lengths[i], 1, (int)m.vocab, first);
        if (one.targets) alone += tiny_loss(n, &one, false) * tiny_weight(&one);
        first += (uint32_t)lengths[i];
        tiny_free(&one);
    }
    CHECK(name, fabs(packed - alone) < 1e-12 * fabs(alone));
    tiny_close(n);
    tiny_free(&b);
    device_close(d);
}

/* What an earlier batch left is gone, though nothing overwrites it. */
static void no_targets(bool tied, const char *name)
{
    struct err e;
    const int lengths[] = {5, 9};
    struct device *d = device_open("ref64", 1, &e);
    struct model m = tiny_model(tied, true);
    struct net_batch b = tiny_batch(lengths, 2, (int)m.vocab, 0);
    struct net *n = tiny_open(&m, d, DT_F64, NET_KEEP_SELECTIVE, b.T);
    double *g = malloc(n->params.total * sizeof *g), sum = 0;
    tiny_loss(n, &b, true);
    b.targets = 0;
    tiny_loss(n, &b, true);
    if (d->ops->download(d, g, n->gradients, n->params.total * sizeof *g, &e)) sum = INFINITY;
    for (size_t i = 0; i < n->params.total; i++) sum += fabs(g[i]);
    CHECK(name, sum == 0);
    free(g);
    tiny_close(n);
    tiny_free(&b);
    device_close(d);
}

int main(void)
{
    no_targets(true, "tied, no target: the gradient is zero");
    no_targets(false, "untied, no target: the gradient is zero");
    finite_differences(tiny_model(true, false), "tied: gradients equal finite differences");
    finite_differences(tiny_model(false, true),
                       "untied, biased: gradients equal finite differences");
    finite_differences(rich_model(false), "with all parts: gradients equal finite differences");
    with_adapter(tiny_model(true, true), 0, "with an adapter: gradients equal finite differences");
    with_adapter(rich_model(false), 0.4, "with dropout: gradients equal finite differences");
    keeping(tiny_model(true, true), "ref", DT_F32);
    keeping(tiny_model(true, true), "ref", DT_BF16);
    keeping(rich_model(true), "ref", DT_F32);
    keeping(rich_model(true), "cpu", DT_BF16);
    documents_are_separate(tiny_model(false, false), "packed documents do not see each other");
    documents_are_separate(rich_model(false), "with all parts: nor do they");
    TEST_END();
}
