/* SPDX-License-Identifier: Apache-2.0 */
/* The cases of all operations: odd sizes, tails, strides, options, and nothing at all. */
#ifndef SFT_TESTS_OPS_LIST_H
#define SFT_TESTS_OPS_LIST_H

#include "ops_case.h"

typedef void case_fn(const struct test_case *c, void *to);
struct sink {
    case_fn *fn;
    void *to;
};
static void emit(struct sink s, struct test_case *c, const char *what)
{
    snprintf(c->name, sizeof c->name, "%s %s", op_name(c->op), what);
    s.fn(c, s.to);
}

/* Memory for up to 4096 integers, until seven more were asked for. */
static int32_t *some_ints(void)
{
    static int32_t pool[8][4096];
    static int next;
    return pool[next++ % 8];
}

static int32_t *random_ints(int64_t n, int64_t below)
{
    int32_t *p = some_ints();
    for (int64_t i = 0; i < n; i++) p[i] = (int32_t)(case_random() * (double)below);
    return p;
}

/* ids are below `all`; the rows are those of ids [first, first + V). */
static void list_embed_grad(struct sink s, enum dtype t, enum dtype to, int64_t T, int64_t H,
                            int64_t all, int64_t V, int64_t first)
{
    struct test_case c;
    char what[48];
    int32_t *ids = random_ints(T, all), *order = some_ints(), *starts = some_ints();
    const int64_t unique = order_ids(ids, T, order, starts);
    snprintf(what, sizeof what, "%dx%d, %d ids%s, %s", (int)T, (int)H, (int)unique,
             V < all ? ", some rows" : "", dtype_name(to));
    CASE(&c, embed_grad, .T = T, .H = H, .V = V, .first = first, .unique = unique, .dtype = t,
         .dw_dtype = to);
    BUF(&c, embed_grad, dw, V * H, to, .out = true);
    BUF(&c, embed_grad, dy, T * H, t);
    BUF(&c, embed_grad, ids, T, DT_I32, .ints = ids);
    BUF(&c, embed_grad, order, T, DT_I32, .ints = order);
    BUF(&c, embed_grad, starts, unique + 1, DT_I32, .ints = starts);
    emit(s, &c, what);
}

static void list_move(struct sink s, enum dtype t)
{
    struct test_case c;
    static const int32_t rows[] = {1, 2, 5, 8, 12}, gaps[] = {-1, 2, 5, -1, 12};
    const int64_t sizes[][2] = {{13, 70}, {3, 5}, {0, 8}, {40, 129}, {70, 520}};
    for (int i = 0; i < 5; i++) {
        const int64_t T = sizes[i][0], H = sizes[i][1], V = 11;
        char what[32];
        snprintf(what, sizeof what, "%dx%d", (int)T, (int)H);
        for (int cut = 0; cut < 2; cut++) { /* all rows, or those of ids 4 .. 8 of 11 */
            const int64_t first = cut ? 4 : 0, rows_here = cut ? 5 : V;
            snprintf(what, sizeof what, "%dx%d%s", (int)T, (int)H, cut ? ", some ids" : "");
            CASE(&c, embed, .T = T, .H = H, .V = rows_here, .first = first, .dtype = t);
            BUF(&c, embed, y, T * H, t, .out = true);
            BUF(&c, embed, w, rows_here * H, t);
            BUF(&c, embed, ids, T, DT_I32, .ints = random_ints(T, V));
            emit(s, &c, what);
            list_embed_grad(s, t, DT_F32, T, H, V, rows_here, first);
            list_embed_grad(s, t, DT_BF16, T, H, V, rows_here, first);
        }
        snprintf(what, sizeof what, "%dx%d", (int)T, (int)H);
        CASE(&c, bias_grad, .T = T, .n = H, .dtype = t);
        BUF(&c, bias_grad, db, H, DT_F32, .out = true);
        BUF(&c, bias_grad, dy, T * H, t);
        emit(s, &c, what);
        CASE(&c, bias_grad, .T = T, .n = H, .dtype = t, .db_dtype = DT_BF16);
        BUF(&c, bias_grad, db, H, DT_BF16, .out = true);
        BUF(&c, bias_grad, dy, T * H, t);
        emit(s, &c, "bf16");
        CASE(&c, add, .n = T * H, .dtype = t);
        BUF(&c, add, y, T * H, t, .out = true);
        BUF(&c, add, a, T * H, t);
        BUF(&c, add, b, T * H, t);
        emit(s, &c, what);
        CASE(&c, cast, .n = T * H, .to = t == DT_F32 ? DT_BF16 : DT_F32, .from = t);
        BUF(&c, cast, y, T * H, t == DT_F32 ? DT_BF16 : DT_F32, .out = true);
        BUF(&c, cast, x, T * H, t, .spread = 1000);
        emit(s, &c, what);
        CASE(&c, zero, .bytes = (size_t)(T * H) * dtype_size(t));
        BUF(&c, zero, y, T * H, t, .out = true);
        emit(s, &c, what);
        CASE(&c, copy_rows, .rows = T, .bytes = (size_t)H, .y_stride = (size_t)H + 3,
             .x_stride = (size_t)H + 1);
        BUF(&c, copy_rows, y, T * (H + 3) / 4 + 1, DT_I32, .out = true, .spread = 1e9);
        BUF(&c, copy_rows, x, T * (H + 1) / 4 + 1, DT_I32, .spread = 1e9);
        emit(s, &c, what);
        for (int form = 0; form < 3; form++) {
            static const char *const forms[] = {"plain", "weighted", "squares"};
            CASE(&c, sum, .n = T * H, .squares = form == 2, .dtype = t);
            BUF(&c, sum, sum, 1, DT_F64, .out = true);
            BUF(&c, sum, x, T * H, t, .offset = 0.5);
            if (form == 1) BUF(&c, sum, w, T * H, t);
            emit(s, &c, forms[form]);
        }
    }
    list_embed_grad(s, t, DT_F32, 300, 64, 1, 1, 0);
    list_embed_grad(s, t, DT_BF16, 300, 64, 1, 1, 0);
    list_embed_grad(s, t, DT_F32, 700, 72, 5, 5, 0);
    list_embed_grad(s, t, DT_F32, 700, 65, 5, 2, 2);
    list_embed_grad(s, t, DT_F32, 260, 136, 4, 4, 0);
    list_embed_grad(s, t, DT_F32, 257, 136, 40, 40, 0);
    list_embed_grad(s, t, DT_F32, 50, 300, 20, 20, 0);
    list_embed_grad(s, t, DT_F32, 50, 300, 20, 9, 3);
    list_embed_grad(s, t, DT_F32, 20, 640, 7, 7, 0);
    for (int n = 0; n <= 5; n += 5) {
        CASE(&c, gather, .n = n, .H = 37, .dtype = t);
        BUF(&c, gather, y, n * 37, t, .out = true);
        BUF(&c, gather, x, 13 * 37, t);
        BUF(&c, gather, rows, n, DT_I32, .ints = rows);
        emit(s, &c, "");
        CASE(&c, gather, .n = n, .H = 37, .dtype = t);
        BUF(&c, gather, y, n * 37, t, .out = true);
        BUF(&c, gather, x, 13 * 37, t);
        BUF(&c, gather, rows, n, DT_I32, .ints = gaps);
        emit(s, &c, "of some rows");
        CASE(&c, scatter, .T = 13, .n = n, .H = 37, .dtype = t);
        BUF(&c, scatter, y, 13 * 37, t, .out = true);
        BUF(&c, scatter, x, n * 37, t);
        BUF(&c, scatter, rows, n, DT_I32, .ints = rows);
        emit(s, &c, "");
    }
}

static void list_norm(struct sink s, enum dtype t)
{
    struct test_case c;
    const int64_t sizes[][2] = {{5, 576}, {131, 33}, {1, 7}, {0, 16}, {3, 4104}, {2, 2053}};
    for (int i = 0; i < 6; i++)
        for (int form = 0; form < 8; form++) {
            const int64_t T = sizes[i][0], H = sizes[i][1];
            const bool full = form & 1, wide = form & 2;
            const float offset = form & 4 ? 1 : 0;
            const enum dtype st = wide ? DT_F32 : t; /* of the residual stream */
            char what[40];
            snprintf(what, sizeof what, "%dx%d%s%s%s", (int)T, (int)H, full ? " full" : "",
                     wide ? " wide" : "", form & 4 ? " 1+w" : "");
            CASE(&c, rmsnorm, .T = T, .H = H, .gain_offset = offset, .eps = 1e-5, .wide = wide,
                 .dtype = t);
            BUF(&c, rmsnorm, y, T * H, t, .out = true);
            BUF(&c, rmsnorm, x, T * H, st);
            BUF(&c, rmsnorm, w, H, t, .offset = 1);
            if (full) {
                BUF(&c, rmsnorm, s, T * H, st, .out = true);
                BUF(&c, rmsnorm, rstd, T, DT_F32, .out = true);
                BUF(&c, rmsnorm, r, T * H, st);
            }
            emit(s, &c, what);
            CASE(&c, rmsnorm_grad, .T = T, .H = H, .gain_offset = offset, .wide = wide, .dtype = t);
            BUF(&c, rmsnorm_grad, dx, T * H, t, .out = true);
            BUF(&c, rmsnorm_grad, dy, T * H, t);
            BUF(&c, rmsnorm_grad, s, T * H, st);
            BUF(&c, rmsnorm_grad, w, H, t, .offset = 1);
            BUF(&c, rmsnorm_grad, rstd, T, DT_F32, .offset = 1.5, .spread = 0.5);
            if (full) {
                BUF(&c, rmsnorm_grad, y, T * H, t, .out = true);
                BUF(&c, rmsnorm_grad, dres, T * H, t);
                BUF(&c, rmsnorm_grad, dw, H, DT_F32, .out = true);
            }
            emit(s, &c, what);
            if (!full) continue;
            c.args.rmsnorm_grad.dw_dtype = c.buf[c.bufs - 1].t = DT_BF16;
            emit(s, &c, "gradient in bf16");
        }
}

/* One norm of `heads` rows of H in each token, between rows of `stride`; in place, or dense inputs.
 */
struct head_norm {
    const char *name;
    int64_t T, H, stride;
    int32_t heads;
    bool in_place;
    float gain_offset;
};

static void head_norm_case(struct test_case *c, const struct head_norm *f, enum dtype t)
{
    const enum dtype real = t == DT_F64 ? t : DT_F32;
    const int64_t rows = f->T * f->heads;
    CASE(c, rmsnorm, .T = f->T, .H = f->H, .heads = f->heads, .stride = f->stride,
         .gain_offset = f->gain_offset, .eps = 1e-2, .dtype = t);
    BUF(c, rmsnorm, y, f->T * f->stride, t, .out = true,
        .also = f->in_place ? offsetof(struct op_rmsnorm, x) : 0);
    BUF(c, rmsnorm, s, rows * f->H, t, .out = true);
    BUF(c, rmsnorm, rstd, rows, real, .out = true);
    BUF(c, rmsnorm, w, f->H, t, .offset = 1);
    if (!f->in_place) {
        BUF(c, rmsnorm, x, f->T * f->stride, t);
        BUF(c, rmsnorm, r, rows * f->H, t);
    }
}

static void head_norm_grad_case(struct test_case *c, const struct head_norm *f, enum dtype t)
{
    const enum dtype real = t == DT_F64 ? t : DT_F32;
    const int64_t rows = f->T * f->heads;
    CASE(c, rmsnorm_grad, .T = f->T, .H = f->H, .heads = f->heads, .stride = f->stride,
         .gain_offset = f->gain_offset, .dtype = t);
    BUF(c, rmsnorm_grad, dx, f->T * f->stride, t, .out = true,
        .also = f->in_place ? offsetof(struct op_rmsnorm_grad, dy) : 0);
    BUF(c, rmsnorm_grad, dw, f->H, real, .out = true);
    BUF(c, rmsnorm_grad, s, f->T * f->stride, t);
    BUF(c, rmsnorm_grad, rstd, rows, real, .offset = 1.5, .spread = 0.5);
    BUF(c, rmsnorm_grad, w, f->H, t, .offset = 1);
    if (!f->in_place) {
        BUF(c, rmsnorm_grad, y, rows * f->H, t, .out = true);
        BUF(c, rmsnorm_grad, dy, f->T * f->stride, t);
        BUF(c, rmsnorm_grad, dres, f->T * f->stride, t);
    }
}

static void list_head_norm(struct sink s, enum dtype t)
{
    static const struct head_norm shapes[] = {
        {"heads in place", 21, 64, 5 * 64, 3, true, 0},
        {"heads of odd size, 1+w", 9, 7, 31, 4, true, 1},
        {"heads apart", 30, 40, 3 * 40 + 1, 3, false, 0},
        {"one head", 70, 16, 16, 1, true, 0},
        {"no token", 0, 16, 32, 2, true, 0},
        {"wide heads, 1+w", 6, 256, 3 * 256, 2, true, 1},
    };
    struct test_case c;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        head_norm_case(&c, &shapes[i], t);
        emit(s, &c, shapes[i].name);
        head_norm_grad_case(&c, &shapes[i], t);
        emit(s, &c, shapes[i].name);
    }
}

/* The norm of a branch's result, in place or not. */
static void list_branch_norm(struct sink s, enum dtype t)
{
    static const int64_t sizes[][2] = {{5, 576}, {131, 33}, {0, 16}, {3, 4104}, {2, 2053}};
    struct test_case c;
    for (int i = 0; i < 10; i++) {
        const int64_t T = sizes[i / 2][0], H = sizes[i / 2][1];
        const bool kept = i % 2 == 0; /* what the backward pass reads is kept */
        char what[48];
        snprintf(what, sizeof what, "%dx%d of a branch%s", (int)T, (int)H, kept ? ", kept" : "");
        CASE(&c, rmsnorm, .T = T, .H = H, .gain_offset = (float)(i % 3 % 2), .eps = 1e-2,
             .branch = true, .dtype = t);
        BUF(&c, rmsnorm, y, T * H, DT_F32, .out = true,
            .also = kept ? 0 : offsetof(struct op_rmsnorm, x));
        BUF(&c, rmsnorm, w, H, t, .offset = 1);
        if (kept) {
            BUF(&c, rmsnorm, x, T * H, DT_F32);
            BUF(&c, rmsnorm, s, T * H, t, .out = true);
            BUF(&c, rmsnorm, rstd, T, DT_F32, .out = true);
        }
        emit(s, &c, what);
    }
}

/* Norms of rows of which ranks have parts, and the sums that they need. */
static void list_cut_norm(struct sink s, enum dtype t)
{
    static const int64_t sizes[][3] = {{9, 64, 160}, {5, 33, 101}, {0, 16, 16}, {3, 4104, 5008}};
    struct test_case c;
    for (int i = 0; i < 4; i++) {
        const int64_t T = sizes[i][0], H = sizes[i][1], stride = sizes[i][2], all = 3 * H;
        const float offset = (float)(i % 2);
        char what[48];
        snprintf(what, sizeof what, "%dx%d of rows of %d", (int)T, (int)H, (int)all);
        CASE(&c, rmsnorm, .T = T, .H = H, .heads = 1, .stride = stride, .all = all,
             .gain_offset = offset, .eps = 1e-2, .dtype = t);
        BUF(&c, rmsnorm, y, T * stride, t, .out = true);
        BUF(&c, rmsnorm, rstd, T, DT_F32, .out = true);
        BUF(&c, rmsnorm, x, T * stride, t);
        BUF(&c, rmsnorm, w, H, t, .offset = 1);
        BUF(&c, rmsnorm, squares, T, DT_F32, .offset = 60, .spread = 50);
        emit(s, &c, what);
        CASE(&c, rmsnorm_grad, .T = T, .H = H, .heads = 1, .stride = stride, .all = all,
             .gain_offset = offset, .dtype = t);
        BUF(&c, rmsnorm_grad, dx, T * stride, t, .out = true,
            .also = offsetof(struct op_rmsnorm_grad, dy));
        BUF(&c, rmsnorm_grad, dw, H, DT_F32, .out = true);
        BUF(&c, rmsnorm_grad, s, T * stride, t);
        BUF(&c, rmsnorm_grad, rstd, T, DT_F32, .offset = 1.5, .spread = 0.5);
        BUF(&c, rmsnorm_grad, w, H, t, .offset = 1);
        BUF(&c, rmsnorm_grad, dots, T, DT_F32, .spread = 50);
        emit(s, &c, what);
        for (int gains = 0; gains < 2; gains++) {
            snprintf(what, sizeof what, "%dx%d%s", (int)T, (int)H, gains ? " with gains" : "");
            CASE(&c, row_dot, .T = T, .H = H, .stride = stride, .gain_offset = offset, .dtype = t);
            BUF(&c, row_dot, y, T, DT_F32, .out = true);
            BUF(&c, row_dot, a, T * stride, t, .offset = 1);
            BUF(&c, row_dot, b, T * stride, t, .offset = 1);
            if (gains) BUF(&c, row_dot, w, H, t, .offset = 1);
            emit(s, &c, what);
        }
    }
}

/* Halves and neighbours, whole heads and parts of them, some heads scaled; both ways. */
static void list_rope(struct sink s, enum dtype t, int i, int64_t T)
{
    static const int32_t dims[] = {64, 6, 64}, parts[] = {48, 4, 36};
    struct test_case c;
    for (int form = 0; form < 8; form++) {
        const int32_t dim = dims[i], rotary = form & 4 ? parts[i] : 0, heads = 3;
        const int64_t stride = heads * dim + (i ? 5 : 8), pairs = (rotary ? rotary : dim) / 2;
        char what[60];
        snprintf(what, sizeof what, "%d%s%s%s", (int)T, form & 1 ? ", inverse" : "",
                 form & 2 ? ", neighbours" : "", form & 4 ? ", a part, scaled" : "");
        CASE(&c, rope, .T = T, .stride = stride, .heads = heads, .dim = dim, .rotary = rotary,
             .scaled = 2, .inverse = form & 1, .interleaved = form & 2, .dtype = t);
        BUF(&c, rope, x, T * stride, t, .out = true);
        BUF(&c, rope, cos, 20 * pairs, DT_F32);
        BUF(&c, rope, sin, 20 * pairs, DT_F32);
        BUF(&c, rope, pos, T, DT_I32, .ints = random_ints(T, 20));
        if (form & 4) BUF(&c, rope, scale, 20, DT_F32, .offset = 2);
        emit(s, &c, what);
    }
}

/* An activation of [T,I], or of gates of that size. */
struct activation {
    int64_t T, I;
    enum act act;
    bool gated;
};

static void activation_case(struct test_case *c, const struct activation *f, enum dtype t,
                            double spread)
{
    const int64_t n = f->T * f->I;
    CASE(c, activation, .T = f->T, .I = f->I, .act = f->act, .gated = f->gated, .dtype = t);
    BUF(c, activation, y, n, t, .out = true);
    BUF(c, activation, x, f->gated ? 2 * n : n, t, .spread = spread);
}

static void activation_grad_case(struct test_case *c, const struct activation *f, enum dtype t,
                                 double spread, bool again)
{
    const int64_t n = f->T * f->I, x = f->gated ? 2 * n : n;
    CASE(c, activation_grad, .T = f->T, .I = f->I, .act = f->act, .gated = f->gated, .dtype = t);
    BUF(c, activation_grad, dx, x, t, .out = true);
    BUF(c, activation_grad, dy, n, t);
    BUF(c, activation_grad, x, x, t, .spread = spread);
    if (again) BUF(c, activation_grad, y, n, t, .out = true);
}

static const char *activation_name(const struct activation *f, char name[40])
{
    static const char *const acts[ACTS] = {"silu", "gelu", "gelu_tanh", "relu2"};
    snprintf(name, 40, "%s%s %dx%d", acts[f->act], f->gated ? " gated" : "", (int)f->T, (int)f->I);
    return name;
}

/* again: the gradient recomputes the result. */
static void list_activation(struct sink s, enum dtype t, const struct activation *f, bool again)
{
    struct test_case c;
    char name[40];
    activation_case(&c, f, t, 12);
    emit(s, &c, activation_name(f, name));
    activation_grad_case(&c, f, t, 12, again);
    emit(s, &c, name);
}

/* The first rows alone, of which the device has the number. */
static void list_counted(struct sink s, enum dtype t, const struct activation *f)
{
    struct test_case c;
    char name[40], what[60];
    int32_t *const count = some_ints();
    *count = (int32_t)(f->T / 2);
    snprintf(what, sizeof what, "%s, %d rows", activation_name(f, name), (int)*count);
    activation_case(&c, f, t, 12);
    BUF(&c, activation, count, 1, DT_I32, .ints = count);
    emit(s, &c, what);
    activation_grad_case(&c, f, t, 12, true);
    BUF(&c, activation_grad, count, 1, DT_I32, .ints = count);
    emit(s, &c, what);
}

static void list_elementwise(struct sink s, enum dtype t)
{
    const int64_t sizes[][2] = {{7, 96}, {3, 21}, {0, 32}};
    for (int i = 0; i < 3; i++) {
        const int64_t T = sizes[i][0], I = sizes[i][1];
        list_rope(s, t, i, T);
        for (int form = 0; form < 2 * ACTS; form++)
            list_activation(s, t, &(struct activation){T, I, (enum act)(form / 2), form % 2}, i);
        list_counted(s, t, &(struct activation){T, I, ACT_SILU, true});
        list_counted(s, t, &(struct activation){T, I, ACT_GELU, false});
    }
}

/* Masters, none, and moments of either type, elements that start within a block of random bits.
 */
static void list_update(struct sink s, enum dtype t)
{
    struct test_case c;
    const int64_t ns[] = {40000, 5, 0};
    for (int i = 0; i < 3; i++)
        for (int form = 0; form < 4; form++) {
            static const char *const forms[] = {"", "no master", "kept narrow", "momentum"};
            const int64_t n = ns[i];
            const enum dtype kept = form == 2 ? t : DT_F32;
            const enum dtype given = form == 2 || i == 1 ? t : DT_F32; /* of the gradient */
            const struct op_random random = {7, 3, (uint64_t)(form == 2 ? 72 : form * 37)};
            CASE(&c, adamw, .n = n, .lr = 1e-2, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8,
                 .weight_decay = 0.1, .c1 = 0.271, .c2 = 0.142625, .max_norm = i, .param_dtype = t,
                 .dtype = DT_F32, .grad_dtype = given, .master_dtype = kept, .m_dtype = kept,
                 .v_dtype = form == 1 ? t : kept, .random = random);
            if (i != 1 || form == 1) BUF(&c, adamw, param, n, t, .out = true);
            if (form != 1) BUF(&c, adamw, master, n, kept, .out = true);
            BUF(&c, adamw, m, n, kept, .out = true);
            BUF(&c, adamw, v, n, c.args.adamw.v_dtype, .out = true, .offset = 0.6, .spread = 0.5);
            BUF(&c, adamw, grad, n, given);
            BUF(&c, adamw, sumsq, 1, DT_F64, .offset = 4);
            if (form < 3) emit(s, &c, forms[form]);
            CASE(&c, sgd, .n = n, .lr = 1e-2, .momentum = 0.9, .dampening = i ? 0 : 0.25,
                 .weight_decay = 0.1, .max_norm = i, .nesterov = i, .param_dtype = t,
                 .dtype = DT_F32, .grad_dtype = given, .master_dtype = kept, .m_dtype = kept,
                 .random = random);
            if (i != 1 || form == 1) BUF(&c, sgd, param, n, t, .out = true);
            if (form != 1) BUF(&c, sgd, master, n, kept, .out = true);
            if (form > 1) BUF(&c, sgd, m, n, kept, .out = true);
            BUF(&c, sgd, grad, n, given);
            BUF(&c, sgd, sumsq, 1, DT_F64, .offset = 4);
            emit(s, &c, forms[form]);
        }
}

static void list_dropout(struct sink s, enum dtype t)
{
    struct test_case c;
    static const struct {
        const char *name;
        int64_t T, H;
        double p, scale;
        bool add, in_place;
        int64_t first;
    } forms[] = {
        {"odd", 9, 149, 0.25, 1.5, false, false, 0},
        {"added", 5, 576, 0.1, 0.5, true, false, 0},
        {"in place", 3, 70, 0.5, 1, false, true, 0},
        {"scaled only", 4, 37, 0, -3, false, true, 0},
        {"scaled to elsewhere", 6, 200, 0, 0.22, false, false, 0},
        {"narrow", 3, 5, 0.9, 1, false, false, 0},
        {"none", 0, 64, 0.1, 1, false, false, 0},
        {"nearly all", 2, 300, 1, 1e-6, false, false, 0},
        {"from column 64", 7, 192, 0.3, 2, false, false, 64},
        {"from column 1141", 5, 163, 0.5, 1, true, false, 1141},
        {"from column 250", 3, 4, 0.4, 1, false, true, 250},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const int64_t T = forms[i].T, H = forms[i].H;
        CASE(&c, dropout, .T = T, .H = H, .first = forms[i].first, .key = 0x123456789abcdef0,
             .site = 77 + (uint32_t)i, .add = forms[i].add, .p = forms[i].p,
             .scale = forms[i].scale, .dtype = t);
        BUF(&c, dropout, y, T * H, t, .out = true,
            .also = forms[i].in_place ? offsetof(struct op_dropout, x) : 0);
        if (!forms[i].in_place) BUF(&c, dropout, x, T * H, t);
        BUF(&c, dropout, sample, T, DT_I32, .ints = random_ints(T, 1 << 30));
        BUF(&c, dropout, pos, T, DT_I32, .ints = random_ints(T, 4096));
        emit(s, &c, forms[i].name);
    }
}

enum place { NOWHERE, BESIDE, IN_PLACE }; /* of dlogits, as seen from logits */

static void list_xent(struct sink s, const struct op_xent *a, const int32_t *target, enum place p)
{
    struct test_case c;
    char what[64];
    const int64_t n = a->n, V = a->V, parts = a->ranks * n * 3;
    snprintf(what, sizeof what, "%dx%d of %d, logits %s%s%s", (int)n, (int)V, (int)a->all,
             dtype_name(a->logits_dtype), p == IN_PLACE ? ", in place" : "",
             a->cap > 0 ? ", cap" : "");
    CASE(&c, xent, .n = n);
    c.args.xent = *a;
    BUF(&c, xent, nll, n, DT_F32, .out = true);
    if (p == BESIDE) BUF(&c, xent, dlogits, n * V, a->d_dtype, .out = true);
    if (a->ranks) BUF(&c, xent, parts, parts, DT_F32, .offset = 9, .spread = 2);
    BUF(&c, xent, logits, n * V, a->logits_dtype, .spread = a->ranks ? 5 : 20, .out = p == IN_PLACE,
        .also = p == IN_PLACE ? offsetof(struct op_xent, dlogits) : 0);
    BUF(&c, xent, target, n, DT_I32, .ints = target);
    BUF(&c, xent, weight, n, DT_F32, .offset = 1);
    emit(s, &c, what);
}

static void list_xent_part(struct sink s, const struct op_xent *a, const int32_t *target)
{
    struct test_case c;
    char what[64];
    snprintf(what, sizeof what, "%dx%d of %d, logits %s%s", (int)a->n, (int)a->V, (int)a->all,
             dtype_name(a->logits_dtype), a->cap > 0 ? ", cap" : "");
    CASE(&c, xent_part, .n = a->n, .V = a->V, .first = a->first, .cap = a->cap, .dtype = DT_F32,
         .logits_dtype = a->logits_dtype);
    BUF(&c, xent_part, part, a->n * 3, DT_F32, .out = true);
    BUF(&c, xent_part, logits, a->n * a->V, a->logits_dtype, .spread = 20);
    BUF(&c, xent_part, target, a->n, DT_I32, .ints = target);
    emit(s, &c, what);
}

/* n rows of V logits of type t; to: of dlogits */
static void list_logits(struct sink s, enum dtype t, enum dtype to, int64_t n, int64_t V,
                        const int32_t *target)
{
    struct test_case c;
    char what[48];
    struct op_xent a = {
        .scale = 0.25, .n = n, .V = V, .all = V, .dtype = DT_F32, .d_dtype = to, .logits_dtype = t};
    for (int cap = 0; cap <= (V < 5000 ? 9 : 0); cap += 9) {
        a.cap = cap;
        a.ranks = 0, a.first = 0, a.V = V;
        list_xent(s, &a, target, V < 20000 ? BESIDE : NOWHERE);
        if (t == to) list_xent(s, &a, target, IN_PLACE);
        /* the vocabulary is cut among three ranks, of which this one has the second part */
        a.ranks = 3, a.first = V / 4, a.V = V / 3;
        list_xent_part(s, &a, target);
        list_xent(s, &a, target, BESIDE);
        if (t == to) list_xent(s, &a, target, IN_PLACE);
    }
    snprintf(what, sizeof what, "%dx%d, logits %s", (int)n, (int)V, dtype_name(t));
    CASE(&c, argmax, .n = n, .V = V, .dtype = t);
    BUF(&c, argmax, y, n, DT_I32, .out = true);
    BUF(&c, argmax, logits, n * V, t, .spread = 3);
    emit(s, &c, what);
}

static void list_loss(struct sink s, enum dtype t)
{
    const int64_t sizes[][2] = {{5, 3001}, {3, 7}, {0, 64}, {2, 20000}};
    for (int i = 0; i < 4; i++) {
        int32_t *target = random_ints(sizes[i][0], sizes[i][1]);
        if (i == 0) target[3] = -100;
        list_logits(s, DT_F32, t, sizes[i][0], sizes[i][1], target);
        list_logits(s, DT_BF16, t, sizes[i][0], sizes[i][1], target);
    }
}

static void list_matmul(struct sink s, enum dtype t)
{
    struct test_case c;
    enum { LONG = 10000 }; /* the CUDA plugin has another rule for a longer k */
    const int64_t sizes[][3] = {{37, 50, 70}, {1, 130, 64}, {300, 17, 5}, {530, 600, 33}, {4, 5, 0},
                                {0, 5, 4},    {3, 6, 45},   {4, 131, 70}, {2, 512, 10016}};
    for (int i = 0; i < 9; i++)
        for (int form = 0; form < 16; form++) {
            const int64_t m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
            if (k > LONG ? form != 2 : i > 2 && form % 4 == 3 && form != 15) continue;
            const bool ta = form & 1, tb = form & 2, acc = form & 4, wide = form & 8;
            const int64_t lda = (ta ? m : k) + (k > LONG ? 0 : 3),
                          ldb = (tb ? k : n) + (acc ? 2 : 0), ldc = n + wide;
            const enum dtype ct = wide ? DT_F32 : t;
            char what[60];
            snprintf(what, sizeof what, "%dx%dx%d %s%s%s%s", (int)m, (int)n, (int)k, ta ? "T" : "N",
                     tb ? "T" : "N", acc ? " +C" : "", wide ? " wide" : "");
            CASE(&c, matmul, .m = m, .n = n, .k = k, .lda = lda, .ldb = acc ? ldb : 0,
                 .ldc = wide ? ldc : 0, .ta = ta, .tb = tb, .accumulate = acc, .ab_dtype = t,
                 .c_dtype = ct);
            BUF(&c, matmul, c, m * ldc, ct, .out = true);
            BUF(&c, matmul, a, (ta ? k : m) * lda, t);
            BUF(&c, matmul, b, (tb ? n : k) * ldb, t);
            if (form % 3 == 0) BUF(&c, matmul, bias, n, t);
            emit(s, &c, what);
        }
}

/* Queries lie in documents, or with ends[0] above 0 in two chunks of each. */
struct attention_shape {
    const char *name;
    int32_t docs, cu_q[9], cu_k[5];
    int32_t heads, kv_heads, dim, window;
    int64_t Tq, Tk;
    int32_t ends[8];
};
static const struct attention_shape attention_shapes[] = {
    /* the long ones have more tiles of keys, and of queries of two heads, than a kernel's ring */
    {"tiles, long", 1, {0, 160}, {0, 600}, 2, 1, 64, 0, 160, 600, {0}},
    {"tiles of 64", 3, {0, 1, 134, 201}, {0, 1, 134, 201}, 4, 2, 64, 0, 201, 201, {0}},
    {"tiles of 80", 2, {0, 70, 99}, {0, 70, 99}, 2, 1, 80, 0, 99, 99, {0}},
    {"tiles of 96", 2, {0, 70, 99}, {0, 70, 99}, 2, 1, 96, 0, 99, 99, {0}},
    {"tiles of 128", 2, {0, 150, 199}, {0, 150, 199}, 2, 1, 128, 0, 199, 199, {0}},
    {"tiles of 256", 2, {0, 70, 99}, {0, 70, 99}, 2, 1, 256, 0, 99, 99, {0}},
    {"tiles, window", 2, {0, 150, 199}, {0, 150, 199}, 2, 1, 64, 33, 199, 199, {0}},
    {"tiles, more keys", 2, {0, 30, 49}, {0, 190, 209}, 2, 1, 64, 0, 49, 209, {0}},
    {"tiles of 128, long", 1, {0, 160}, {0, 600}, 2, 1, 128, 0, 160, 600, {0}},
    {"tiles, room", 2, {0, 70, 140}, {0, 70, 140}, 2, 2, 64, 0, 140, 16500, {0}},
    {"tiles of 128, room", 2, {3, 70, 140}, {3, 70, 140}, 4, 2, 128, 40, 145, 16500, {0}},
    {"one", 1, {0, 5}, {0, 5}, 1, 1, 16, 0, 5, 5, {0}},
    {"documents", 3, {0, 70, 71, 130}, {0, 70, 71, 130}, 6, 2, 64, 0, 133, 130, {0}},
    {"window", 2, {0, 60, 170}, {0, 60, 170}, 4, 2, 32, 17, 170, 170, {0}},
    {"wide window", 1, {0, 390}, {0, 390}, 2, 1, 16, 300, 390, 390, {0}},
    {"narrow window", 2, {0, 400, 530}, {0, 400, 530}, 4, 2, 32, 40, 530, 530, {0}},
    {"window of one", 1, {0, 70}, {0, 70}, 2, 2, 16, 1, 70, 70, {0}},
    {"window, more keys", 2, {0, 30, 49}, {0, 390, 409}, 2, 1, 16, 33, 49, 409, {0}},
    {"window, decode", 1, {0, 1}, {0, 700}, 3, 1, 64, 100, 1, 700, {0}},
    {"more keys", 2, {2, 4, 20}, {0, 90, 120}, 4, 4, 40, 0, 21, 123, {0}},
    {"more queries", 1, {0, 20}, {0, 9}, 2, 1, 16, 0, 20, 9, {0}},
    {"long", 1, {0, 530}, {0, 530}, 2, 1, 16, 0, 530, 530, {0}},
    {"several long",
     4,
     {0, 520, 530, 1050, 1600},
     {0, 520, 530, 1050, 1600},
     4,
     2,
     24,
     0,
     1600,
     1603,
     {0}},
    {"large head", 1, {0, 101}, {0, 101}, 2, 1, 128, 0, 101, 101, {0}},
    {"odd dim", 2, {0, 33, 40}, {0, 33, 40}, 3, 3, 7, 5, 40, 40, {0}},
    {"decode", 1, {0, 1}, {0, 300}, 3, 1, 64, 0, 1, 300, {0}},
    {"empty documents", 4, {0, 0, 3, 3, 9}, {0, 2, 5, 5, 11}, 2, 2, 8, 0, 9, 11, {0}},
    {"nothing", 0, {0}, {0}, 2, 1, 8, 0, 0, 0, {0}},
    {"chunks", 1, {0, 5, 10}, {0, 20}, 2, 1, 16, 0, 10, 20, {5, 20}},
    {"chunks, inner",
     2,
     {0, 25, 50, 51, 53},
     {0, 100, 108},
     4,
     2,
     32,
     0,
     53,
     108,
     {50, 75, 103, 106}},
    {"chunks, window",
     2,
     {0, 90, 180, 190, 200},
     {0, 360, 400},
     4,
     2,
     32,
     70,
     200,
     400,
     {90, 360, 370, 400}},
    {"chunks, empty",
     4,
     {0, 0, 2, 3, 3, 3, 3, 9, 9},
     {1, 4, 6, 7, 31},
     2,
     2,
     8,
     0,
     9,
     32,
     {2, 4, 5, 6, 7, 7, 13, 31}},
    {"chunks, long", 1, {0, 260, 520}, {0, 1040}, 4, 2, 24, 0, 520, 1040, {260, 1040}},
    {"chunks, no query", 2, {0, 0, 0, 0, 0}, {0, 2, 70}, 2, 1, 64, 0, 0, 71, {1, 2, 19, 70}},
    {"tiles, chunks",
     2,
     {0, 40, 80, 110, 139},
     {0, 160, 280},
     2,
     1,
     64,
     0,
     139,
     280,
     {80, 120, 190, 279}},
    {"tiles of 128, chunks",
     2,
     {0, 70, 139, 172, 205},
     {0, 280, 414},
     4,
     2,
     128,
     0,
     205,
     414,
     {70, 280, 313, 414}},
    {"tiles of 80, chunks", 1, {0, 30, 60}, {0, 120}, 2, 1, 80, 0, 60, 120, {30, 120}},
    {"tiles of 96, chunks", 1, {0, 30, 60}, {0, 120}, 2, 1, 96, 0, 60, 120, {60, 90}},
    {"tiles of 256, chunks", 1, {0, 30, 60}, {0, 120}, 2, 1, 256, 0, 60, 120, {30, 120}},
    {"tiles, chunks, window",
     2,
     {0, 70, 140, 140, 141},
     {0, 280, 283},
     2,
     1,
     64,
     50,
     141,
     283,
     {70, 280, 281, 283}},
    {"tiles of 128, chunks, window, room",
     1,
     {0, 70, 140},
     {3, 283},
     2,
     2,
     128,
     90,
     143,
     16500,
     {73, 283}},
    {"cap", 2, {0, 60, 170}, {0, 60, 170}, 4, 2, 32, 0, 170, 170, {0}},
    {"cap, window, long", 1, {0, 530}, {0, 530}, 2, 1, 24, 300, 530, 530, {0}},
    {"cap, chunks", 1, {0, 25, 50}, {0, 100}, 4, 2, 16, 0, 50, 100, {50, 75}},
    {"tiles, cap", 3, {0, 1, 134, 201}, {0, 1, 134, 201}, 4, 2, 64, 33, 201, 201, {0}},
    {"tiles of 80, cap", 2, {0, 70, 99}, {0, 70, 99}, 2, 1, 80, 0, 99, 99, {0}},
    {"tiles of 128, cap", 2, {0, 150, 199}, {0, 150, 199}, 2, 1, 128, 0, 199, 199, {0}},
    {"tiles of 256, cap", 2, {0, 70, 99}, {0, 70, 99}, 2, 1, 256, 40, 99, 99, {0}},
    {"tiles, cap, chunks", 1, {0, 70, 140}, {0, 280}, 2, 1, 128, 0, 140, 280, {70, 280}},
    {"tiles, chunks, no query", 1, {0, 0, 0}, {0, 150}, 2, 1, 64, 0, 0, 150, {40, 150}},
};
enum { ATTENTION_SHAPES = sizeof attention_shapes / sizeof *attention_shapes };

static struct op_attention attention_args(const struct attention_shape *f, enum dtype t)
{
    const int64_t q = f->heads * f->dim, kv = f->kv_heads * f->dim;
    /* rows of these begin at multiples of 16 bytes, as the tensor cores of a GPU want them;
     * where there is room for longer documents, its kernels divide the work in another way */
    const bool tiles = !strncmp(f->name, "tiles", 5);
    int64_t max_len = strstr(f->name, "room") ? 4096 : 0;
    for (int d = 0; d < f->docs; d++) {
        if (f->ends[0] == 0 && f->cu_q[d + 1] - f->cu_q[d] > max_len)
            max_len = f->cu_q[d + 1] - f->cu_q[d];
        if (f->cu_k[d + 1] - f->cu_k[d] > max_len) max_len = f->cu_k[d + 1] - f->cu_k[d];
    }
    return (struct op_attention){.Tq = f->Tq,
                                 .Tk = f->Tk,
                                 .q_stride = q + (tiles ? 8 : 3),
                                 .kv_stride = kv + (tiles ? 8 : 1),
                                 .o_stride = q,
                                 .max_len = max_len,
                                 .docs = f->docs,
                                 .heads = f->heads,
                                 .kv_heads = f->kv_heads,
                                 .dim = f->dim,
                                 .window = f->window,
                                 .scale = 0.3,
                                 .cap = strstr(f->name, "cap") ? 2 : 0,
                                 .dtype = t};
}

static void attention_inputs(struct test_case *c, const struct attention_shape *f, enum dtype t,
                             size_t at)
{
    const struct op_attention a = attention_args(f, t);
    const int32_t entries = f->ends[0] ? 2 * f->docs : f->docs;
    const struct buf bufs[] = {
        {offsetof(struct op_attention, q), f->Tq * a.q_stride, t, .spread = 1},
        {offsetof(struct op_attention, k), f->Tk * a.kv_stride, t, .spread = 1},
        {offsetof(struct op_attention, v), f->Tk * a.kv_stride, t, .spread = 1},
        {offsetof(struct op_attention, cu_q), entries + 1, DT_I32, .ints = f->cu_q},
        {offsetof(struct op_attention, cu_k), f->docs + 1, DT_I32, .ints = f->cu_k},
        {offsetof(struct op_attention, key_end), entries, DT_I32, .ints = f->ends}};
    for (int i = 0; i < (f->ends[0] ? 6 : 5); i++) {
        c->buf[c->bufs] = bufs[i];
        c->buf[c->bufs++].field += at;
    }
}

static void attention_case(struct test_case *c, const struct attention_shape *f, enum dtype t)
{
    memset(c, 0, sizeof *c);
    c->op = OP_attention;
    c->size = sizeof(struct op_attention);
    c->args.attention = attention_args(f, t);
    BUF(c, attention, o, f->Tq * c->args.attention.o_stride, t, .out = true);
    BUF(c, attention, lse, f->heads * f->Tq, t == DT_F64 ? t : DT_F32, .out = true);
    attention_inputs(c, f, t, 0);
}

/* o and lse come from a forward run. */
static void attention_grad_case(struct test_case *c, const struct attention_shape *f, enum dtype t,
                                bool wide)
{
    const enum dtype real = t == DT_F64 ? t : DT_F32, to = wide ? real : t;
    memset(c, 0, sizeof *c);
    c->op = OP_attention_grad;
    c->size = sizeof(struct op_attention_grad);
    c->args.attention_grad.fwd = attention_args(f, t);
    c->args.attention_grad.wide = wide;
    const struct op_attention *a = &c->args.attention_grad.fwd;
    BUF(c, attention_grad, dq, f->Tq * a->q_stride, t, .out = true);
    BUF(c, attention_grad, dk, f->Tk * a->kv_stride, to, .out = true);
    BUF(c, attention_grad, dv, f->Tk * a->kv_stride, to, .out = true);
    BUF(c, attention_grad, dout, f->Tq * a->o_stride, t);
    BUF(c, attention_grad, o, f->Tq * a->o_stride, t);
    BUF(c, attention_grad, lse, f->heads * f->Tq, real, .offset = 5, .spread = 0.1);
    attention_inputs(c, f, t, offsetof(struct op_attention_grad, fwd));
}

static void list_attention(struct sink s, enum dtype t)
{
    struct test_case c;
    for (int i = 0; i < ATTENTION_SHAPES; i++) {
        const struct attention_shape *f = &attention_shapes[i];
        char what[60];
        attention_case(&c, f, t);
        emit(s, &c, f->name);
        attention_grad_case(&c, f, t, false);
        emit(s, &c, f->name);
        if (f->ends[0] == 0) continue;
        snprintf(what, sizeof what, "%s, wide", f->name);
        attention_grad_case(&c, f, t, true);
        emit(s, &c, what);
    }
}

#include "ops_list_experts.h"

/* Every case with activations of type t. */
static inline void list_cases(struct sink s, enum dtype t)
{
    case_seed = 7;
    list_move(s, t);
    list_norm(s, t);
    list_head_norm(s, t);
    list_branch_norm(s, t);
    list_cut_norm(s, t);
    list_elementwise(s, t);
    list_update(s, t);
    list_dropout(s, t);
    list_loss(s, t);
    list_matmul(s, t);
    list_attention(s, t);
    list_routing(s, t);
    list_products(s, t);
    list_combine(s, t);
    list_gate(s, t);
}

#endif
