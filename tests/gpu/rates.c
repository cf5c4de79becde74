/* SPDX-License-Identifier: Apache-2.0 */
/* The rate of each operation on a GPU at the shapes of Qwen2.5 7B, and those of experts at the
 * shapes of Qwen3-30B-A3B, 8192 tokens. A line for each: "rate NAME MS GB/s PERCENT" of the bytes
 * that it must move, beside a copy's, or "product NAME MS TF". Fields are separated by tabs. */
#include "gpu.h"

enum { UNIQUE = 1024 }; /* different tokens at most */
static struct shape {
    int64_t T, H, I, V, C, P; /* C: rows of logits; P: parameters of an update */
    size_t room, row;         /* bytes of an array; bytes of one of the 1024 rows that are copied */
} s;
static char *a, *b, *c, *d;
static int32_t *ids, *pos, *order, *starts;
static int64_t unique;
static double copy_rate;

static int32_t *sequence(int64_t n, int32_t (*at)(int64_t i))
{
    int32_t *host = malloc((size_t)n * sizeof *host), *p = gpu_room((size_t)n * sizeof *p);
    for (int64_t i = 0; host && i < n; i++) host[i] = at(i);
    device_upload(gpu, p, host, (size_t)n * sizeof *host);
    free(host);
    return p;
}

static int32_t id_at(int64_t t) { return (int32_t)(t * 7919 % s.V); }
static int32_t pos_at(int64_t t) { return (int32_t)(t % unique); }
/* Token u is at t = u, u + unique, ... */
static int32_t order_at(int64_t i)
{
    const int64_t each = s.T / unique;
    return (int32_t)(i / each + i % each * unique);
}
static int32_t start_at(int64_t u) { return (int32_t)(u * (s.T / unique)); }

static void open_arrays(void)
{
    const struct shape large = {8192,       3584,   18944, 152064, 1024, (int64_t)200 << 20,
                                1300 << 20, 1 << 20};
    const struct shape small = {32, 128, 256, 512, 8, 4096, 1 << 20, 64};
    s = tiny() ? small : large;
    unique = s.T < UNIQUE ? s.T / 2 : UNIQUE;
    a = gpu_filled(s.room), b = gpu_filled(s.room), c = gpu_filled(s.room), d = gpu_filled(s.room);
    ids = sequence(s.T, id_at), pos = sequence(s.T, pos_at);
    order = sequence(s.T, order_at), starts = sequence(unique + 1, start_at);
}

static void rate(const char *name, enum op_id op, double bytes, const void *args, size_t size)
{
    const double seconds = gpu_seconds(op, args, size);
    if (!copy_rate) copy_rate = bytes / seconds;
    printf("rate\t%s\t%.3f\t%.4g\t%.1f\n", name, seconds * 1e3, bytes / seconds / 1e9,
           100 * bytes / seconds / copy_rate);
    fflush(stdout);
}
#define RATE(what, op, bytes, ...)                                                                 \
    do {                                                                                           \
        const struct op_##op args_ = {__VA_ARGS__};                                                \
        rate(what, OP_##op, (double)(bytes), &args_, sizeof args_);                                \
    } while (0)

static void moves(void)
{
    const int64_t T = s.T, H = s.H, I = s.I;
    const enum dtype h = DT_BF16;
    RATE("copy_rows", copy_rows, 2048.0 * (double)s.row, .y = a, .x = b, .rows = 1024,
         .bytes = s.row, .y_stride = s.row, .x_stride = s.row);
    RATE("cast", cast, 6 * T * I, .y = a, .x = b, .n = T * I, .to = h, .from = DT_F32);
    RATE("add", add, 6 * T * I, .y = a, .a = b, .b = c, .n = T * I, .dtype = h);
    RATE("embed", embed, 4 * T * H, .y = a, .w = b, .ids = ids, .T = T, .H = H, .V = s.V,
         .dtype = h);
    RATE("embed_grad", embed_grad, (2 * T + 8 * unique) * H, .dw = c, .dy = b, .ids = pos,
         .order = order, .starts = starts, .T = T, .H = H, .V = s.V, .unique = unique, .dtype = h);
    RATE("gather", gather, 4 * T * H, .y = a, .x = b, .rows = pos, .n = T, .H = H, .dtype = h);
}

static void layer(void)
{
    const int64_t T = s.T, H = s.H, I = s.I, qkv = tiny() ? 288 : 4608;
    const int32_t dim = tiny() ? 64 : 128, heads = tiny() ? 2 : 32;
    const enum dtype h = DT_BF16;
    char *w = d + s.room / 2, *r = b + s.room / 2, *rstd = d + s.room / 4;
    RATE("rmsnorm", rmsnorm, 14 * T * H, .y = a, .s = b, .rstd = rstd, .x = c, .r = r, .w = w,
         .T = T, .H = H, .eps = 1e-6, .wide = true, .dtype = h);
    RATE("rmsnorm_grad", rmsnorm_grad, 10 * T * H, .dx = a, .dw = d, .dy = b, .dres = a, .s = c,
         .w = w, .rstd = rstd, .T = T, .H = H, .wide = true, .dtype = h);
    RATE("swiglu", activation, 6 * T * I, .y = a, .x = b, .T = T, .I = I, .gated = true,
         .dtype = h);
    RATE("swiglu_grad", activation_grad, 12 * T * I, .dx = a, .y = d, .dy = c, .x = b, .T = T,
         .I = I, .gated = true, .dtype = h);
    RATE("rope", rope, 4 * T * heads * dim, .x = a, .cos = b, .sin = c, .pos = pos, .T = T,
         .stride = qkv, .heads = heads, .dim = dim, .dtype = h);
    RATE("bias_grad", bias_grad, 2 * T * qkv, .db = d, .dy = a, .T = T, .n = qkv, .dtype = h);
}

static void ends(void)
{
    const int64_t P = s.P;
    const enum dtype h = DT_BF16, f = DT_F32;
    double *sum = gpu_filled(64);
    RATE("xent, fp32 logits", xent, 10 * s.C * s.V, .nll = d, .dlogits = a, .logits = b,
         .target = pos, .weight = c, .scale = 1, .n = s.C, .V = s.V, .dtype = f, .d_dtype = h);
    RATE("sum", sum, 4 * P, .sum = sum, .x = a, .n = P, .squares = true, .dtype = f);
    RATE("adamw, fp32 state", adamw, 30 * P, .param = a, .master = b, .m = c, .v = d, .grad = b,
         .sumsq = sum, .n = P, .lr = 1e-5, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .c1 = 0.5,
         .c2 = 0.5, .param_dtype = h, .dtype = f, .master_dtype = f, .m_dtype = f, .v_dtype = f,
         .random = {1, 2, 0});
    RATE("adamw, bf16 state", adamw, 16 * P, .param = a, .m = c, .v = d, .grad = b, .sumsq = sum,
         .n = P, .lr = 1e-5, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .c1 = 0.5, .c2 = 0.5,
         .param_dtype = h, .dtype = f, .master_dtype = h, .m_dtype = h, .v_dtype = h,
         .random = {1, 2, 0});
}

static void product_rate(const char *what, double seconds, int64_t m, int64_t n, int64_t k)
{
    const double flops = 2.0 * (double)m * (double)n * (double)k;
    printf("product\t%s\t%.3f\t%.4g\n", what, seconds * 1e3, 1e-12 * flops / seconds);
    fflush(stdout);
}

static void product(const char *what, struct op_matmul p)
{
    p.a = a, p.b = b, p.c = c, p.ab_dtype = DT_BF16;
    product_rate(what, gpu_seconds(OP_matmul, &p, sizeof p), p.m, p.n, p.k);
}
#define PRODUCT(what, M, N, K, ...)                                                                \
    product(what, (struct op_matmul){.m = (M), .n = (N), .k = (K), __VA_ARGS__})

static void products(void)
{
    const int64_t T = s.T, H = s.H, I = s.I, qkv = tiny() ? 288 : 4608;
    const enum dtype h = DT_BF16, f = DT_F32;
    PRODUCT("gate_up forward", T, 2 * I, H, .tb = true, .c_dtype = h);
    PRODUCT("gate_up dgrad", T, H, 2 * I, .c_dtype = h);
    PRODUCT("gate_up wgrad, fp32", 2 * I, H, T, .ta = true, .accumulate = true, .c_dtype = f);
    PRODUCT("down forward, fp32", T, H, I, .tb = true, .c_dtype = f);
    PRODUCT("qkv with bias", T, qkv, H, .bias = d, .tb = true, .c_dtype = h);
}

/* ---- experts ---- */
enum { EACH = 8 };
static int64_t experts;
/* Every expert has as many rows, which are all over the order of the choices. */
static int32_t first_row_of(int64_t e) { return (int32_t)(e * (s.T * EACH / experts)); }
static int32_t row_of_choice(int64_t i) { return (int32_t)(i * 7919 % (s.T * EACH)); }

static void grouped(const char *what, struct op_grouped p)
{
    p.a = a, p.b = b, p.c = c, p.E = (int32_t)experts, p.rows = s.T * EACH;
    p.ab_dtype = p.c_dtype = DT_BF16;
    product_rate(what, gpu_seconds(OP_grouped, &p, sizeof p), p.rows, p.n, p.k);
}

static void of_experts(void)
{
    const int64_t T = s.T, H = tiny() ? 64 : 2048, I = tiny() ? 32 : 768;
    experts = tiny() ? 4 : 128;
    const int32_t *at = sequence(experts + 1, first_row_of),
                  *row = sequence(T * EACH, row_of_choice);
    grouped("experts, gate_up forward",
            (struct op_grouped){.starts = at, .n = 2 * I, .k = H, .tb = true});
    grouped("experts, gate_up dgrad", (struct op_grouped){.starts = at, .n = H, .k = 2 * I});
    grouped(
        "experts, gate_up wgrad",
        (struct op_grouped){.starts = at, .n = H, .k = 2 * I, .weights = true, .accumulate = true});
    grouped("experts, down forward", (struct op_grouped){.starts = at, .n = H, .k = I, .tb = true});
    RATE("combine", combine, (2 * EACH + 4) * T * H, .y = a, .z = b, .weight = d, .row = row,
         .T = T, .H = H, .K = EACH, .dtype = DT_BF16, .y_dtype = DT_F32);
    RATE("combine_grad", combine_grad, (4 * EACH + 2) * T * H, .dz = a, .dweight = d, .dy = c,
         .z = b, .weight = d, .row = row, .T = T, .H = H, .K = EACH, .dtype = DT_BF16,
         .z_dtype = DT_BF16);
}

int main(void)
{
    gpu_open();
    open_arrays();
    moves();
    layer();
    ends();
    products();
    of_experts();
    device_close(gpu);
    return 0;
}
