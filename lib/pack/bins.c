/* SPDX-License-Identifier: Apache-2.0 */
/* Best-fit decreasing bin packing. A list for each amount of room has the open bins with that much
 * room left; a tree of bits over the lists, 64 children per node, finds the smallest sufficient
 * room.
 */
#include <string.h>

#include "base/mem.h"
#include "pack/pack.h"

enum { LEVELS = 4 }; /* 64^4 = PACK_MAX_LENGTH; no search looks for room 0 */
#define NONE UINT32_MAX

struct binner {
    uint32_t capacity;
    uint64_t *bits[LEVELS]; /* bits[0]: lists that are not empty; bits[k]: words of bits[k - 1] that
                             * are not 0 */
    uint32_t *head;         /* [capacity + 1] the newest bin with that much room */
    uint32_t *next, *room;  /* [bins] */
    size_t next_cap, room_cap;
    uint32_t *order, *spare; /* [items] sorted by length, and the other buffer of the sort */
    size_t order_cap, spare_cap;
};

struct binner *binner_new(uint32_t capacity, struct err *e)
{
    if (capacity == 0 || capacity > PACK_MAX_LENGTH) {
        err_set(e, ERR_USAGE, "a row length of %u; it must be 1 to %u", (unsigned)capacity,
                (unsigned)PACK_MAX_LENGTH);
        return NULL;
    }
    struct binner *b = mem_alloc(1, sizeof *b, e);
    if (!b) return NULL;
    b->capacity = capacity;
    b->head = mem_alloc((size_t)capacity + 1, sizeof *b->head, e);
    bool ok = b->head;
    size_t words = (size_t)capacity / 64 + 1;
    for (int k = 0; ok && k < LEVELS; k++, words = words / 64 + 1)
        ok = (b->bits[k] = mem_alloc(words, sizeof *b->bits[k], e));
    if (!ok) {
        binner_free(b);
        return NULL;
    }
    memset(b->head, 0xff, ((size_t)capacity + 1) * sizeof *b->head);
    return b;
}

void binner_free(struct binner *b)
{
    if (!b) return;
    for (int k = 0; k < LEVELS; k++) mem_free(b->bits[k]);
    mem_free(b->head);
    mem_free(b->next);
    mem_free(b->room);
    mem_free(b->order);
    mem_free(b->spare);
    mem_free(b);
}

/* ---- the tree ---- */
static void bit_set(struct binner *b, uint32_t i)
{
    for (int k = 0; k < LEVELS; k++, i /= 64) b->bits[k][i / 64] |= 1ull << i % 64;
}

static void bit_clear(struct binner *b, uint32_t i)
{
    for (int k = 0; k < LEVELS; k++, i /= 64) {
        b->bits[k][i / 64] &= ~(1ull << i % 64);
        if (b->bits[k][i / 64]) break;
    }
}

/* Returns the first set bit at or after i, or NONE. */
static uint32_t bit_next(const struct binner *b, uint32_t i)
{
    uint32_t last = b->capacity;
    int k = 0;
    for (; k < LEVELS; k++, i = i / 64 + 1, last /= 64) {
        if (i > last) return NONE;
        uint64_t word = b->bits[k][i / 64] >> i % 64;
        if (word) {
            i += (uint32_t)__builtin_ctzll(word);
            break;
        }
    }
    if (k == LEVELS) return NONE;
    while (k-- > 0) i = i * 64 + (uint32_t)__builtin_ctzll(b->bits[k][i]);
    return i;
}

/* ---- bins by the room they have left ---- */
static void put_bin(struct binner *b, uint32_t bin, uint32_t room)
{
    if (b->head[room] == NONE) bit_set(b, room);
    b->next[bin] = b->head[room];
    b->head[room] = bin;
    b->room[bin] = room;
}

static uint32_t take_bin(struct binner *b, uint32_t room)
{
    uint32_t bin = b->head[room];
    b->head[room] = b->next[bin];
    if (b->head[room] == NONE) bit_clear(b, room);
    return bin;
}

static void clear_bins(struct binner *b, uint32_t bins)
{
    for (uint32_t i = 0; i < bins; i++) {
        uint32_t room = b->room[i];
        if (b->head[room] == NONE) continue;
        b->head[room] = NONE;
        bit_clear(b, room);
    }
}

/* Sorts the items by decreasing length into `order`, equal lengths by number: a radix sort over the
 * 8-bit digits of the capacity. */
static void sort(struct binner *b, const uint32_t *lengths, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) b->order[i] = i;
    for (int shift = 0; shift < 32 && b->capacity >> shift; shift += 8) {
        uint32_t at[257] = {0};
        for (uint32_t i = 0; i < n; i++) at[((b->capacity - lengths[i]) >> shift & 255) + 1]++;
        for (int d = 0; d < 256; d++) at[d + 1] += at[d];
        for (uint32_t i = 0; i < n; i++) {
            uint32_t item = b->order[i];
            b->spare[at[(b->capacity - lengths[item]) >> shift & 255]++] = item;
        }
        uint32_t *t = b->order;
        b->order = b->spare;
        b->spare = t;
    }
}

/* Renumbers bins by their first item. `next` stores the new numbers. */
static void renumber(struct binner *b, uint32_t *bin_of, uint32_t n, uint32_t bins)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < bins; i++) b->next[i] = NONE;
    for (uint32_t i = 0; i < n; i++) {
        if (b->next[bin_of[i]] == NONE) b->next[bin_of[i]] = count++;
        bin_of[i] = b->next[bin_of[i]];
    }
}

int binner_run(struct binner *b, const uint32_t *lengths, uint32_t n, uint32_t *bin_of,
               uint32_t *bins, struct err *e)
{
    uint32_t count = 0;
    /* The sort swaps order and spare, so both grow. */
    if (mem_grow(&b->next, &b->next_cap, n, sizeof *b->next, e) ||
        mem_grow(&b->room, &b->room_cap, n, sizeof *b->room, e) ||
        mem_grow(&b->order, &b->order_cap, n, sizeof *b->order, e) ||
        mem_grow(&b->spare, &b->spare_cap, n, sizeof *b->spare, e))
        return -1;
    for (uint32_t i = 0; i < n; i++)
        if (lengths[i] == 0 || lengths[i] > b->capacity)
            return err_set(e, ERR_INTERNAL, "an item of %u in bins of %u", (unsigned)lengths[i],
                           (unsigned)b->capacity);
    sort(b, lengths, n);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t item = b->order[i], length = lengths[item], room = bit_next(b, length);
        uint32_t bin = room == NONE ? count++ : take_bin(b, room);
        put_bin(b, bin, (room == NONE ? b->capacity : room) - length);
        bin_of[item] = bin;
    }
    clear_bins(b, count);
    renumber(b, bin_of, n, count);
    *bins = count;
    return 0;
}
