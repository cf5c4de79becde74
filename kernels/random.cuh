/* SPDX-License-Identifier: Apache-2.0 */
/* Philox4x32-10 of lib/base/rng.c and stochastic rounding of lib/base/dtype.c, with equal bits. */
#ifndef SFT_KERNELS_RANDOM_CUH
#define SFT_KERNELS_RANDOM_CUH

#include <stdint.h>

static __device__ __forceinline__ void philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3,
                                              uint64_t key, uint32_t out[4])
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const uint32_t h0 = __umulhi(0xD2511F53u, c0), l0 = 0xD2511F53u * c0;
        const uint32_t h1 = __umulhi(0xCD9E8D57u, c2), l1 = 0xCD9E8D57u * c2;
        c0 = h1 ^ c1 ^ k0;
        c1 = l1;
        c2 = h0 ^ c3 ^ k1;
        c3 = l0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* Rounds as bf16_from_f32_random of lib/base. */
static __device__ __forceinline__ uint16_t round_random(float x, uint32_t bits)
{
    const uint32_t u = __float_as_uint(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + (bits & 0xffffu)) >> 16);
}

#endif
