/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products by cuBLASLt. A row-major matrix is the transpose of a column-major one, so C = A
 * B is computed as C^T = B^T A^T. The algorithm is one of the heuristic's results, chosen by a
 * rule (prefer) and never by timing, and is cached per product. FLOPs: 2 m n k; limit: 0.75 to 0.8
 * of the rate of the tensor cores. */
#include <cublasLt.h>
#include <stdlib.h>
#include <string.h>

#include "element.cuh"
#include "hopper.cuh"
#include "matmul.h"
#include "ops/cuda_rules.h"

enum { PLANS = 1024, RESULTS = 8 };
static const size_t WORKSPACE = CUDA_MATMUL_WORK;

/* All inputs of the choice of an algorithm. */
struct product {
    int64_t m, n, k, lda, ldb, ldc;
    uint32_t align_a, align_b, align_c;
    int32_t flags; /* TA, TB, ...; types from bit 4 and 8 on */
};
enum { TA = 1, TB = 2, ACCUMULATES = 4, ADDS_BIAS = 8 };
struct plan {
    struct product key;
    bool made, possible;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, c; /* layouts of cuBLASLt: its a is our b */
    cublasLtMatmulAlgo_t algo;
};
struct blas {
    cublasLtHandle_t handle;
    struct plan plans[PLANS];
};

int kernel_blas_open(void **blas)
{
    struct blas *b = (struct blas *)calloc(1, sizeof *b);
    *blas = b;
    if (!b) return cudaErrorMemoryAllocation;
    const cublasStatus_t rc = cublasLtCreate(&b->handle);
    return rc ? KERNEL_BLAS + rc : 0;
}

static void plan_close(struct plan *p)
{
    if (p->desc) cublasLtMatmulDescDestroy(p->desc);
    if (p->a) cublasLtMatrixLayoutDestroy(p->a);
    if (p->b) cublasLtMatrixLayoutDestroy(p->b);
    if (p->c) cublasLtMatrixLayoutDestroy(p->c);
    memset(p, 0, sizeof *p);
}

void kernel_blas_close(void *blas)
{
    struct blas *b = (struct blas *)blas;
    if (!b) return;
    for (int i = 0; i < PLANS; i++) plan_close(&b->plans[i]);
    if (b->handle) cublasLtDestroy(b->handle);
    free(b);
}

size_t kernel_blas_version(void) { return cublasLtGetVersion(); }

static uint32_t alignment_of(const void *p)
{
    uint32_t a = 256;
    while ((uintptr_t)p % a) a /= 2;
    return a;
}

static bool fuses_bias(const struct op_matmul *a) { return a->bias && a->c_dtype == a->ab_dtype; }

static struct product product_of(const struct op_matmul *a)
{
    struct product p;
    memset(&p, 0, sizeof p); /* compared as bytes */
    p.m = a->m, p.n = a->n, p.k = a->k;
    p.lda = a->lda ? a->lda : a->ta ? a->m : a->k;
    p.ldb = a->ldb ? a->ldb : a->tb ? a->k : a->n;
    p.ldc = a->ldc ? a->ldc : a->n;
    p.align_a = alignment_of(a->a), p.align_b = alignment_of(a->b), p.align_c = alignment_of(a->c);
    p.flags = (a->ta ? TA : 0) | (a->tb ? TB : 0) | (a->accumulate ? ACCUMULATES : 0) |
              (fuses_bias(a) ? ADDS_BIAS : 0) | a->ab_dtype << 4 | a->c_dtype << 8;
    return p;
}

static cudaDataType_t type_of(enum dtype t) { return t == DT_BF16 ? CUDA_R_16BF : CUDA_R_32F; }

static cublasStatus_t describe(struct plan *p, const struct op_matmul *a)
{
    const cublasOperation_t none = CUBLAS_OP_N, turn = CUBLAS_OP_T;
    const cublasLtEpilogue_t bias = CUBLASLT_EPILOGUE_BIAS;
    const struct product *k = &p->key;
    cublasStatus_t rc = cublasLtMatmulDescCreate(&p->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (!rc)
        rc = cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSA,
                                            a->tb ? &turn : &none, sizeof none);
    if (!rc)
        rc = cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSB,
                                            a->ta ? &turn : &none, sizeof none);
    if (!rc && fuses_bias(a))
        rc = cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &bias,
                                            sizeof bias);
    if (!rc)
        rc =
            cublasLtMatrixLayoutCreate(&p->a, type_of(a->ab_dtype), (uint64_t)(a->tb ? k->k : k->n),
                                       (uint64_t)(a->tb ? k->n : k->k), k->ldb);
    if (!rc)
        rc =
            cublasLtMatrixLayoutCreate(&p->b, type_of(a->ab_dtype), (uint64_t)(a->ta ? k->m : k->k),
                                       (uint64_t)(a->ta ? k->k : k->m), k->lda);
    if (!rc)
        rc = cublasLtMatrixLayoutCreate(&p->c, type_of(a->c_dtype), (uint64_t)k->n, (uint64_t)k->m,
                                        k->ldc);
    return rc;
}

/* Returns the cublasLtMatmulTile_t of an algorithm, or -1 for one that splits k. */
static int whole_tile(const cublasLtMatmulAlgo_t *algo)
{
    uint32_t tile = 0;
    int32_t parts = 0;
    size_t size;
    if (cublasLtMatmulAlgoConfigGetAttribute(algo, CUBLASLT_ALGO_CONFIG_TILE_ID, &tile, sizeof tile,
                                             &size) ||
        cublasLtMatmulAlgoConfigGetAttribute(algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &parts,
                                             sizeof parts, &size))
        return -1;
    return parts > 1 ? -1 : (int)tile;
}

/* Returns which of the n results to take. On compute capability 9.0 the heuristic puts large tiles
 * first, which both groups of a block's warps compute together, so that no product runs while the
 * result is stored. With the tiles named here each group computes its own: one multiplies while the
 * other stores. That pays where k is short and every multiprocessor gets several tiles; else large
 * tiles, which read less, use less of the power that bounds a step. Measured with cuBLASLt 13.1 at
 * the limit of power (docs/benchmarks.md). */
static int prefer(const struct product *k, const cublasLtMatmulHeuristicResult_t *found, int n)
{
    static const int tiles[] = {CUBLASLT_MATMUL_TILE_176x128, CUBLASLT_MATMUL_TILE_128x128,
                                CUBLASLT_MATMUL_TILE_128x160};
    enum { SHORT = 10000 };
    const float rounds = 2.5f; /* of all multiprocessors */
    if (k->k > SHORT || !is_hopper()) return 0;
    for (int tile : tiles)
        for (int i = 0; i < n; i++)
            if (whole_tile(&found[i].algo) == tile && found[i].wavesCount >= rounds) return i;
    return 0;
}

static cublasStatus_t choose(struct blas *b, struct plan *p)
{
    cublasLtMatmulPreference_t pref;
    cublasLtMatmulHeuristicResult_t found[RESULTS];
    int n = 0;
    cublasStatus_t rc = cublasLtMatmulPreferenceCreate(&pref);
    if (rc) return rc;
    const struct {
        cublasLtMatmulPreferenceAttributes_t attribute;
        uint32_t bytes;
    } alignments[] = {{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, p->key.align_b},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, p->key.align_a},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, p->key.align_c},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, p->key.align_c}};
    rc = cublasLtMatmulPreferenceSetAttribute(pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                              &WORKSPACE, sizeof WORKSPACE);
    for (int i = 0; i < 4 && !rc; i++)
        rc = cublasLtMatmulPreferenceSetAttribute(pref, alignments[i].attribute,
                                                  &alignments[i].bytes, sizeof(uint32_t));
    if (!rc)
        rc = cublasLtMatmulAlgoGetHeuristic(b->handle, p->desc, p->a, p->b, p->c, p->c, pref,
                                            RESULTS, found, &n);
    cublasLtMatmulPreferenceDestroy(pref);
    p->possible = !rc && n > 0;
    if (p->possible) p->algo = found[prefer(&p->key, found, n)].algo;
    return rc == CUBLAS_STATUS_NOT_SUPPORTED ? CUBLAS_STATUS_SUCCESS : rc;
}

static struct plan *find_plan(struct blas *b, const struct op_matmul *a, cublasStatus_t *rc)
{
    const struct product key = product_of(a);
    uint64_t h = 0xcbf29ce484222325ull;
    for (size_t i = 0; i < sizeof key; i++) h = (h ^ ((const uint8_t *)&key)[i]) * 0x100000001b3ull;
    struct plan *p = &b->plans[h % PLANS];
    *rc = CUBLAS_STATUS_SUCCESS;
    if (p->made && memcmp(&p->key, &key, sizeof key) == 0) return p;
    plan_close(p);
    p->key = key;
    *rc = describe(p, a);
    if (!*rc) *rc = choose(b, p);
    p->made = !*rc;
    return p;
}

/* ---- cases that cuBLASLt does not support ---- */
/* Computes c = sum (+ c) + bias, where f(i, j) returns the sum. */
template <typename T, typename C> __global__ void plain(const struct op_matmul a, struct product k)
{
    for (int64_t at = grid_index(); at < a.m * a.n; at += grid_size()) {
        const int64_t i = at / a.n, j = at % a.n;
        float sum = 0;
        for (int64_t p = 0; p < a.k; p++)
            sum += to_float(((const T *)a.a)[a.ta ? p * k.lda + i : i * k.lda + p]) *
                   to_float(((const T *)a.b)[a.tb ? j * k.ldb + p : p * k.ldb + j]);
        if (a.bias) sum += to_float(((const T *)a.bias)[j]);
        C *const c = (C *)a.c + i * k.ldc + j;
        from_float(*c, a.accumulate ? to_float(*c) + sum : sum);
    }
}

template <typename T, typename C>
__global__ void add_bias(C *c, const T *bias, int64_t m, int64_t n, int64_t ldc)
{
    for (int64_t at = grid_index(); at < m * n; at += grid_size()) {
        C *const y = c + at / n * ldc + at % n;
        from_float(*y, to_float(*y) + to_float(bias[at % n]));
    }
}

static int run_plain(const struct op_matmul *a, const struct kernel_context *c)
{
    return by_type(a->ab_dtype, [&](auto t) {
        return by_type(a->c_dtype, [&](auto u) {
            plain<decltype(t), decltype(u)>
                <<<blocks_for(a->m * a->n), THREADS, 0, c->stream>>>(*a, product_of(a));
            return (int)cudaGetLastError();
        });
    });
}

static int run_bias(const struct op_matmul *a, const struct kernel_context *c)
{
    return by_type(a->ab_dtype, [&](auto t) {
        return by_type(a->c_dtype, [&](auto u) {
            typedef decltype(t) T;
            typedef decltype(u) C;
            add_bias<T, C><<<blocks_for(a->m * a->n), THREADS, 0, c->stream>>>(
                (C *)a->c, (const T *)a->bias, a->m, a->n, product_of(a).ldc);
            return (int)cudaGetLastError();
        });
    });
}

int kernel_matmul(const struct op_matmul *a, const struct kernel_context *c)
{
    struct blas *b = (struct blas *)c->blas;
    const float one = 1, beta = a->accumulate;
    cublasStatus_t rc;
    if (a->m == 0 || a->n == 0) return 0;
    if (a->k == 0) return run_plain(a, c);
    struct plan *p = find_plan(b, a, &rc);
    if (rc) return KERNEL_BLAS + rc;
    if (!p->possible) return run_plain(a, c);
    if (fuses_bias(a))
        rc = cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &a->bias,
                                            sizeof a->bias);
    if (!rc)
        rc = cublasLtMatmul(b->handle, p->desc, &one, a->b, p->a, a->a, p->b, &beta, a->c, p->c,
                            a->c, p->c, &p->algo, c->work, WORKSPACE, c->stream);
    if (rc) return KERNEL_BLAS + rc;
    return a->bias && !fuses_bias(a) ? run_bias(a, c) : 0;
}
