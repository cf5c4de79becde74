/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of words. Words of at most 15 bytes and 8 tokens are in lines of 64 bytes, two lines
 * per bucket, with a key of 16 bytes. Longer words are in a hash table over a store, which is
 * cleared when it is full. */
#include <string.h>

#include "base/hash.h"
#include "text/bpe_impl.h"

enum {
    LINES = 1 << 15,
    LINE_TOKENS = 8,
    LONG_SLOTS = 1 << 14,
    LONG_WORDS = LONG_SLOTS / 2, /* the most words in LONG_SLOTS */
    STORE = 4 << 20
};

struct line {
    uint64_t key[2]; /* the word, zeros, and its length in the last byte */
    uint32_t id[LINE_TOKENS];
    uint8_t len[LINE_TOKENS];
    uint8_t n;
    uint8_t pad[7];
};
struct long_word {
    uint64_t hash;
    uint32_t at;   /* offset of the tokens and the word in the store */
    uint16_t n;    /* bytes of the word */
    uint16_t used; /* number of tokens; 0: the slot is free */
};
struct word_cache {
    struct line *line;
    struct long_word *slot;
    unsigned char *store;
    size_t store_n, words;
};

struct word_cache *word_cache_new(struct err *e)
{
    struct word_cache *c = mem_alloc(1, sizeof *c, e);
    if (!c) return NULL;
    c->line = mem_alloc(LINES, sizeof *c->line, e);
    c->slot = mem_alloc(LONG_SLOTS, sizeof *c->slot, e);
    c->store = mem_alloc(STORE, 1, e);
    if (c->line && c->slot && c->store) return c;
    word_cache_free(c);
    return NULL;
}

void word_cache_free(struct word_cache *c)
{
    if (!c) return;
    mem_free(c->line);
    mem_free(c->slot);
    mem_free(c->store);
    mem_free(c);
}

/* Computes the key of a word of 1 to 15 bytes on a little-endian machine. */
static void short_key(const char *p, size_t n, size_t room, uint64_t key[2])
{
    if (room >= 16) {
        memcpy(key, p, 16);
        if (n <= 8) {
            if (n < 8) key[0] &= (1ull << (8 * n)) - 1;
            key[1] = 0;
        } else {
            key[1] &= (1ull << (8 * (n - 8))) - 1;
        }
    } else {
        key[0] = key[1] = 0;
        memcpy(key, p, n);
    }
    key[1] |= (uint64_t)n << 56;
}

/* Returns the first of the two lines of a key's bucket. */
static struct line *bucket(const struct word_cache *c, const uint64_t key[2])
{
    uint64_t h = (key[0] ^ (key[1] * 0x9e3779b97f4a7c15u)) * 0xd6e8feb86659fd93u;
    return &c->line[(h >> 40) % LINES & ~1u];
}

static int get_short(struct word_cache *c, const char *p, size_t n, size_t room,
                     struct bpe_tokens *out, struct err *e)
{
    uint64_t key[2];
    struct line *l;
    short_key(p, n, room, key);
    l = bucket(c, key);
    if (l->key[0] != key[0] || l->key[1] != key[1]) l++;
    if (l->key[0] != key[0] || l->key[1] != key[1]) return 0;
    if (out->cap - out->n < LINE_TOKENS &&
        mem_grow(&out->v, &out->cap, out->n + LINE_TOKENS, sizeof *out->v, e))
        return -1;
    for (unsigned i = 0; i < l->n; i++)
        out->v[out->n + i] = (struct bpe_token){l->id[i], l->len[i]};
    out->n += l->n;
    return 1;
}

static struct long_word *find_long(struct word_cache *c, const char *p, size_t n, uint64_t hash)
{
    size_t i = hash % LONG_SLOTS;
    for (; c->slot[i].used != 0; i = (i + 1) % LONG_SLOTS) {
        struct long_word *w = &c->slot[i];
        if (w->hash == hash && w->n == n &&
            memcmp(c->store + w->at + w->used * sizeof(struct bpe_token), p, n) == 0)
            break;
    }
    return &c->slot[i];
}

int word_cache_get(struct word_cache *c, const char *p, size_t n, size_t room,
                   struct bpe_tokens *out, struct err *e)
{
    struct long_word *w;
    if (n <= 15) return n == 0 ? 0 : get_short(c, p, n, room, out, e);
    w = find_long(c, p, n, hash_key(p, n));
    if (w->used == 0) return 0;
    if (mem_grow(&out->v, &out->cap, out->n + w->used, sizeof *out->v, e)) return -1;
    memcpy(out->v + out->n, c->store + w->at, w->used * sizeof *out->v);
    out->n += w->used;
    return 1;
}

static void put_short(struct word_cache *c, const char *p, size_t n, size_t room,
                      const struct bpe_token *v, size_t count)
{
    uint64_t key[2];
    struct line *l;
    if (count > LINE_TOKENS) return;
    short_key(p, n, room, key);
    l = bucket(c, key);
    l[1] = l[0]; /* the newest word is in the first line */
    l->key[0] = key[0];
    l->key[1] = key[1];
    l->n = (uint8_t)count;
    for (size_t i = 0; i < count; i++) {
        l->id[i] = v[i].id;
        l->len[i] = (uint8_t)v[i].len;
    }
}

void word_cache_put(struct word_cache *c, const char *p, size_t n, size_t room,
                    const struct bpe_token *v, size_t count)
{
    size_t bytes = count * sizeof *v + n;
    uint64_t hash;
    struct long_word *w;
    if (count == 0 || n == 0) return;
    if (n <= 15) {
        put_short(c, p, n, room, v, count);
        return;
    }
    if (c->words == LONG_WORDS || c->store_n + bytes > STORE) {
        memset(c->slot, 0, LONG_SLOTS * sizeof *c->slot);
        c->words = c->store_n = 0;
    }
    hash = hash_key(p, n);
    w = find_long(c, p, n, hash);
    *w = (struct long_word){hash, (uint32_t)c->store_n, (uint16_t)n, (uint16_t)count};
    memcpy(c->store + c->store_n, v, count * sizeof *v);
    memcpy(c->store + c->store_n + count * sizeof *v, p, n);
    c->store_n += (bytes + 7) & ~(size_t)7;
    c->words++;
}
