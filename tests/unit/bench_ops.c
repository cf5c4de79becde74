/* SPDX-License-Identifier: Apache-2.0 */
/* The time of each operation that is not a matrix product, at the sizes of a training step of
 * SmolLM2-135M: JSON lines with the best seconds, GB/s of the bytes it must move, and for attention
 * GFLOP/s of the causal half.
 * usage: bench_ops [T [DOCUMENT [THREADS [BACKEND]]]] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "model/micro_batch.h"
#include "ops/ops.h"

enum { H = 576, I = 1536, HEADS = 9, KV = 3, DIM = 64, V = 49152, ROUNDS = 15, QKV = 960 };

static struct device *dev;
static enum dtype t = DT_BF16;

static double now(void)
{
    struct timespec s;
    clock_gettime(CLOCK_MONOTONIC, &s);
    return (double)s.tv_sec + 1e-9 * (double)s.tv_nsec;
}

/* n elements of small random numbers */
static void *make(int64_t n, enum dtype type)
{
    struct err e;
    void *p = dev->ops->alloc(dev, (size_t)n * dtype_size(type), &e);
    uint32_t x = 1;
    for (int64_t i = 0; p && i < n; i++) {
        x = x * 1664525 + 1013904223;
        const float v = (float)(x >> 8) * 0x1p-23f - 1;
        if (type == DT_BF16)
            ((uint16_t *)p)[i] = bf16_from_f32(v);
        else
            ((float *)p)[i] = v;
    }
    if (p) return p;
    fprintf(stderr, "bench_ops: %s\n", e.msg);
    exit(ERR_MEMORY);
}

static void measure(enum op_id op, const void *args, size_t size, double bytes, double flops)
{
    struct err e = {0};
    double best = 1e30;
    dev->work[0].bytes = dev->ops->work(dev, op, args);
    dev->work[0].p = dev->ops->alloc(dev, dev->work[0].bytes, &e);
    for (int i = 0; i < ROUNDS; i++) {
        double s = now();
        dev->ops->run(dev, op, args, size);
        s = now() - s;
        if (s < best) best = s;
    }
    dev->ops->free(dev, dev->work[0].p, dev->work[0].bytes);
    printf("{\"op\":\"%s\",\"ms\":%.3f,\"gbytes_per_s\":%.1f", op_name(op), best * 1e3,
           bytes / best * 1e-9);
    if (flops > 0) printf(",\"gflops\":%.1f", flops / best * 1e-9);
    puts("}");
    fflush(stdout);
}
#define MEASURE(name, bytes, flops, ...)                                                           \
    measure(OP_##name, &(struct op_##name){__VA_ARGS__}, sizeof(struct op_##name),                 \
            (double)(bytes), (flops))

static void bench_attention(int64_t T, int64_t length)
{
    int32_t *cu = make(T + 1, DT_F32), docs = 0;
    double pairs = 0;
    for (int64_t at = 0; at < T; docs++) {
        const int64_t n = T - at < length ? T - at : length;
        cu[docs] = (int32_t)at;
        cu[docs + 1] = (int32_t)(at += n);
        pairs += 0.5 * (double)n * (double)(n + 1);
    }
    const double flops = 4.0 * pairs * DIM * HEADS; /* two products */
    uint16_t *qkv = make(T * QKV, t), *dqkv = make(T * QKV, t);
    void *o = make(T * H, t), *lse = make(T * HEADS, DT_F32), *dout = make(T * H, t);
    const struct op_attention a = {.o = o,
                                   .lse = lse,
                                   .q = qkv,
                                   .k = qkv + H,
                                   .v = qkv + H + KV * DIM,
                                   .cu_q = cu,
                                   .cu_k = cu,
                                   .Tq = T,
                                   .Tk = T,
                                   .q_stride = QKV,
                                   .kv_stride = QKV,
                                   .o_stride = H,
                                   .max_len = length,
                                   .docs = docs,
                                   .heads = HEADS,
                                   .kv_heads = KV,
                                   .dim = DIM,
                                   .scale = 0.125,
                                   .dtype = t};
    measure(OP_attention, &a, sizeof a, (double)T * (QKV + H) * 2, flops);
    MEASURE(attention_grad, T * (2 * QKV + 2 * H) * 2, 2.5 * flops, .dq = dqkv, .dk = dqkv + H,
            .dv = dqkv + H + KV * DIM, .dout = dout, .o = o, .lse = lse, .fwd = a);
}

static void bench_rows(int64_t T)
{
    void *y = make(T * H, t), *dres = make(T * H, t), *w = make(H, t), *rstd = make(T, DT_F32);
    void *x = make(T * H, DT_F32), *r = make(T * H, DT_F32), *s = make(T * H, DT_F32);
    void *dw = make(H, DT_F32);
    MEASURE(rmsnorm, 14 * T * H, 0, .y = y, .s = s, .rstd = rstd, .x = x, .r = r, .w = w, .T = T,
            .H = H, .eps = 1e-5, .wide = true, .dtype = t);
    MEASURE(rmsnorm_grad, 10 * T * H, 0, .dx = dres, .dw = dw, .dy = y, .dres = dres, .s = s,
            .w = w, .rstd = rstd, .T = T, .H = H, .wide = true, .dtype = t);
    void *gu = make(2 * T * I, t), *dgu = make(2 * T * I, t), *act = make(T * I, t);
    MEASURE(activation, 6 * T * I, 0, .y = act, .x = gu, .T = T, .I = I, .gated = true, .dtype = t);
    MEASURE(activation_grad, 10 * T * I, 0, .dx = dgu, .dy = act, .x = gu, .T = T, .I = I,
            .gated = true, .dtype = t);
    int32_t *pos = make(T, DT_F32);
    for (int64_t i = 0; i < T; i++) pos[i] = (int32_t)i;
    void *cosine = make(T * DIM / 2, DT_F32), *sine = make(T * DIM / 2, DT_F32);
    MEASURE(rope, 4 * T * (HEADS + KV) * DIM, 0, .x = gu, .cos = cosine, .sin = sine, .pos = pos,
            .T = T, .stride = QKV, .heads = HEADS + KV, .dim = DIM, .dtype = t);
    MEASURE(add, 6 * T * H, 0, .y = y, .a = x, .b = r, .n = T * H, .dtype = t);
}

/* Ids as a text has them: some are frequent, most are rare. */
static void bench_embedding(int64_t T)
{
    struct micro_batch b = {.T = T, .ids = make(T, DT_F32)};
    b.order = make(T, DT_F32);
    b.starts = make(T + 1, DT_F32);
    for (int64_t i = 0; i < T; i++) {
        const double x = (double)(i * 7919 % T) / (double)T,
                     y = (double)(i * 104729 % T) / (double)T;
        b.ids[i] = (int32_t)(V * x * x * y);
    }
    double s = now();
    micro_batch_sort(&b);
    printf("{\"order\":%lld,\"ids\":%lld,\"ms\":%.3f}\n", (long long)T, (long long)b.unique,
           (now() - s) * 1e3);
    void *dw = make((int64_t)V * H, DT_F32), *dy = make(T * H, t);
    MEASURE(embed_grad, T * H * 10, 0, .dw = dw, .dy = dy, .ids = b.ids, .order = b.order,
            .starts = b.starts, .T = T, .H = H, .V = V, .unique = b.unique, .dtype = t);
}

static void bench_loss(int64_t n)
{
    float *logits = make(n * V, DT_F32), *nll = make(n, DT_F32), *weight = make(n, DT_F32);
    void *dlogits = make(n * V, t);
    int32_t *target = make(n, DT_F32);
    for (int64_t i = 0; i < n; i++) target[i] = (int32_t)(i * 7919 % V);
    MEASURE(xent, n * V * 6, 0, .nll = nll, .dlogits = dlogits, .logits = logits, .target = target,
            .weight = weight, .scale = 1, .n = n, .V = V, .dtype = DT_F32, .d_dtype = t);
}

static void bench_update(int64_t n)
{
    void *m = make(n, DT_F32), *v = make(n, DT_F32), *g = make(n, DT_F32), *p = make(n, DT_F32);
    void *param = make(n, t);
    double *sum = make(2, DT_F32);
    for (int64_t i = 0; i < n; i++) ((float *)v)[i] *= ((float *)v)[i];
    MEASURE(sum, n * 4, 0, .sum = sum, .x = g, .n = n, .squares = true, .dtype = DT_F32);
    MEASURE(adamw, n * 30, 0, .param = param, .master = p, .m = m, .v = v, .grad = g, .sumsq = sum,
            .n = n, .lr = 1e-4, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1,
            .c1 = 0.1, .c2 = 0.05, .max_norm = 1, .param_dtype = t, .dtype = DT_F32);
    MEASURE(adamw, n * 16, 0, .param = param, .m = m, .v = v, .grad = g, .sumsq = sum, .n = n,
            .lr = 1e-4, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1, .c1 = 0.1,
            .c2 = 0.05, .max_norm = 1, .param_dtype = DT_BF16, .dtype = DT_F32, .m_dtype = DT_BF16,
            .v_dtype = DT_BF16, .random.step = 1);
    MEASURE(sgd, n * 8, 0, .param = param, .grad = g, .sumsq = sum, .n = n, .lr = 1e-4,
            .max_norm = 1, .param_dtype = DT_BF16, .dtype = DT_F32, .random.step = 1);
    MEASURE(zero, n * 4, 0, .y = g, .bytes = (size_t)n * 4);
}

int main(int argc, char **argv)
{
    const long T = argc > 1 ? strtol(argv[1], NULL, 10) : 2048;
    const long length = argc > 2 ? strtol(argv[2], NULL, 10) : 150;
    const long threads = argc > 3 ? strtol(argv[3], NULL, 10) : 2;
    struct err e;
    if (T < 1 || length < 1 || threads < 1 || T > 1 << 20) {
        fprintf(stderr, "usage: bench_ops [T [DOCUMENT [THREADS [BACKEND]]]]\n");
        return ERR_USAGE;
    }
    dev = device_open(argc > 4 ? argv[4] : "cpu", (int)threads, &e);
    if (!dev) {
        fprintf(stderr, "bench_ops: %s\n", e.msg);
        return (int)e.code;
    }
    if (!device_has_bf16(dev)) t = DT_F32;
    bench_attention(T, length);
    bench_rows(T);
    bench_embedding(T);
    bench_loss(T < 256 ? T : 256);
    bench_update(16 << 20);
    device_close(dev); /* and the system takes the rest */
    return 0;
}
