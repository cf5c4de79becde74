/* SPDX-License-Identifier: Apache-2.0 */
/* Small matrix products within a core's caches, for attention. Included once for each element type:
 * ELT float with PAIR 1, or (AVX512_BF16) ELT uint16_t with PAIR 2, where one instruction
 * multiplies and adds two neighbours along the summed dimension.
 *
 * C[rows, cols] (float) = A B. A is row-major; B is "paired": [k / PAIR][cols][PAIR]. Columns are
 * counted in vectors of VL, rows in groups of GROUP, the summed dimension in steps of PAIR
 * elements. */

/* ROWS x WIDTH vectors of accumulators fill the registers */
#ifndef SFT_OPS_TILE
#define SFT_OPS_TILE
enum {
    GROUP = 6,
#ifdef ISA_v4
    WIDTH = 4,
#else
    WIDTH = 2,
#endif
    PANEL = WIDTH * VL /* columns */
};
#endif

/* Returns acc + a . b, where *a is one step of a row, equal for all lanes, and b is one step of VL
 * columns. */
INLINE vf T(step)(vf acc, const ELT *a, const ELT *b)
{
#if PAIR == 2
    int32_t both;
    memcpy(&both, a, sizeof both);
    __m512i cols;
    memcpy(&cols, b, sizeof cols);
    return (vf)_mm512_dpbf16_ps((__m512)acc, (__m512bh)_mm512_set1_epi32(both), (__m512bh)cols);
#else
    return v_fma(v_set(*a), v_load(b), acc);
#endif
}

/* Computes GROUP x width vectors of C; k > 0 steps. */
INLINE void T(block)(int width, int64_t k, const ELT *A, int64_t lda, const ELT *B, int64_t ldb,
                     float *C, int64_t ldc, bool add)
{
    vf c[GROUP][WIDTH];
#pragma GCC unroll 6
    for (int r = 0; r < GROUP; r++)
#pragma GCC unroll 4
        for (int v = 0; v < width; v++) c[r][v] = add ? v_load(C + r * ldc + v * VL) : v_set(0);
    int64_t p = 0;
    do { /* runs at least once: otherwise the compiler spills the values that it merges after the
            loop */
#pragma GCC unroll 6
        for (int r = 0; r < GROUP; r++)
#pragma GCC unroll 4
            for (int v = 0; v < width; v++)
                c[r][v] = T(step)(c[r][v], A + r * lda + p * PAIR, B + p * ldb + v * VL * PAIR);
    } while (++p < k);
#pragma GCC unroll 6
    for (int r = 0; r < GROUP; r++)
#pragma GCC unroll 4
        for (int v = 0; v < width; v++) v_store(C + r * ldc + v * VL, c[r][v]);
}

/* Matrix B: element (step p, vector v) lies at p * ld + v / WIDTH * panel + v % WIDTH * VL * PAIR.
 */
struct T(paired) {
    const ELT *p;
    int64_t ld, panel;
};

/* Computes GROUP rows of C, vectors [v0, v1). C points at vector 0 of the first row. A and B begin
 * at the first of k > 0 steps. */
static void T(multiply)(int64_t k, const ELT *A, int64_t lda, struct T(paired) b, int64_t v0,
                        int64_t v1, float *C, int64_t ldc, bool add)
{
    while (v0 < v1) {
        const int64_t at = v0 % WIDTH, n = cpu_min(WIDTH - at, v1 - v0);
        const ELT *B = b.p + v0 / WIDTH * b.panel + at * VL * PAIR;
        float *c = C + v0 * VL;
        switch (n) {
        case 1:
            T(block)(1, k, A, lda, B, b.ld, c, ldc, add);
            break;
        case 2:
            T(block)(2, k, A, lda, B, b.ld, c, ldc, add);
            break;
#ifdef ISA_v4
        case 3:
            T(block)(3, k, A, lda, B, b.ld, c, ldc, add);
            break;
        default:
            T(block)(4, k, A, lda, B, b.ld, c, ldc, add);
            break;
#endif
        }
        v0 += n;
    }
}

/* ---- operands ---- */

/* Loads rows of x (stride in elements of t) to dst [padded, width], with zeros to the right and
 * below. */
static void T(load)(ELT *dst, int64_t width, int64_t padded, const void *x, int64_t rows,
                    int64_t stride, int64_t dim, enum dtype t)
{
    memset(dst + rows * width, 0, (size_t)((padded - rows) * width) * sizeof *dst);
    for (int64_t r = 0; r < rows; r++) {
        const void *from = elem(x, r * stride, t);
        ELT *to = dst + r * width;
#if PAIR == 2
        memcpy(to, from, (size_t)dim * sizeof *to);
#else
        for (int64_t i = 0; i < dim; i += VL)
            v_put(to, i, DT_F32, dim - i, v_get(from, i, t, dim - i));
#endif
        memset(to + dim, 0, (size_t)(width - dim) * sizeof *to);
    }
}

/* Stores x^T to dst as a paired matrix in panels: its columns are the rows of x [n, width]. */
static struct T(paired) T(pair_rows)(ELT *dst, const ELT *x, int64_t n, int64_t width)
{
    const int64_t steps = width / PAIR;
    for (int64_t c = 0; c < n; c += PANEL)
        transpose((uint32_t *)dst + c * steps, PANEL, (const uint32_t *)x + c * steps, steps, PANEL,
                  steps);
    return (struct T(paired)){dst, PANEL * PAIR, steps * PANEL * PAIR};
}

/* Stores x [n, width] as a paired matrix whose steps are the rows of x. */
static struct T(paired) T(pair_columns)(ELT *dst, const ELT *x, int64_t n, int64_t width)
{
#if PAIR == 2
    for (int64_t r = 0; r < n; r += 2)
        for (int64_t i = 0; i < width; i++)
            ((uint32_t *)dst)[r / 2 * width + i] =
                x[r * width + i] | (uint32_t)x[(r + 1) * width + i] << 16;
#else
    memcpy(dst, x, (size_t)(n * width) * sizeof *dst);
#endif
    return (struct T(paired)){dst, width * PAIR, PANEL * PAIR};
}
