/* SPDX-License-Identifier: Apache-2.0 */
/* A model of every family in bf16: how far logits, NLLs and gradients are from those in fp32 is at
 * most 1.25 times as much as PyTorch is off, in its eager mode. Weights are values that bf16 has,
 * so that only computation differs, and every token has all experts, so that no rounding changes
 * its choice. An error is the length of all differences in eight steps over that of all values: of
 * the logits, of the NLLs of all targets, of all gradients, of those of all norms and biases, and
 * of those of each matrix.
 *
 * usage: family_bf16 [FAMILY]  only those whose name has this text */
#include "family.h"

enum { BATCHES = 8, MOST_PARAMS = 160, VOCAB = 97, DOCS = 5 };

/* Sums of squares: of differences, and of values. */
struct error {
    double off, size;
};
static void add(struct error *x, const float *rough, const float *exact, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double d = (double)rough[i] - (double)exact[i];
        x->off += d * d;
        x->size += (double)exact[i] * (double)exact[i];
    }
}
static void add_error(struct error *x, struct error y)
{
    x->off += y.off;
    x->size += y.size;
}
static double of(struct error x) { return sqrt(x.off / x.size); }

struct errors {
    struct error logits, nll, gradients, vectors, tensor[MOST_PARAMS];
};

/* The model in a type on a device of its own, with weights that bf16 has. */
static struct tiny *open_in(const struct model *m, enum dtype t)
{
    struct err e;
    struct device *d = device_open("cpu", 2, &e);
    const struct tiny_options o = {
        .w = {.compute = t, .gradients = true, .length = 32},
        .s = {.recompute = RECOMPUTE_SELECTIVE, .tokens = RIG_TOKENS, .chunk = RIG_TOKENS}};
    struct tiny *n = d ? tiny_open_with(m, d, &o) : NULL;
    for (size_t i = 0; n && i < n->w.params.count; i++) {
        const struct param *p = &n->w.params.p[i];
        float *v = malloc(p->n * sizeof *v);
        for (size_t k = 0; k < p->n; k++)
            v[k] = bf16_to_f32(bf16_from_f32(tiny_value(p->name, (uint32_t)k)));
        weights_set(&n->w, NULL, p, 0, p->n, v);
        free(v);
    }
    return n;
}

static void close_it(struct tiny *n)
{
    struct device *d = n ? n->w.device : NULL;
    tiny_close(n);
    device_close(d);
}

static float *get(struct tiny *n, const void *from, enum dtype t, size_t at, size_t count)
{
    struct err e;
    float *v = malloc((count + 1) * sizeof *v);
    if (weights_get(&n->w, from, t, at, count, v, &e)) v[0] = NAN;
    return v;
}

static void add_all(struct error *x, struct tiny *a, struct tiny *b, const void *of_a,
                    const void *of_b, size_t at, size_t count)
{
    float *u = get(a, of_a, a->w.accum, at, count), *v = get(b, of_b, b->w.accum, at, count);
    add(x, u, v, count);
    free(u);
    free(v);
}

/* The logits of all positions. */
static float *logits_of(struct tiny *n, const int *lengths, uint32_t first)
{
    struct micro_batch b = tiny_batch(lengths, DOCS, VOCAB, first);
    b.targets = b.T;
    for (int i = 0; i < b.T; i++) {
        b.rows[i] = i;
        b.target[i] = i % VOCAB;
        b.weight[i] = 1;
    }
    tiny_loss(&n->s, &b, false);
    const size_t count = (size_t)b.T * VOCAB;
    float *x = get(n, n->s.logits, n->w.accum, 0, count);
    const float cap = (float)n->w.m.logit_cap; /* which the loss applies */
    for (size_t i = 0; i < count && cap > 0; i++) x[i] = cap * tanhf(x[i] / cap);
    tiny_free(&b);
    return x;
}

static void add_batch(struct errors *s, struct tiny *rough, struct tiny *exact, uint32_t first)
{
    static const int lengths[DOCS] = {17, 9, 1, 23, 12};
    float *x = logits_of(rough, lengths, first), *y = logits_of(exact, lengths, first);
    add(&s->logits, x, y, RIG_TOKENS * VOCAB);
    free(x);
    free(y);
    struct micro_batch b = tiny_batch(lengths, DOCS, VOCAB, first);
    tiny_loss(&rough->s, &b, true);
    tiny_loss(&exact->s, &b, true);
    add_all(&s->nll, rough, exact, rough->s.pass[0].nll, exact->s.pass[0].nll, 0,
            (size_t)b.targets);
    for (size_t i = 0; i < exact->w.params.count; i++) {
        const struct param *p = &exact->w.params.p[i];
        add_all(&s->tensor[i], rough, exact, rough->w.gradients, exact->w.gradients, p->offset,
                p->n);
    }
    tiny_free(&b);
}

/* Our error over PyTorch's; tells what is above the limit. */
static double ratio(const char *what, double ours, double theirs)
{
    const double x = ours / theirs;
    if (!(x <= 1.25)) printf("# %s: %.2g, PyTorch %.2g: %.2f times\n", what, ours, theirs, x);
    return x;
}

/* PyTorch's errors of single tensors, together as ours are. */
static double vectors_of(const struct errors *s, const struct params *t, const struct json *want)
{
    struct error sum = {0, 0};
    for (size_t i = 0; i < t->count; i++) {
        const double x = golden_number(want, t->p[i].name);
        if (!t->p[i].decay)
            add_error(&sum, (struct error){x * x * s->tensor[i].size, s->tensor[i].size});
    }
    return of(sum);
}

/* The worst of single matrices. */
static double matrices(const struct errors *s, const struct params *t, const struct json *want)
{
    double worst = 0;
    for (size_t i = 0; i < t->count; i++)
        if (t->p[i].decay && s->tensor[i].size > 0)
            worst = worse(worst,
                          ratio(t->p[i].name, of(s->tensor[i]), golden_number(want, t->p[i].name)));
    return worst;
}

static void compare(const struct family *f, struct errors *s, const struct params *t)
{
    char name[GOLDEN_NAME];
    const struct json *want = json_get(f->g.root, "bf16"), *each = json_get(want, "tensors");
    for (size_t i = 0; i < t->count; i++) {
        add_error(&s->gradients, s->tensor[i]);
        if (!t->p[i].decay) add_error(&s->vectors, s->tensor[i]);
    }
    const double logits = ratio("logits", of(s->logits), golden_number(want, "logits"));
    const double nll = ratio("NLLs", of(s->nll), golden_number(want, "nll"));
    const double all = ratio("gradients", of(s->gradients), golden_number(want, "gradients"));
    const double vectors = ratio("norms and biases", of(s->vectors), vectors_of(s, t, each));
    const double worst = matrices(s, t, each);
    golden_name(name, f->g.root, "cpu", "in bf16 at most 1.25 times as far off as PyTorch");
    printf("# %s: logits %.2f, NLLs %.2f, gradients %.2f, vectors' %.2f, worst matrix %.2f\n", name,
           logits, nll, all, vectors, worst);
    CHECK(name, logits <= 1.25 && nll <= 1.25 && all <= 1.25 && vectors <= 1.25 && worst <= 1.25);
}

static void check(struct family *f, const char *arg)
{
    (void)arg;
    static struct errors s;
    struct model m;
    const struct json *config = json_get(json_get(f->g.root, "bf16"), "config");
    const bool read = family_model(f, config, &m);
    struct tiny *rough = read ? open_in(&m, DT_BF16) : NULL;
    struct tiny *exact = read ? open_in(&m, DT_F32) : NULL;
    const bool fine = rough && exact && exact->w.params.count <= MOST_PARAMS;
    s = (struct errors){.logits = {0, 0}};
    for (uint32_t k = 0; k < BATCHES && fine; k++) add_batch(&s, rough, exact, 1000 * k);
    if (fine)
        compare(f, &s, &exact->w.params);
    else
        CHECK_IN(f->name, "bf16 is compared", fine);
    close_it(exact);
    close_it(rough);
}

int main(int argc, char **argv)
{
    families_check(check, NULL, argc > 1 ? argv[1] : NULL);
    TEST_END();
}
