/* SPDX-License-Identifier: Apache-2.0 */
/* The cuBLASLt functions that our programs use: products in fp32 of bf16 and fp32 matrices. The
 * heuristic refuses matrices that are not aligned to 16 bytes and unsupported combinations of
 * types, and names several algorithms, which all compute the same. EMU_TRACE=1 prints that of each
 * product. */
#include <cublasLt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

enum { ALIGNED = 16 };
struct product_desc {
    cublasOperation_t ta, tb;
    cublasLtEpilogue_t epilogue;
    const void *bias;
};
struct matrix {
    cudaDataType_t type;
    uint64_t rows, columns; /* column-major */
    int64_t ld;
};
struct preference {
    size_t workspace;
    uint32_t align[4]; /* layouts of A, B, C, D */
};

/* The results of the heuristic, in this order. */
static const struct algorithm {
    uint32_t tile, rows, columns, parts;
} algorithms[] = {
    {CUBLASLT_MATMUL_TILE_192x192, 192, 192, 1}, {CUBLASLT_MATMUL_TILE_128x128, 128, 128, 3},
    {CUBLASLT_MATMUL_TILE_128x160, 128, 160, 1}, {CUBLASLT_MATMUL_TILE_128x128, 128, 128, 1},
    {CUBLASLT_MATMUL_TILE_176x128, 176, 128, 1},
};
enum { ALGORITHMS = sizeof algorithms / sizeof *algorithms };
#define MADE_HERE UINT64_C(0x656d752d626c6173)

static size_t size_of(cudaDataType_t t) { return t == CUDA_R_16BF ? 2 : 4; }

cublasStatus_t cublasLtCreate(cublasLtHandle_t *h)
{
    *h = (cublasLtHandle_t)calloc(1, 1);
    return *h ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t h) { return free(h), CUBLAS_STATUS_SUCCESS; }
size_t cublasLtGetVersion(void) { return (size_t)emu_setting("EMU_BLAS", 130000); }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
    if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    struct product_desc *p = calloc(1, sizeof *p);
    if (!p) return CUBLAS_STATUS_ALLOC_FAILED;
    p->ta = p->tb = CUBLAS_OP_N;
    p->epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    *d = (cublasLtMatmulDesc_t)(void *)p;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d)
{
    return free(d), CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t take(void *to, size_t n, const void *from, size_t given)
{
    if (n != given) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, from, n);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d,
                                              cublasLtMatmulDescAttributes_t a, const void *v,
                                              size_t n)
{
    struct product_desc *p = (struct product_desc *)(void *)d;
    switch (a) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return take(&p->ta, sizeof p->ta, v, n);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return take(&p->tb, sizeof p->tb, v, n);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return take(&p->epilogue, sizeof p->epilogue, v, n);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return take(&p->bias, sizeof p->bias, v, n);
    default:
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType_t type,
                                          uint64_t rows, uint64_t columns, int64_t ld)
{
    if (type != CUDA_R_16BF && type != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (ld < (int64_t)rows) return CUBLAS_STATUS_INVALID_VALUE;
    struct matrix *m = malloc(sizeof *m);
    if (!m) return CUBLAS_STATUS_ALLOC_FAILED;
    *m = (struct matrix){type, rows, columns, ld};
    *l = (cublasLtMatrixLayout_t)(void *)m;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l)
{
    return free(l), CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p)
{
    struct preference *x = calloc(1, sizeof *x);
    if (!x) return CUBLAS_STATUS_ALLOC_FAILED;
    for (int i = 0; i < 4; i++) x->align[i] = 256;
    *p = (cublasLtMatmulPreference_t)(void *)x;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p)
{
    return free(p), CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                    cublasLtMatmulPreferenceAttributes_t a,
                                                    const void *v, size_t n)
{
    struct preference *x = (struct preference *)(void *)p;
    if (a == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
        return take(&x->workspace, sizeof x->workspace, v, n);
    if (a < CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES ||
        a > CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    return take(&x->align[a - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], sizeof *x->align, v, n);
}

static bool suits(const struct matrix *m, uint32_t align)
{
    return align % ALIGNED == 0 && (size_t)m->ld * size_of(m->type) % ALIGNED == 0;
}

/* Returns true if the product is supported; a bias must have the type of the result. */
static bool possible(const struct product_desc *d, const struct matrix *a, const struct matrix *b,
                     const struct matrix *c, const struct matrix *out)
{
    const uint64_t m = d->ta ? a->columns : a->rows, k = d->ta ? a->rows : a->columns;
    const uint64_t kb = d->tb ? b->columns : b->rows, n = d->tb ? b->rows : b->columns;
    if (a->type != b->type || c->type != out->type || k != kb || m != out->rows ||
        n != out->columns)
        return false;
    if (a->type == CUDA_R_32F && out->type != CUDA_R_32F) return false;
    if (d->epilogue == CUBLASLT_EPILOGUE_BIAS) return a->type == out->type;
    return d->epilogue == CUBLASLT_EPILOGUE_DEFAULT;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t h, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t pref, int most,
                                              cublasLtMatmulHeuristicResult_t *found, int *n)
{
    const struct preference *p = (const struct preference *)(void *)pref;
    const struct matrix *A = (void *)a, *B = (void *)b, *C = (void *)c, *D = (void *)d;
    (void)h;
    *n = 0;
    if (most < 1) return CUBLAS_STATUS_INVALID_VALUE;
    if (!possible((const struct product_desc *)(void *)desc, A, B, C, D))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (!suits(A, p->align[0]) || !suits(B, p->align[1]) || !suits(C, p->align[2]) ||
        !suits(D, p->align[3]))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    const int sms = emu_setting("EMU_SMS", 4);
    *n = most < ALGORITHMS ? most : ALGORITHMS;
    for (int i = 0; i < *n; i++) {
        const struct algorithm *x = &algorithms[i];
        const uint64_t tiles =
            (D->rows + x->rows - 1) / x->rows * ((D->columns + x->columns - 1) / x->columns);
        found[i] = (cublasLtMatmulHeuristicResult_t){
            .algo.data = {MADE_HERE, (uint64_t)i},
            .workspaceSize = x->parts > 1 ? p->workspace : 0,
            .wavesCount = (float)(tiles * x->parts) / (float)sms,
        };
    }
    return CUBLAS_STATUS_SUCCESS;
}

static const struct algorithm *algorithm_of(const cublasLtMatmulAlgo_t *a)
{
    return a && a->data[0] == MADE_HERE && a->data[1] < ALGORITHMS ? &algorithms[a->data[1]] : NULL;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t a, void *v,
                                                    size_t n, size_t *written)
{
    const struct algorithm *x = algorithm_of(algo);
    const uint32_t *from = !x                                     ? NULL
                           : a == CUBLASLT_ALGO_CONFIG_TILE_ID    ? &x->tile
                           : a == CUBLASLT_ALGO_CONFIG_SPLITK_NUM ? &x->parts
                                                                  : NULL;
    if (!from || n != sizeof *from) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(v, from, n);
    *written = n;
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- the product ---- */
struct job {
    struct product_desc desc;
    struct matrix a, b, d;
    const void *A, *B, *C;
    void *D;
    float alpha, beta;
};

static float value(const void *p, cudaDataType_t t, size_t i)
{
    if (t == CUDA_R_32F) return ((const float *)p)[i];
    const uint32_t b = (uint32_t)((const uint16_t *)p)[i] << 16;
    float v;
    memcpy(&v, &b, sizeof v);
    return v;
}

static void put(void *p, cudaDataType_t t, size_t i, float v)
{
    uint32_t b;
    if (t == CUDA_R_32F) {
        ((float *)p)[i] = v;
        return;
    }
    memcpy(&b, &v, sizeof b);
    ((uint16_t *)p)[i] = v != v ? 0x7fff : (uint16_t)((b + 0x7fff + (b >> 16 & 1)) >> 16);
}

/* Returns the host view of a matrix; ends the run when the matrix exceeds its allocation or has
 * uninitialised elements. */
static void *see(const char *name, const void *p, const struct matrix *m, bool reads)
{
    const size_t size = size_of(m->type), column = (size_t)m->rows * size;
    const size_t n = ((size_t)(m->columns - 1) * (size_t)m->ld + (size_t)m->rows) * size;
    const uint64_t at = (uint64_t)(uintptr_t)p;
    void *host = device_see(at, n);
    if (!host || at % size) {
        fprintf(stderr, "emulator: cublasLtMatmul: %s of %zu bytes at %p is not in an allocation\n",
                name, n, p);
        return NULL;
    }
    for (uint64_t j = 0; j < m->columns; j++) {
        unsigned char *known = device_known(at + (uint64_t)j * (uint64_t)m->ld * size);
        if (!reads)
            memset(known, 1, column);
        else if (memchr(known, 0, column)) {
            fprintf(stderr,
                    "emulator: cublasLtMatmul: %s has elements that were never stored, in column "
                    "%llu\n",
                    name, (unsigned long long)j);
            return NULL;
        }
    }
    return host;
}

/* Unfolds rows of op(A), or columns of op(B): each is K adjacent floats. */
static float *unfold(const void *p, const struct matrix *m, bool k_is_rows, size_t count, size_t K)
{
    float *x = malloc(count * K * sizeof *x);
    if (!x) emu_die("out of memory");
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < K; k++)
            x[i * K + k] =
                value(p, m->type, k_is_rows ? i * (size_t)m->ld + k : k * (size_t)m->ld + i);
    return x;
}

static float dot(const float *x, const float *y, size_t n)
{
    float part[16] = {0}, sum = 0;
    size_t k = 0;
    for (; k + 16 <= n; k += 16)
        for (int l = 0; l < 16; l++) part[l] += x[k + l] * y[k + l];
    for (; k < n; k++) part[0] += x[k] * y[k];
    for (int l = 0; l < 16; l++) sum += part[l];
    return sum;
}

static void multiply(void *arg)
{
    struct job *j = arg;
    const size_t M = j->d.rows, N = j->d.columns, K = j->desc.ta ? j->a.rows : j->a.columns;
    const void *A = see("A", j->A, &j->a, true), *B = see("B", j->B, &j->b, true),
               *C = j->beta != 0 ? see("C", j->C, &j->d, true) : j->C;
    void *D = A && B && C ? see("D", j->D, &j->d, false) : NULL;
    const size_t size = size_of(j->d.type);
    const void *bias = j->desc.epilogue == CUBLASLT_EPILOGUE_BIAS
                           ? device_see((uint64_t)(uintptr_t)j->desc.bias, M * size)
                           : NULL;
    if (!D || (j->desc.epilogue == CUBLASLT_EPILOGUE_BIAS && !bias)) {
        runtime_fail(cudaErrorIllegalAddress);
    } else {
        float *a = unfold(A, &j->a, j->desc.ta, M, K), *b = unfold(B, &j->b, !j->desc.tb, N, K);
        for (size_t n = 0; n < N; n++)
            for (size_t m = 0; m < M; m++) {
                const size_t at = n * (size_t)j->d.ld + m;
                float v = j->alpha * dot(a + m * K, b + n * K, K);
                if (j->beta != 0) v += j->beta * value(C, j->d.type, at);
                if (bias) v += value(bias, j->d.type, m);
                put(D, j->d.type, at, v);
            }
        free(a), free(b);
    }
    free(j);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t h, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *A, cublasLtMatrixLayout_t a, const void *B,
                              cublasLtMatrixLayout_t b, const void *beta, const void *C,
                              cublasLtMatrixLayout_t c, void *D, cublasLtMatrixLayout_t d,
                              const cublasLtMatmulAlgo_t *algo, void *workspace, size_t bytes,
                              cudaStream_t stream)
{
    const struct matrix *ma = (void *)a, *mb = (void *)b, *mc = (void *)c, *md = (void *)d;
    const struct algorithm *x = algorithm_of(algo);
    (void)h;
    if (!x || (x->parts > 1 && !bytes)) return CUBLAS_STATUS_INVALID_VALUE;
    if (!possible((const struct product_desc *)(void *)desc, ma, mb, mc, md))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if ((uintptr_t)A % ALIGNED || (uintptr_t)B % ALIGNED || (uintptr_t)C % ALIGNED ||
        (uintptr_t)D % ALIGNED)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (bytes && !device_see((uint64_t)(uintptr_t)workspace, bytes))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (emu_setting("EMU_TRACE", 0))
        fprintf(stderr, "emulator: product %llu x %llu, tile %u x %u, parts %u\n",
                (unsigned long long)md->rows, (unsigned long long)md->columns, x->rows, x->columns,
                x->parts);
    struct job *j = malloc(sizeof *j);
    if (!j) return CUBLAS_STATUS_ALLOC_FAILED;
    *j = (struct job){*(const struct product_desc *)(void *)desc,
                      *ma,
                      *mb,
                      *md,
                      A,
                      B,
                      C,
                      D,
                      *(const float *)alpha,
                      *(const float *)beta};
    pthread_mutex_lock(&runtime_lock);
    stream_add(stream, &(struct work){.kind = WORK_CALL, .call = multiply, .arg = j});
    pthread_mutex_unlock(&runtime_lock);
    return CUBLAS_STATUS_SUCCESS;
}
