/* SPDX-License-Identifier: Apache-2.0 */
/* Dropout. Limit: ten rounds of Philox give 8 numbers a lane, about 6 instructions per element and
 * vector lane: half the speed of memory. */
#include "ops/dropout.h"
#include "ops/cpu/cpu.h"

/* Returns the high halves of the 64-bit products of lanes. */
INLINE vu mul_high(vu a, uint32_t b)
{
#if defined(ISA_v4)
    const __m512i x = (__m512i)a, m = _mm512_set1_epi64((long long)b);
    __m512i even = _mm512_mul_epu32(x, m), odd = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), m);
    return (vu)_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
#elif defined(ISA_v3)
    const __m256i x = (__m256i)a, m = _mm256_set1_epi64x((long long)b);
    __m256i even = _mm256_mul_epu32(x, m), odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), m);
    return (vu)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
#else
    for (int i = 0; i < VL; i++) a[i] = (uint32_t)((uint64_t)a[i] * b >> 32);
    return a;
#endif
}

/* Runs rng_philox on VL counters. */
INLINE void philox(vu c[4], uint32_t k0, uint32_t k1)
{
    for (int round = 0; round < 10; round++) {
        vu high0 = mul_high(c[0], 0xD2511F53u), high1 = mul_high(c[2], 0xCD9E8D57u);
        vu low0 = c[0] * 0xD2511F53u, low1 = c[2] * 0xCD9E8D57u;
        c[0] = high1 ^ c[1] ^ k0;
        c[1] = low1;
        c[2] = high0 ^ c[3] ^ k1;
        c[3] = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/* Stores x * factor to y from element i, where `left` are to be stored; lanes that are not kept
 * become 0. */
INLINE void put_part(const struct op_dropout *a, void *y, const void *x, int64_t i, int64_t left,
                     vi keep, vf factor, enum dtype t)
{
    vf v = (vf)(keep & (vi)(v_get(x, i, t, left) * factor));
    v_put(y, i, t, left, a->add ? v_get(y, i, t, left) + v : v);
}

/* Computes keep[DROPOUT_TILE] = -1 where the element of a row stays, else 0, for the tile that
 * begins at column `tile`. */
INLINE void keep_tile(const struct op_dropout *a, int64_t row, int64_t tile, int32_t *keep)
{
    const vu bound = (vu){0} + dropout_bound(a);
    for (int lane = 0; lane < DROPOUT_LANES; lane += VL) {
        const uint32_t first = (uint32_t)(tile / DROPOUT_EACH + lane);
        vu c[4] = {(vu){0} + (uint32_t)a->pos[row], (vu){0} + (uint32_t)a->sample[row],
                   (vu)v_lanes() + first, (vu){0} + dropout_site(a)};
        philox(c, (uint32_t)a->key, (uint32_t)(a->key >> 32));
        for (int j = 0; j < DROPOUT_EACH; j++) {
            const vi stays = (vi)((c[j / 2] >> (j % 2 * 16) & 0xffff) >= bound);
            memcpy(keep + j * DROPOUT_LANES + lane, &stays, sizeof stays);
        }
    }
}

/* Processes column by column of the whole matrix; the part may begin and end within a tile. */
INLINE void drop_row(const struct op_dropout *a, int64_t row, enum dtype t)
{
    const void *x = elem(a->x, row * a->H, t);
    void *y = elem(a->y, row * a->H, t);
    const vf factor = v_set((float)dropout_factor(a));
    int32_t keep[DROPOUT_TILE + VL] = {0};
    for (int64_t i = 0, end; i < a->H; i = end) {
        const int64_t at = (a->first + i) % DROPOUT_TILE;
        keep_tile(a, row, a->first + i - at, keep);
        end = cpu_min(i + DROPOUT_TILE - at, a->H);
        for (int64_t k = i; k < end; k += VL) {
            vi stays;
            memcpy(&stays, keep + at + (k - i), sizeof stays);
            put_part(a, y, x, k, end - k, stays, factor, t);
        }
    }
}

INLINE void scale_row(const struct op_dropout *a, int64_t row, enum dtype t)
{
    const void *x = elem(a->x, row * a->H, t);
    void *y = elem(a->y, row * a->H, t);
    const vf factor = v_set((float)a->scale);
    for (int64_t i = 0; i < a->H; i += VL) put_part(a, y, x, i, a->H - i, (vi){0} - 1, factor, t);
}

CPU_OP(dropout)
{
    if (dropout_bound(a) == 0)
        PARALLEL_FOR(d, row, a->T) BY_DTYPE(a->dtype, scale_row, a, row);
    else
        PARALLEL_FOR(d, row, a->T) BY_DTYPE(a->dtype, drop_row, a, row);
}
