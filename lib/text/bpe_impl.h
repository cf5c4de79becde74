/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the BPE model (bpe_*.c). */
#ifndef SFT_TEXT_BPE_IMPL_H
#define SFT_TEXT_BPE_IMPL_H

#include "text/bpe.h"

/* A merge of two tokens. */
struct merge {
    uint64_t pair; /* left << 32 | right; MERGE_FREE in an empty slot */
    uint32_t rank; /* index in the list of merges; the lowest merges first */
    uint32_t id;   /* the merged token */
};
#define MERGE_FREE UINT64_MAX

struct bpe {
    struct vocab vocab;
    struct vocab raw; /* tokens as bytes, where ignore_merges and bytes are set */
    struct merge *merge;
    uint64_t *filter; /* a bit for each hash of two bits more than a slot; 0: there is no merge */
    unsigned shift;   /* 64 - log2 of the number of slots */
    uint64_t factor;  /* of the hash of a pair: odd and random */
    size_t slots, nmerges;
    bool bytes;            /* bpe_set_bytes() was called */
    uint32_t byte_id[256]; /* token of each byte, where bytes is set */
    bool byte_fallback, fuse_unk, ignore_merges;
    struct str unk, prefix, suffix; /* p NULL: none */
    uint32_t unk_id;                /* of unk; VOCAB_NONE: there is none */
    uint32_t fallback[256];         /* token <0xNN> or VOCAB_NONE, where byte_fallback is set */
    bool cut_at_space;              /* no merge joins U+2581 to a different character before it */
};

/* The hash of Dietzfelbinger et al. (1997); its high bits are used. */
static inline uint64_t merge_hash(const struct bpe *b, uint64_t pair) { return pair * b->factor; }

/* Returns the merge of two tokens, or NULL. Most pairs have none, which the filter, small enough
 * for the CPU's cache, tells without reading the table. */
static inline const struct merge *merge_find(const struct bpe *b, uint32_t left, uint32_t right)
{
    uint64_t pair = (uint64_t)left << 32 | right, h = merge_hash(b, pair),
             bit = h >> (b->shift - 2);
    size_t i = (size_t)(h >> b->shift);
    if ((b->filter[bit >> 6] >> (bit & 63) & 1) == 0) return NULL;
    while (b->merge[i].pair != MERGE_FREE) {
        if (b->merge[i].pair == pair) return &b->merge[i];
        i = (i + 1) & (b->slots - 1);
    }
    return NULL;
}

struct symbol {
    uint32_t id, len; /* len 0: merged into the previous symbol */
    int32_t prev, next;
};
struct heap_entry {
    uint64_t key; /* rank << 32 | position */
    uint32_t id;  /* the merged token */
};
struct word_cache;
struct bpe_scratch {
    struct symbol *symbol;
    size_t nsymbol, symbol_cap;
    struct heap_entry *heap;
    size_t nheap, heap_cap;
    struct buf text; /* a character with its prefix or suffix */
    uint32_t last;   /* rank of the merge that was done last; VOCAB_NONE: none */
    bool cacheable;  /* the tokens of the last word depend on this word alone */
    struct word_cache *cache;
};

/* Merges the symbols of the scratch until no merge applies, and sets `last`. */
int bpe_merge(const struct bpe *b, struct bpe_scratch *s, struct err *e);

/* ---- cache of words: bounded, one per thread ---- */
struct word_cache *word_cache_new(struct err *e);
void word_cache_free(struct word_cache *c);
enum { WORD_CACHE_MAX = 256 }; /* bytes of the longest cached word */
/* Appends the cached tokens of a word. 1; 0: it is not cached; -1 with ERR_MEMORY. */
int word_cache_get(struct word_cache *c, const char *p, size_t n, size_t room,
                   struct bpe_tokens *out, struct err *e);
/* Caches the tokens of a word that word_cache_get() did not find. */
void word_cache_put(struct word_cache *c, const char *p, size_t n, size_t room,
                    const struct bpe_token *v, size_t count);

#endif
