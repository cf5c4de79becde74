/* SPDX-License-Identifier: Apache-2.0 */
/* The backward of the operations of mixtures of experts; see ops_grad.h. */
#include "ops_grad.h"

enum { TOKENS = 6, EXPERTS = 5, CHOICES = 3 };

static void route_case(struct test_case *c, bool normalise)
{
    CASE(c, route, .T = TOKENS, .padded = TOKENS, .E = EXPERTS, .K = CHOICES,
         .normalise = normalise, .dtype = t);
    BUF(c, route, prob, TOKENS * EXPERTS, t, .out = true);
    BUF(c, route, weight, TOKENS * CHOICES, t, .out = true);
    BUF(c, route, expert, TOKENS * CHOICES, DT_I32, .out = true);
    BUF(c, route, logits, TOKENS * EXPERTS, t, .spread = 2);
}

/* The sum of the weighted outputs and, through the probabilities, of a loss of the load. */
static void grad_route(bool normalise, bool pooled)
{
    struct problem p;
    double pool[2 * EXPERTS], *zero = zeros(TOKENS * EXPERTS);
    route_case(&p.fwd, normalise);
    problem_make(&p);
    for (int e = 0; e < 2 * EXPERTS; e++) pool[e] = 10 * case_random();
    for (int i = 0; i < TOKENS * EXPERTS; i++)
        p.weight[0][i] = pooled ? 0.3 * pool[i % EXPERTS] : 0;
    memset(p.weight[2], 0, (size_t)p.fwd.buf[2].n * sizeof(double));
    struct test_case g;
    CASE(&g, route_grad, .T = TOKENS, .E = EXPERTS, .K = CHOICES, .normalise = normalise,
         .balance = 0.3, .dtype = t, .d_dtype = t);
    BUF(&g, route_grad, dlogits, TOKENS * EXPERTS, t, .out = true);
    BUF(&g, route_grad, dweight, TOKENS * CHOICES, t);
    BUF(&g, route_grad, prob, TOKENS * EXPERTS, t);
    BUF(&g, route_grad, expert, TOKENS * CHOICES, DT_I32);
    if (pooled) BUF(&g, route_grad, pool, 2 * EXPERTS, t);
    struct outcome o =
        run_grad(&g, (void *[BUFS]){zero, p.weight[1], p.out.bytes[0], p.out.bytes[2], pool});
    CHECK(pooled ? "gradients: route by logits, with a loss of the load"
                 : "gradients: route by logits",
          is_gradient(&p, 3, o.bytes[0]));
    free(zero), outcome_free(&o), problem_free(&p);
}

/* Returns the begin of each expert's rows, [EXPERTS + 1], of these choices. */
static struct outcome begins_of(void *expert)
{
    struct test_case c;
    double zero[TOKENS * CHOICES] = {0};
    CASE(&c, dispatch, .T = TOKENS, .rows = TOKENS * CHOICES, .E = EXPERTS, .K = CHOICES);
    BUF(&c, dispatch, starts, EXPERTS + 1, DT_I32, .out = true);
    BUF(&c, dispatch, row, TOKENS * CHOICES, DT_I32, .out = true);
    BUF(&c, dispatch, token, TOKENS * CHOICES, DT_I32, .out = true);
    BUF(&c, dispatch, expert, TOKENS * CHOICES, DT_I32);
    return case_run(&c, dev, 0, (void *[BUFS]){zero, zero, zero, expert});
}

/* Returns the auxiliary loss of logits over two layers, the second of which has logits of its own;
 * pool receives what both have. */
static double load_loss(const double *logits, const double *others, double *pool)
{
    enum { A = TOKENS * EXPERTS };
    const double *const layers[] = {logits, others};
    double *zero = zeros(A), sum = 0;
    struct test_case c;
    memset(pool, 0, 2 * EXPERTS * sizeof *pool);
    for (int i = 0; i < 2; i++) {
        route_case(&c, false);
        struct outcome r =
            case_run(&c, dev, 0, (void *[BUFS]){zero, zero, zero, (void *)(uintptr_t)layers[i]});
        struct outcome rows = begins_of(r.bytes[2]);
        CASE(&c, load, .T = TOKENS, .E = EXPERTS, .dtype = t);
        BUF(&c, load, pool, 2 * EXPERTS, t, .out = true);
        BUF(&c, load, prob, A, t);
        BUF(&c, load, starts, EXPERTS + 1, DT_I32);
        struct outcome l = case_run(&c, dev, 0, (void *[BUFS]){pool, r.bytes[0], rows.bytes[0]});
        memcpy(pool, l.bytes[0], 2 * EXPERTS * sizeof *pool);
        outcome_free(&r), outcome_free(&rows), outcome_free(&l);
    }
    CASE(&c, load_loss, .E = EXPERTS, .scale = (double)EXPERTS / (4 * TOKENS * TOKENS));
    BUF(&c, load_loss, sum, 1, t, .out = true);
    BUF(&c, load_loss, pool, 2 * EXPERTS, t);
    struct outcome o = case_run(&c, dev, 0, (void *[BUFS]){zero, pool});
    sum = *(double *)o.bytes[0];
    free(zero), outcome_free(&o);
    return sum;
}

/* The loss of the load of two layers, from logits to the sum, against route_grad. */
static void grad_load(void)
{
    enum { A = TOKENS * EXPERTS };
    struct problem p;
    double others[A], logits[A], pool[2 * EXPERTS], all[2 * EXPERTS], error = 0, size = 0;
    double *zero = zeros(A);
    const double h = 1e-6, scale = (double)EXPERTS / (4 * TOKENS * TOKENS);
    route_case(&p.fwd, false);
    problem_make(&p);
    memcpy(logits, p.in[3], sizeof logits);
    for (int i = 0; i < A; i++) others[i] = case_random();
    (void)load_loss(logits, others, all);
    struct test_case g;
    CASE(&g, route_grad, .T = TOKENS, .E = EXPERTS, .K = CHOICES, .balance = scale, .dtype = t,
         .d_dtype = t);
    BUF(&g, route_grad, dlogits, A, t, .out = true);
    BUF(&g, route_grad, dweight, TOKENS * CHOICES, t);
    BUF(&g, route_grad, prob, A, t);
    BUF(&g, route_grad, expert, TOKENS * CHOICES, DT_I32);
    BUF(&g, route_grad, pool, 2 * EXPERTS, t);
    struct outcome o =
        run_grad(&g, (void *[BUFS]){zero, zero, p.out.bytes[0], p.out.bytes[2], all});
    for (int i = 0; i < A; i++) {
        const double was = logits[i];
        logits[i] = was + h;
        const double up = load_loss(logits, others, pool);
        logits[i] = was - h;
        const double slope = (up - load_loss(logits, others, pool)) / (2 * h);
        logits[i] = was;
        error += pow(((double *)o.bytes[0])[i] - slope, 2), size += slope * slope;
    }
    CHECK("gradients: the loss of two layers' load by logits", error <= 1e-12 * size && size > 0);
    free(zero), outcome_free(&o), problem_free(&p);
}

static void grad_grouped(bool tb)
{
    enum { ROWS = 7, N = 4, K = 3, E = 3, ALL = E * N * K };
    static const int32_t starts[E + 1] = {0, 3, 3, 7};
    struct problem p;
    struct test_case g;
    CASE(&p.fwd, grouped, .rows = ROWS, .n = N, .k = K, .E = E, .tb = tb, .ab_dtype = t,
         .c_dtype = t);
    BUF(&p.fwd, grouped, c, ROWS * N, t, .out = true);
    BUF(&p.fwd, grouped, a, ROWS * K, t);
    BUF(&p.fwd, grouped, b, ALL, t);
    BUF(&p.fwd, grouped, starts, E + 1, DT_I32, .ints = starts);
    problem_make(&p);
    double *zero = zeros(ALL);
    CASE(&g, grouped, .rows = ROWS, .n = K, .k = N, .E = E, .tb = !tb, .ab_dtype = t, .c_dtype = t);
    BUF(&g, grouped, c, ROWS * K, t, .out = true);
    BUF(&g, grouped, a, ROWS * N, t);
    BUF(&g, grouped, b, ALL, t);
    BUF(&g, grouped, starts, E + 1, DT_I32);
    struct outcome o = run_grad(&g, (void *[BUFS]){zero, p.weight[0], p.in[2], p.in[3]});
    CHECK("gradients: grouped by a", is_gradient(&p, 1, o.bytes[0]));
    outcome_free(&o);
    void *const x = p.in[1], *const dy = p.weight[0];
    CASE(&g, grouped, .rows = ROWS, .n = tb ? K : N, .k = tb ? N : K, .E = E, .weights = true,
         .accumulate = tb, .ab_dtype = t, .c_dtype = t);
    BUF(&g, grouped, c, ALL, t, .out = true);
    BUF(&g, grouped, a, ROWS * (tb ? N : K), t);
    BUF(&g, grouped, b, ROWS * (tb ? K : N), t);
    BUF(&g, grouped, starts, E + 1, DT_I32);
    o = run_grad(&g, (void *[BUFS]){tb ? zero : p.in[2], tb ? dy : x, tb ? x : dy, p.in[3]});
    CHECK("gradients: grouped by b", is_gradient(&p, 2, o.bytes[0]));
    free(zero), outcome_free(&o), problem_free(&p);
}

/* Without weights the gradient is that of copying each token to its rows. some: two of the choices
 * have no row. */
static void grad_combine(bool some)
{
    enum { T = 4, H = 5, K = 2, ROWS = T * K };
    static const int32_t rows[2][ROWS] = {{3, 0, 7, 1, 5, 2, 4, 6}, {3, -1, 7, 1, 5, -1, 4, 6}},
                         tokens[2][ROWS] = {{0, 1, 2, 0, 3, 2, 3, 1}, {-1, 1, -1, 0, 3, 2, 3, 1}};
    const int32_t *row = rows[some], *token = tokens[some];
    struct problem p;
    struct test_case g;
    CASE(&p.fwd, combine, .T = T, .H = H, .K = K, .dtype = t, .y_dtype = t);
    BUF(&p.fwd, combine, y, T * H, t, .out = true);
    BUF(&p.fwd, combine, z, ROWS * H, t);
    BUF(&p.fwd, combine, weight, ROWS, t);
    BUF(&p.fwd, combine, row, ROWS, DT_I32, .ints = row);
    problem_make(&p);
    double *zero = zeros(ROWS * H);
    CASE(&g, combine_grad, .T = T, .H = H, .K = K, .dtype = t, .z_dtype = t);
    BUF(&g, combine_grad, dz, ROWS * H, t, .out = true);
    BUF(&g, combine_grad, dweight, ROWS, t, .out = true);
    BUF(&g, combine_grad, dy, T * H, t);
    BUF(&g, combine_grad, z, ROWS * H, t);
    BUF(&g, combine_grad, weight, ROWS, t);
    BUF(&g, combine_grad, row, ROWS, DT_I32);
    struct outcome o =
        run_grad(&g, (void *[BUFS]){zero, zero, p.weight[0], p.in[1], p.in[2], p.in[3]});
    CHECK(some ? "gradients: combine of some rows by z" : "gradients: combine by z",
          is_gradient(&p, 1, o.bytes[0]));
    CHECK(some ? "gradients: combine of some rows by weight" : "gradients: combine by weight",
          is_gradient(&p, 2, o.bytes[1]));
    outcome_free(&o), problem_free(&p);
    CASE(&p.fwd, gather, .n = ROWS, .H = H, .dtype = t);
    BUF(&p.fwd, gather, y, ROWS * H, t, .out = true);
    BUF(&p.fwd, gather, x, T * H, t);
    BUF(&p.fwd, gather, rows, ROWS, DT_I32, .ints = token);
    problem_make(&p);
    CASE(&g, combine, .T = T, .H = H, .K = K, .dtype = t, .y_dtype = t);
    BUF(&g, combine, y, T * H, t, .out = true);
    BUF(&g, combine, z, ROWS * H, t);
    BUF(&g, combine, row, ROWS, DT_I32);
    o = run_grad(&g, (void *[BUFS]){zero, p.weight[0], (void *)(uintptr_t)row});
    CHECK(some ? "gradients: tokens copied to some rows by x"
               : "gradients: tokens copied to their rows by x",
          is_gradient(&p, 1, o.bytes[0]));
    free(zero), outcome_free(&o), problem_free(&p);
}

static void grad_gate(void)
{
    enum { T = 4, I = 5 };
    struct problem p;
    struct test_case g;
    CASE(&p.fwd, gate, .T = T, .I = I, .dtype = t);
    BUF(&p.fwd, gate, y, T * I, t, .out = true);
    BUF(&p.fwd, gate, x, T * I, t);
    BUF(&p.fwd, gate, gate, T, t, .spread = 2);
    problem_make(&p);
    double *zero = zeros(T * I);
    CASE(&g, gate_grad, .T = T, .I = I, .dtype = t);
    BUF(&g, gate_grad, dx, T * I, t, .out = true);
    BUF(&g, gate_grad, dgate, T, t, .out = true);
    BUF(&g, gate_grad, dy, T * I, t);
    BUF(&g, gate_grad, y, T * I, t);
    BUF(&g, gate_grad, gate, T, t);
    struct outcome o =
        run_grad(&g, (void *[BUFS]){zero, zero, p.weight[0], p.out.bytes[0], p.in[2]});
    CHECK("gradients: gate by x", is_gradient(&p, 1, o.bytes[0]));
    CHECK("gradients: gate by gate", is_gradient(&p, 2, o.bytes[1]));
    free(zero), outcome_free(&o), problem_free(&p);
}

int main(void)
{
    struct err e;
    dev = device_open("ref64", 1, &e);
    CHECK("gradients: the reference opens", dev);
    for (int form = 0; form < 4; form++) grad_route(form & 1, form & 2);
    grad_load();
    grad_grouped(false);
    grad_grouped(true);
    grad_combine(false);
    grad_combine(true);
    grad_gate();
    device_close(dev);
    TEST_END();
}
