/* SPDX-License-Identifier: Apache-2.0 */
/* Counter-based random numbers: Philox4x32-10 (Salmon et al., SC'11). A draw is a pure function of
 * key and counter, so it does not depend on the order of draws or the number of threads. */
#ifndef SFT_BASE_RNG_H
#define SFT_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* The use of the numbers. It is part of the counter, so that two uses never share numbers. */
enum rng_site { RNG_SHUFFLE = 1, RNG_INIT, RNG_DROPOUT, RNG_ROUND, RNG_TEST, RNG_SAMPLE };

/* Writes the four words of Philox for counter c and key k. */
void rng_philox(const uint32_t c[4], const uint32_t k[2], uint32_t out[4]);
/* Writes the four words for (seed, site, a, b). The key is the seed. The counter is a in words 0
 * and 1, the low 56 bits of b in word 2 and the low 24 bits of word 3, and the site above them. The
 * draws below use these words. */
void rng_words(uint64_t seed, enum rng_site site, uint64_t a, uint64_t b, uint32_t out[4]);
uint64_t rng_u64(uint64_t seed, enum rng_site site, uint64_t a, uint64_t b);
double rng_uniform(uint64_t seed, enum rng_site site, uint64_t a, uint64_t b); /* [0, 1), 53 bits */
double rng_normal(uint64_t seed, enum rng_site site, uint64_t a, uint64_t b);  /* Box-Muller */
/* Writes a permutation of 0 to n - 1 to order[0, n), which depends only on seed and epoch
 * (Fisher-Yates with unbiased draws). */
void rng_permutation(uint64_t seed, uint64_t epoch, uint32_t *order, uint32_t n);

#endif
