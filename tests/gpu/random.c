/* SPDX-License-Identifier: Apache-2.0 */
/* random SEED [NAME...|-NAME...]: random shapes of the operations of a layer on a GPU, against
 * double: lengths of 1 to 300, none a multiple of a tile. In fp32 the relative L2 error of a result
 * is at most 1e-5; in bf16 at most 1.5 times that of the CPU. The truth of a bf16 case is that of
 * the same values in fp32, so that the rounding of results counts. */
#include "../unit/ops_list.h"

#include "ops/table.h"

enum { EACH = 8 }; /* cases of an operation and type */
static const double FP32_LIMIT = 1e-5, BF16_LIMIT = 1.5;
static struct device *gpu, *cpu, *truth;
static char **wanted; /* names of operations, or -NAME of those to leave out; ends with NULL */
static struct tally {
    int cases, wrong;
    double worst; /* of the error over its limit */
    char where[100];
} tally[2][OP_COUNT];

/* ---- shapes ---- */
static int64_t between(int64_t low, int64_t high)
{
    return low + (int64_t)(case_random() * (double)(high - low + 1));
}
static bool coin(void) { return case_random() < 0.5; }
static int64_t length(int64_t most)
{
    int64_t n;
    do n = between(1, most);
    while (n % 8 == 0);
    return n;
}
/* Widths have full vectors, as those of models, or not. */
static int64_t width(void) { return coin() ? 8 * (2 * between(1, 18) + 1) : length(300); }

static void random_matmul(struct sink s, enum dtype t)
{
    struct test_case c;
    const int64_t m = length(300), n = width(), k = width();
    const bool ta = coin(), tb = coin(), acc = coin(), wide = coin();
    char what[60];
    snprintf(what, sizeof what, "%dx%dx%d %s%s%s%s", (int)m, (int)n, (int)k, ta ? "T" : "N",
             tb ? "T" : "N", acc ? " +C" : "", wide ? " wide" : "");
    CASE(&c, matmul, .m = m, .n = n, .k = k, .ta = ta, .tb = tb, .accumulate = acc, .ab_dtype = t,
         .c_dtype = wide ? DT_F32 : t);
    BUF(&c, matmul, c, m * n, wide ? DT_F32 : t, .out = true);
    BUF(&c, matmul, a, m * k, t);
    BUF(&c, matmul, b, n * k, t);
    if (coin()) BUF(&c, matmul, bias, n, t);
    emit(s, &c, what);
}

static void random_norm(struct sink s, enum dtype t)
{
    struct test_case c;
    const int32_t heads = (int32_t)between(1, 3);
    const int64_t H = coin() ? 64 : length(100);
    const struct head_norm f = {"",     length(300),   H, heads * H + between(0, 1) * 8, heads,
                                coin(), coin() ? 1 : 0};
    char what[40];
    snprintf(what, sizeof what, "%d, %d heads of %d", (int)f.T, (int)heads, (int)H);
    head_norm_case(&c, &f, t);
    emit(s, &c, what);
    head_norm_grad_case(&c, &f, t);
    emit(s, &c, what);
}

static void random_elementwise(struct sink s, enum dtype t)
{
    struct test_case c;
    const int64_t T = length(300);
    const struct activation f = {T, width(), (enum act)between(0, ACTS - 1), coin()};
    char what[40];
    list_activation(s, t, &f, coin());
    const int32_t dim = coin() ? 64 : 2 * (int32_t)length(50), heads = (int32_t)between(1, 3);
    const int32_t rotary = coin() ? dim : 2 * (int32_t)between(1, dim / 2);
    snprintf(what, sizeof what, "%d, %d heads of %d of %d", (int)T, (int)heads, (int)rotary,
             (int)dim);
    CASE(&c, rope, .T = T, .stride = heads * dim + 8, .heads = heads, .dim = dim, .rotary = rotary,
         .scaled = (int32_t)between(0, heads), .inverse = coin(), .interleaved = coin(),
         .dtype = t);
    BUF(&c, rope, x, T * (heads * dim + 8), t, .out = true);
    BUF(&c, rope, cos, 20 * rotary / 2, DT_F32);
    BUF(&c, rope, sin, 20 * rotary / 2, DT_F32);
    BUF(&c, rope, pos, T, DT_I32, .ints = random_ints(T, 20));
    if (coin()) BUF(&c, rope, scale, 20, DT_F32, .offset = 2);
    emit(s, &c, what);
}

static void random_sums(struct sink s, enum dtype t)
{
    struct test_case c;
    const int64_t T = length(300), n = width();
    char what[40];
    snprintf(what, sizeof what, "%dx%d", (int)T, (int)n);
    CASE(&c, bias_grad, .T = T, .n = n, .dtype = t);
    BUF(&c, bias_grad, db, n, DT_F32, .out = true);
    BUF(&c, bias_grad, dy, T * n, t);
    emit(s, &c, what);
    list_embed_grad(s, t, DT_F32, T, n, 40, 40, 0);
}

static void random_loss(struct sink s, enum dtype t)
{
    const int64_t n = length(60), V = width();
    struct op_xent a = {.scale = 0.25,
                        .cap = coin() ? 0 : 9,
                        .n = n,
                        .V = V,
                        .all = V,
                        .dtype = DT_F32,
                        .d_dtype = t,
                        .logits_dtype = coin() ? DT_F32 : t};
    list_xent(s, &a, random_ints(n, V), BESIDE);
    a.ranks = 3, a.first = V / 4, a.V = V / 3 + 1;
    list_xent_part(s, &a, random_ints(n, V));
    list_xent(s, &a, random_ints(n, V), BESIDE);
}

static void random_experts(struct sink s, enum dtype t)
{
    struct test_case c;
    const struct grouped_shape f = {"", length(300), width(), width(), (int32_t)between(1, 50),
                                    {0}};
    const int64_t T = length(60), H = width(), K = between(1, 4);
    char what[60];
    snprintf(what, sizeof what, "%dx%dx%d of %d", (int)f.rows, (int)f.n, (int)f.k, (int)f.E);
    grouped_case(&c, &f, t, coin(), (int)between(0, 7));
    emit(s, &c, what);
    snprintf(what, sizeof what, "%dx%dx%d", (int)T, (int)K, (int)H);
    combine_case(&c, T, K, H, t, (int)between(0, 15));
    emit(s, &c, what);
    combine_grad_case(&c, T, K, H, t, coin() ? DT_F32 : t, false, coin());
    emit(s, &c, what);
    snprintf(what, sizeof what, "%dx%d", (int)T, (int)H);
    gate_case(&c, T, H, t, coin());
    emit(s, &c, what);
    gate_grad_case(&c, T, H, t, coin());
    emit(s, &c, what);
}

/* Makes the queries of each document two chunks of its keys; the first key has no chunk. */
static void cut_chunks(struct attention_shape *f)
{
    for (int d = 0; d < f->docs; d++) {
        const int32_t n = f->cu_k[d + 1] - f->cu_k[d];
        int32_t at[4];
        for (int i = 0; i < 4; i++) at[i] = f->cu_k[d] + (int32_t)between(n > 0, n);
        for (int i = 1; i < 4; i++)
            for (int j = i; j > 0 && at[j] < at[j - 1]; j--) {
                const int32_t t = at[j];
                at[j] = at[j - 1];
                at[j - 1] = t;
            }
        for (int c = 0; c < 2; c++) {
            f->ends[2 * d + c] = at[2 * c + 1];
            f->cu_q[2 * d + c + 1] = f->cu_q[2 * d + c] + at[2 * c + 1] - at[2 * c];
        }
    }
}

/* Documents with as many keys as queries, or with more; or with two chunks of queries. */
static void random_attention(struct sink s, enum dtype t)
{
    static const int32_t dims[] = {64, 80, 96, 128, 256};
    struct test_case c;
    struct attention_shape f = {.name = coin() ? "tiles" : "tiles, cap",
                                .docs = (int32_t)between(1, 4)};
    const bool more = coin(), chunks = coin(), wide = coin();
    char what[64]; /* emit has room for it; a longer one may be cut */
    for (int d = 0; d < f.docs; d++) {
        const int32_t n = (int32_t)length(300 / f.docs);
        f.cu_q[d + 1] = f.cu_q[d] + n;
        f.cu_k[d + 1] = f.cu_k[d] + n + (more ? (int32_t)length(40) : 0);
    }
    f.kv_heads = (int32_t)between(1, 2);
    f.heads = f.kv_heads * (int32_t)between(1, 2);
    f.dim = dims[between(0, 4)];
    f.window = coin() ? 0 : (int32_t)length(150);
    if (chunks && f.cu_k[1] > 0) cut_chunks(&f);
    f.Tq = f.cu_q[f.ends[0] ? 2 * f.docs : f.docs], f.Tk = f.cu_k[f.docs];
    if (snprintf(what, sizeof what, "%d of %d keys, %d%s, %d/%d of %d, window %d%s%s", (int)f.Tq,
                 (int)f.Tk, f.docs, f.ends[0] ? " cut" : "", f.heads, f.kv_heads, f.dim, f.window,
                 wide ? ", wide" : "", strstr(f.name, "cap") ? ", cap" : "") < 0)
        return;
    attention_case(&c, &f, t);
    emit(s, &c, what);
    attention_grad_case(&c, &f, t, wide);
    emit(s, &c, what);
}

/* ---- errors ---- */
/* Makes each bf16 type of the arguments fp32. */
#define WIDEN(op, field)                                                                           \
    if (c->args.op.field == DT_BF16) c->args.op.field = DT_F32
static void widen_args(struct test_case *c)
{
    switch (c->op) {
    case OP_matmul:
        WIDEN(matmul, ab_dtype);
        WIDEN(matmul, c_dtype);
        break;
    case OP_xent:
        WIDEN(xent, d_dtype);
        WIDEN(xent, logits_dtype);
        break;
    case OP_xent_part:
        WIDEN(xent_part, logits_dtype);
        break;
    case OP_attention_grad:
        WIDEN(attention_grad, fwd.dtype);
        break;
#define ONE(op)                                                                                    \
    case OP_##op:                                                                                  \
        WIDEN(op, dtype);                                                                          \
        break;
    case OP_grouped:
        WIDEN(grouped, ab_dtype);
        WIDEN(grouped, c_dtype);
        break;
    case OP_combine:
        WIDEN(combine, dtype);
        WIDEN(combine, y_dtype);
        break;
    case OP_combine_grad:
        WIDEN(combine_grad, dtype);
        WIDEN(combine_grad, z_dtype);
        break;
        ONE(rmsnorm)
        ONE(rmsnorm_grad)
        ONE(activation)
        ONE(activation_grad)
        ONE(rope)
        ONE(bias_grad)
        ONE(embed_grad)
        ONE(attention)
        ONE(gate)
        ONE(gate_grad)
    default:
        break;
    }
}

static void *widened(const struct buf *b, const void *p)
{
    float *wide = calloc((size_t)b->n + 1, sizeof *wide);
    for (int64_t i = 0; wide && i < b->n; i++) wide[i] = (float)value_at(p, i, DT_BF16);
    return wide;
}

/* The case in double, with the values that it has in its own types. */
static struct outcome run_truth(const struct test_case *c, struct test_case *wide)
{
    void *given[BUFS];
    *wide = *c;
    widen_args(wide);
    case_seed = 99;
    for (int i = 0; i < c->bufs; i++) {
        void *own = host_content(&c->buf[i]);
        const bool narrow = c->buf[i].t == DT_BF16;
        given[i] = narrow ? widened(&c->buf[i], own) : own;
        if (narrow) wide->buf[i].t = DT_F32, free(own);
    }
    const struct outcome o = case_run(wide, truth, 99, given);
    for (int i = 0; i < c->bufs; i++) free(given[i]);
    return o;
}

static double error_of(const struct buf *b, const void *x, enum dtype t, const void *y)
{
    double error = 0, size = 0;
    for (int64_t i = 0; i < b->n; i++) {
        const double v = value_at(x, i, b->t), w = value_at(y, i, t);
        error += v == w ? 0 : (v - w) * (v - w); /* equal infinities */
        size += isfinite(w) ? w * w : 0;
    }
    return isnan(error) ? INFINITY : error == 0 ? 0 : sqrt(error / size);
}

static void note(const struct test_case *c, struct tally *t, int buffer, double err, double limit)
{
    const double part = err / limit;
    if (part > t->worst) {
        t->worst = part;
        snprintf(t->where, sizeof t->where, "%.80s [%d]", c->name, buffer);
    }
    if (err <= limit) return;
    t->wrong++;
    printf("# WRONG %s [%d]: error %.2g, limit %.2g\n", c->name, buffer, err, limit);
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

static void check_case(const struct test_case *c, void *narrow)
{
    const bool bf16 = narrow != NULL;
    struct test_case wide;
    if (!is_wanted(c->op)) return;
    const uint64_t seed = case_seed; /* a case's contents use it */
    struct outcome want = run_truth(c, &wide), x = case_run(c, gpu, 99, NULL),
                   y = bf16 ? case_run(c, cpu, 99, NULL) : (struct outcome){{0}};
    struct tally *t = &tally[bf16][c->op];
    t->cases++;
    for (int i = 0; i < c->bufs; i++) {
        const struct buf *b = &c->buf[i];
        if (!b->out) continue;
        double limit = FP32_LIMIT;
        if (bf16) {
            const double other = error_of(b, y.bytes[i], wide.buf[i].t, want.bytes[i]);
            limit = fmax(limit, BF16_LIMIT * other);
        }
        note(c, t, i, error_of(b, x.bytes[i], wide.buf[i].t, want.bytes[i]), limit);
    }
    outcome_free(&want), outcome_free(&x), outcome_free(&y);
    case_seed = seed;
}

static void all_shapes(enum dtype t, uint64_t seed)
{
    static void (*const families[])(struct sink, enum dtype) = {
        random_matmul, random_norm,      random_elementwise, random_sums,
        random_loss,   random_attention, random_experts};
    const struct sink s = {check_case, t == DT_BF16 ? &tally : NULL};
    case_seed = seed;
    for (int i = 0; i < EACH; i++)
        for (size_t k = 0; k < sizeof families / sizeof *families; k++) families[k](s, t);
}

static int print(int bf16)
{
    int bad = 0;
    for (int op = 0; op < OP_COUNT; op++) {
        const struct tally *t = &tally[bf16][op];
        if (!t->cases) continue;
        bad += t->wrong;
        printf("%s %s %-15s %2d random cases, %d wrong; nearest to its limit, %.2f of it: %s\n",
               t->wrong ? "not ok" : "ok", bf16 ? "bf16" : "fp32", op_name((enum op_id)op),
               t->cases, t->wrong, t->worst, t->where);
    }
    return bad;
}

int main(int argc, char **argv)
{
    struct err e;
    const uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    wanted = argc > 1 ? argv + 2 : argv + 1;
    gpu = device_open("cuda:0", 1, &e);
    cpu = gpu ? device_open("cpu", 1, &e) : NULL;
    if (cpu && !cpu->has_bf16) device_close(cpu), cpu = device_open("ref", 1, &e);
    truth = cpu ? ref_open(true, 1, &e) : NULL;
    if (!truth) {
        printf("not ok open: %s\n", e.msg);
        return 1;
    }
    printf("# seed %llu, beside %s\n", (unsigned long long)seed, cpu->ops->name);
    all_shapes(DT_F32, seed);
    all_shapes(DT_BF16, seed + 1);
    const int bad = print(0) + print(1);
    device_close(truth), device_close(cpu), device_close(gpu);
    return bad != 0;
}
