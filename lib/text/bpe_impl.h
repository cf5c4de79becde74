/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the BPE model. */
#ifndef SFT_TEXT_BPE_IMPL_H
#define SFT_TEXT_BPE_IMPL_H

#include "text/bpe.h"

/* A merge of two tokens. */
struct merge {
    uint64_t pair; /* left << 32 | right; MERGE_FREE in an empty slot */
    uint32_t rank; /* place in the list: lower merges first */
    uint32_t id;   /* the token made */
};
#define MERGE_FREE UINT64_MAX

struct bpe {
    struct vocab vocab;
    struct vocab raw; /* with ignore_merges and raw words: tokens as bytes */
    struct merge *merge;
    uint64_t
        *filter;    /* a bit for each hash with two bits more than a slot: no merge where it is 0 */
    unsigned shift; /* 64 - log2 of the number of slots */
    size_t slots, nmerges;
    bool bytes;            /* words are raw bytes */
    uint32_t byte_id[256]; /* with bytes: token of each byte */
    bool byte_fallback, fuse_unk, ignore_merges;
    struct str unk, prefix, suffix; /* p NULL: none */
    uint32_t fallback[256];         /* with byte_fallback: <0xNN>, or VOCAB_NONE */
    bool cut_at_space;              /* no merge crosses from another character to U+2581 */
};

static inline uint64_t merge_hash(uint64_t pair) { return pair * 0x9e3779b97f4a7c15u; }

/* The merge of two tokens, or NULL. Most pairs have none: the filter, which stays in the cache,
 * says so without touching the table. */
static inline const struct merge *merge_find(const struct bpe *b, uint32_t left, uint32_t right)
{
    uint64_t pair = (uint64_t)left << 32 | right, h = merge_hash(pair), bit = h >> (b->shift - 2);
    size_t i = (size_t)(h >> b->shift);
    if ((b->filter[bit >> 6] >> (bit & 63) & 1) == 0) return NULL;
    while (b->merge[i].pair != MERGE_FREE) {
        if (b->merge[i].pair == pair) return &b->merge[i];
        i = (i + 1) & (b->slots - 1);
    }
    return NULL;
}

struct symbol {
    uint32_t id, len; /* len 0: merged into the one before it */
    int32_t prev, next;
};
struct heap_entry {
    uint64_t key; /* rank << 32 | position */
    uint32_t id;  /* the token that the merge makes */
};
struct word_cache;
struct bpe_scratch {
    struct symbol *symbol;
    size_t nsymbol, symbol_cap;
    struct heap_entry *heap;
    size_t nheap, heap_cap;
    struct buf text; /* a character with prefix or suffix */
    bool cacheable;  /* the last word's tokens depend on nothing else */
    struct word_cache *cache;
};

/* Turns the scratch's symbols into the tokens that the merges make of them. */
int bpe_merge(const struct bpe *b, struct bpe_scratch *s, struct err *e);

/* ---- cache of words: bounded, each thread has its own ---- */
struct word_cache *word_cache_new(struct err *e);
void word_cache_free(struct word_cache *c);
enum { WORD_CACHE_MAX = 256 }; /* bytes of a word that may be kept */
/* Appends what is known of the word: 1, 0 unknown, -1. */
int word_cache_get(struct word_cache *c, const char *p, size_t n, size_t room,
                   struct bpe_tokens *out, struct err *e);
/* Keeps the tokens of the word that was just looked up in vain. */
void word_cache_put(struct word_cache *c, const char *p, size_t n, size_t room,
                    const struct bpe_token *v, size_t count);

#endif
