/* SPDX-License-Identifier: Apache-2.0 */
/* Products. Those of a few rows by weights [n, k], as decoding has, take as long as reading the
 * weights: each is read once, where it lies, and multiplied by all rows. All others are oneDNN's,
 * which first copies the weights into another order. */
#include "ops/cpu/cpu.h"
#include "ops/gemm.h"

enum {
    FEW = 4, /* rows; measured: docs/benchmarks.md */
    COLUMNS = 4,
    TASK = 64 /* columns; a multiple of COLUMNS */
};

/* A chunk is a vector of weights: VL floats, or 2 VL bf16, of which the even elements and the odd
 * ones are multiplied apart. x holds the rows in this order, in fp32, filled up with zeros. */
struct few {
    const struct op_matmul *a;
    float *x;
    int64_t chunks, stride; /* of a row; stride: floats */
    size_t tail;            /* bytes of a row's last chunk */
};

INLINE int64_t chunk_of(enum dtype t) { return t == DT_BF16 ? 2 * VL : VL; }

INLINE vu get_chunk(const void *row, int64_t p, size_t bytes)
{
    vu v = {0};
    memcpy(&v, (const char *)row + p * (int64_t)sizeof v, bytes);
    return v;
}

INLINE void arrange(const struct few *f, int64_t row, enum dtype t)
{
    const struct op_matmul *a = f->a;
    const void *from = elem(a->a, row * (a->lda ? a->lda : a->k), t);
    float *x = f->x + row * f->stride;
    for (int64_t p = 0; p < f->chunks; p++, x += chunk_of(t)) {
        const vu v = get_chunk(from, p, p < f->chunks - 1 ? sizeof v : f->tail);
        v_store(x, (vf)(t == DT_BF16 ? v << 16 : v));
        if (t == DT_BF16) v_store(x + VL, (vf)(v & 0xffff0000u));
    }
}

/* Adds the products of a chunk of weights with the same chunk of each row. */
INLINE void add_chunk(vf *sum, int rows, vu w, const float *x, int64_t stride, enum dtype t)
{
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
        const float *p = x + r * stride;
        sum[r] = v_fma((vf)(t == DT_BF16 ? w << 16 : w), v_load(p), sum[r]);
        if (t == DT_BF16) sum[r] = v_fma((vf)(w & 0xffff0000u), v_load(p + VL), sum[r]);
    }
}

INLINE float get(const void *p, int64_t i, enum dtype t)
{
    return t == DT_BF16 ? bf16_to_f32(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

static void put_sum(const struct op_matmul *a, int64_t i, int64_t j, float y)
{
    void *c = elem(a->c, i * (a->ldc ? a->ldc : a->n) + j, a->c_dtype);
    if (a->bias) y += get(a->bias, j, a->ab_dtype);
    if (a->accumulate) y += get(c, 0, a->c_dtype);
    if (a->c_dtype == DT_BF16)
        *(uint16_t *)c = bf16_from_f32(y);
    else
        *(float *)c = y;
}

/* Computes columns [j, j + columns). */
INLINE void block(const struct few *f, int64_t j, int columns, int rows, enum dtype t)
{
    const struct op_matmul *a = f->a;
    const void *w[COLUMNS];
    vf sum[COLUMNS][FEW];
#pragma GCC unroll 4
    for (int c = 0; c < columns; c++) {
        w[c] = elem(a->b, (j + c) * (a->ldb ? a->ldb : a->k), t);
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) sum[c][r] = v_set(0);
    }
    const int64_t last = f->chunks - 1;
    for (int64_t p = 0; p < last; p++)
#pragma GCC unroll 4
        for (int c = 0; c < columns; c++)
            add_chunk(sum[c], rows, get_chunk(w[c], p, sizeof(vu)), f->x + p * chunk_of(t),
                      f->stride, t);
#pragma GCC unroll 4
    for (int c = 0; c < columns; c++) {
        add_chunk(sum[c], rows, get_chunk(w[c], last, f->tail), f->x + last * chunk_of(t),
                  f->stride, t);
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) put_sum(a, r, j + c, v_sum(sum[c][r]));
    }
}

INLINE void task(const struct few *f, int64_t j, int rows, enum dtype t)
{
    const int64_t end = cpu_min(j + TASK, f->a->n);
    for (; j + COLUMNS <= end; j += COLUMNS) block(f, j, COLUMNS, rows, t);
    for (; j < end; j++) block(f, j, 1, rows, t);
}

/* The constants make a form of its own for each number of rows. */
INLINE void multiply(struct device *d, const struct few *f, enum dtype t)
{
    for (int64_t i = 0; i < f->a->m; i++) arrange(f, i, t);
    PARALLEL_FOR(d, i, cpu_blocks(f->a->n, TASK))
    {
        switch (f->a->m) {
        case 1:
            task(f, i * TASK, 1, t);
            break;
        case 2:
            task(f, i * TASK, 2, t);
            break;
        case 3:
            task(f, i * TASK, 3, t);
            break;
        default:
            task(f, i * TASK, FEW, t);
        }
    }
}

static int64_t chunks_of(const struct op_matmul *a)
{
    return cpu_blocks(a->k, chunk_of(a->ab_dtype));
}

static bool is_few(const struct op_matmul *a)
{
    return a->m > 0 && a->m <= FEW && a->k > 0 && a->tb && !a->ta &&
           (a->ab_dtype == DT_BF16 || a->ab_dtype == DT_F32);
}

CPU_OP(matmul)
{
    if (!is_few(a)) {
        gemm_matmul(d, a);
        return;
    }
    const int64_t chunk = chunk_of(a->ab_dtype), chunks = chunks_of(a);
    const struct few f = {.a = a,
                          .x = device_work(d)->p,
                          .chunks = chunks,
                          .stride = chunks * chunk,
                          .tail = (size_t)(a->k - (chunks - 1) * chunk) * dtype_size(a->ab_dtype)};
    BY_DTYPE(a->ab_dtype, multiply, d, &f);
}

CPU_WORK(matmul)
{
    const size_t all = gemm_matmul_work(d, a);
    struct op_matmul rows = *a;
    rows.m = cpu_min(a->m, FEW);
    if (!is_few(&rows)) return all;
    const size_t few = (size_t)(rows.m * chunks_of(a) * chunk_of(a->ab_dtype)) * sizeof(float);
    return few > all ? few : all;
}
