/* SPDX-License-Identifier: Apache-2.0 */
/* The layers backward against finite differences in double, and equality of the recompute policies.
 */
#include "test.h"
#include "tiny.h"

/* Sets element `at` of the double weights. */
static void poke(struct weights *w, size_t at, double v)
{
    device_upload(w->device, (double *)w->values + at, &v, sizeof v);
}

/* The largest relative difference, over a few elements of each tensor, between the gradient and
 * (loss(w + h) - loss(w - h)) / 2h; relative to the tensor's largest such gradient. */
static double worst(struct tiny *n, const struct micro_batch *b)
{
    struct err e;
    const double h = 1e-5;
    double bad = 0;
    size_t total = n->w.params.total;
    double *g = malloc(total * sizeof *g), *w = malloc(total * sizeof *w);
    tiny_loss(&n->s, b, true);
    if (n->w.device->ops->download(n->w.device, g, n->w.gradients, total * sizeof *g, &e) ||
        n->w.device->ops->download(n->w.device, w, n->w.values, total * sizeof *w, &e))
        return INFINITY;
    for (size_t i = 0; i < n->w.params.count; i++) {
        const struct param *p = &n->w.params.p[i];
        double size = 0, off = 0;
        for (int k = 0; k < 6; k++) {
            size_t at = p->offset + tiny_hash(p->name, 1000u + (unsigned)k) % p->n;
            poke(&n->w, at, w[at] + h);
            double up = tiny_loss(&n->s, b, false);
            poke(&n->w, at, w[at] - h);
            double down = tiny_loss(&n->s, b, false);
            poke(&n->w, at, w[at]);
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

/* All that a family may have besides: norms of q and k, every bias, a window in one layer, soft
 * caps, and documents with rotary frequencies of their own. */
static struct model rich_model(bool tied)
{
    struct model m = tiny_model(tied, true);
    m.qk_norm = m.o_bias = m.mlp_bias = true;
    m.attention_cap = 1.5;
    m.logit_cap = 3;
    m.window = 3;
    m.window_layers[0] = 2;
    m.rope = (struct rope){.type = ROPE_DYNAMIC, .theta = 10000, .factor = 2};
    m.positions = 8;
    return m;
}

/* No gate, gains of 1 + w, and norms of the rotated q and k. */
static struct model gateless_model(void)
{
    struct model m = rich_model(true);
    m.gated = false;
    m.act = ACT_GELU;
    m.gain_offset = m.qk_norm_after_rope = true;
    return m;
}

/* Norms behind the blocks, not before them, and over all heads of q and of k; biases; another
 * rotation in the layer with a window. */
static struct model behind_model(void)
{
    struct model m = tiny_model(false, true);
    m.family = hf_family_find("olmo3");
    m.window = 3;
    m.window_layers[0] = 2;
    m.window_rope.theta = 20;
    m.two_ropes = true;
    m.qk_norm = HF_QK_NORM_ROW;
    m.o_bias = m.post_norm = true;
    m.pre_norm = false;
    return m;
}

/* Experts, one of which has all tokens: with a weight, beside a dense layer; or without, stacked.
 */
static struct model sparse_model(bool stacked)
{
    struct model m = tiny_model(false, false);
    m.family = hf_family_find(stacked ? "granitemoeshared" : "qwen2_moe");
    m.experts = 4;
    m.chosen = 2;
    m.expert_inter = 10;
    m.shared_inter = 14;
    m.normalise = stacked;
    m.shared_router = !stacked;
    m.residual_scale = stacked ? 0.7 : 1;
    m.sparse_layers[0] = stacked ? 3 : 2;
    return m;
}

static void finite_differences(struct model m, const char *name)
{
    struct err e;
    const int lengths[] = {5, 1, 9, 3};
    struct device *d = device_open("ref64", 1, &e);
    struct micro_batch b = tiny_batch(lengths, 4, (int)m.vocab, 0);
    struct tiny *n = tiny_open(&m, d, DT_F64, RECOMPUTE_SELECTIVE, b.T);
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

/* Gradients of the base and of an adapter of every layer, with dropout. */
static void with_adapter(struct model m, double dropout, const char *name)
{
    struct err e;
    const int lengths[] = {5, 1, 9, 3};
    int32_t sample[18];
    struct device *d = device_open("ref64", 1, &e);
    struct micro_batch b = tiny_batch(lengths, 4, (int)m.vocab, 0);
    for (int i = 0; i < 18; i++) sample[i] = i < 5 ? 3 : i < 6 ? 99 : i < 15 ? 7 : 8;
    b.sample = sample;
    struct tiny_options o = tiny_options(DT_F64, RECOMPUTE_FULL, b.T);
    o.w.params.lora = (struct lora_options){
        .rank = 3, .scale = 1.5, .dropout = dropout, .seed = 42, .target = every_layer};
    struct tiny *n = tiny_open_with(&m, d, &o);
    if (n) lora_drop(&n->s, true, 5);
    CHECK(name, n && worst(n, &b) < 1e-6);
    tiny_close(n);
    tiny_free(&b);
    device_close(d);
}

/* Gradients of one batch as bytes; the caller frees. */
static void *gradients(const struct model *m, const char *device, enum dtype t, enum recompute r,
                       const struct micro_batch *b, double *loss, size_t *bytes)
{
    struct err e;
    struct device *d = device_open(device, 1, &e);
    struct tiny *n = d ? tiny_open(m, d, t, r, b->T + 3) : NULL;
    void *g = NULL;
    if (n) {
        *loss = tiny_loss(&n->s, b, true);
        *bytes = n->w.params.total * dtype_size(n->w.accum);
        g = malloc(*bytes);
        if (d->ops->download(d, g, n->w.gradients, *bytes, &e)) printf("not ok: %s\n", e.msg);
    }
    tiny_close(n);
    device_close(d);
    return g;
}

static void recomputing(struct model m, const char *device, enum dtype t)
{
    char name[64];
    const int lengths[] = {5, 1, 9, 3};
    struct micro_batch b = tiny_batch(lengths, 4, (int)m.vocab, 0);
    double want, got;
    size_t n = 0, k = 0;
    void *all = gradients(&m, device, t, RECOMPUTE_NONE, &b, &want, &n);
    static const char *const words[] = {"none", "selective", "full"};
    for (enum recompute r = RECOMPUTE_SELECTIVE; r <= RECOMPUTE_FULL; r++) {
        void *other = gradients(&m, device, t, r, &b, &got, &k);
        snprintf(name, sizeof name, "%s %s: recompute %s gives the same bytes", device,
                 dtype_name(t), words[r]);
        CHECK(name, all && other && n == k && memcmp(all, other, n) == 0 && want == got);
        free(other);
    }
    free(all);
    tiny_free(&b);
}

/* sqrt(24) is 4.90625 in bf16. */
static void scale_of_embeddings(void)
{
    const int lengths[] = {5, 9};
    struct model exact = tiny_model(false, false), rounded = exact;
    struct micro_batch b = tiny_batch(lengths, 2, (int)exact.vocab, 0);
    double want[2], got[2];
    exact.embed_scale = 4.90625;
    rounded.embed_scale = sqrt(24);
    rounded.embed_scale_rounded = true;
    for (int i = 0; i < 2; i++) {
        const enum dtype t = i ? DT_F32 : DT_BF16;
        size_t n;
        free(gradients(&exact, "ref", t, RECOMPUTE_NONE, &b, &want[i], &n));
        free(gradients(&rounded, "ref", t, RECOMPUTE_NONE, &b, &got[i], &n));
    }
    CHECK("the scale of embeddings is rounded to the type of the weights",
          want[0] == got[0] && want[1] != got[1]);
    tiny_free(&b);
}

/* The gradient of a batch is the weighted mean of those of its documents alone. */
static void documents_are_separate(struct model m, const char *name)
{
    struct err e;
    const int lengths[] = {5, 1, 9, 3};
    struct device *d = device_open("ref64", 1, &e);
    struct micro_batch b = tiny_batch(lengths, 4, (int)m.vocab, 0);
    struct tiny *n = tiny_open(&m, d, DT_F64, RECOMPUTE_SELECTIVE, b.T);
    double packed = tiny_loss(&n->s, &b, false) * tiny_weight(&b), alone = 0;
    uint32_t first = 0;
    for (int i = 0; i < 4; i++) {
        struct micro_batch one = tiny_batch(&lengths[i], 1, (int)m.vocab, first);
        if (one.targets) alone += tiny_loss(&n->s, &one, false) * tiny_weight(&one);
        first += (uint32_t)lengths[i];
        tiny_free(&one);
    }
    CHECK(name, fabs(packed - alone) < 1e-12 * fabs(alone));
    tiny_close(n);
    tiny_free(&b);
    device_close(d);
}

/* Values of an earlier batch are gone, though nothing overwrites it. */
static void no_targets(bool tied, const char *name)
{
    struct err e;
    const int lengths[] = {5, 9};
    struct device *d = device_open("ref64", 1, &e);
    struct model m = tiny_model(tied, true);
    struct micro_batch b = tiny_batch(lengths, 2, (int)m.vocab, 0);
    struct tiny *n = tiny_open(&m, d, DT_F64, RECOMPUTE_SELECTIVE, b.T);
    double *g = malloc(n->w.params.total * sizeof *g), sum = 0;
    tiny_loss(&n->s, &b, true);
    b.targets = 0;
    tiny_loss(&n->s, &b, true);
    if (d->ops->download(d, g, n->w.gradients, n->w.params.total * sizeof *g, &e)) sum = INFINITY;
    for (size_t i = 0; i < n->w.params.total; i++) sum += fabs(g[i]);
    CHECK(name, sum == 0);
    free(g);
    tiny_close(n);
    tiny_free(&b);
    device_close(d);
}

/* Gradients of a batch in a bf16 computation, as floats, with the types of logits and gradients as
 * given; the bytes that the plan has for each. */
struct narrow {
    double loss;
    float *gradient;
    size_t n, gradient_bytes, head_bytes; /* head: logits and their gradient */
    int64_t chunk;
};
static struct narrow narrow_run(enum dtype logits, enum dtype gradient)
{
    struct err e;
    const int lengths[] = {50, 10, 90, 30};
    const struct model m = rich_model(true);
    struct device *d = device_open("ref", 1, &e);
    struct micro_batch b = tiny_batch(lengths, 4, (int)m.vocab, 0);
    struct tiny_options o = tiny_options(DT_BF16, RECOMPUTE_NONE, b.T);
    o.w.length = 90;
    o.w.gradient = gradient;
    o.s.chunk = 0;
    o.s.logits = logits;
    d->head = (struct device_head){.bytes = 1 << 20, .most = 128};
    struct tiny *n = tiny_open_with(&m, d, &o);
    struct narrow r = {.n = n->w.params.trained, .chunk = n->s.o.chunk};
    r.loss = tiny_loss(&n->s, &b, true);
    r.gradient = malloc(r.n * sizeof *r.gradient);
    if (weights_get(&n->w, n->w.gradients, n->w.gradient, 0, r.n, r.gradient, &e)) r.loss = NAN;
    r.gradient_bytes = tiny_planned(&n->memory.plan, PLAN_GRADIENTS);
    for (size_t i = 0; i < n->memory.plan.count; i++)
        if (strstr(n->memory.plan.b[i].name, "logits")) r.head_bytes += n->memory.plan.b[i].bytes;
    tiny_close(n);
    tiny_free(&b);
    device_close(d);
    return r;
}

/* |x - y| / |y| */
static double distance(const struct narrow *x, const struct narrow *y)
{
    double off = 0, all = 0;
    for (size_t i = 0; i < y->n; i++) {
        const double a = (double)x->gradient[i], b = (double)y->gradient[i];
        off += (a - b) * (a - b);
        all += b * b;
    }
    return sqrt(off / all);
}

static size_t up(size_t bytes) { return (bytes + 255) / 256 * 256; }

static void narrow_types(void)
{
    struct narrow wide = narrow_run(DT_F32, DT_F32), g = narrow_run(DT_F32, DT_BF16),
                  l = narrow_run(DT_BF16, DT_F32);
    const double off = distance(&g, &wide), off_logits = distance(&l, &wide);
    CHECK("bf16 gradients: half the bytes", g.gradient_bytes == up(wide.gradient_bytes / 2));
    CHECK("bf16 gradients: the same loss", !(g.loss < wide.loss || g.loss > wide.loss));
    CHECK("bf16 gradients: fp32 ones, rounded", off > 0 && off < 0.004);
    CHECK("bf16 logits: their gradient takes their place",
          l.head_bytes == up((size_t)l.chunk * 97 * 2) &&
              wide.head_bytes == up((size_t)wide.chunk * 97 * 4) + up((size_t)l.chunk * 97 * 2));
    CHECK("bf16 logits: loss and gradients of fp32 logits, rounded",
          fabs(l.loss - wide.loss) < 0.01 && off_logits > 0 && off_logits < 0.02);
    CHECK("head: its chunk is what the device says", wide.chunk == 128);
    free(wide.gradient), free(g.gradient), free(l.gradient);
}

int main(void)
{
    narrow_types();
    no_targets(true, "tied, no target: the gradient is zero");
    no_targets(false, "untied, no target: the gradient is zero");
    finite_differences(tiny_model(true, false), "tied: gradients equal finite differences");
    finite_differences(tiny_model(false, true),
                       "untied, biased: gradients equal finite differences");
    finite_differences(rich_model(false), "with all parts: gradients equal finite differences");
    finite_differences(gateless_model(), "without gate: gradients equal finite differences");
    finite_differences(behind_model(), "norms behind: gradients equal finite differences");
    finite_differences(sparse_model(false),
                       "an expert of all tokens: gradients equal finite differences");
    finite_differences(sparse_model(true), "stacked experts: gradients equal finite differences");
    with_adapter(behind_model(), 0.4, "norms behind: gradients of adapters do");
    with_adapter(tiny_model(true, true), 0, "with an adapter: gradients equal finite differences");
    with_adapter(gateless_model(), 0,
                 "without gate, an adapter: gradients equal finite differences");
    with_adapter(rich_model(false), 0.4, "with dropout: gradients equal finite differences");
    recomputing(tiny_model(true, true), "ref", DT_F32);
    recomputing(tiny_model(true, true), "ref", DT_BF16);
    recomputing(rich_model(true), "ref", DT_F32);
    recomputing(rich_model(true), "cpu", DT_BF16);
    recomputing(gateless_model(), "far", DT_BF16);
    recomputing(behind_model(), "far", DT_BF16);
    recomputing(sparse_model(false), "far", DT_BF16);
    recomputing(sparse_model(true), "cpu", DT_F32);
    scale_of_embeddings();
    documents_are_separate(tiny_model(false, false), "packed documents do not see each other");
    documents_are_separate(rich_model(false), "with all parts: nor do they");
    TEST_END();
}
