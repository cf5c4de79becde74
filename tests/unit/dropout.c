/* SPDX-License-Identifier: Apache-2.0 */
/* Dropout: how much is dropped, how it is spread, and that a mask belongs to its token wherever the
 * token stands. */
#include "base/rng.h"
#include "ops/ops.h"
#include "test.h"

enum { T = 512, H = 576 };

static struct device *device;

/* The ones that stay, in x[T,H]. */
static void drop(const struct op_dropout *a, const int32_t *sample, const int32_t *pos, float *x)
{
    struct err e;
    const size_t n = (size_t)(a->T * a->H) * sizeof *x, m = (size_t)a->T * sizeof *pos;
    char *p = device->ops->alloc(device, n + 2 * m, &e);
    struct op_dropout d = *a;
    for (int64_t i = 0; i < a->T * a->H; i++) x[i] = 1;
    d.x = d.y = p;
    d.sample = (int32_t *)(void *)(p + n);
    d.pos = (int32_t *)(void *)(p + n + m);
    device_upload(device, d.y, x, n);
    device_upload(device, p + n, sample, m);
    device_upload(device, p + n + m, pos, m);
    op_dropout(device, &d);
    if (device->ops->download(device, x, p, n, &e)) printf("not ok: %s\n", e.msg);
    device->ops->free(device, p, n + 2 * m);
}

static void tokens(int32_t *sample, int32_t *pos)
{
    for (int32_t t = 0; t < T; t++) {
        sample[t] = t / 100 * 7919 + 3;
        pos[t] = t % 100;
    }
}

/* Standard deviations that a count of n draws of probability p is off. */
static double off(double count, double n, double p)
{
    return fabs(count - n * p) / sqrt(n * p * (1 - p));
}

static void statistics(double p, const float *x)
{
    double zeros = 0, sum = 0, square = 0, worst_row = 0, worst_column = 0, pairs = 0, above = 0;
    for (int t = 0; t < T; t++) {
        double row = 0;
        for (int i = 0; i < H; i++) {
            const float v = x[t * H + i];
            row += v == 0;
            sum += (double)v;
            square += (double)v * (double)v;
            if (i) pairs += v == 0 && x[t * H + i - 1] == 0;
            if (t) above += v == 0 && x[(t - 1) * H + i] == 0;
        }
        zeros += row;
        worst_row = fmax(worst_row, off(row, H, p));
    }
    for (int i = 0; i < H; i++) {
        double column = 0;
        for (int t = 0; t < T; t++) column += x[t * H + i] == 0;
        worst_column = fmax(worst_column, off(column, T, p));
    }
    const double n = (double)T * H;
    char name[80];
    snprintf(name, sizeof name, "dropout of %g: so many are dropped", p);
    CHECK(name, off(zeros, n, p) < 4);
    snprintf(name, sizeof name, "dropout of %g: mean and variance are kept", p);
    CHECK(name, fabs(sum / n - 1) < 4 * sqrt(p / (1 - p) / n) &&
                    fabs((square / n - 1) / (p / (1 - p)) - 1) < 0.02);
    snprintf(name, sizeof name, "dropout of %g: every token and column has its part", p);
    CHECK(name, worst_row < 5 && worst_column < 5);
    snprintf(name, sizeof name, "dropout of %g: neighbours do not depend on each other", p);
    CHECK(name, off(pairs, n, p * p) < 5 && off(above, n, p * p) < 5);
}

/* The rows of x in another order, a subset, have the masks they had. */
static void layouts(const struct op_dropout *a, const float *x)
{
    static float y[T * H];
    int32_t sample[T], pos[T], s[T], q[T], from[T];
    struct op_dropout b = *a;
    bool same = true;
    tokens(sample, pos);
    b.T = T / 2;
    for (int t = 0; t < T / 2; t++) {
        from[t] = (t * 37 + 11) % T;
        s[t] = sample[from[t]];
        q[t] = pos[from[t]];
    }
    drop(&b, s, q, y);
    for (int t = 0; t < T / 2; t++) same &= memcmp(y + t * H, x + from[t] * H, H * sizeof *y) == 0;
    CHECK("dropout: a token's mask is the same wherever it stands", same);
}

/* Ranks that have some columns each, wherever they begin, drop what one rank with all of them does.
 */
static void columns(const struct op_dropout *a, const float *x)
{
    static const int64_t cuts[] = {0, 96, 97, 300, H};
    static float y[T * H];
    int32_t sample[T], pos[T];
    bool same = true;
    tokens(sample, pos);
    for (size_t i = 0; i + 1 < sizeof cuts / sizeof *cuts; i++) {
        const int64_t first = cuts[i], n = cuts[i + 1] - first;
        struct op_dropout b = *a;
        b.first = first;
        b.H = n;
        drop(&b, sample, pos, y);
        for (int64_t t = 0; t < T; t++)
            same &= memcmp(y + t * n, x + t * H + first, (size_t)n * sizeof *y) == 0;
    }
    CHECK("dropout: a column's mask is the same in a part of the columns", same);
}

/* Another key, site or sample: a mask that has nothing to do with the first. */
static void others(const struct op_dropout *a, const float *x)
{
    static float y[T * H];
    int32_t sample[T], pos[T];
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"dropout: another step drops others",
                                            "dropout: another site drops others",
                                            "dropout: another sample drops others"};
        struct op_dropout b = *a;
        double both = 0;
        tokens(sample, pos);
        if (i == 0) b.key++;
        if (i == 1) b.site++;
        for (int t = 0; t < T && i == 2; t++) sample[t]++;
        drop(&b, sample, pos, y);
        for (int j = 0; j < T * H; j++) both += x[j] == 0 && y[j] == 0;
        CHECK(names[i], off(both, (double)T * H, a->p * a->p) < 4);
    }
}

int main(void)
{
    static float x[T * H], y[T * H];
    static const double rates[] = {0.05, 0.1, 0.5};
    int32_t sample[T], pos[T];
    struct err e;
    tokens(sample, pos);
    struct op_dropout a = {.T = T, .H = H, .key = 42, .site = 5, .scale = 1, .dtype = DT_F32};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        a.p = rates[i];
        device = device_open("cpu", 2, &e);
        drop(&a, sample, pos, x);
        statistics(a.p, x);
        if (i == 1) layouts(&a, x);
        if (i == 1) columns(&a, x);
        if (i == 1) others(&a, x);
        device_close(device);
        device = device_open("ref", 1, &e);
        drop(&a, sample, pos, y);
        CHECK("dropout: the reference drops the same", memcmp(x, y, sizeof x) == 0);
        device_close(device);
    }
    TEST_END();
}
