/* SPDX-License-Identifier: Apache-2.0 */
/* The cases of the operations of mixtures of experts, a part of ops_list.h: an expert without a
 * token and one with all, ties, as many choices as experts, parts of a list of experts, the weight
 * of an expert of all tokens. */
static void list_route(struct sink s, int64_t T, int32_t E, int32_t K, const char *form)
{
    struct test_case c;
    char what[64];
    const bool normalise = !strcmp(form, "normalised"), ties = !strcmp(form, "ties");
    const bool in_place = !strcmp(form, "in place");
    const int64_t padded = T + (strcmp(form, "padded") ? 0 : 5);
    snprintf(what, sizeof what, "%d tokens, %d of %d, %s", (int)T, K, E, form);
    CASE(&c, route, .T = T, .padded = padded, .E = E, .K = K, .normalise = normalise || ties,
         .dtype = DT_F32);
    BUF(&c, route, prob, T * E, DT_F32, .out = true, .spread = 4,
        .also = in_place ? offsetof(struct op_route, logits) : 0);
    BUF(&c, route, weight, padded * K, DT_F32, .out = true);
    BUF(&c, route, expert, padded * K, DT_I32, .out = true);
    if (!in_place)
        BUF(&c, route, logits, T * E, DT_F32, .spread = 4,
            .ints = ties ? random_ints(T * E, 3) : NULL);
    emit(s, &c, what);
}

/* Experts (t + 5 k) mod E of token t; 5 and E have no common divisor, or K is 1. */
static int32_t *some_choices(int64_t T, int32_t E, int32_t K)
{
    int32_t *p = some_ints();
    for (int64_t i = 0; i < T * K; i++) p[i] = (int32_t)((i / K + 5 * (i % K)) % E);
    return p;
}

/* Choices of E experts, of which a rank has `each`; every ninth token chooses none. */
static void list_peers(struct sink s, int64_t T, int32_t E, int32_t K, int32_t each)
{
    struct test_case c;
    char what[64];
    int32_t *expert = some_choices(T, E, K);
    const int32_t ranks = E / each, W = K < ranks ? K : ranks;
    snprintf(what, sizeof what, "%d tokens, %d of %d, %d ranks", (int)T, K, E, ranks);
    for (int64_t i = 0; i < T * K; i++)
        if (i / K % 9 == 8) expert[i] = -1;
    CASE(&c, peers, .T = T, .each = each, .K = K, .W = W);
    BUF(&c, peers, peer, T * W, DT_I32, .out = true);
    BUF(&c, peers, expert, T * K, DT_I32, .ints = expert);
    emit(s, &c, what);
}

/* Choices of all E experts, of which those of [first, first + own) are sorted; every ninth token is
 * padding, which chooses none. */
static void list_dispatch(struct sink s, int64_t T, int32_t E, int32_t K, int32_t first,
                          int32_t own)
{
    struct test_case c;
    char what[64];
    int32_t *expert = some_choices(T, E, K);
    const int64_t rows = T * (K < own ? K : own);
    snprintf(what, sizeof what, "%d tokens, %d of %d, experts from %d on, %d", (int)T, K, E, first,
             own);
    for (int64_t i = 0; i < T * K; i++)
        if (own < E && i / K % 9 == 8) expert[i] = -1;
    CASE(&c, dispatch, .T = T, .rows = rows, .first = first, .E = own, .K = K);
    BUF(&c, dispatch, row, T * K, DT_I32, .out = true);
    BUF(&c, dispatch, token, rows, DT_I32, .out = true);
    BUF(&c, dispatch, starts, own + 1, DT_I32, .out = true);
    BUF(&c, dispatch, expert, T * K, DT_I32, .ints = expert);
    emit(s, &c, what);
}

static void list_route_grad(struct sink s, int64_t T, int32_t E, int32_t K, bool pooled,
                            enum dtype to)
{
    struct test_case c;
    char what[64];
    snprintf(what, sizeof what, "%d tokens, %d of %d, %s%s", (int)T, K, E, dtype_name(to),
             pooled ? ", pooled" : "");
    CASE(&c, route_grad, .T = T, .E = E, .K = K, .normalise = T % 2, .balance = 0.01,
         .dtype = DT_F32, .d_dtype = to);
    BUF(&c, route_grad, dlogits, T * E, to, .out = true);
    BUF(&c, route_grad, dweight, T * K, DT_F32);
    BUF(&c, route_grad, prob, T * E, DT_F32, .offset = 0.2, .spread = 0.15);
    BUF(&c, route_grad, expert, T * K, DT_I32, .ints = some_choices(T, E, K));
    if (pooled) BUF(&c, route_grad, pool, 2 * E, DT_F64, .offset = 40, .spread = 30);
    emit(s, &c, what);
}

static void list_load(struct sink s, int64_t T, int32_t E)
{
    struct test_case c;
    int32_t *starts = some_ints();
    for (int32_t e = 0; e <= E; e++) starts[e] = (int32_t)(2 * T * e * e / E / E);
    CASE(&c, load, .T = T, .E = E, .dtype = DT_F32);
    BUF(&c, load, pool, 2 * E, DT_F64, .out = true, .spread = 100);
    BUF(&c, load, prob, T * E, DT_F32, .offset = 0.5, .spread = 0.5);
    BUF(&c, load, starts, E + 1, DT_I32, .ints = starts);
    emit(s, &c, T ? "" : "of no token");
    CASE(&c, load_loss, .E = E, .scale = 0.125);
    BUF(&c, load_loss, sum, 1, DT_F64, .out = true);
    BUF(&c, load_loss, pool, 2 * E, DT_F64, .offset = 1);
    emit(s, &c, "");
}

static void list_routing(struct sink s, enum dtype t)
{
    static const struct {
        int64_t T;
        int32_t E, K;
    } sizes[] = {{37, 8, 2},  {70, 33, 7}, {5, 4, 4}, {530, 6, 1}, {1, 128, 8},
                 {9, 300, 3}, {3, 1, 1},   {0, 8, 2}, {700, 4, 3}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int64_t T = sizes[i].T;
        const int32_t E = sizes[i].E, K = sizes[i].K;
        list_route(s, T, E, K, "plain");
        list_route(s, T, E, K, "normalised");
        list_route(s, T, E, K, "in place");
        list_route(s, T, E, K, "padded");
        for (int32_t each = 1; each <= E; each++)
            if (E % each == 0 && (each < 4 || each > 32 || each == E)) list_peers(s, T, E, K, each);
        list_dispatch(s, T, E, K, 0, E);
        list_dispatch(s, T, E, K, E / 2, (E + 1) / 2);
        list_dispatch(s, T, E, K, E / 3, 1);
        if (T * E <= 4096) list_route(s, T, E, K, "ties");
        list_route_grad(s, T, E, K, false, t);
        list_route_grad(s, T, E, K, true, DT_F32);
        list_load(s, T, E);
    }
}

/* Rows [starts[e], starts[e + 1]) of `rows` are those of expert e. Without starts, later experts
 * have more of them than earlier ones, and some have none. */
struct grouped_shape {
    const char *name;
    int64_t rows, n, k;
    int32_t E, starts[8];
};

static const int32_t *starts_of(const struct grouped_shape *f)
{
    if (f->starts[f->E < 8 ? f->E : 0] || f->rows == 0) return f->starts;
    int32_t *p = some_ints();
    for (int32_t e = 0; e <= f->E; e++) p[e] = (int32_t)(f->rows * e * e / f->E / f->E);
    return p;
}

/* The product by rows, or the gradient by matrices. form: bit 0: b is stored transposed; bit 1: c
 * is added to; bit 2: c is fp32. */
static void grouped_case(struct test_case *c, const struct grouped_shape *f, enum dtype t,
                         bool weights, int form)
{
    const bool tb = form & 1, acc = form & 2;
    const enum dtype ct = form & 4 ? DT_F32 : t;
    const int64_t matrices = f->E * f->n * f->k, results = f->rows * f->n;
    CASE(c, grouped, .rows = f->rows, .n = f->n, .k = f->k, .E = f->E, .tb = tb, .weights = weights,
         .accumulate = acc, .ab_dtype = t, .c_dtype = ct);
    BUF(c, grouped, c, weights ? matrices : results, ct, .out = true);
    BUF(c, grouped, a, f->rows * f->k, t);
    BUF(c, grouped, b, weights ? results : matrices, t);
    BUF(c, grouped, starts, f->E + 1, DT_I32, .ints = starts_of(f));
}

static void list_grouped(struct sink s, const struct grouped_shape *f, enum dtype t, bool weights,
                         int form)
{
    struct test_case c;
    char what[64];
    snprintf(what, sizeof what, "%s%s%s%s%s", f->name, weights ? ", weights" : "",
             form & 1 ? " T" : "", form & 2 ? " +C" : "", form & 4 ? " to fp32" : "");
    grouped_case(&c, f, t, weights, form);
    emit(s, &c, what);
}

static void list_products(struct sink s, enum dtype t)
{
    static const struct grouped_shape shapes[] = {
        {"odd", 61, 37, 21, 4, {0, 7, 7, 40, 61}},
        {"all to one", 140, 24, 48, 3, {0, 0, 140, 140}},
        {"none", 0, 16, 8, 3, {0, 0, 0, 0}},
        {"one row", 1, 130, 40, 2, {0, 0, 1}},
        {"tiles", 301, 200, 136, 5, {0, 128, 129, 129, 200, 301}},
        {"some experts", 90, 64, 72, 2, {17, 30, 81}},
        {"long", 1109, 17, 24, 2, {0, 9, 1109}},
        {"k odd", 70, 72, 33, 2, {0, 30, 70}},
        {"n odd", 70, 33, 72, 2, {0, 30, 70}},
        {"k of nothing", 9, 8, 0, 2, {0, 4, 9}},
        {"deep tiles", 330, 136, 328, 2, {0, 327, 330}},
        {"many experts", 190, 24, 40, 70, {0}},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int form = 0; form < 8; form++) {
            list_grouped(s, &shapes[i], t, false, form);
            if (!(form & 1)) list_grouped(s, &shapes[i], t, true, form);
        }
}

/* A permutation of n numbers; absent: every third of them is -1. */
static int32_t *some_rows(int64_t n, bool absent)
{
    int32_t *p = some_ints();
    for (int64_t i = 0; i < n; i++) p[i] = (int32_t)i;
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = (int64_t)(case_random() * (double)(i + 1));
        const int32_t x = p[i];
        p[i] = p[j], p[j] = x;
    }
    for (int64_t i = 0; i < n && absent; i += 3) p[i] = -1;
    return p;
}

/* form: bit 0: with weights; bit 1: y is added to; bit 2: y is fp32; bit 3: choices without a row.
 */
static void combine_case(struct test_case *c, int64_t T, int64_t K, int64_t H, enum dtype t,
                         int form)
{
    const enum dtype to = form & 4 ? DT_F32 : t;
    CASE(c, combine, .T = T, .H = H, .K = (int32_t)K, .add = form & 2, .dtype = t, .y_dtype = to);
    BUF(c, combine, y, T * H, to, .out = true);
    BUF(c, combine, z, T * K * H, t);
    if (form & 1) BUF(c, combine, weight, T * K, DT_F32);
    BUF(c, combine, row, T * K, DT_I32, .ints = some_rows(T * K, form & 8));
}

static void combine_grad_case(struct test_case *c, int64_t T, int64_t K, int64_t H, enum dtype t,
                              enum dtype tz, bool in_place, bool absent)
{
    CASE(c, combine_grad, .T = T, .H = H, .K = (int32_t)K, .dtype = t, .z_dtype = tz);
    BUF(c, combine_grad, dz, T * K * H, t, .out = true,
        .also = in_place ? offsetof(struct op_combine_grad, z) : 0);
    BUF(c, combine_grad, dweight, T * K, DT_F32, .out = true);
    BUF(c, combine_grad, dy, T * H, t);
    if (!in_place) BUF(c, combine_grad, z, T * K * H, tz);
    BUF(c, combine_grad, weight, T * K, DT_F32);
    BUF(c, combine_grad, row, T * K, DT_I32, .ints = some_rows(T * K, absent));
}

static void list_combine(struct sink s, enum dtype t)
{
    static const int64_t sizes[][3] = {
        {13, 2, 70}, {3, 1, 1}, {0, 2, 8}, {40, 8, 136}, {7, 3, 2053}};
    struct test_case c;
    char what[64];
    for (int i = 0; i < 5; i++) {
        const int64_t T = sizes[i][0], K = sizes[i][1], H = sizes[i][2];
        for (int form = 0; form < 16; form++) {
            snprintf(what, sizeof what, "%dx%dx%d%s%s%s%s", (int)T, (int)K, (int)H,
                     form & 1 ? " weighted" : "", form & 2 ? " +Y" : "", form & 4 ? " to fp32" : "",
                     form & 8 ? " of some rows" : "");
            combine_case(&c, T, K, H, t, form);
            emit(s, &c, what);
        }
        for (int form = 0; form < 4; form++) {
            static const char *const forms[] = {"", " in place", " of fp32", " of some rows"};
            snprintf(what, sizeof what, "%dx%dx%d%s", (int)T, (int)K, (int)H, forms[form]);
            combine_grad_case(&c, T, K, H, t, form == 2 ? DT_F32 : t, form == 1, form == 3);
            emit(s, &c, what);
        }
    }
}

/* Gates of +-20 and more are as good as 1 and 0. */
static void gate_case(struct test_case *c, int64_t T, int64_t I, enum dtype t, bool in_place)
{
    CASE(c, gate, .T = T, .I = I, .dtype = t);
    BUF(c, gate, y, T * I, t, .out = true, .also = in_place ? offsetof(struct op_gate, x) : 0);
    if (!in_place) BUF(c, gate, x, T * I, t);
    BUF(c, gate, gate, T, DT_F32, .spread = T % 2 ? 4 : 30);
}

static void gate_grad_case(struct test_case *c, int64_t T, int64_t I, enum dtype t, bool in_place)
{
    CASE(c, gate_grad, .T = T, .I = I, .dtype = t);
    BUF(c, gate_grad, dx, T * I, t, .out = true,
        .also = in_place ? offsetof(struct op_gate_grad, dy) : 0);
    BUF(c, gate_grad, dgate, T, t, .out = true);
    if (!in_place) BUF(c, gate_grad, dy, T * I, t);
    BUF(c, gate_grad, y, T * I, t);
    BUF(c, gate_grad, gate, T, DT_F32, .spread = T % 2 ? 4 : 30);
}

static void list_gate(struct sink s, enum dtype t)
{
    static const int64_t sizes[][2] = {{13, 70}, {3, 1}, {0, 8}, {40, 136}, {7, 2053}, {64, 256}};
    struct test_case c;
    char what[64];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int in_place = 0; in_place < 2; in_place++) {
            const int64_t T = sizes[i][0], I = sizes[i][1];
            snprintf(what, sizeof what, "%dx%d%s", (int)T, (int)I, in_place ? " in place" : "");
            gate_case(&c, T, I, t, in_place);
            emit(s, &c, what);
            gate_grad_case(&c, T, I, t, in_place);
            emit(s, &c, what);
        }
}
