/* SPDX-License-Identifier: Apache-2.0 */
/* beside DIR: runs operations in bf16 on a GPU and leaves in DIR what they read and wrote, for
 * tests/gpu/beside.py. DIR/cases.jsonl has a line for each: its operation, its arguments, and its
 * buffers with their places in DIR/cases.bin, `before` and, where it is written, `after` the run.
 */
#include "../unit/ops_case.h"

#include "gpu.h"

enum { SEED = 99 };
static FILE *list, *bytes;
static long at; /* the end of `bytes` */
static const char *member[BUFS];
#define NAMED(c, op, name, ...) (member[(c)->bufs] = #name, BUF(c, op, name, __VA_ARGS__))

static long keep(const void *p, const struct buf *b)
{
    const size_t n = (size_t)b->n * dtype_size(b->t);
    const long here = at;
    if (fwrite(p, 1, n, bytes) != n) exit(1);
    at += (long)n;
    return here;
}

static void keep_buffers(const struct test_case *c, void *const *before, void *const *after)
{
    for (int i = 0; i < c->bufs; i++) {
        const struct buf *b = &c->buf[i];
        fprintf(list, "%s\"%s\":{\"dtype\":\"%s\",\"n\":%lld,\"before\":%ld,\"after\":%ld}",
                i ? "," : "", member[i], dtype_name(b->t), (long long)b->n, keep(before[i], b),
                b->out ? keep(after[i], b) : -1L);
    }
}

/* Runs the case, with `given` contents where not NULL. args: members of a JSON object. Returns what
 * it left. */
static struct outcome run(const struct test_case *c, const char *args, void *const *given)
{
    void *before[BUFS];
    case_seed = SEED;
    for (int i = 0; i < c->bufs; i++) before[i] = host_content(&c->buf[i]);
    struct outcome after = case_run(c, gpu, SEED, given);
    fprintf(list, "{\"op\":\"%s\",%s,\"buffers\":{", op_name(c->op), args);
    keep_buffers(c, given ? given : before, after.bytes);
    fprintf(list, "}}\n");
    for (int i = 0; i < c->bufs; i++) free(before[i]);
    return after;
}

static void run_only(const struct test_case *c, const char *args)
{
    struct outcome o = run(c, args, NULL);
    outcome_free(&o);
}

/* ---- the cases ---- */
static const enum dtype h = DT_BF16, f = DT_F32;
static int64_t T = 512, H = 1024, I = 2048, V = 4096;

static void product(const char *args, bool ta, bool tb, bool bias, bool accumulate)
{
    struct test_case c;
    CASE(&c, matmul, .m = T, .n = I, .k = H, .ta = ta, .tb = tb, .accumulate = accumulate,
         .ab_dtype = h, .c_dtype = h);
    NAMED(&c, matmul, c, T * I, h, .out = true);
    NAMED(&c, matmul, a, T * H, h);
    NAMED(&c, matmul, b, H * I, h);
    if (bias) NAMED(&c, matmul, bias, I, h);
    run_only(&c, args);
}

static void products(void)
{
    char args[120];
    for (int form = 0; form < 3; form++) { /* forward, dgrad, wgrad */
        snprintf(args, sizeof args, "\"m\":%d,\"n\":%d,\"k\":%d,\"ta\":%d,\"tb\":%d,\"add\":%d",
                 (int)T, (int)I, (int)H, form == 2, form == 0, form == 2);
        product(args, form == 2, form == 0, form == 0, form == 2);
    }
}

static void norm(void)
{
    struct test_case c, g;
    char args[80];
    snprintf(args, sizeof args, "\"T\":%d,\"H\":%d,\"eps\":1e-6", (int)T, (int)H);
    CASE(&c, rmsnorm, .T = T, .H = H, .eps = 1e-6, .dtype = h);
    NAMED(&c, rmsnorm, x, T * H, h);
    NAMED(&c, rmsnorm, w, H, h, .offset = 1);
    NAMED(&c, rmsnorm, y, T * H, h, .out = true);
    NAMED(&c, rmsnorm, rstd, T, f, .out = true);
    struct outcome o = run(&c, args, NULL);
    CASE(&g, rmsnorm_grad, .T = T, .H = H, .dtype = h, .dw_dtype = h);
    NAMED(&g, rmsnorm_grad, s, T * H, h);
    NAMED(&g, rmsnorm_grad, w, H, h);
    NAMED(&g, rmsnorm_grad, dy, T * H, h);
    NAMED(&g, rmsnorm_grad, rstd, T, f);
    NAMED(&g, rmsnorm_grad, dx, T * H, h, .out = true);
    NAMED(&g, rmsnorm_grad, dw, H, h, .out = true);
    void *dw = calloc((size_t)H, 2), *dy = host_content(&g.buf[2]);
    void *given[] = {o.bytes[0], o.bytes[1], dy, o.bytes[3], o.bytes[2], dw};
    struct outcome q = run(&g, args, given);
    outcome_free(&o), outcome_free(&q);
    free(dw), free(dy);
}

static void elementwise(void)
{
    struct test_case c;
    char args[120];
    snprintf(args, sizeof args, "\"T\":%d,\"I\":%d", (int)T, (int)I);
    CASE(&c, add, .n = T * I, .dtype = h);
    NAMED(&c, add, a, T * I, h);
    NAMED(&c, add, b, T * I, h);
    NAMED(&c, add, y, T * I, h, .out = true);
    run_only(&c, args);
    CASE(&c, activation, .T = T, .I = I, .gated = true, .dtype = h);
    NAMED(&c, activation, x, 2 * T * I, h, .spread = 8);
    NAMED(&c, activation, y, T * I, h, .out = true);
    run_only(&c, args);
    CASE(&c, activation_grad, .T = T, .I = I, .gated = true, .dtype = h);
    NAMED(&c, activation_grad, x, 2 * T * I, h, .spread = 8);
    NAMED(&c, activation_grad, dy, T * I, h);
    NAMED(&c, activation_grad, dx, 2 * T * I, h, .out = true);
    run_only(&c, args);
    CASE(&c, bias_grad, .T = T, .n = I, .dtype = h, .db_dtype = h);
    NAMED(&c, bias_grad, dy, T * I, h);
    NAMED(&c, bias_grad, db, I, h, .out = true);
    run_only(&c, args);
}

static int32_t *integers(int64_t n, int64_t below)
{
    int32_t *p = malloc((size_t)n * sizeof *p);
    for (int64_t i = 0; p && i < n; i++) p[i] = (int32_t)(i * 7919 % below);
    return p;
}

static void rope(void)
{
    struct test_case c;
    const int32_t heads = 4, dim = 64;
    const int64_t stride = heads * dim, places = 128;
    int32_t *pos = integers(T, places);
    char args[120];
    snprintf(args, sizeof args, "\"T\":%d,\"heads\":%d,\"dim\":%d", (int)T, heads, dim);
    CASE(&c, rope, .T = T, .stride = stride, .heads = heads, .dim = dim, .dtype = h);
    NAMED(&c, rope, x, T * stride, h, .out = true);
    NAMED(&c, rope, cos, places * dim / 2, f);
    NAMED(&c, rope, sin, places * dim / 2, f);
    NAMED(&c, rope, pos, T, DT_I32, .ints = pos);
    run_only(&c, args);
    free(pos);
}

static void ends(void)
{
    struct test_case c;
    int32_t *ids = integers(T, V), *order = integers(T, V), *starts = integers(T + 1, V);
    char args[80];
    const int64_t unique = order_ids(ids, T, order, starts);
    snprintf(args, sizeof args, "\"T\":%d,\"H\":%d,\"V\":%d", (int)T, (int)H, (int)V);
    CASE(&c, embed_grad, .T = T, .H = H, .V = V, .unique = unique, .dtype = h, .dw_dtype = h);
    NAMED(&c, embed_grad, dw, V * H, h, .out = true);
    NAMED(&c, embed_grad, dy, T * H, h);
    NAMED(&c, embed_grad, ids, T, DT_I32, .ints = ids);
    NAMED(&c, embed_grad, order, T, DT_I32, .ints = order);
    NAMED(&c, embed_grad, starts, unique + 1, DT_I32, .ints = starts);
    run_only(&c, args);
    CASE(&c, xent, .scale = 1, .n = T, .V = V, .dtype = f, .d_dtype = h, .logits_dtype = h);
    NAMED(&c, xent, logits, T * V, h, .spread = 8);
    NAMED(&c, xent, target, T, DT_I32, .ints = ids);
    NAMED(&c, xent, weight, T, f, .offset = 1, .spread = 1e-30);
    NAMED(&c, xent, nll, T, f, .out = true);
    NAMED(&c, xent, dlogits, T * V, h, .out = true);
    run_only(&c, args);
    free(ids), free(order), free(starts);
}

/* Two documents of n and n / 2 tokens. */
static void attention(int64_t n, int32_t dim)
{
    struct test_case c, g;
    const int32_t heads = 4, kv = 2, cu[] = {0, (int32_t)n, (int32_t)(n + n / 2)};
    const int64_t all = cu[2], q = all * heads * dim, k = all * kv * dim;
    char args[160];
    snprintf(args, sizeof args, "\"cu\":[0,%d,%d],\"heads\":%d,\"kv_heads\":%d,\"dim\":%d", cu[1],
             cu[2], heads, kv, dim);
    const struct op_attention a = {.Tq = all,
                                   .Tk = all,
                                   .q_stride = heads * dim,
                                   .kv_stride = kv * dim,
                                   .o_stride = heads * dim,
                                   .max_len = n,
                                   .docs = 2,
                                   .heads = heads,
                                   .kv_heads = kv,
                                   .dim = dim,
                                   .scale = 0.125,
                                   .dtype = h};
    CASE(&c, attention, .docs = 0);
    c.args.attention = a;
    NAMED(&c, attention, q, q, h);
    NAMED(&c, attention, k, k, h);
    NAMED(&c, attention, v, k, h);
    NAMED(&c, attention, cu_q, 3, DT_I32, .ints = cu);
    NAMED(&c, attention, cu_k, 3, DT_I32, .ints = cu);
    NAMED(&c, attention, o, q, h, .out = true);
    NAMED(&c, attention, lse, heads * all, f, .out = true);
    struct outcome o = run(&c, args, NULL);
    CASE(&g, attention_grad, .lse = NULL);
    g.args.attention_grad.fwd = a;
    NAMED(&g, attention_grad, fwd.q, q, h);
    NAMED(&g, attention_grad, fwd.k, k, h);
    NAMED(&g, attention_grad, fwd.v, k, h);
    NAMED(&g, attention_grad, fwd.cu_q, 3, DT_I32, .ints = cu);
    NAMED(&g, attention_grad, fwd.cu_k, 3, DT_I32, .ints = cu);
    NAMED(&g, attention_grad, o, q, h);
    NAMED(&g, attention_grad, lse, heads * all, f);
    NAMED(&g, attention_grad, dout, q, h);
    NAMED(&g, attention_grad, dq, q, h, .out = true);
    NAMED(&g, attention_grad, dk, k, h, .out = true);
    NAMED(&g, attention_grad, dv, k, h, .out = true);
    void *given[BUFS], *made[4];
    for (int i = 0; i < 7; i++) given[i] = o.bytes[i];
    for (int i = 7; i < 11; i++) given[i] = made[i - 7] = host_content(&g.buf[i]);
    struct outcome r = run(&g, args, given);
    outcome_free(&o), outcome_free(&r);
    for (int i = 0; i < 4; i++) free(made[i]);
}

static FILE *create(const char *dir, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    if (file) return file;
    perror(path);
    exit(1);
}

int main(int argc, char **argv)
{
    if (argc != 2) return fprintf(stderr, "usage: beside DIR\n"), 64;
    list = create(argv[1], "cases.jsonl"), bytes = create(argv[1], "cases.bin");
    if (tiny()) T = 16, H = 64, I = 96, V = 80;
    gpu_open();
    products();
    norm();
    elementwise();
    rope();
    ends();
    attention(tiny() ? 20 : 400, 64);
    if (!tiny()) attention(300, 128);
    device_close(gpu);
    return fclose(list) || fclose(bytes) || test_failed;
}
