/* SPDX-License-Identifier: Apache-2.0 */
/* Merges the symbols of a word: the pair of lowest rank first, the leftmost of equals. Short words
 * are scanned for it, long words use a heap in O(n log n). */
#include <stdlib.h>
#include <string.h>

#include "text/bpe_impl.h"

enum { SHORT_WORD = 40 };

/* The merge of two neighbours; rank UINT32_MAX: there is none. */
struct pair {
    uint32_t rank, id;
};

static inline struct pair pair_of(const struct bpe *b, const struct symbol *y)
{
    const struct merge *m = merge_find(b, y[0].id, y[1].id);
    return m ? (struct pair){m->rank, m->id} : (struct pair){UINT32_MAX, 0};
}

/* Merges a word of at most SHORT_WORD symbols. */
static void merge_short(const struct bpe *b, struct bpe_scratch *s)
{
    struct pair pair[SHORT_WORD]; /* merge of symbols i and i + 1 */
    struct symbol *y = s->symbol;
    size_t n = s->nsymbol;
    for (size_t i = 0; i + 1 < n; i++) pair[i] = pair_of(b, y + i);
    for (;;) {
        uint32_t best = UINT32_MAX;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++)
            if (pair[i].rank < best) best = pair[i].rank, at = i;
        if (best == UINT32_MAX) break;
        s->last = best;
        y[at].id = pair[at].id;
        y[at].len += y[at + 1].len;
        n--;
        memmove(y + at + 1, y + at + 2, (n - at - 1) * sizeof *y);
        if (at + 1 < n) memmove(pair + at + 1, pair + at + 2, (n - at - 2) * sizeof *pair);
        if (at > 0) pair[at - 1] = pair_of(b, y + at - 1);
        if (at + 1 < n) pair[at] = pair_of(b, y + at);
    }
    s->nsymbol = n;
}

static bool before(const struct heap_entry *a, const struct heap_entry *b)
{
    return a->key < b->key;
}

static int heap_push(struct bpe_scratch *s, const struct merge *m, size_t at, struct err *e)
{
    struct heap_entry new = {(uint64_t)m->rank << 32 | (uint32_t)at, m->id};
    size_t i = s->nheap;
    if (mem_grow(&s->heap, &s->heap_cap, s->nheap + 1, sizeof *s->heap, e)) return -1;
    for (s->nheap++; i > 0 && before(&new, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = new;
    return 0;
}

static struct heap_entry heap_pop(struct bpe_scratch *s)
{
    struct heap_entry top = s->heap[0], last = s->heap[--s->nheap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->nheap) break;
        if (child + 1 < s->nheap && before(&s->heap[child + 1], &s->heap[child])) child++;
        if (!before(&s->heap[child], &last)) break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return top;
}

static int push_pair(const struct bpe *b, struct bpe_scratch *s, int32_t left, struct err *e)
{
    const struct symbol *y = s->symbol;
    const struct merge *m;
    if (left < 0 || y[left].next < 0) return 0;
    m = merge_find(b, y[left].id, y[y[left].next].id);
    return m ? heap_push(s, m, (size_t)left, e) : 0;
}

static int merge_long(const struct bpe *b, struct bpe_scratch *s, struct err *e)
{
    struct symbol *y = s->symbol;
    size_t n = s->nsymbol, k = 0;
    s->nheap = 0;
    for (size_t i = 0; i < n; i++) {
        y[i].prev = (int32_t)i - 1;
        y[i].next = i + 1 < n ? (int32_t)i + 1 : -1;
    }
    for (size_t i = 0; i + 1 < n; i++)
        if (push_pair(b, s, (int32_t)i, e)) return -1;
    while (s->nheap > 0) {
        struct heap_entry top = heap_pop(s);
        int32_t at = (int32_t)(uint32_t)top.key, right = y[at].next;
        const struct merge *m;
        if (y[at].len == 0 || right < 0) continue;
        m = merge_find(b, y[at].id, y[right].id);
        if (!m || m->id != top.id) continue; /* one of the two symbols changed after the push */
        s->last = m->rank;
        y[at].id = top.id;
        y[at].len += y[right].len;
        y[at].next = y[right].next;
        y[right].len = 0;
        if (y[at].next >= 0) y[y[at].next].prev = at;
        if (push_pair(b, s, y[at].prev, e) || push_pair(b, s, at, e)) return -1;
    }
    for (size_t i = 0; i < n; i++)
        if (y[i].len != 0) y[k++] = y[i];
    s->nsymbol = k;
    return 0;
}

int bpe_merge(const struct bpe *b, struct bpe_scratch *s, struct err *e)
{
    s->last = VOCAB_NONE;
    if (s->nsymbol > INT32_MAX) return err_set(e, ERR_DATA, "a word has more than 2 GiB");
    if (s->nsymbol > SHORT_WORD) return merge_long(b, s, e);
    merge_short(b, s);
    return 0;
}
