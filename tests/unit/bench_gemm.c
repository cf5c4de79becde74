/* SPDX-License-Identifier: Apache-2.0 */
/* The denominator of `make bench`: what this machine gives for the matrix products of a training
 * step. Prints JSON lines, one a product (best of 7 rounds, by our operation and by oneDNN alone in
 * its plain form: one primitive, dense operands, all threads), then the FLOP-weighted harmonic mean
 * of the faster of the two. usage: bench_gemm [-@ THREADS] [--fp32] [T H I HEADS KV_HEADS DIM V
 * CHUNK LAYERS TARGETS] TARGETS of the T tokens have a loss, and so pass through the head, CHUNK at
 * a time. */
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "ops/ops.h"

enum { BEST_OF = 7, PRODUCTS = 15 };

/* y[t, out] = x[t, in] w[out, in]^T, in one of its three products */
struct product {
    const char *layer, *pass;
    int64_t m, n, k;
    bool ta, tb, accumulate;
    enum dtype c;
    double times;       /* how often a step has it */
    double best, plain; /* seconds, by our operation and by oneDNN alone */
};
static struct product list[PRODUCTS];
static int listed;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct device *dev;
static dnnl_engine_t engine;
static dnnl_stream_t stream;
static enum dtype ab = DT_BF16;
static void *a, *b, *c;

static void *fill(size_t bytes)
{
    struct err e;
    uint16_t *p = dev->ops->alloc(dev, bytes, &e);
    for (size_t i = 0; p && i < bytes / 2; i++) /* small numbers, read as bf16 or fp32 */
        p[i] = (uint16_t)(0x3d80 + i * 2654435761u % 256 + (i * 40503u >> 7 & 1) * 0x8000);
    return p;
}

static double ours(const struct product *p)
{
    struct err e = {0};
    const struct op_matmul op = {.c = c,
                                 .a = a,
                                 .b = b,
                                 .m = p->m,
                                 .n = p->n,
                                 .k = p->k,
                                 .ta = p->ta,
                                 .tb = p->tb,
                                 .accumulate = p->accumulate,
                                 .ab_dtype = ab,
                                 .c_dtype = p->c};
    double t = 0;
    dev->work[0].bytes = op_matmul_work(dev, &op);
    dev->work[0].p = dev->ops->alloc(dev, dev->work[0].bytes, &e);
    for (int i = 0; i < 2; i++) { /* the first one warms up */
        t = now();
        op_matmul(dev, &op);
        t = now() - t;
    }
    dev->ops->free(dev, dev->work[0].p, dev->work[0].bytes);
    if (!dev->ops->sync(dev, &e)) return t;
    fprintf(stderr, "bench_gemm: %s\n", e.msg);
    exit(ERR_DEVICE);
}

/* ---- oneDNN alone ---- */

static dnnl_primitive_desc_t plain_desc(const struct product *p)
{
    const dnnl_data_type_t t = ab == DT_BF16 ? dnnl_bf16 : dnnl_f32;
    const dnnl_data_type_t tc = p->c == DT_BF16 ? dnnl_bf16 : dnnl_f32;
    dnnl_dims_t da = {p->m, p->k}, db = {p->k, p->n}, dc = {p->m, p->n};
    dnnl_dims_t sa = {p->ta ? 1 : p->k, p->ta ? p->m : 1},
                sb = {p->tb ? 1 : p->n, p->tb ? p->k : 1};
    dnnl_dims_t sc = {p->n, 1};
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t post = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_attr_create(&attr);
    dnnl_post_ops_create(&post);
#if DNNL_VERSION_MAJOR >= 3
    dnnl_memory_desc_t ma, mb, mc;
    if (p->accumulate) dnnl_post_ops_append_sum(post, 1, 0, dnnl_data_type_undef);
    dnnl_primitive_attr_set_post_ops(attr, post);
    dnnl_memory_desc_create_with_strides(&ma, 2, da, t, sa);
    dnnl_memory_desc_create_with_strides(&mb, 2, db, t, sb);
    dnnl_memory_desc_create_with_strides(&mc, 2, dc, tc, sc);
    dnnl_matmul_primitive_desc_create(&pd, engine, ma, mb, NULL, mc, attr);
    dnnl_memory_desc_destroy(ma), dnnl_memory_desc_destroy(mb), dnnl_memory_desc_destroy(mc);
#else
    dnnl_memory_desc_t ma, mb, mc;
    dnnl_matmul_desc_t op;
    if (p->accumulate) dnnl_post_ops_append_sum(post, 1);
    dnnl_primitive_attr_set_post_ops(attr, post);
    dnnl_memory_desc_init_by_strides(&ma, 2, da, t, sa);
    dnnl_memory_desc_init_by_strides(&mb, 2, db, t, sb);
    dnnl_memory_desc_init_by_strides(&mc, 2, dc, tc, sc);
    dnnl_matmul_desc_init(&op, &ma, &mb, NULL, &mc);
    dnnl_primitive_desc_create(&pd, &op, attr, engine, NULL);
#endif
    dnnl_post_ops_destroy(post);
    dnnl_primitive_attr_destroy(attr);
    return pd;
}

static double plain(const struct product *p)
{
    dnnl_primitive_desc_t pd = plain_desc(p);
    dnnl_primitive_t primitive;
    dnnl_memory_t ma, mb, mc;
    double t = 1e30;
    if (!pd || dnnl_primitive_create(&primitive, pd)) return t;
    dnnl_memory_create(&ma, dnnl_primitive_desc_query_md(pd, dnnl_query_src_md, 0), engine, a);
    dnnl_memory_create(&mb, dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0), engine, b);
    dnnl_memory_create(&mc, dnnl_primitive_desc_query_md(pd, dnnl_query_dst_md, 0), engine, c);
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, ma}, {DNNL_ARG_WEIGHTS, mb}, {DNNL_ARG_DST, mc}};
    for (int i = 0; i < 2; i++) {
        t = now();
        dnnl_primitive_execute(primitive, stream, 3, args);
        dnnl_stream_wait(stream);
        t = now() - t;
    }
    dnnl_memory_destroy(ma), dnnl_memory_destroy(mb), dnnl_memory_destroy(mc);
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(pd);
    return t;
}

/* ---- the products of a step ---- */

/* Round after round through all products and not one product after the other, so that a moment in
 * which the machine is busy spoils one round of all and not all rounds of one. */
static void measure_all(void)
{
    for (int round = 0; round < BEST_OF; round++)
        for (struct product *p = list; p < list + listed; p++) {
            const double x = ours(p), y = plain(p);
            if (!round || x < p->best) p->best = x;
            if (!round || y < p->plain) p->plain = y;
        }
}

static void print_all(long threads, long tokens)
{
    double flops = 0, seconds = 0;
    for (const struct product *p = list; p < list + listed; p++) {
        const double f = 2.0 * (double)p->m * (double)p->n * (double)p->k;
        flops += p->times * f;
        seconds += p->times * (p->best < p->plain ? p->best : p->plain);
        printf("{\"layer\":\"%s\",\"pass\":\"%s\",\"m\":%lld,\"n\":%lld,\"k\":%lld,\"times\":%g,"
               "\"gflops\":%.1f,\"onednn_gflops\":%.1f}\n",
               p->layer, p->pass, (long long)p->m, (long long)p->n, (long long)p->k, p->times,
               f / p->best * 1e-9, f / p->plain * 1e-9);
    }
    printf("{\"dtype\":\"%s\",\"threads\":%ld,\"tokens\":%ld,\"gemm_flops\":%.4g,"
           "\"gflops\":%.1f}\n",
           dtype_name(ab), threads, tokens, flops, flops / seconds * 1e-9);
}

static void add_layer(const char *layer, int64_t t, int64_t in, int64_t out, double times,
                      bool head)
{
    const enum dtype y = head ? DT_F32 : ab; /* logits are fp32 */
    list[listed++] =
        (struct product){layer, "forward", t, out, in, false, true, false, y, times, 0, 0};
    list[listed++] =
        (struct product){layer, "dgrad", t, in, out, false, false, false, ab, times, 0, 0};
    list[listed++] =
        (struct product){layer, "wgrad", out, in, t, true, false, true, DT_F32, times, 0, 0};
}

enum { NUMBERS = 10 };

/* Options in any order; numbers as the usage says. -1 when wrong. */
static int parse(int argc, char **argv, long *threads, long *x)
{
    int n = 0;
    for (int i = 1; i < argc; i++) {
        char none[1] = "", *end = none;
        if (!strcmp(argv[i], "-@") && i + 1 < argc)
            *threads = strtol(argv[++i], &end, 10);
        else if (!strcmp(argv[i], "--fp32"))
            ab = DT_F32;
        else if (n < NUMBERS && (x[n] = strtol(argv[i], &end, 10)) > 0)
            n++;
        else
            return -1;
        if (*end) return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    long threads = omp_get_num_procs();
    long x[NUMBERS] = {2048, 576, 1536, 9, 3, 64, 49152, 512, 30, 2048}; /* SmolLM2-135M */
    struct err e;
    if (parse(argc, argv, &threads, x) || threads < 1) {
        fprintf(stderr, "usage: bench_gemm [-@ THREADS] [--fp32] "
                        "[T H I HEADS KV_HEADS DIM V CHUNK LAYERS TARGETS]\n");
        return ERR_USAGE;
    }
    dev = device_open("cpu", (int)threads, &e);
    if (!dev) {
        fprintf(stderr, "bench_gemm: %s\n", e.msg);
        return (int)e.code;
    }
    if (!device_has_bf16(dev)) ab = DT_F32;
    omp_set_num_threads((int)threads);
    dnnl_engine_create(&engine, dnnl_cpu, 0);
    dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
    const long T = x[0], H = x[1], I = x[2], heads = x[3], kv = x[4], dim = x[5], V = x[6];
    const long chunk = x[7] < T ? x[7] : T, layers = x[8], targets = x[9];
    const long qkv = (heads + 2 * kv) * dim, wide = qkv > 2 * I ? qkv : 2 * I;
    const long sizes[] = {T * wide, H * wide, V * H, chunk * V};
    size_t bytes = 0;
    for (int i = 0; i < 4; i++)
        if ((size_t)sizes[i] * 4 > bytes) bytes = (size_t)sizes[i] * 4;
    a = fill(bytes), b = fill(bytes), c = fill(bytes);
    if (!a || !b || !c) {
        fprintf(stderr, "bench_gemm: 3 x %zu bytes do not fit\n", bytes);
        return ERR_MEMORY;
    }
    add_layer("qkv", T, H, qkv, (double)layers, false);
    add_layer("o", T, heads * dim, H, (double)layers, false);
    add_layer("gate_up", T, H, 2 * I, (double)layers, false);
    add_layer("down", T, I, H, (double)layers, false);
    add_layer("head", chunk, H, V, (double)targets / (double)chunk, true);
    measure_all();
    print_all(threads, T);
    dnnl_stream_destroy(stream);
    dnnl_engine_destroy(engine);
    dev->ops->free(dev, a, bytes), dev->ops->free(dev, b, bytes), dev->ops->free(dev, c, bytes);
    device_close(dev);
    return 0;
}
