/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation of every CPU instruction set against the reference in double, and one thread
 * against more: the same bytes. */
#include "ops_list.h"

/* The devices under test, with one thread and, where a device has threads, with two. */
static const char *const names[] = {"ref", "cpu-base", "cpu-v3", "cpu-v4"};
enum { BACKENDS = sizeof names / sizeof *names };
static struct backend {
    struct device *one, *two; /* two: NULL for the reference, which has one thread */
    int checked, wrong;
} backends[BACKENDS];
static struct device *truth;

/* The error of element i relative to it and to the size of its neighbours. */
static double error_of(const struct buf *b, const void *x, const void *y, int64_t *where)
{
    double square = 0, worst = 0;
    int64_t finite = 0;
    for (int64_t i = 0; i < b->n; i++) {
        double v = value_at(y, i, b->t);
        if (isfinite(v)) square += v * v, finite++;
    }
    const double rms = finite ? sqrt(square / (double)finite) : 0;
    for (int64_t i = 0; i < b->n; i++) {
        double v = value_at(x, i, b->t), w = value_at(y, i, b->t);
        double err = v == w ? 0 : fabs(v - w) / (fabs(w) + rms);
        if (!(err <= worst)) {
            worst = isnan(err) ? INFINITY : err;
            *where = i;
        }
    }
    return worst;
}

/* bf16 keeps 8 bits; attention rounds probabilities as well as results. What is real of a norm has
 * only seen bf16 inputs. */
static double bf16_limit(enum op_id op, enum dtype t)
{
    const bool wide = op == OP_rmsnorm && t == DT_F32;
    return op == OP_sum || wide                            ? 1e-5
           : op == OP_attention || op == OP_attention_grad ? 1.0 / 50
                                                           : 1.0 / 128;
}

static void check_outcome(const struct test_case *c, int which, const struct outcome *want,
                          bool bf16)
{
    struct backend *b = &backends[which];
    struct outcome x = case_run(c, b->one, 99, NULL), y = {{NULL}};
    if (b->two) y = case_run(c, b->two, 99, NULL);
    for (int i = 0; i < c->bufs; i++) {
        const struct buf *f = &c->buf[i];
        int64_t where = 0;
        const double err = error_of(f, x.bytes[i], want->bytes[i], &where);
        const double limit = f->t == DT_I32 ? 0 : bf16 ? bf16_limit(c->op, f->t) : 1e-5;
        char name[160];
        snprintf(name, sizeof name, "%s %s %s buffer %d at %d: error %.2g", names[which], c->name,
                 bf16 ? "bf16" : "fp32", i, (int)where, err);
        b->checked++;
        if (!EXPECT(name, err <= limit)) b->wrong++;
        if (!b->two) continue;
        snprintf(name, sizeof name, "%s %s: 2 threads", names[which], c->name);
        if (!EXPECT(name, !memcmp(x.bytes[i], y.bytes[i], (size_t)f->n * dtype_size(f->t))))
            b->wrong++;
    }
    outcome_free(&x);
    if (b->two) outcome_free(&y);
}

static void check_case(const struct test_case *c, void *to)
{
    (void)to;
    struct outcome want = case_run(c, truth, 99, NULL);
    bool bf16 = false;
    for (int i = 0; i < c->bufs; i++) bf16 |= c->buf[i].t == DT_BF16;
    for (int i = 0; i < BACKENDS; i++)
        if (backends[i].one && (!bf16 || backends[i].one->has_bf16))
            check_outcome(c, i, &want, bf16);
    outcome_free(&want);
}

static void check_all(enum dtype t)
{
    for (int i = 0; i < BACKENDS; i++) backends[i].checked = backends[i].wrong = 0;
    list_cases((struct sink){check_case, NULL}, t);
    for (int i = 0; i < BACKENDS; i++) {
        char what[80];
        snprintf(what, sizeof what, "operations: %s %s equals the reference", names[i],
                 dtype_name(t));
        if (!backends[i].one)
            SKIP(what, "this CPU lacks the instruction set");
        else if (t == DT_BF16 && !backends[i].one->has_bf16)
            SKIP(what, "this CPU has no bf16 products");
        else
            CHECK(what, !backends[i].wrong && backends[i].checked > 200);
    }
}

int main(void)
{
    struct err e;
    truth = device_open("ref64", 1, &e);
    for (int i = 0; i < BACKENDS; i++) {
        backends[i].one = device_open(names[i], 1, &e);
        backends[i].two = i ? device_open(names[i], 2, &e) : NULL;
    }
    CHECK("operations: the reference and the CPU backends open",
          truth && backends[0].one && backends[1].one);
    check_all(DT_F32);
    check_all(DT_BF16);
    CHECK("operations: an unknown backend is refused",
          !device_open("abacus", 1, &e) && e.code == ERR_CONFIG);
    for (int i = 0; i < BACKENDS; i++) device_close(backends[i].one), device_close(backends[i].two);
    device_close(truth);
    TEST_END();
}
