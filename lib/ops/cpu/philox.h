/* SPDX-License-Identifier: Apache-2.0 */
/* Philox4x32-10 of many counters at once (base/rng.h has the scalar version), and stochastic
 * rounding to bf16 with its bits. */
#ifndef SFT_OPS_PHILOX_H
#define SFT_OPS_PHILOX_H

#include "base/rng.h"
#include "ops/cpu/simd.h"

enum {
    RANDOM_BLOCK = 64,
    RANDOM_LANES = 16
}; /* elements, and counters, of a block: op_random defines it */

#if defined(ISA_v3) || defined(ISA_v4)
enum { QL = VL / 2, CHAINS = RANDOM_LANES / QL };
/* Words in the low halves of 64-bit lanes; the high halves are ignored. */
typedef uint64_t vq __attribute__((vector_size(4 * VL)));

/* Returns products of the low halves. */
INLINE vq v_mul_low(vq x, uint32_t k)
{
#if defined(ISA_v4)
    return (vq)_mm512_mul_epu32((__m512i)x, _mm512_set1_epi64(k));
#else
    return (vq)_mm256_mul_epu32((__m256i)x, _mm256_set1_epi64x(k));
#endif
}

/* Runs one round of all counters; the chains are independent. */
INLINE void v_philox_round(vq c[CHAINS][4], uint32_t k0, uint32_t k1)
{
    for (int i = 0; i < CHAINS; i++) {
        const vq p0 = v_mul_low(c[i][0], 0xD2511F53u), p1 = v_mul_low(c[i][2], 0xCD9E8D57u);
        c[i][0] = p1 >> 32 ^ c[i][1] ^ k0;
        c[i][1] = p1;
        c[i][2] = p0 >> 32 ^ c[i][3] ^ k1;
        c[i][3] = p0;
    }
}

/* Computes out[4][RANDOM_LANES] = the words of counters (a, b) to (a + 15, b); 16 divides a. Of two
 * successive counters the first is in an even chain and the second in the next odd chain. */
INLINE void v_philox(uint64_t seed, uint64_t a, uint64_t b, uint32_t *out)
{
    vq c[CHAINS][4];
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int i = 0; i < CHAINS; i++) {
        for (int j = 0; j < QL; j++) c[i][0][j] = (uint64_t)(i / 2 * VL + 2 * j + i % 2);
        c[i][0] += a & 0xffffffff;
        c[i][1] = (vq){0} + (a >> 32);
        c[i][2] = (vq){0} + (b & 0xffffffff);
        c[i][3] = (vq){0} + (b >> 32);
    }
    for (int round = 0; round < 10; round++) {
        v_philox_round(c, k0, k1);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < CHAINS; i += 2)
        for (int w = 0; w < 4; w++) {
            const vq both = (c[i][w] & 0xffffffff) | c[i + 1][w] << 32;
            memcpy(out + w * RANDOM_LANES + i / 2 * VL, &both, sizeof both);
        }
}
#endif

/* Computes the bits of elements 64 block ... 64 block + 63. */
INLINE void random_block(const struct op_random *r, uint64_t block, uint32_t bits[RANDOM_BLOCK])
{
    const uint64_t a = block * RANDOM_LANES;
#if defined(ISA_v3) || defined(ISA_v4)
    v_philox(r->seed, a, (r->step & 0xffffffffffffff) | (uint64_t)RNG_ROUND << 56, bits);
#else
    for (int i = 0; i < RANDOM_LANES; i++) {
        uint32_t words[4];
        rng_words(r->seed, RNG_ROUND, a + (uint64_t)i, r->step, words);
        for (int w = 0; w < 4; w++) bits[w * RANDOM_LANES + i] = words[w];
    }
#endif
}

/* Returns v rounded to bf16 as by bf16_from_f32_random, in the high halves; the low halves are 0.
 */
INLINE vu v_round_random(vf v, vu bits)
{
    const vu u = (vu)v, nan = (vu)(v != v);
    return ((nan & (u | 0x400000)) | (~nan & (u + (bits & 0xffff)))) & 0xffff0000;
}
/* Stores the high halves to elements i, i+1, ..., of which `left` exist. */
INLINE void v_put_high(void *p, int64_t i, int64_t left, vu u)
{
#if defined(ISA_v4)
    const vh h = (vh)_mm512_cvtepi32_epi16((__m512i)(u >> 16));
#else
    const vh h = __builtin_convertvector(u >> 16, vh);
#endif
    memcpy((char *)p + i * 2, &h, left >= VL ? sizeof h : (size_t)left * 2);
}

#endif
