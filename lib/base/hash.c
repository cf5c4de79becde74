/* SPDX-License-Identifier: Apache-2.0 */
/* The xxHash functions, compiled in from the library's header. */
#include "base/hash.h"

#include <pthread.h>
#include <sys/random.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"

uint64_t hash64(const void *p, size_t n, uint64_t seed) { return XXH64(p, n, seed); }

static pthread_once_t seeded = PTHREAD_ONCE_INIT;
static uint64_t seed_value;

static void make_seed(void)
{
    struct timespec t;
    if (getrandom(&seed_value, sizeof seed_value, GRND_NONBLOCK) == (ssize_t)sizeof seed_value)
        return;
    clock_gettime(CLOCK_REALTIME, &t); /* early in a boot */
    seed_value = (uint64_t)t.tv_sec * 1000000007 + (uint64_t)t.tv_nsec;
}

uint64_t hash_seed(void)
{
    pthread_once(&seeded, make_seed);
    return seed_value;
}

uint64_t hash_key(const void *p, size_t n) { return XXH64(p, n, hash_seed()); }

struct hash64 {
    XXH64_state_t state;
};

struct hash64 *hash64_new(struct err *e)
{
    struct hash64 *h = mem_alloc(1, sizeof *h, e);
    if (h) XXH64_reset(&h->state, 0);
    return h;
}

void hash64_add(struct hash64 *h, const void *p, size_t n)
{
    if (n) XXH64_update(&h->state, p, n);
}

uint64_t hash64_value(const struct hash64 *h) { return XXH64_digest(&h->state); }

void hash64_free(struct hash64 *h) { mem_free(h); }

struct hash128 {
    XXH3_state_t state; /* aligned to 64 bytes */
};

struct hash128 *hash128_new(struct err *e)
{
    struct hash128 *h = mem_aligned(_Alignof(struct hash128), sizeof *h, e);
    if (h) XXH3_128bits_reset(&h->state);
    return h;
}

void hash128_add(struct hash128 *h, const void *p, size_t n)
{
    if (n) XXH3_128bits_update(&h->state, p, n);
}

void hash128_hex(const struct hash128 *h, char out[HASH128_HEX])
{
    XXH128_hash_t v = XXH3_128bits_digest(&h->state);
    for (int i = 0; i < 16; i++) {
        out[i] = "0123456789abcdef"[v.high64 >> (60 - 4 * i) & 15];
        out[16 + i] = "0123456789abcdef"[v.low64 >> (60 - 4 * i) & 15];
    }
    out[32] = 0;
}

void hash128_free(struct hash128 *h) { mem_free(h); }
