/* SPDX-License-Identifier: Apache-2.0 */
/* Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11.
 */
#include "base/rng.h"

#include <math.h>

void rng_philox(const uint32_t c[4], const uint32_t k[2], uint32_t out[4])
{
    uint32_t c0 = c[0], c1 = c[1], c2 = c[2], c3 = c[3], k0 = k[0], k1 = k[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u; /* Weyl sequences: the golden ratio and sqrt(3) - 1 */
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void rng_words(uint64_t seed, enum rng_site site, uint64_t a, uint64_t b, uint32_t out[4])
{
    uint32_t high = ((uint32_t)(b >> 32) & 0xffffff) | (uint32_t)site << 24;
    const uint32_t c[4] = {(uint32_t)a, (uint32_t)(a >> 32), (uint32_t)b, high};
    const uint32_t k[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    rng_philox(c, k, out);
}

uint64_t rng_u64(uint64_t seed, enum rng_site site, uint64_t a, uint64_t b)
{
    uint32_t r[4];
    rng_words(seed, site, a, b, r);
    return (uint64_t)r[1] << 32 | r[0];
}

static double unit(uint32_t low, uint32_t high)
{
    return (double)(((uint64_t)high << 32 | low) >> 11) * 0x1p-53;
}

double rng_uniform(uint64_t seed, enum rng_site site, uint64_t a, uint64_t b)
{
    uint32_t r[4];
    rng_words(seed, site, a, b, r);
    return unit(r[0], r[1]);
}

double rng_normal(uint64_t seed, enum rng_site site, uint64_t a, uint64_t b)
{
    uint32_t r[4];
    rng_words(seed, site, a, b, r);
    double radius = sqrt(-2 * log(1 - unit(r[0], r[1]))); /* 1 - unit is never 0 */
    return radius * cos(6.283185307179586 * unit(r[2], r[3]));
}

/* Draws from [0, range) without bias: Lemire, "Fast random integer generation in an interval",
 * 2019. The low word of b is the index; the bits above it count the rejected draws. */
static uint32_t bounded(uint64_t seed, uint64_t epoch, uint32_t index, uint32_t range)
{
    uint32_t threshold = (0u - range) % range;
    for (uint64_t attempt = 0;; attempt++) {
        uint64_t r = rng_u64(seed, RNG_SHUFFLE, epoch, attempt << 32 | index);
        uint64_t m = (r & 0xffffffff) * range;
        if ((uint32_t)m >= threshold) return (uint32_t)(m >> 32);
    }
}

void rng_permutation(uint64_t seed, uint64_t epoch, uint32_t *order, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) order[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t k = bounded(seed, epoch, i - 1, i), t = order[i - 1];
        order[i - 1] = order[k];
        order[k] = t;
    }
}
