/* SPDX-License-Identifier: Apache-2.0 */
/* Transposition of matrices of 32-bit elements. */
#ifndef SFT_OPS_TRANSPOSE_H
#define SFT_OPS_TRANSPOSE_H

#include "ops/cpu/simd.h"

#ifdef ISA_v4
/* Transposes 16 x 16 elements in four rounds; each round exchanges lanes between vectors i and i +
 * half. */
INLINE void transpose_block(uint32_t *y, int64_t ldy, const uint32_t *x, int64_t ldx)
{
    __m512i a[16], b[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) a[i] = _mm512_loadu_si512(x + i * ldx);
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
        a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
        a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
        a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 16; i++)
        if (!(i & 4)) {
            b[i] = _mm512_shuffle_i32x4(a[i], a[i + 4], 0x88);
            b[i + 4] = _mm512_shuffle_i32x4(a[i], a[i + 4], 0xdd);
        }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        _mm512_storeu_si512(y + i * ldy, _mm512_shuffle_i32x4(b[i], b[i + 8], 0x88));
        _mm512_storeu_si512(y + (i + 8) * ldy, _mm512_shuffle_i32x4(b[i], b[i + 8], 0xdd));
    }
}
#else
INLINE void transpose_block(uint32_t *y, int64_t ldy, const uint32_t *x, int64_t ldx)
{
    for (int i = 0; i < VL; i++)
        for (int j = 0; j < VL; j++) y[j * ldy + i] = x[i * ldx + j];
}
#endif

/* Computes y[cols, rows] = x[rows, cols]^T; both counts are multiples of VL. */
static inline void transpose(uint32_t *y, int64_t ldy, const uint32_t *x, int64_t ldx, int64_t rows,
                             int64_t cols)
{
    for (int64_t i = 0; i < rows; i += VL)
        for (int64_t j = 0; j < cols; j += VL)
            transpose_block(y + j * ldy + i, ldy, x + i * ldx + j, ldx);
}

#endif
