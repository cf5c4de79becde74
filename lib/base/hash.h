/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes from the xxHash library: XXH64 inside streams, XXH3-128 for identities and manifests, and
 * hashes for tables in memory. */
#ifndef SFT_BASE_HASH_H
#define SFT_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

uint64_t hash64(const void *p, size_t n, uint64_t seed); /* XXH64 of n bytes */

/* For tables in memory, whose keys come from files: nobody can choose keys that collide, because
 * the seed is a random number of this process. No result may depend on it. */
uint64_t hash_seed(void);
uint64_t hash_key(const void *p, size_t n); /* of n bytes */

/* XXH64 with seed 0 over bytes added piece by piece. hash64_new returns NULL with ERR_MEMORY. */
struct hash64;
struct hash64 *hash64_new(struct err *e);
void hash64_add(struct hash64 *h, const void *p, size_t n);
uint64_t hash64_value(const struct hash64 *h);
void hash64_free(struct hash64 *h);

/* XXH3-128 over bytes added piece by piece. The result is 32 hexadecimal digits, as `xxh128sum`
 * prints them, and a NUL. */
#define HASH128_HEX 33
struct hash128;
struct hash128 *hash128_new(struct err *e);
void hash128_add(struct hash128 *h, const void *p, size_t n);
void hash128_hex(const struct hash128 *h, char out[HASH128_HEX]);
void hash128_free(struct hash128 *h);

#endif
