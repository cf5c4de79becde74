/* SPDX-License-Identifier: Apache-2.0 */
/* Updates of weights: AdamW and SGD against PyTorch's, and rounding at random: its bits, that its
 * mean is the number itself, that nothing but (seed, step, element) changes it, and what it is for.
 */
#include "base/io.h"
#include "base/json.h"
#include "base/rng.h"
#include "ops/ops.h"
#include "test.h"
#include "tiny.h"

static const char *const backends[] = {"ref64", "ref", "cpu-base", "cpu-v3", "cpu-v4"};
enum { BACKENDS = sizeof backends / sizeof *backends };

/* ---- PyTorch ---- */

enum { MOST = 64 };
struct state {
    double p[MOST], m[MOST], v[MOST], grad[MOST]; /* or floats */
    double sumsq;
};

static double number(const struct json *o, const char *key, double otherwise)
{
    const struct json *x = json_get(o, key);
    double v = otherwise;
    if (x && json_real(x, &v)) v = NAN;
    return v;
}

static void set(double *x, bool wide, int i, double value)
{
    if (wide)
        x[i] = value;
    else
        ((float *)x)[i] = (float)value;
}
static double get(const double *x, bool wide, int i)
{
    return wide ? x[i] : (double)((const float *)x)[i];
}

/* Gradients of step k, from 0; their squares are those of the exact numbers. */
static void fill(double *x, bool wide, int n, const char *name, double *sumsq)
{
    *sumsq = 0;
    for (int i = 0; i < n; i++) {
        const double value = (double)tiny_uniform(name, (uint32_t)i);
        set(x, wide, i, value);
        *sumsq += value * value;
    }
}

static void step(struct device *d, struct state *s, const struct json *c, int n, int k, bool wide)
{
    const struct json *o = json_get(c, "options"), *betas = json_get(o, "betas");
    const struct json *nesterov = json_get(o, "nesterov");
    const enum dtype real = wide ? DT_F64 : DT_F32;
    double b1 = NAN, b2 = NAN;
    if (betas) {
        json_real(&betas->items[0], &b1);
        json_real(&betas->items[1], &b2);
        op_adamw(d, &(struct op_adamw){.master = s->p,
                                       .m = s->m,
                                       .v = s->v,
                                       .grad = s->grad,
                                       .sumsq = &s->sumsq,
                                       .n = n,
                                       .lr = number(o, "lr", NAN),
                                       .beta1 = b1,
                                       .beta2 = b2,
                                       .eps = number(o, "eps", NAN),
                                       .weight_decay = number(o, "weight_decay", 0),
                                       .c1 = 1 - pow(b1, k + 1),
                                       .c2 = 1 - pow(b2, k + 1),
                                       .max_norm = number(c, "max_norm", 0),
                                       .dtype = real});
        return;
    }
    const double momentum = number(o, "momentum", 0);
    op_sgd(d, &(struct op_sgd){.param = s->p, /* no master: the same by another name */
                               .m = momentum > 0 ? s->m : NULL,
                               .grad = s->grad,
                               .sumsq = &s->sumsq,
                               .n = n,
                               .lr = number(o, "lr", NAN),
                               .momentum = momentum,
                               .dampening = number(o, "dampening", 0),
                               .nesterov = nesterov && nesterov->truth,
                               .weight_decay = number(o, "weight_decay", 0),
                               .max_norm = number(c, "max_norm", 0),
                               .param_dtype = real,
                               .dtype = real,
                               .random.step = (uint64_t)k + 1});
}

static double off(const double *x, const struct json *want, const char *key, int n, bool wide)
{
    const struct json *a = json_get(want, key);
    double worst = 0, v;
    if (!a) return 0; /* this optimizer has none */
    if (a->count != (size_t)n) return INFINITY;
    for (int i = 0; i < n; i++) {
        if (json_real(&a->items[i], &v)) return INFINITY;
        worst = fmax(worst, fabs(get(x, wide, i) - v));
    }
    return worst;
}
static double all_off(const struct state *s, const struct json *want, int n, bool wide)
{
    return fmax(off(s->p, want, "p", n, wide),
                fmax(off(s->m, want, "m", n, wide), off(s->v, want, "v", n, wide)));
}

static void check_torch(struct device *d, const char *backend, const struct json *g)
{
    const bool wide = strcmp(backend, "ref64") == 0;
    const int n = (int)number(g, "n", 0), steps = (int)number(g, "steps", 0);
    const struct json *cases = json_get(g, "cases");
    double worst = n < 1 || n > MOST || steps < 2 ? INFINITY : 0;
    for (size_t i = 0; i < cases->count && isfinite(worst); i++) {
        const struct json *c = &cases->items[i];
        struct state s = {.sumsq = 0};
        fill(s.p, wide, n, "p", &s.sumsq);
        for (int j = 0; j < n; j++) set(s.m, wide, j, 1e9); /* SGD must not read it at first */
        if (json_get(json_get(c, "first"), "v")) memset(s.m, 0, sizeof s.m);
        for (int k = 0; k < steps; k++) {
            char name[16];
            snprintf(name, sizeof name, "g%d", k);
            fill(s.grad, wide, n, name, &s.sumsq);
            step(d, &s, c, n, k, wide);
            if (k == 0 && json_get(json_get(c, "first"), "m"))
                worst = fmax(worst, all_off(&s, json_get(c, "first"), n, wide));
        }
        worst = fmax(worst, all_off(&s, json_get(c, "last"), n, wide));
    }
    char name[80];
    snprintf(name, sizeof name, "%s: AdamW and SGD equal PyTorch's", backend);
    printf("# %s: worst %.2g\n", name, worst);
    CHECK(name, worst <= (wide ? 1e-13 : 2e-7) && cases->count == 14);
}

/* ---- rounding ---- */

/* The mean over all bits is the number: as many of 65536 round away from zero as its tail says. */
static void check_mean(void)
{
    static const float x[] = {1.0F,     1.00390625F, -3.14159274F, 1e-3F, 6.5e-39F,
                              -1.5e20F, 0.0F,        255.99F,      1e-41F};
    bool mean = true, close = true;
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) {
        double sum = 0;
        for (uint32_t b = 0; b < 65536; b++) {
            const float y = bf16_to_f32(bf16_from_f32_random(x[i], b | 0xabcd0000));
            close &= y == bf16_to_f32(bf16_from_f32_random(x[i], 0)) ||
                     y == bf16_to_f32(bf16_from_f32_random(x[i], 0xffff));
            sum += (double)y;
        }
        mean &= sum / 65536 == (double)x[i];
    }
    CHECK("the mean over all bits is the number itself", mean);
    CHECK("a number becomes one of its two neighbours", close);
    CHECK("what bf16 has stays", bf16_from_f32_random(-2.5F, 0xffff) == bf16_from_f32(-2.5F));
    CHECK("infinity stays", bf16_from_f32_random(INFINITY, 0xffff) == 0x7f80 &&
                                bf16_from_f32_random(-INFINITY, 0xffff) == 0xff80);
    uint32_t most = 0x7fffffff;
    float nan;
    memcpy(&nan, &most, sizeof nan);
    CHECK("NaN stays", isnan(bf16_to_f32(bf16_from_f32_random(nan, 0xffff))) &&
                           isnan(bf16_to_f32(bf16_from_f32_random(-nan, 0xffff))) &&
                           isnan(bf16_to_f32(bf16_from_f32_random(NAN, 0))));
}

/* The three draws of an element, in [-1/2, 1/2). */
static void draws(const struct op_random *r, uint64_t i, double out[3])
{
    const uint32_t b = op_random_bits(r, i);
    out[0] = (double)(b & 0xffff) / 65536 - 0.5;
    out[1] = (double)(b >> 16) / 65536 - 0.5;
    out[2] = (double)((b ^ b >> 16) & 0xffff) / 65536 - 0.5;
}

/* Mean, variance and correlations: between the draws of an element, with the next element, with
 * the next step, with another seed. Each within five standard errors. */
static void check_bits(void)
{
    enum { N = 1 << 16 };
    const struct op_random r = {1, 5, 0}, later = {1, 6, 0}, other = {2, 5, 0};
    double mean[3] = {0}, square[3] = {0}, cross[3] = {0}, next[3] = {0}, step_[3] = {0},
           seed[3] = {0};
    for (uint64_t i = 0; i < N; i++) {
        double a[3], b[3], c[3], d[3];
        draws(&r, i, a), draws(&r, i + 1, b), draws(&later, i, c), draws(&other, i, d);
        for (int k = 0; k < 3; k++) {
            mean[k] += a[k] / N;
            square[k] += a[k] * a[k] / N;
            cross[k] += 12 * a[k] * a[(k + 1) % 3] / N;
            next[k] += 12 * a[k] * b[k] / N;
            step_[k] += 12 * a[k] * c[k] / N;
            seed[k] += 12 * a[k] * d[k] / N;
        }
    }
    const double error = 5 / sqrt(N);
    bool ok = true;
    for (int k = 0; k < 3; k++)
        ok &= fabs(mean[k]) < error * sqrt(1.0 / 12) &&
              fabs(square[k] - 1.0 / 12) < error * sqrt(1.0 / 180) && fabs(cross[k]) < error &&
              fabs(next[k]) < error && fabs(step_[k]) < error && fabs(seed[k]) < error;
    CHECK("draws are uniform and do not depend on each other", ok);
}

/* ---- the same bits everywhere ---- */

enum { N = 40000 };
struct bf16_state {
    uint16_t p[N], m[N], v[N];
};
static void begin(struct bf16_state *s, float *grad)
{
    for (uint32_t i = 0; i < N; i++) {
        s->p[i] = bf16_from_f32(tiny_uniform("p", i));
        s->m[i] = bf16_from_f32(tiny_uniform("m", i));
        s->v[i] = bf16_from_f32(fabsf(tiny_uniform("v", i)));
        grad[i] = bf16_to_f32(bf16_from_f32(tiny_uniform("g", i)));
    }
}

/* One update of elements [from, to) of those that start at element `first` of all. With b1 = b2 =
 * 1/2 and a rate that is a power of two every number before rounding is exact in float, so that
 * all backends round the same number. */
static void update(struct device *d, struct bf16_state *s, const float *grad, bool sgd, int from,
                   int to, struct op_random random)
{
    random.first += (uint64_t)from;
    if (sgd)
        op_sgd(d, &(struct op_sgd){.param = s->p + from,
                                   .grad = grad + from,
                                   .n = to - from,
                                   .lr = 0x1p-9,
                                   .param_dtype = DT_BF16,
                                   .random = random});
    else
        op_adamw(d, &(struct op_adamw){.param = s->p + from,
                                       .m = s->m + from,
                                       .v = s->v + from,
                                       .grad = grad + from,
                                       .n = to - from,
                                       .lr = 0x1p-9,
                                       .beta1 = 0.5,
                                       .beta2 = 0.5,
                                       .c1 = 1,
                                       .c2 = 1,
                                       .eps = 1e-8,
                                       .param_dtype = DT_BF16,
                                       .m_dtype = DT_BF16,
                                       .v_dtype = DT_BF16,
                                       .random = random});
}

static int differing(const uint16_t *a, const uint16_t *b)
{
    int n = 0;
    for (int i = 0; i < N; i++) n += a[i] != b[i];
    return n;
}

/* Against the reference: SGD's weights and both moments to the bit. AdamW's weights come from a
 * root and a division, that float arithmetic ends differently in: a few are rounded otherwise. */
static bool like_reference(struct device *d, struct device *ref, struct op_random random)
{
    static struct bf16_state a, b;
    static float grad[N];
    begin(&a, grad), begin(&b, grad);
    update(d, &a, grad, true, 0, N, random), update(ref, &b, grad, true, 0, N, random);
    bool same = !differing(a.p, b.p);
    begin(&a, grad), begin(&b, grad);
    update(d, &a, grad, false, 0, N, random), update(ref, &b, grad, false, 0, N, random);
    return same && !differing(a.m, b.m) && !differing(a.v, b.v) && differing(a.p, b.p) < N / 1000;
}

static void check_places(struct device *d, struct device *two, const char *backend)
{
    static struct bf16_state whole, cut, threads;
    static float grad[N];
    struct err e;
    char name[80];
    struct device *ref = device_open("ref", 1, &e);
    /* the last two reach beyond 32 bits of the counter, and of the step */
    const struct op_random at[] = {{42, 1, 0},
                                   {42, 1, 37},
                                   {42, 2, 64 * 1000 + 1},
                                   {7ull << 40, 3, (1ull << 34) - 1000},
                                   {42, 1ull << 40, (1ull << 36) + 5}};
    bool like = true, parts = true, many = true, other = true;
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        like &= like_reference(d, ref, at[i]);
        for (int sgd = 0; sgd < 2; sgd++) {
            begin(&whole, grad), begin(&cut, grad), begin(&threads, grad);
            update(d, &whole, grad, sgd, 0, N, at[i]);
            for (int k = 0, step_ = 1; k < N; k += step_, step_ = step_ * 5 % 1237)
                update(d, &cut, grad, sgd, k, k + step_ < N ? k + step_ : N, at[i]);
            update(two, &threads, grad, sgd, 0, N, at[i]);
            parts &= !memcmp(&whole, &cut, sizeof cut);
            many &= !memcmp(&whole, &threads, sizeof threads);
        }
        struct op_random else_ = at[i];
        else_.step++;
        begin(&cut, grad);
        update(d, &cut, grad, true, 0, N, else_);
        other &= differing(whole.p, cut.p) > N / 10;
    }
    snprintf(name, sizeof name, "%s: rounds as the reference does", backend);
    CHECK(name, like);
    snprintf(name, sizeof name, "%s: however elements are cut into calls", backend);
    CHECK(name, parts);
    snprintf(name, sizeof name, "%s: with two threads", backend);
    CHECK(name, many);
    snprintf(name, sizeof name, "%s: otherwise in another step", backend);
    CHECK(name, other);
    device_close(ref);
}

/* ---- what it is for ---- */

/* Without a gradient the second moment is beta2^k of what it was: its mean over 4096 elements, with
 * five standard errors (each rounding's variance is at most 1/4 of a unit squared, and
 * decays). To nearest, it stays where it was for ever. */
static void check_stall(struct device *d)
{
    enum { COUNT = 4096, STEPS = 1000 };
    static float grad[COUNT];
    static uint16_t p[COUNT], m[COUNT], v[COUNT];
    double mean = 0;
    uint16_t nearest = bf16_from_f32(1);
    for (int i = 0; i < COUNT; i++) v[i] = nearest;
    for (int k = 1; k <= STEPS; k++) {
        op_adamw(d, &(struct op_adamw){.param = p,
                                       .m = m,
                                       .v = v,
                                       .grad = grad,
                                       .n = COUNT,
                                       .beta1 = 0.9,
                                       .beta2 = 0.999,
                                       .eps = 1e-8,
                                       .c1 = 1,
                                       .c2 = 1,
                                       .param_dtype = DT_BF16,
                                       .m_dtype = DT_BF16,
                                       .v_dtype = DT_BF16,
                                       .random = {3, (uint64_t)k, 0}});
        nearest = bf16_from_f32(0.999F * bf16_to_f32(nearest));
    }
    for (int i = 0; i < COUNT; i++) mean += (double)bf16_to_f32(v[i]) / COUNT;
    const double want = pow(0.999, STEPS), error = 5 * sqrt(STEPS * 0.25 / COUNT) * 0x1p-8;
    printf("# second moment after %d steps: %g (%g +- %g), to nearest %g\n", STEPS, mean, want,
           error, (double)bf16_to_f32(nearest));
    CHECK("a second moment in bf16 falls as it should", fabs(mean - want) < error);
    CHECK("to nearest it would not fall", bf16_to_f32(nearest) == 1);
}

int main(void)
{
    struct err e;
    struct buf text = {0};
    struct arena arena = {0};
    const struct json *g = NULL;
    if (io_slurp("tests/golden/train/update.json", (size_t)1 << 20, &text, &e) == 0)
        g = json_parse(text.data, text.len, &arena, &e);
    CHECK("golden file", g && json_get(g, "cases"));
    check_mean();
    check_bits();
    for (int i = 0; i < BACKENDS; i++) {
        struct device *d = device_open(backends[i], 1, &e), *two = device_open(backends[i], 2, &e);
        if (!d || !two) {
            SKIP(backends[i], "this CPU lacks the instruction set");
            continue;
        }
        if (g) check_torch(d, backends[i], g);
        if (i > 0) check_places(d, two, backends[i]);
        if (i == BACKENDS - 1 || i == 1) check_stall(d);
        device_close(d), device_close(two);
    }
    arena_free(&arena);
    buf_free(&text);
    TEST_END();
}
