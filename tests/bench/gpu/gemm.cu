/* SPDX-License-Identifier: Apache-2.0 */
/* cuBLASLt rates of the GEMMs of a training step: Qwen2.5 layer and head shapes, laid out as a row-major trainer has them.
 *
 *   forward  y[T,out]  = x[T,in] W[out,in]^T (+ bias)   column-major: m=out n=T   k=in   A=W  (T)  B=x  (N)
 *   dgrad    dx[T,in]  = dy[T,out] W[out,in]            column-major: m=in  n=T   k=out  A=W  (N)  B=dy (N)
 *   wgrad    dW[out,in] += dy[T,out]^T x[T,in]          column-major: m=in  n=out k=T    A=x  (N)  B=dy (T)
 *
 * A row-major [r,c] matrix is a column-major matrix of c rows, r columns and leading dimension c.
 * usage: gemm SECONDS [tiny|each]. One line a measurement, flushed. each: every algorithm that the
 * heuristic names for the products of the group bench of `make check-gpu`, and its time. */
#include <cublasLt.h>
#include <cuda_runtime.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_SETS = 4, TOP = 8 };
static const size_t WORKSPACE = 32u << 20;
static bool tiny, each;
static double budget = 50, started;
static char *in_arena, *out_arena;
static size_t in_bytes, out_bytes, out_from; /* out_from: where the next product's results may begin */
static void *workspace;
static cublasLtHandle_t lt;
static cudaEvent_t ev0, ev1;
static cudaStream_t stream;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#define CUDA(x) cuda_ok((x), #x, __LINE__)
#define LT(x) lt_ok((x), #x, __LINE__)
static void cuda_ok(cudaError_t e, const char *what, int line)
{
    if (e == cudaSuccess) return;
    printf("FATAL line %d: %s: %s\n", line, what, cudaGetErrorString(e));
    fflush(stdout);
    exit(1);
}
static void lt_ok(cublasStatus_t s, const char *what, int line)
{
    if (s == CUBLAS_STATUS_SUCCESS) return;
    printf("FATAL line %d: %s: cublas status %d\n", line, what, (int)s);
    fflush(stdout);
    exit(1);
}

/* ---- bf16 on the host ---- */
static uint16_t to_bf16(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
static float from_bf16(uint16_t b)
{
    uint32_t u = (uint32_t)b << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}
static uint64_t seed = 88172645463325252ull;
static float uniform(void)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (float)(seed >> 40) * (1.0f / 16777216.0f) - 0.5f;
}
static float normal(void) { return 1.7320508f * (uniform() + uniform() + uniform() + uniform()); } /* variance 1 */

/* ---- one product ---- */
enum kind { FORWARD, DGRAD, WGRAD };
struct problem {
    enum kind kind;
    int64_t T, out, in;
    cudaDataType d_type;
    bool bias;
    /* derived */
    int64_t m, n, k;
    size_t a_bytes, b_bytes, d_bytes;
    cublasLtMatmulDesc_t op;
    cublasLtMatrixLayout_t a, b, d;
    float beta;
    const void *A[MAX_SETS], *B[MAX_SETS], *bias_at;
    void *D[MAX_SETS];
    int sets;
};

static size_t up(size_t x) { return (x + 1023) / 1024 * 1024; }

static void layouts(struct problem *p)
{
    const int64_t T = p->T, out = p->out, in = p->in;
    cublasOperation_t ta = CUBLAS_OP_N, tb = CUBLAS_OP_N;
    const cudaDataType t = CUDA_R_16BF;
    const size_t w = (size_t)(out * in) * 2, x = (size_t)(T * in) * 2, y = (size_t)(T * out) * 2;
    const size_t size = p->d_type == CUDA_R_32F ? 4 : 2;
    if (p->kind == FORWARD) {
        p->m = out, p->n = T, p->k = in, ta = CUBLAS_OP_T;
        LT(cublasLtMatrixLayoutCreate(&p->a, t, (uint64_t)in, (uint64_t)out, in)); /* W */
        LT(cublasLtMatrixLayoutCreate(&p->b, t, (uint64_t)in, (uint64_t)T, in));   /* x */
        LT(cublasLtMatrixLayoutCreate(&p->d, p->d_type, (uint64_t)out, (uint64_t)T, out));
        p->a_bytes = w, p->b_bytes = x;
    } else if (p->kind == DGRAD) {
        p->m = in, p->n = T, p->k = out;
        LT(cublasLtMatrixLayoutCreate(&p->a, t, (uint64_t)in, (uint64_t)out, in)); /* W */
        LT(cublasLtMatrixLayoutCreate(&p->b, t, (uint64_t)out, (uint64_t)T, out)); /* dy */
        LT(cublasLtMatrixLayoutCreate(&p->d, p->d_type, (uint64_t)in, (uint64_t)T, in));
        p->a_bytes = w, p->b_bytes = y;
    } else {
        p->m = in, p->n = out, p->k = T, tb = CUBLAS_OP_T;
        LT(cublasLtMatrixLayoutCreate(&p->a, t, (uint64_t)in, (uint64_t)T, in));   /* x */
        LT(cublasLtMatrixLayoutCreate(&p->b, t, (uint64_t)out, (uint64_t)T, out)); /* dy */
        LT(cublasLtMatrixLayoutCreate(&p->d, p->d_type, (uint64_t)in, (uint64_t)out, in));
        p->a_bytes = x, p->b_bytes = y;
    }
    p->d_bytes = (size_t)(p->m * p->n) * size;
    p->beta = p->kind == WGRAD ? 1.0f : 0.0f;
    LT(cublasLtMatmulDescCreate(&p->op, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    LT(cublasLtMatmulDescSetAttribute(p->op, CUBLASLT_MATMUL_DESC_TRANSA, &ta, sizeof ta));
    LT(cublasLtMatmulDescSetAttribute(p->op, CUBLASLT_MATMUL_DESC_TRANSB, &tb, sizeof tb));
}

static void bias(struct problem *p)
{
    if (!p->bias) return;
    cublasLtEpilogue_t e = CUBLASLT_EPILOGUE_BIAS; /* a vector of D's rows, of D's type: here bf16 */
    LT(cublasLtMatmulDescSetAttribute(p->op, CUBLASLT_MATMUL_DESC_EPILOGUE, &e, sizeof e));
    LT(cublasLtMatmulDescSetAttribute(p->op, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias_at, sizeof p->bias_at));
}

/* Operands in turn from the arenas; several sets, so that repeated runs do not find them in the L2 cache. */
static bool place(struct problem *p)
{
    const size_t bias_bytes = up((size_t)p->out * 2), in = up(p->a_bytes) + up(p->b_bytes), out = up(p->d_bytes);
    const size_t room = out_bytes - out_from;
    if (bias_bytes + in > in_bytes || out > room) return false;
    size_t want = (512u << 20) / (in + out) + 1, fit_in = (in_bytes - bias_bytes) / in, fit_out = room / out;
    if (want > MAX_SETS) want = MAX_SETS;
    if (want < 2) want = 2;
    if (want > fit_in) want = fit_in;
    if (want > fit_out) want = fit_out;
    p->sets = (int)want;
    p->bias_at = in_arena;
    for (int i = 0; i < p->sets; i++) {
        p->A[i] = in_arena + bias_bytes + (size_t)i * in;
        p->B[i] = in_arena + bias_bytes + (size_t)i * in + up(p->a_bytes);
        p->D[i] = out_arena + out_from + (size_t)i * out;
    }
    return true;
}

static struct problem make(enum kind kind, int64_t T, int64_t out, int64_t in, cudaDataType d_type, bool with_bias)
{
    struct problem p;
    memset(&p, 0, sizeof p);
    p.kind = kind, p.T = T, p.out = out, p.in = in, p.d_type = d_type, p.bias = with_bias;
    layouts(&p);
    if (!place(&p)) p.sets = 0;
    bias(&p);
    return p;
}

static void drop(struct problem *p)
{
    cublasLtMatrixLayoutDestroy(p->a);
    cublasLtMatrixLayoutDestroy(p->b);
    cublasLtMatrixLayoutDestroy(p->d);
    cublasLtMatmulDescDestroy(p->op);
}

static double flops(const struct problem *p) { return 2.0 * (double)p->m * (double)p->n * (double)p->k; }

static cublasStatus_t launch(const struct problem *p, const cublasLtMatmulAlgo_t *algo, int set)
{
    const float alpha = 1;
    return cublasLtMatmul(lt, p->op, &alpha, p->A[set], p->a, p->B[set], p->b, &p->beta, p->D[set], p->d, p->D[set],
                          p->d, algo, workspace, WORKSPACE, stream);
}

static int heuristic(const struct problem *p, cublasLtMatmulHeuristicResult_t *r, int most)
{
    cublasLtMatmulPreference_t pref;
    uint64_t bytes = WORKSPACE;
    int found = 0;
    LT(cublasLtMatmulPreferenceCreate(&pref));
    LT(cublasLtMatmulPreferenceSetAttribute(pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes));
    cublasStatus_t s = cublasLtMatmulAlgoGetHeuristic(lt, p->op, p->a, p->b, p->d, p->d, pref, most, r, &found);
    cublasLtMatmulPreferenceDestroy(pref);
    if (s != CUBLAS_STATUS_SUCCESS) return 0;
    for (int i = 0; i < found; i++)
        if (r[i].state != CUBLAS_STATUS_SUCCESS) return i;
    return found;
}

/* Milliseconds a run: the mean of at least `least` ms of runs after a warm-up; negative: the algorithm failed. */
static double time_one(const struct problem *p, const cublasLtMatmulAlgo_t *algo, double least)
{
    float ms = 0;
    int runs = 2;
    for (int i = 0; i < p->sets; i++)
        if (launch(p, algo, i) != CUBLAS_STATUS_SUCCESS) return -1;
    for (;;) {
        CUDA(cudaEventRecord(ev0, stream));
        for (int i = 0; i < runs; i++)
            if (launch(p, algo, i % p->sets) != CUBLAS_STATUS_SUCCESS) return -1;
        CUDA(cudaEventRecord(ev1, stream));
        CUDA(cudaEventSynchronize(ev1));
        CUDA(cudaEventElapsedTime(&ms, ev0, ev1));
        if (ms >= 0.9 * least || runs >= 5000) return (double)ms / runs;
        double n = ms > 0 ? ceil(1.05 * least * runs / (double)ms) : runs * 10.0;
        runs = n > 5000 ? 5000 : n < runs + 1 ? runs + 1 : (int)n;
    }
}

static void describe(const cublasLtMatmulHeuristicResult_t *r, char *s, size_t n)
{
    int id = -1, split = -1;
    uint32_t tile = 0, stages = 0;
    uint16_t cluster = 0;
    uint32_t swizzle = 0, custom = 0;
    uint16_t inner = 0;
    size_t w;
    cublasLtMatmulAlgoConfigGetAttribute(&r->algo, CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, &swizzle, sizeof swizzle, &w);
    cublasLtMatmulAlgoConfigGetAttribute(&r->algo, CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, &custom, sizeof custom, &w);
    cublasLtMatmulAlgoConfigGetAttribute(&r->algo, CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID, &inner, sizeof inner, &w);
    cublasLtMatmulAlgoConfigGetAttribute(&r->algo, CUBLASLT_ALGO_CONFIG_ID, &id, sizeof id, &w);
    cublasLtMatmulAlgoConfigGetAttribute(&r->algo, CUBLASLT_ALGO_CONFIG_TILE_ID, &tile, sizeof tile, &w);
    cublasLtMatmulAlgoConfigGetAttribute(&r->algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &split, sizeof split, &w);
    cublasLtMatmulAlgoConfigGetAttribute(&r->algo, CUBLASLT_ALGO_CONFIG_STAGES_ID, &stages, sizeof stages, &w);
    cublasLtMatmulAlgoConfigGetAttribute(&r->algo, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, &cluster, sizeof cluster, &w);
    snprintf(s, n, "id%d tile%u st%u cl%u sk%d sw%u cu%u in%u ws%.1fM w%.2f", id, tile, stages, (unsigned)cluster, split, swizzle,
             custom, (unsigned)inner, (double)r->workspaceSize / 1048576, (double)r->wavesCount);
}

static const char *type_name(cudaDataType t) { return t == CUDA_R_32F ? "f32" : "bf16"; }

/* Prints the time of each algorithm: alone for 4 ms, and of those that are not much slower than the
 * best, while the card is at its limit of power. */
static void each_algorithm(const struct problem *p, const cublasLtMatmulHeuristicResult_t *r, int found, const char *model,
                           const char *shape, int64_t T)
{
    static const char *names[] = {"fwd", "dgrad", "wgrad"};
    double brief[TOP], low = 1e9;
    char text[160];
    for (int i = 0; i < found; i++) {
        brief[i] = time_one(p, &r[i].algo, 4);
        if (brief[i] > 0 && brief[i] < low) low = brief[i];
    }
    for (int i = 0; i < found; i++) {
        double held = 0;
        if (brief[i] > 0 && (i == 0 || brief[i] < 1.12 * low)) time_one(p, &r[i].algo, 70), held = time_one(p, &r[i].algo, 110);
        describe(&r[i], text, sizeof text);
        printf("each %-4s %-8s T %-6ld %-5s D %-4s m %-6ld n %-6ld k %-6ld #%d %8.4f ms %6.1f TF held %6.1f TF [%s]\n", model, shape,
               (long)T, names[p->kind], type_name(p->d_type), (long)p->m, (long)p->n, (long)p->k, i, brief[i],
               flops(p) * 1e-9 / brief[i], held > 0 ? flops(p) * 1e-9 / held : 0, text);
    }
    fflush(stdout);
}

struct result {
    double first, best; /* ms; 0: not measured */
};

static struct result measure(const char *model, const char *shape, enum kind kind, int64_t T, int64_t out, int64_t in,
                             cudaDataType d_type, bool with_bias)
{
    static const char *names[] = {"fwd", "dgrad", "wgrad"};
    struct result res = {0, 0};
    const double least = tiny ? 0.01 : 20;
    cublasLtMatmulHeuristicResult_t r[TOP];
    char text[160], other[160] = "";
    struct problem p = make(kind, T, out, in, d_type, with_bias);
    int found = p.sets ? heuristic(&p, r, TOP) : 0, best = 0, tried = 0;
    if (found == 0) {
        printf("gemm %-4s %-8s T %-6ld %-5s %-4s NOT MEASURED: %s\n", model, shape, (long)T, names[kind],
               type_name(d_type), p.sets ? "no algorithm" : "does not fit");
        fflush(stdout);
        drop(&p);
        return res;
    }
    for (int i = 0; i < p.sets; i++) CUDA(cudaMemsetAsync(p.D[i], 0, p.d_bytes, stream));
    if (each) {
        each_algorithm(&p, r, found, model, shape, T);
        drop(&p);
        return res;
    }
    res.first = res.best = time_one(&p, &r[0].algo, least);
    if (res.first < 0) {
        printf("gemm %-4s %-8s T %-6ld %-5s FIRST ALGORITHM FAILED\n", model, shape, (long)T, names[kind]);
        res.first = res.best = 0;
    } else if (now() - started < 0.75 * budget) {
        double low = res.first;
        for (int i = 1; i < found; i++) {
            double ms = time_one(&p, &r[i].algo, least / 4);
            if (ms <= 0) continue;
            tried++;
            if (ms < low) low = ms, best = i;
        }
        if (best) { /* both again, in turn, at full length: the short sweep alone would pick noise */
            double b = time_one(&p, &r[best].algo, least), f = time_one(&p, &r[0].algo, least);
            res.first = (res.first + f) / 2;
            res.best = b < res.first ? b : res.first;
            if (b >= res.first) best = 0;
        } else {
            res.best = res.first;
        }
        if (best) describe(&r[best], other, sizeof other);
    }
    describe(&r[0], text, sizeof text);
    if (res.first > 0) {
        const double f = flops(&p) * 1e-9;
        printf("gemm %-4s %-8s T %-6ld %-5s D %-4s m %-6ld n %-6ld k %-6ld  %8.3f ms %6.1f TF  [%s]  best %6.1f TF (+%.1f%%, #%d of %d) "
               "%s\n", model, shape, (long)T, names[kind], type_name(d_type), (long)p.m, (long)p.n, (long)p.k, res.first,
               f / res.first, text, f / res.best, 100 * (res.first / res.best - 1), best, tried + 1, other);
    }
    fflush(stdout);
    drop(&p);
    return res;
}

/* ---- the models ---- */
struct model {
    const char *name;
    int64_t hidden, inter, layers, heads, kv, dim, vocab;
};
static struct model models[] = {
    {"7B", 3584, 18944, 28, 28, 4, 128, 152064},
    {"0.5B", 896, 4864, 24, 14, 2, 64, 151936},
    {"1.5B", 1536, 8960, 28, 12, 2, 128, 151936},
    {"3B", 2048, 11008, 36, 16, 2, 128, 151936},
};
enum { MODELS = 4 };

/* F: forward with the types a trainer with an fp32 residual stream has (o, down, logits fp32); F16: all bf16. */
enum { F, F16, D, W32, W16, COLUMNS };
struct sums {
    double flop, ms[COLUMNS], best[COLUMNS]; /* a token, one layer's or the head's */
    bool whole;
};

static void add(struct sums *s, int column, struct result r, double T)
{
    if (r.first <= 0) s->whole = false;
    s->ms[column] += r.first / T;
    s->best[column] += r.best / T;
}

static void one_shape(struct sums *s, const struct model *m, const char *shape, int64_t T, int64_t out, int64_t in,
                      bool wide, bool with_bias)
{
    const double t = (double)T;
    struct result r = measure(m->name, shape, FORWARD, T, out, in, CUDA_R_16BF, with_bias);
    add(s, F16, r, t);
    if (wide) r = measure(m->name, shape, FORWARD, T, out, in, CUDA_R_32F, false);
    add(s, F, r, t);
    add(s, D, measure(m->name, shape, DGRAD, T, out, in, CUDA_R_16BF, false), t);
    add(s, W32, measure(m->name, shape, WGRAD, T, out, in, CUDA_R_32F, false), t);
    add(s, W16, measure(m->name, shape, WGRAD, T, out, in, CUDA_R_16BF, false), t);
    s->flop += 2.0 * (double)out * (double)in;
}

static struct sums head_sums[MODELS][3], layer_sums[MODELS][4];
static const int64_t head_rows[3] = {4096, 2048, 8192}, layer_rows[4] = {8192, 4096, 32768, 16384};

static void print_sums(const char *model, const char *what, long T, const struct sums *s, double times)
{
    if (!s->whole) {
        printf("mean %-4s %-6s T %-6ld incomplete\n", model, what, T);
        return;
    }
    const double f = s->flop * 1e-9; /* GFLOP a token, one product; ms a token */
    const double all32 = s->ms[F] + s->ms[D] + s->ms[W32], all16 = s->ms[F16] + s->ms[D] + s->ms[W16];
    const double best32 = s->best[F] + s->best[D] + s->best[W32], best16 = s->best[F16] + s->best[D] + s->best[W16];
    printf("mean %-4s %-6s T %-6ld TF: fwd %.1f  fwd(bf16 D) %.1f  dgrad %.1f  wgrad f32 %.1f  wgrad bf16 %.1f | all(f32) %.1f  all(bf16) %.1f"
           " | best of 8: fwd %.1f  dgrad %.1f  wgrad f32 %.1f  wgrad bf16 %.1f  all(f32) %.1f  all(bf16) %.1f | us/token %.4f (f32) %.4f (bf16)\n",
           model, what, T, f / s->ms[F], f / s->ms[F16], f / s->ms[D], f / s->ms[W32], f / s->ms[W16], 3 * f / all32,
           3 * f / all16, f / s->best[F], f / s->best[D], f / s->best[W32], f / s->best[W16], 3 * f / best32, 3 * f / best16,
           1e3 * times * all32, 1e3 * times * all16);
    fflush(stdout);
}

static void head(int i, int at)
{
    const struct model *m = &models[i];
    struct sums *s = &head_sums[i][at];
    memset(s, 0, sizeof *s);
    s->whole = true;
    int64_t rows = tiny ? head_rows[at] / 256 : head_rows[at];
    one_shape(s, m, "head", rows, m->vocab, m->hidden, true, false);
    print_sums(m->name, "head", (long)rows, s, 1);
}

static void layer(int i, int at)
{
    const struct model *m = &models[i];
    struct sums *s = &layer_sums[i][at], all;
    memset(s, 0, sizeof *s);
    s->whole = true;
    const int64_t T = tiny ? layer_rows[at] / 256 : layer_rows[at], q = m->heads * m->dim;
    one_shape(s, m, "qkv", T, q + 2 * m->kv * m->dim, m->hidden, false, true);
    one_shape(s, m, "o", T, m->hidden, q, true, false);
    one_shape(s, m, "gate_up", T, 2 * m->inter, m->hidden, false, false);
    one_shape(s, m, "down", T, m->hidden, m->inter, true, false);
    print_sums(m->name, "layer", (long)T, s, (double)m->layers);
    all = *s; /* the whole model: its layers and a head in chunks of head_rows[0] */
    const struct sums *h = &head_sums[i][0];
    const double L = (double)m->layers;
    all.whole = s->whole && h->whole;
    all.flop = L * s->flop + h->flop;
    for (int c = 0; c < COLUMNS; c++) all.ms[c] = L * s->ms[c] + h->ms[c], all.best[c] = L * s->best[c] + h->best[c];
    print_sums(m->name, "MODEL", (long)T, &all, 1);
}

/* ---- sustained: the products of a layer, one after another, for some seconds ---- */
static void soak(int i, int64_t T, double seconds, cudaDataType w_type)
{
    enum { SHAPES = 4, N = 3 * SHAPES };
    const struct model *m = &models[i];
    const int64_t q = m->heads * m->dim;
    const int64_t dims[SHAPES][2] = {{q + 2 * m->kv * m->dim, m->hidden}, {m->hidden, q}, {2 * m->inter, m->hidden},
                                     {m->hidden, m->inter}};
    struct problem p[N];
    cublasLtMatmulHeuristicResult_t r[N];
    double work = 0;
    bool ok = true;
    for (int k = 0; k < N; k++) {
        const int s = k < SHAPES ? k : SHAPES - 1 - (k - SHAPES) / 2; /* forward 0..3; backward 3..0, dgrad then wgrad */
        const enum kind kind = k < SHAPES ? FORWARD : (k - SHAPES) % 2 ? WGRAD : DGRAD;
        const bool wide = kind == FORWARD && (s == 1 || s == 3);
        p[k] = make(kind, T, dims[s][0], dims[s][1], kind == WGRAD ? w_type : wide ? CUDA_R_32F : CUDA_R_16BF,
                    kind == FORWARD && s == 0);
        ok = ok && p[k].sets > 0 && heuristic(&p[k], &r[k], 1) == 1;
        work += flops(&p[k]);
        out_from += (size_t)p[k].sets * up(p[k].d_bytes); /* no result is read as another type */
    }
    out_from = 0;
    CUDA(cudaMemsetAsync(out_arena, 0, out_bytes, stream));
    const double start = now();
    for (int part = 0; ok && now() - start < seconds; part++) {
        float ms;
        int rounds = 0;
        CUDA(cudaEventRecord(ev0, stream));
        const double t0 = now();
        do {
            for (int k = 0; ok && k < N; k++) ok = launch(&p[k], &r[k].algo, rounds % p[k].sets) == CUBLAS_STATUS_SUCCESS;
            rounds++;
            if (rounds % 8 == 0) CUDA(cudaStreamSynchronize(stream));
        } while (ok && now() - t0 < (tiny ? 0.01 : 0.5));
        CUDA(cudaEventRecord(ev1, stream));
        CUDA(cudaEventSynchronize(ev1));
        CUDA(cudaEventElapsedTime(&ms, ev0, ev1));
        printf("soak %-4s T %-6ld wgrad %-4s  %4.1f s  %6.1f TF (a layer forward and backward, %d rounds in %.0f ms)\n", m->name,
               (long)T, type_name(w_type), now() - start, work * rounds / ms * 1e-9, rounds, (double)ms);
        fflush(stdout);
    }
    if (!ok) printf("soak %s: a product failed\n", m->name);
    for (int k = 0; k < N; k++) drop(&p[k]);
}

/* ---- right at all? small products against the definition ---- */
static float element(const char *base, int64_t i, cudaDataType t)
{
    if (t == CUDA_R_32F) return ((const float *)base)[i];
    return from_bf16(((const uint16_t *)base)[i]);
}

static void check_one(enum kind kind, cudaDataType d_type, bool with_bias)
{
    static const char *names[] = {"fwd", "dgrad", "wgrad"};
    const int64_t T = 40, out = 24, in = 64;
    struct problem p = make(kind, T, out, in, d_type, with_bias);
    cublasLtMatmulHeuristicResult_t r[1];
    if (p.sets == 0 || heuristic(&p, r, 1) != 1) {
        printf("check %s D %s: no algorithm\n", names[kind], type_name(d_type));
        drop(&p);
        return;
    }
    char *a = (char *)malloc(p.a_bytes), *b = (char *)malloc(p.b_bytes), *d0 = (char *)malloc(p.d_bytes),
         *d1 = (char *)malloc(p.d_bytes), *v = (char *)malloc((size_t)out * 2);
    CUDA(cudaMemcpy(a, p.A[0], p.a_bytes, cudaMemcpyDeviceToHost));
    CUDA(cudaMemcpy(b, p.B[0], p.b_bytes, cudaMemcpyDeviceToHost));
    CUDA(cudaMemcpy(v, p.bias_at, (size_t)out * 2, cudaMemcpyDeviceToHost));
    for (int64_t i = 0; i < p.m * p.n; i++) {
        if (d_type == CUDA_R_32F)
            ((float *)d0)[i] = normal();
        else
            ((uint16_t *)d0)[i] = to_bf16(normal());
    }
    CUDA(cudaMemcpy(p.D[0], d0, p.d_bytes, cudaMemcpyHostToDevice));
    cublasStatus_t s = launch(&p, &r[0].algo, 0);
    CUDA(cudaStreamSynchronize(stream));
    CUDA(cudaMemcpy(d1, p.D[0], p.d_bytes, cudaMemcpyDeviceToHost));
    const int64_t rows = kind == WGRAD ? out : T, cols = kind == FORWARD ? out : in;
    double diff = 0, norm = 0;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) { /* row-major, by the definitions at the top */
            double sum = 0;
            if (kind == FORWARD)
                for (int64_t k = 0; k < in; k++)
                    sum += (double)element(b, i * in + k, CUDA_R_16BF) * element(a, j * in + k, CUDA_R_16BF);
            else if (kind == DGRAD)
                for (int64_t k = 0; k < out; k++)
                    sum += (double)element(b, i * out + k, CUDA_R_16BF) * element(a, k * in + j, CUDA_R_16BF);
            else
                for (int64_t k = 0; k < T; k++)
                    sum += (double)element(b, k * out + i, CUDA_R_16BF) * element(a, k * in + j, CUDA_R_16BF);
            if (with_bias) sum += element(v, j, CUDA_R_16BF);
            if (kind == WGRAD) sum += element(d0, i * cols + j, d_type);
            const double e = element(d1, i * cols + j, d_type) - sum;
            diff += e * e, norm += sum * sum;
        }
    const double rel = sqrt(diff / norm);
    printf("check %-5s D %-4s bias %d: status %d, relative error %.1e %s\n", names[kind], type_name(d_type), with_bias, (int)s,
           rel, s == CUBLAS_STATUS_SUCCESS && rel < (d_type == CUDA_R_32F ? 1e-5 : 5e-3) ? "ok" : "WRONG");
    fflush(stdout);
    free(a), free(b), free(d0), free(d1), free(v);
    drop(&p);
}

static void fill(char *to, size_t bytes)
{
    const size_t n = tiny ? 65521 : 8388593, block = n * 2; /* a prime number of elements: rows do not repeat in step */
    uint16_t *h = (uint16_t *)malloc(block);
    for (size_t i = 0; i < n; i++) h[i] = to_bf16(0.5f * normal());
    size_t done = bytes < block ? bytes : block;
    CUDA(cudaMemcpy(to, h, done, cudaMemcpyHostToDevice));
    while (done < bytes) { /* doubling; block is a multiple of 2 bytes, so elements stay whole */
        size_t step = done < bytes - done ? done : bytes - done;
        CUDA(cudaMemcpyAsync(to + done, to, step, cudaMemcpyDeviceToDevice, stream));
        CUDA(cudaStreamSynchronize(stream));
        done += step;
    }
    free(h);
}

static void open_device(void)
{
    int driver = 0, runtime = 0;
    CUDA(cudaSetDevice(0));
    CUDA(cudaDriverGetVersion(&driver));
    CUDA(cudaRuntimeGetVersion(&runtime));
    CUDA(cudaStreamCreate(&stream));
    CUDA(cudaEventCreate(&ev0));
    CUDA(cudaEventCreate(&ev1));
    in_bytes = tiny ? 64u << 20 : (size_t)12 << 30;
    out_bytes = tiny ? 64u << 20 : (size_t)12 << 30;
    CUDA(cudaMalloc((void **)&in_arena, in_bytes));
    CUDA(cudaMalloc((void **)&out_arena, out_bytes));
    CUDA(cudaMalloc(&workspace, WORKSPACE));
    LT(cublasLtCreate(&lt));
    fill(in_arena, in_bytes);
    CUDA(cudaMemset(out_arena, 0, out_bytes));
    printf("gemm: driver %d runtime %d cublasLt %zu cudart %zu, start-up %.1f s\n", driver, runtime, cublasLtGetVersion(),
           cublasLtGetCudartVersion(), now() - started);
    fflush(stdout);
}

/* The products that the group bench has, those that take most of the time first. */
static void each_model(void)
{
    static const int64_t rows[MODELS] = {4096, 32768, 16384, 8192};
    for (int s = 0; s < 5; s++)
        for (int i = 0; i < MODELS; i++) {
            const struct model *m = &models[i];
            const int64_t H = m->hidden, I = m->inter, q = m->heads * m->dim;
            const int64_t out[5] = {2 * I, H, m->vocab, q + 2 * m->kv * m->dim, H}, in[5] = {H, I, H, H, q};
            static const char *names[] = {"gate_up", "down", "head", "qkv", "o"};
            const bool wide = s == 1 || s == 2 || s == 4;
            const int64_t T = s == 2 ? 4096 : rows[i];
            if (now() - started > budget) return;
            measure(m->name, names[s], FORWARD, T, out[s], in[s], wide ? CUDA_R_32F : CUDA_R_16BF, s == 3);
            measure(m->name, names[s], DGRAD, T, out[s], in[s], CUDA_R_16BF, false);
            measure(m->name, names[s], WGRAD, T, out[s], in[s], i == 0 ? CUDA_R_16BF : CUDA_R_32F, false);
        }
}

int main(int argc, char **argv)
{
    started = now();
    if (argc > 1) budget = atof(argv[1]);
    tiny = argc > 2 && !strcmp(argv[2], "tiny");
    if (tiny)
        for (int i = 0; i < MODELS; i++) {
            struct model *m = &models[i];
            m->hidden = m->heads * 8, m->inter = 64, m->dim = 8, m->vocab = 128;
        }
    each = argc > 2 && !strcmp(argv[2], "each");
    open_device();
    if (each) each_model();
    if (each) return 0;
    check_one(FORWARD, CUDA_R_16BF, true);
    check_one(FORWARD, CUDA_R_16BF, false);
    check_one(FORWARD, CUDA_R_32F, false);
    check_one(DGRAD, CUDA_R_16BF, false);
    check_one(WGRAD, CUDA_R_32F, false);
    check_one(WGRAD, CUDA_R_16BF, false);
    measure("cube", "8192^3", FORWARD, tiny ? 64 : 8192, tiny ? 64 : 8192, tiny ? 64 : 8192, CUDA_R_16BF, false);
    soak(0, tiny ? 16 : 8192, tiny ? 0.02 : 2.0, CUDA_R_32F);
    soak(1, tiny ? 16 : 32768, tiny ? 0.02 : 1.5, CUDA_R_32F);
    for (int i = 0; i < MODELS; i++) head(i, 0);
    for (int t = 0; t < 4; t++)
        for (int i = 0; i < MODELS && now() - started < budget; i++) layer(i, t);
    for (int at = 1; at < 3; at++)
        for (int i = 0; i < MODELS && now() - started < budget; i++) head(i, at);
    soak(0, tiny ? 16 : 8192, tiny ? 0.02 : 1.0, CUDA_R_16BF);
    printf("gemm: done in %.1f s\n", now() - started);
    return 0;
}
