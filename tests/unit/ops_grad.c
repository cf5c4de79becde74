/* SPDX-License-Identifier: Apache-2.0 */
/* Each operation's backward against central differences of its forward, in double on "ref64":
 * d/dx of sum_i c_i y_i for random c, with relative error below 1e-6. */
#include "ops_grad.h"

static void grad_norm(float offset)
{
    enum { T = 5, H = 7 };
    struct problem p;
    CASE(&p.fwd, rmsnorm, .T = T, .H = H, .gain_offset = offset, .eps = 1e-2, .dtype = t);
    BUF(&p.fwd, rmsnorm, y, T * H, t, .out = true);
    BUF(&p.fwd, rmsnorm, s, T * H, t, .out = true);
    BUF(&p.fwd, rmsnorm, rstd, T, t, .out = true);
    BUF(&p.fwd, rmsnorm, x, T * H, t);
    BUF(&p.fwd, rmsnorm, r, T * H, t);
    BUF(&p.fwd, rmsnorm, w, H, t);
    problem_make(&p);
    memset(p.weight[2], 0, T * sizeof(double));
    struct test_case g;
    CASE(&g, rmsnorm_grad, .T = T, .H = H, .gain_offset = offset, .dtype = t);
    BUF(&g, rmsnorm_grad, dx, T * H, t, .out = true);
    BUF(&g, rmsnorm_grad, dw, H, t, .out = true);
    BUF(&g, rmsnorm_grad, y, T * H, t, .out = true);
    BUF(&g, rmsnorm_grad, dy, T * H, t);
    BUF(&g, rmsnorm_grad, dres, T * H, t);
    BUF(&g, rmsnorm_grad, s, T * H, t);
    BUF(&g, rmsnorm_grad, w, H, t);
    BUF(&g, rmsnorm_grad, rstd, T, t);
    double *zero = zeros(T * H);
    struct outcome o = run_grad(&g, (void *[BUFS]){zero, zero, zero, p.weight[0], p.weight[1],
                                                   p.out.bytes[1], p.in[5], p.out.bytes[2]});
    const bool x = is_gradient(&p, 3, o.bytes[0]), r = is_gradient(&p, 4, o.bytes[0]);
    const bool w = is_gradient(&p, 5, o.bytes[1]);
    const bool same = !memcmp(o.bytes[2], p.out.bytes[0], T * H * sizeof(double));
    CHECK(offset > 0 ? "gradients: rmsnorm with 1+w by x" : "gradients: rmsnorm by x", x);
    CHECK(offset > 0 ? "gradients: rmsnorm with 1+w by r" : "gradients: rmsnorm by r", r);
    CHECK(offset > 0 ? "gradients: rmsnorm with 1+w by w" : "gradients: rmsnorm by w", w);
    CHECK(offset > 0 ? "recomputing: rmsnorm with 1+w gives the same bytes"
                     : "recomputing: rmsnorm gives the same bytes",
          same);
    free(zero), outcome_free(&o), problem_free(&p);
}

/* Elements between the heads of a row are left alone. */
static void grad_head_norm(void)
{
    static const struct head_norm f = {"in place", 3, 5, 13, 2, true, 1};
    struct problem p;
    struct test_case g;
    head_norm_case(&p.fwd, &f, t);
    problem_make(&p);
    memset(p.weight[1], 0, (size_t)p.fwd.buf[1].n * sizeof(double)); /* s and rstd are no results */
    memset(p.weight[2], 0, (size_t)p.fwd.buf[2].n * sizeof(double));
    head_norm_grad_case(&g, &f, t);
    double *zero = zeros(f.H);
    struct outcome o =
        run_grad(&g, (void *[BUFS]){p.weight[0], zero, p.in[0], p.out.bytes[2], p.in[3]});
    CHECK("gradients: rmsnorm of heads by x", is_gradient(&p, 0, o.bytes[0]));
    CHECK("gradients: rmsnorm of heads by w", is_gradient(&p, 3, o.bytes[1]));
    free(zero), outcome_free(&o), problem_free(&p);
}

enum { CUT_T = 3, CUT_H = 8, CUT_AT = 3 };
/* Rows of a norm over their whole width, in one part or in two. */
struct cut_norm {
    double x[CUT_T * CUT_H], w[CUT_H], dy[CUT_T * CUT_H];
    double y[CUT_T * CUT_H], rstd[CUT_T], dx[CUT_T * CUT_H], dw[CUT_H];
};

/* Adds the sum of a * b (* w) over columns [from, to) of each row. */
static void add_dots(double *sum, const double *a, const double *b, const double *w, int from,
                     int to)
{
    double part[CUT_T];
    op_row_dot(dev, &(struct op_row_dot){.y = part,
                                         .a = a + from,
                                         .b = b + from,
                                         .w = w ? w + from : NULL,
                                         .T = CUT_T,
                                         .H = to - from,
                                         .stride = CUT_H,
                                         .gain_offset = 1,
                                         .dtype = t});
    for (int i = 0; i < CUT_T; i++) sum[i] += part[i];
}

/* Computes the norm of columns [from, to), and its gradient; sums NULL: they are the whole row. */
static void norm_columns(struct cut_norm *n, const double *squares, const double *dots, int from,
                         int to)
{
    op_rmsnorm(dev, &(struct op_rmsnorm){.y = n->y + from,
                                         .rstd = n->rstd,
                                         .x = n->x + from,
                                         .w = n->w + from,
                                         .squares = squares,
                                         .T = CUT_T,
                                         .H = to - from,
                                         .stride = CUT_H,
                                         .all = CUT_H,
                                         .heads = 1,
                                         .gain_offset = 1,
                                         .eps = 1e-2,
                                         .dtype = t});
    op_rmsnorm_grad(dev, &(struct op_rmsnorm_grad){.dx = n->dx + from,
                                                   .dw = n->dw + from,
                                                   .dy = n->dy + from,
                                                   .s = n->x + from,
                                                   .w = n->w + from,
                                                   .rstd = n->rstd,
                                                   .dots = dots,
                                                   .T = CUT_T,
                                                   .H = to - from,
                                                   .stride = CUT_H,
                                                   .all = CUT_H,
                                                   .heads = 1,
                                                   .gain_offset = 1,
                                                   .dtype = t,
                                                   .dw_dtype = t});
}

static double cut_off(const double *a, const double *b, int n)
{
    double worst = 0;
    for (int i = 0; i < n; i++) worst = fmax(worst, fabs(a[i] - b[i]));
    return worst;
}

static void cut_norm(void)
{
    struct cut_norm whole = {.y = {0}}, parts;
    double squares[CUT_T] = {0}, dots[CUT_T] = {0};
    case_seed = 17;
    for (int i = 0; i < CUT_T * CUT_H; i++) whole.x[i] = case_random(), whole.dy[i] = case_random();
    for (int i = 0; i < CUT_H; i++) whole.w[i] = 1 + case_random();
    parts = whole;
    norm_columns(&whole, NULL, NULL, 0, CUT_H);
    for (int k = 0; k < 2; k++) {
        const int from = k ? CUT_AT : 0, to = k ? CUT_H : CUT_AT;
        add_dots(squares, parts.x, parts.x, NULL, from, to);
        add_dots(dots, parts.dy, parts.x, parts.w, from, to);
    }
    norm_columns(&parts, squares, dots, 0, CUT_AT);
    norm_columns(&parts, squares, dots, CUT_AT, CUT_H);
    CHECK("rmsnorm: parts of rows with the sums of all give the rows' norm",
          cut_off(parts.y, whole.y, CUT_T * CUT_H) < 1e-14 &&
              cut_off(parts.rstd, whole.rstd, CUT_T) < 1e-14);
    CHECK("gradients: rmsnorm of parts of rows gives those of the rows",
          cut_off(parts.dx, whole.dx, CUT_T * CUT_H) < 1e-14 &&
              cut_off(parts.dw, whole.dw, CUT_H) < 1e-14);
}

static void grad_activation(enum act act, bool gated)
{
    const struct activation f = {4, 9, act, gated};
    char name[40], what[120];
    struct problem p;
    struct test_case g;
    activation_name(&f, name);
    activation_case(&p.fwd, &f, t, 3);
    problem_make(&p);
    activation_grad_case(&g, &f, t, 3, true);
    double *zero = zeros(2 * f.T * f.I);
    struct outcome o = run_grad(&g, (void *[BUFS]){zero, p.weight[0], p.in[1], zero});
    snprintf(what, sizeof what, "gradients: activation %s by x", name);
    CHECK(what, is_gradient(&p, 1, o.bytes[0]));
    snprintf(what, sizeof what, "recomputing: activation %s gives the same bytes", name);
    CHECK(what, !memcmp(o.bytes[3], p.out.bytes[0], (size_t)(f.T * f.I) * sizeof(double)));
    free(zero), outcome_free(&o), problem_free(&p);
}

/* The rotation's gradient is the rotation back, with the same scale. */
static void grad_rope(bool interleaved, const char *name)
{
    enum { T = 4, HEADS = 2, DIM = 6, STRIDE = 15, POSITIONS = 8 };
    static const int32_t pos[T] = {0, 3, 1, 7};
    const int32_t rotary = interleaved ? 4 : 0, pairs = interleaved ? 2 : 3;
    struct problem p = {.out = {{NULL}}};
    CASE(&p.fwd, rope, .T = T, .stride = STRIDE, .heads = HEADS, .dim = DIM, .rotary = rotary,
         .scaled = 1, .interleaved = interleaved, .dtype = t);
    BUF(&p.fwd, rope, x, T * STRIDE, t, .out = true);
    BUF(&p.fwd, rope, cos, POSITIONS * pairs, t);
    BUF(&p.fwd, rope, sin, POSITIONS * pairs, t);
    BUF(&p.fwd, rope, pos, T, DT_I32, .ints = pos);
    if (interleaved) BUF(&p.fwd, rope, scale, POSITIONS, t, .offset = 2);
    problem_make(&p);
    struct test_case g = p.fwd;
    g.args.rope.inverse = true;
    struct outcome o =
        run_grad(&g, (void *[BUFS]){p.weight[0], p.in[1], p.in[2], p.in[3], p.in[4]});
    CHECK(name, is_gradient(&p, 0, o.bytes[0]));
    outcome_free(&o), problem_free(&p);
}

/* The pairs themselves, which a wrong choice on every device would not show. */
static void pairs(void)
{
    enum { DIM = 6 };
    static const double halves[DIM] = {-3, -4, 1, 2, 5, 6}, neighbours[DIM] = {-2, 1, -4, 3, 5, 6};
    static const double cosine[2] = {0, 0}, sine[2] = {1, 1};
    static const int32_t pos[1] = {0};
    bool right = true;
    for (int form = 0; form < 2; form++) {
        double x[DIM] = {1, 2, 3, 4, 5, 6};
        op_rope(dev, &(struct op_rope){.x = x,
                                       .cos = cosine,
                                       .sin = sine,
                                       .pos = pos,
                                       .T = 1,
                                       .stride = DIM,
                                       .heads = 1,
                                       .dim = DIM,
                                       .rotary = 4,
                                       .interleaved = form,
                                       .dtype = t});
        right &= memcmp(x, form ? neighbours : halves, sizeof x) == 0;
    }
    CHECK("rope: halves or neighbours of a head's first part are pairs", right);
}

static void grad_matmul(void)
{
    enum { M = 4, N = 5, K = 6 };
    struct problem p;
    CASE(&p.fwd, matmul, .m = M, .n = N, .k = K, .tb = true, .ab_dtype = t, .c_dtype = t);
    BUF(&p.fwd, matmul, c, M * N, t, .out = true);
    BUF(&p.fwd, matmul, a, M * K, t);
    BUF(&p.fwd, matmul, b, N * K, t);
    BUF(&p.fwd, matmul, bias, N, t);
    problem_make(&p);
    double *zero = zeros(M * N * K);
    struct test_case g;
    CASE(&g, matmul, .m = M, .n = K, .k = N, .ab_dtype = t, .c_dtype = t);
    BUF(&g, matmul, c, M * K, t, .out = true);
    BUF(&g, matmul, a, M * N, t);
    BUF(&g, matmul, b, N * K, t);
    struct outcome o = run_grad(&g, (void *[BUFS]){zero, p.weight[0], p.in[2]});
    CHECK("gradients: matmul by a", is_gradient(&p, 1, o.bytes[0]));
    outcome_free(&o);
    CASE(&g, matmul, .m = N, .n = K, .k = M, .ta = true, .accumulate = true, .ab_dtype = t,
         .c_dtype = t);
    BUF(&g, matmul, c, N * K, t, .out = true);
    BUF(&g, matmul, a, M * N, t);
    BUF(&g, matmul, b, M * K, t);
    o = run_grad(&g, (void *[BUFS]){zero, p.weight[0], p.in[1]});
    CHECK("gradients: matmul by b", is_gradient(&p, 2, o.bytes[0]));
    outcome_free(&o);
    CASE(&g, bias_grad, .T = M, .n = N, .dtype = t);
    BUF(&g, bias_grad, db, N, t, .out = true);
    BUF(&g, bias_grad, dy, M * N, t);
    o = run_grad(&g, (void *[BUFS]){zero, p.weight[0]});
    CHECK("gradients: matmul by bias", is_gradient(&p, 3, o.bytes[0]));
    free(zero), outcome_free(&o), problem_free(&p);
}

static void grad_embed(void)
{
    enum { T = 6, H = 3, V = 4 };
    static const int32_t ids[T] = {1, 3, 1, 0, 1, 3};
    struct problem p;
    CASE(&p.fwd, embed, .T = T, .H = H, .V = V, .dtype = t);
    BUF(&p.fwd, embed, y, T * H, t, .out = true);
    BUF(&p.fwd, embed, w, V * H, t);
    BUF(&p.fwd, embed, ids, T, DT_I32, .ints = ids);
    problem_make(&p);
    struct test_case g;
    int32_t order[T], starts[T + 1];
    const int64_t unique = order_ids(ids, T, order, starts);
    CASE(&g, embed_grad, .T = T, .H = H, .V = V, .unique = unique, .dtype = t);
    BUF(&g, embed_grad, dw, V * H, t, .out = true);
    BUF(&g, embed_grad, dy, T * H, t);
    BUF(&g, embed_grad, ids, T, DT_I32, .ints = ids);
    BUF(&g, embed_grad, order, T, DT_I32, .ints = order);
    BUF(&g, embed_grad, starts, unique + 1, DT_I32, .ints = starts);
    double *zero = zeros(V * H);
    struct outcome o = run_grad(&g, (void *[BUFS]){zero, p.weight[0], p.in[2], order, starts});
    CHECK("gradients: embed by w", is_gradient(&p, 1, o.bytes[0]));
    free(zero), outcome_free(&o), problem_free(&p);
}

/* scatter is the gradient of gather */
static void grad_gather(void)
{
    enum { T = 7, N = 3, H = 4 };
    static const int32_t rows[N] = {1, 2, 5};
    struct problem p;
    CASE(&p.fwd, gather, .n = N, .H = H, .dtype = t);
    BUF(&p.fwd, gather, y, N * H, t, .out = true);
    BUF(&p.fwd, gather, x, T * H, t);
    BUF(&p.fwd, gather, rows, N, DT_I32, .ints = rows);
    problem_make(&p);
    struct test_case g;
    CASE(&g, scatter, .T = T, .n = N, .H = H, .dtype = t);
    BUF(&g, scatter, y, T * H, t, .out = true);
    BUF(&g, scatter, x, N * H, t);
    BUF(&g, scatter, rows, N, DT_I32, .ints = rows);
    struct outcome o = run_grad(&g, (void *[BUFS]){p.in[1], p.weight[0], p.in[2]});
    CHECK("gradients: gather by x", is_gradient(&p, 1, o.bytes[0]));
    outcome_free(&o), problem_free(&p);
}

/* dlogits of weight[t] * scale * nll[t] */
static void grad_xent(double cap)
{
    enum { N = 4, V = 9 };
    static const int32_t target[N] = {8, 0, 3, -100};
    struct problem p;
    CASE(&p.fwd, xent, .n = N, .V = V, .scale = 0.7, .cap = cap, .dtype = t, .d_dtype = t);
    BUF(&p.fwd, xent, nll, N, t, .out = true);
    BUF(&p.fwd, xent, logits, N * V, t, .spread = 4);
    BUF(&p.fwd, xent, target, N, DT_I32, .ints = target);
    BUF(&p.fwd, xent, weight, N, t);
    problem_make(&p);
    struct test_case g = p.fwd;
    BUF(&g, xent, dlogits, N * V, t, .out = true);
    double weights[N], *zero = zeros(N * V);
    for (int i = 0; i < N; i++) weights[i] = p.weight[0][i] / 0.7;
    struct outcome o = run_grad(&g, (void *[BUFS]){zero, p.in[1], p.in[2], weights, zero});
    CHECK_IN("gradients: xent by logits", cap > 0 ? "cap" : "no cap",
             is_gradient(&p, 1, o.bytes[4]));
    free(zero), outcome_free(&o), problem_free(&p);
}

static void grad_attention(const struct attention_shape *f)
{
    struct problem p;
    struct test_case g;
    char name[80];
    attention_case(&p.fwd, f, t);
    problem_make(&p);
    memset(p.weight[1], 0, (size_t)p.fwd.buf[1].n * sizeof(double)); /* lse has no gradient */
    attention_grad_case(&g, f, t, false);
    struct outcome o =
        run_grad(&g, (void *[BUFS]){p.in[2], p.in[3], p.in[4], p.weight[0], p.out.bytes[0],
                                    p.out.bytes[1], p.in[2], p.in[3], p.in[4], p.in[5], p.in[6],
                                    f->ends[0] ? p.in[7] : NULL});
    for (int i = 0; i < 3; i++) {
        /* what lies between the heads of a row is not written: no gradient there */
        const struct op_attention *a = &g.args.attention_grad.fwd;
        const int64_t stride = i ? a->kv_stride : a->q_stride;
        const int64_t used = (i ? a->kv_heads : a->heads) * a->dim;
        for (int64_t j = 0; j < g.buf[i].n; j++)
            if (j % stride >= used) ((double *)o.bytes[i])[j] = 0;
        snprintf(name, sizeof name, "gradients: attention by %c, %s", "qkv"[i], f -> name);
        CHECK(name, is_gradient(&p, 2 + i, o.bytes[i]));
    }
    outcome_free(&o), problem_free(&p);
}

int main(void)
{
    static const struct attention_shape shapes[] = {
        {"documents", 3, {0, 4, 5, 9}, {0, 4, 5, 9}, 4, 2, 4, 0, 10, 9, {0}},
        {"window", 2, {0, 7, 9}, {0, 7, 9}, 2, 1, 3, 3, 9, 9, {0}},
        {"more keys", 2, {1, 3, 5}, {0, 6, 9}, 2, 2, 4, 0, 6, 10, {0}},
        {"window, more keys", 1, {0, 3}, {0, 8}, 4, 2, 4, 2, 3, 8, {0}},
        {"more queries", 1, {0, 5}, {0, 3}, 2, 1, 4, 0, 5, 3, {0}},
        {"chunks", 2, {0, 2, 5, 5, 6}, {0, 8, 11}, 4, 2, 4, 0, 6, 12, {3, 8, 9, 10}},
        {"cap", 2, {0, 4, 9}, {0, 4, 9}, 4, 2, 4, 0, 9, 9, {0}},
        {"cap, chunks, window", 1, {0, 2, 4}, {0, 8}, 2, 1, 4, 3, 4, 8, {2, 8}},
        {"chunks, window", 1, {0, 2, 4}, {0, 8}, 2, 1, 4, 3, 4, 8, {2, 8}},
    };
    struct err e;
    dev = device_open("ref64", 1, &e);
    CHECK("gradients: the reference opens", dev);
    grad_norm(0);
    grad_norm(1);
    grad_head_norm();
    cut_norm();
    grad_rope(false, "gradients: rope by x");
    grad_rope(true, "gradients: rope of neighbours in a part of a scaled head by x");
    pairs();
    for (int form = 0; form < 2 * ACTS; form++) grad_activation((enum act)(form / 2), form % 2);
    grad_matmul();
    grad_embed();
    grad_gather();
    grad_xent(0);
    grad_xent(3);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) grad_attention(&shapes[i]);
    device_close(dev);
    TEST_END();
}
