/* SPDX-License-Identifier: Apache-2.0 */
/* Updates that round to bf16 at random: the bits, that their mean is the number itself, that
 * nothing but (seed, step, element) changes them, and what they are for. */
#include "base/rng.h"
#include "ops_backends.h"
#include "tiny.h"

/* ---- the bits ---- */

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
    CHECK("random rounding: the mean over all bits is the number itself", mean);
    CHECK("random rounding: a number becomes one of its two neighbours", close);
    CHECK("random rounding: a bf16 number stays",
          bf16_from_f32_random(-2.5F, 0xffff) == bf16_from_f32(-2.5F));
    CHECK("random rounding: infinity stays", bf16_from_f32_random(INFINITY, 0xffff) == 0x7f80 &&
                                                 bf16_from_f32_random(-INFINITY, 0xffff) == 0xff80);
    uint32_t most = 0x7fffffff;
    float nan;
    memcpy(&nan, &most, sizeof nan);
    CHECK("random rounding: NaN stays",
          isnan(bf16_to_f32(bf16_from_f32_random(nan, 0xffff))) &&
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
    CHECK("random rounding: draws are uniform and do not depend on each other", ok);
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
    snprintf(name, sizeof name, "%s: rounding does not depend on how elements are cut into calls",
             backend);
    CHECK(name, parts);
    snprintf(name, sizeof name, "%s: two threads round as one", backend);
    CHECK(name, many);
    snprintf(name, sizeof name, "%s: another step rounds otherwise", backend);
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
    CHECK("random rounding: a second moment in bf16 falls as in fp32", fabs(mean - want) < error);
    CHECK("random rounding: to nearest, a second moment does not fall", bf16_to_f32(nearest) == 1);
}

int main(void)
{
    check_mean();
    check_bits();
    for (int i = 1; i < BACKENDS; i++) {
        struct device *d = backend_open(i, 1), *two = backend_open(i, 2);
        if (d && two) check_places(d, two, backends[i]);
        if (d && (i == BACKENDS - 1 || i == 1)) check_stall(d);
        device_close(d), device_close(two);
    }
    TEST_END();
}
