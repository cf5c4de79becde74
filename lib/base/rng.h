/* SPDX-License-Identifier: Apache-2.0 */
/* Counter-based random numbers: Philox4x32-10 (Salmon et al., SC'11). A draw is a pure function of
 * key and counter, so no layout or order changes it. */
#ifndef SFT_BASE_RNG_H
#define SFT_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* What a stream of numbers is for; part of the counter, so that uses never share numbers. */
enum rng_site { RNG_SHUFFLE = 1, RNG_INIT, RNG_DROPOUT, RNG_ROUND, RNG_TEST };

/* Four 32-bit words for counter c and key k. */
void rng_philox(const uint32_t c[4], const uint32_t k[2], uint32_t out[4]);
/* The four words for (seed, site, a, b), from which the draws below are made; of b the low 56 bits
 * count. The counter is a in words 0 and 1, b in word 2 and the low 24 bits of word 3, site above.
 */
void rng_words(uint64_t seed, enum rng_site site, uint64_t a, uint64_t b, uint32_t out[4]);
/* 64 bits for (seed, site, a, b); of b the low 56 bits count. */
uint64_t rng_u64(uint64_t seed, enum rng_site site, uint64_t a, uint64_t b);
double rng_uniform(uint64_t seed, enum rng_site site, uint64_t a, uint64_t b); /* [0, 1), 53 bits */
double rng_normal(uint64_t seed, enum rng_site site, uint64_t a, uint64_t b);  /* Box-Muller */
/* order[0..n) = a permutation of 0..n-1 that depends on (seed, epoch) alone (Fisher-Yates with
 * unbiased bounded draws). */
void rng_permutation(uint64_t seed, uint64_t epoch, uint32_t *order, uint32_t n);

#endif
