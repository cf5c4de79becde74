/* SPDX-License-Identifier: Apache-2.0 */
/* The rate of each operation on a GPU at the shapes of Qwen2.5 7B, 8192 tokens: bytes that it must
 * move a second, beside a copy's, or TF. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ops/cuda_plugin.h"

extern const struct cuda_plugin sft_cuda_plugin;
static struct device *gpu;
static double copy_rate;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *room(size_t bytes)
{
    struct err e;
    void *p = gpu->ops->alloc(gpu, bytes, &e);
    if (p) return p;
    fprintf(stderr, "%s\n", e.msg);
    exit(1);
}

/* Memory with values that are no special case: bytes 0x3c are small numbers in fp32 and in bf16. */
static void *filled(size_t bytes)
{
    void *p = room(bytes);
    char *h = malloc(bytes);
    for (size_t i = 0; h && i < bytes; i++) h[i] = (char)(i % 4 == 3 || i % 4 == 1 ? 0x3c : i * 37);
    device_upload(gpu, p, h, bytes);
    free(h);
    return p;
}

static double seconds(enum op_id op, const void *args, size_t size)
{
    struct err e;
    enum { ROUNDS = 20 };
    gpu->ops->run(gpu, op, args, size);
    if (gpu->ops->sync(gpu, &e)) printf("%s: %s\n", op_name(op), e.msg);
    const double start = now();
    for (int i = 0; i < ROUNDS; i++) gpu->ops->run(gpu, op, args, size);
    if (gpu->ops->sync(gpu, &e)) printf("%s: %s\n", op_name(op), e.msg);
    return (now() - start) / ROUNDS;
}

#define RATE(name, bytes, ...)                                                                     \
    do {                                                                                           \
        const struct op_##name a_ = {__VA_ARGS__};                                                 \
        const double s_ = seconds(OP_##name, &a_, sizeof a_), b_ = (double)(bytes);                \
        if (!copy_rate) copy_rate = b_ / s_;                                                       \
        printf("rate %-14s %8.3f ms %6.0f GB/s %4.0f %% of copy\n", #name, s_ * 1e3,               \
               b_ / s_ / 1e9, 100 * b_ / s_ / copy_rate);                                          \
        fflush(stdout);                                                                            \
    } while (0)
#define PRODUCT(what, M, N, K, ...)                                                                \
    do {                                                                                           \
        const struct op_matmul a_ = {.m = M, .n = N, .k = K, __VA_ARGS__};                         \
        const double s_ = seconds(OP_matmul, &a_, sizeof a_);                                      \
        printf("rate matmul %-18s %8.3f ms %6.0f TF\n", what, s_ * 1e3, 2e-12 * M * N * K / s_);   \
        fflush(stdout);                                                                            \
    } while (0)

int main(void)
{
    struct err e;
    if (!(gpu = sft_cuda_plugin.open(0, &e))) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    gpu->work[QUEUE_COMPUTE].p = room((size_t)64 << 20);
    const int64_t T = 8192, H = 3584, I = 18944, V = 152064, C = 2048, P = (int64_t)200 << 20;
    char *a = filled((size_t)1300 << 20), *b = filled((size_t)1300 << 20),
         *c = filled((size_t)1300 << 20), *d = filled((size_t)1300 << 20);
    int32_t *ids = calloc((size_t)T, sizeof *ids), *at = room((size_t)T * 4);
    for (int64_t t = 0; t < T; t++) ids[t] = (int32_t)(t * 7919 % V);
    device_upload(gpu, at, ids, (size_t)T * 4);
    int32_t *pos = room((size_t)T * 4);
    for (int64_t t = 0; t < T; t++) ids[t] = (int32_t)(t % 1024);
    device_upload(gpu, pos, ids, (size_t)T * 4);
    int32_t *order = room((size_t)T * 4), *starts = room((size_t)(T + 1) * 4);
    const int64_t unique = T < 1024 ? T : 1024; /* each is at t, t + 1024, ... */
    for (int64_t u = 0, i = 0; u < unique; u++)
        for (int64_t t = u; t < T; t += 1024) ids[i++] = (int32_t)t;
    device_upload(gpu, order, ids, (size_t)T * 4);
    for (int64_t u = 0; u <= unique; u++) ids[u] = (int32_t)(u * (T / unique));
    device_upload(gpu, starts, ids, (size_t)(unique + 1) * 4);
    double *sum = filled(64);
    const enum dtype h = DT_BF16, f = DT_F32;
    RATE(copy_rows, 2.0 * (1 << 30), .y = a, .x = b, .rows = 1 << 10, .bytes = 1 << 20,
         .y_stride = 1 << 20, .x_stride = 1 << 20);
    RATE(cast, 6.0 * T * I, .y = a, .x = b, .n = T * I, .to = h, .from = f);
    RATE(add, 6.0 * T * I, .y = a, .a = b, .b = c, .n = T * I, .dtype = h);
    RATE(rmsnorm, 14.0 * T * H, .y = a, .s = b, .rstd = d, .x = c, .r = b + (600 << 20),
         .w = d + (900 << 20), .T = T, .H = H, .eps = 1e-6, .wide = true, .dtype = h);
    RATE(rmsnorm_grad, 10.0 * T * H, .dx = a, .dw = d, .dy = b, .dres = a, .s = c,
         .w = d + (900 << 20), .rstd = d + (1 << 20), .T = T, .H = H, .wide = true, .dtype = h);
    RATE(swiglu, 6.0 * T * I, .y = a, .gu = b, .T = T, .I = I, .dtype = h);
    RATE(swiglu_grad, 12.0 * T * I, .dgu = a, .y = d, .dy = c, .gu = b, .T = T, .I = I, .dtype = h);
    RATE(rope, 4.0 * T * 32 * 128, .x = a, .cos = b, .sin = c, .pos = pos, .T = T, .stride = 4608,
         .heads = 32, .dim = 128, .dtype = h);
    RATE(bias_grad, 2.0 * T * 4608, .db = d, .dy = a, .T = T, .n = 4608, .dtype = h);
    RATE(embed, 4.0 * T * H, .y = a, .w = b, .ids = at, .T = T, .H = H, .V = V, .dtype = h);
    RATE(embed_grad, (2.0 * T + 8.0 * unique) * H, .dw = c, .dy = b, .ids = pos, .order = order,
         .starts = starts, .T = T, .H = H, .V = V, .unique = unique, .dtype = h);
    RATE(gather, 4.0 * T * H, .y = a, .x = b, .rows = pos, .n = T, .H = H, .dtype = h);
    RATE(xent, 10.0 * C * V / 2, .nll = d, .dlogits = a, .logits = b, .target = pos, .weight = c,
         .scale = 1, .n = C / 2, .V = V, .dtype = f, .d_dtype = h);
    RATE(sum, 4.0 * P, .sum = sum, .x = a, .n = P, .squares = true, .dtype = f);
    RATE(adamw, 30.0 * P, .param = a, .master = b, .m = c, .v = d, .grad = b, .sumsq = sum, .n = P,
         .lr = 1e-5, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .c1 = 0.5, .c2 = 0.5,
         .param_dtype = h, .dtype = f, .master_dtype = f, .m_dtype = f, .v_dtype = f,
         .random = {1, 2, 0});
    RATE(adamw, 16.0 * P, .param = a, .m = c, .v = d, .grad = b, .sumsq = sum, .n = P, .lr = 1e-5,
         .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .c1 = 0.5, .c2 = 0.5, .param_dtype = h,
         .dtype = f, .master_dtype = h, .m_dtype = h, .v_dtype = h, .random = {1, 2, 0});
    PRODUCT("gate_up forward", T, 2 * I, H, .c = a, .a = b, .b = c, .tb = true, .ab_dtype = h,
            .c_dtype = h);
    PRODUCT("gate_up dgrad", T, H, 2 * I, .c = a, .a = b, .b = c, .ab_dtype = h, .c_dtype = h);
    PRODUCT("gate_up wgrad", 2 * I, H, T, .c = a, .a = b, .b = c, .ta = true, .accumulate = true,
            .ab_dtype = h, .c_dtype = f);
    PRODUCT("down forward, fp32", T, H, I, .c = a, .a = b, .b = c, .tb = true, .ab_dtype = h,
            .c_dtype = f);
    PRODUCT("qkv with bias", T, 4608, H, .c = a, .a = b, .b = c, .bias = d, .tb = true,
            .ab_dtype = h, .c_dtype = h);
    device_close(gpu);
    return 0;
}
