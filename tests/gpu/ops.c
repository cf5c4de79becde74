/* SPDX-License-Identifier: Apache-2.0 */
/* ops [--more] [--fp32|--bf16] [--first] [--once] [NAME...|-NAME...]: every case of the operations
 * on a GPU, against the reference in double, and twice: the same bytes. --more: and attention of
 * every size of a head, with windows, more keys than queries, and rows of no document. --fp32 and
 * --bf16 leave out the cases of the other type; --first ends at the first case that fails; --once
 * does not run a case again. */
#include "../unit/ops_list.h"

#include "ops/table.h"

static struct device *gpu, *truth;
static bool ends_early, once;
static char **wanted; /* names of operations, or -NAME of those to leave out; ends with NULL */
static struct tally {
    int cases, wrong, twice;
    double worst;
    char where[100];
} tally[2][OP_COUNT];

/* The error of x relative to the size of y's elements. */
static double error_of(const struct buf *b, const void *x, const void *y)
{
    double square = 0, worst = 0;
    int64_t finite = 0;
    for (int64_t i = 0; i < b->n; i++) {
        const double v = value_at(y, i, b->t);
        if (isfinite(v)) square += v * v, finite++;
    }
    const double rms = finite ? sqrt(square / (double)finite) : 0;
    for (int64_t i = 0; i < b->n; i++) {
        const double v = value_at(x, i, b->t), w = value_at(y, i, b->t);
        const double err = v == w ? 0 : fabs(v - w) / (fabs(w) + rms);
        if (!(err <= worst)) worst = isnan(err) ? INFINITY : err;
    }
    return worst;
}

static double limit_of(const struct test_case *c, const struct buf *b, bool bf16)
{
    if (b->t == DT_I32) return 0;
    if (!bf16 || (c->op == OP_rmsnorm && b->t == DT_F32)) return 2e-5;
    if (c->op == OP_sum) return 1e-5;
    return c->op == OP_attention || c->op == OP_attention_grad ? 1.0 / 50 : 1.0 / 128;
}

static bool is_wanted(enum op_id op)
{
    bool others = true; /* those without a name in the list */
    for (char **w = wanted; *w; w++) {
        const bool out = **w == '-';
        if (!strcmp(*w + out, op_name(op))) return !out;
        others = out;
    }
    return others;
}

static void check_case(const struct test_case *c, void *to)
{
    bool bf16 = false;
    (void)to;
    if (!is_wanted(c->op)) return;
    for (int i = 0; i < c->bufs; i++) bf16 |= c->buf[i].t == DT_BF16;
    struct tally *t = &tally[bf16][c->op];
    struct outcome want = case_run(c, truth, 99, NULL), x = case_run(c, gpu, 99, NULL),
                   y = once ? (struct outcome){0} : case_run(c, gpu, 99, NULL);
    t->cases++;
    bool bad = false;
    for (int i = 0; i < c->bufs; i++) {
        const struct buf *b = &c->buf[i];
        const double err = error_of(b, x.bytes[i], want.bytes[i]);
        bad |= !(err <= limit_of(c, b, bf16));
        if (err > t->worst) {
            t->worst = err;
            snprintf(t->where, sizeof t->where, "%s [%d]", c->name, i);
        }
        if (!once && memcmp(x.bytes[i], y.bytes[i], (size_t)b->n * dtype_size(b->t))) t->twice++;
    }
    t->wrong += bad;
    if (bad) printf("# WRONG %s\n", c->name);
    if (bad && ends_early) exit(1);
    outcome_free(&want), outcome_free(&x), outcome_free(&y);
}

static void attention(const struct attention_shape *f, struct sink s)
{
    struct test_case c;
    attention_case(&c, f, DT_BF16);
    emit(s, &c, f->name);
    attention_grad_case(&c, f, DT_BF16, f->ends[0] > 0);
    emit(s, &c, f->name);
}

static void more_attention(struct sink s)
{
    static const struct attention_shape shapes[] = {
        {"tiles, one", 1, {0, 200}, {0, 200}, 2, 1, 0, 0, 200, 200, {0}},
        {"tiles, rows of none",
         4,
         {5, 6, 69, 133, 198},
         {5, 6, 69, 133, 198},
         4,
         2,
         0,
         0,
         268,
         268,
         {0}},
        {"tiles, window", 3, {0, 300, 320, 397}, {0, 300, 320, 397}, 2, 2, 0, 50, 400, 400, {0}},
        {"tiles, cap, window", 2, {0, 300, 397}, {0, 300, 397}, 2, 1, 0, 90, 400, 400, {0}},
        {"tiles, more keys", 3, {0, 1, 34, 164}, {0, 91, 214, 434}, 6, 2, 0, 0, 164, 434, {0}},
        {"tiles, window, more keys", 2, {0, 1, 98}, {0, 61, 218}, 3, 1, 0, 33, 98, 218, {0}},
        {"tiles, chunks",
         2,
         {0, 70, 141, 241, 341},
         {0, 282, 682},
         4,
         2,
         0,
         0,
         341,
         682,
         {141, 211, 382, 682}},
        {"tiles, chunks, window",
         2,
         {2, 72, 143, 143, 144},
         {0, 282, 286},
         2,
         1,
         0,
         90,
         150,
         290,
         {70, 282, 282, 285}},
    };
    static const int32_t dims[] = {64, 80, 96, 128, 256};
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            struct attention_shape f = shapes[i];
            f.dim = dims[d];
            attention(&f, s);
        }
}

int main(int argc, char **argv)
{
    struct err e;
    bool more = false, fp32 = true, bf16 = true;
    (void)argc;
    for (wanted = argv + 1; *wanted && !strncmp(*wanted, "--", 2); wanted++) {
        more |= !strcmp(*wanted, "--more");
        fp32 &= strcmp(*wanted, "--bf16") != 0;
        bf16 &= strcmp(*wanted, "--fp32") != 0;
        ends_early |= !strcmp(*wanted, "--first");
        once |= !strcmp(*wanted, "--once");
    }
    gpu = device_open("cuda:0", 1, &e);
    truth = ref_open(true, 1, &e);
    if (!gpu || !truth) {
        printf("not ok open: %s\n", e.msg);
        return 1;
    }
    if (fp32) list_cases((struct sink){check_case, NULL}, DT_F32);
    if (bf16) list_cases((struct sink){check_case, NULL}, DT_BF16);
    if (more) more_attention((struct sink){check_case, NULL});
    int bad = 0;
    for (int narrow = 0; narrow < 2; narrow++)
        for (int op = 0; op < OP_COUNT; op++) {
            const struct tally *t = &tally[narrow][op];
            if (!t->cases) continue;
            bad += t->wrong + t->twice;
            printf(
                "%s %s %-15s %3d cases, %d wrong, %d not the same twice, worst error %.1e in %s\n",
                t->wrong + t->twice ? "not ok" : "ok", narrow ? "bf16" : "fp32", op_name(op),
                t->cases, t->wrong, t->twice, t->worst, t->where);
        }
    device_close(truth);
    device_close(gpu);
    return bad != 0;
}
