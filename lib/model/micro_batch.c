/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of a micro-batch's block, and the sort of its tokens by id. */
#include "model/micro_batch.h"

enum { ITEM = 4, ALIGN = 64 };            /* bytes: of int32_t and float; of arrays */
enum { DIGIT = 11, DIGITS = 1 << DIGIT }; /* three digits of DIGIT bits cover an id */

/* Returns the offset of the next array of `count` items. */
static size_t take(size_t *bytes, int64_t count)
{
    const size_t at = *bytes;
    *bytes += ((size_t)count * ITEM + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

/* A document has at least one token of all, and two chunks. */
static void take_keys(struct micro_batch_layout *k, const struct micro_batch_room *r)
{
    size_t *const end = &k->bytes;
    k->key_cu = take(end, r->all + 1);
    k->key_end = take(end, 2 * r->all);
    k->key_row = take(end, r->all);
    k->key_token = take(end, r->ranks * r->tokens);
}

/* Returns the most ranges of cu: documents, or with chunks or a cache two of each. */
static int64_t ranges(const struct micro_batch_room *r)
{
    if (r->ranks > 1) return 2 * r->all;
    return 2 * r->docs > r->tokens ? 2 * r->docs : r->tokens;
}

struct micro_batch_layout micro_batch_layout(const struct micro_batch_room *r)
{
    struct micro_batch_layout k = {.has_order = r->order};
    size_t *const end = &k.bytes;
    const int64_t tokens = r->tokens, pairs = r->pairs, order = r->order;
    k.ids = take(end, tokens);
    k.pos = take(end, tokens);
    k.sample = take(end, tokens);
    k.cu = take(end, ranges(r) + 1);
    k.rows = take(end, tokens);
    k.target = take(end, tokens);
    k.weight = take(end, tokens);
    k.turn = take(end, pairs ? tokens : 0);
    k.cosines = take(end, tokens * pairs);
    k.sines = take(end, tokens * pairs);
    k.order = take(end, order ? tokens : 0);
    k.starts = take(end, order ? tokens + 1 : 0);
    if (r->ranks > 1) take_keys(&k, r);
    if (r->docs) {
        k.key_cu = take(end, r->docs + 1);
        k.key_end = take(end, 2 * r->docs);
    }
    return k;
}

void micro_batch_place(struct micro_batch *b, const struct micro_batch_layout *k, void *block)
{
    char *at = block;
    b->ids = (void *)(at + k->ids);
    b->pos = (void *)(at + k->pos);
    b->sample = (void *)(at + k->sample);
    b->cu = (void *)(at + k->cu);
    b->rows = (void *)(at + k->rows);
    b->target = (void *)(at + k->target);
    b->weight = (void *)(at + k->weight);
    b->order = k->has_order ? (void *)(at + k->order) : NULL;
    b->starts = k->has_order ? (void *)(at + k->starts) : NULL;
    b->keys.cu = (void *)(at + k->key_cu);
    b->keys.end = (void *)(at + k->key_end);
    b->keys.row = (void *)(at + k->key_row);
    b->keys.token = (void *)(at + k->key_token);
}

static uint32_t digit(const struct micro_batch *b, int32_t token, int which)
{
    return (uint32_t)b->ids[token] >> which * DIGIT & (DIGITS - 1);
}

/* Writes the tokens of `from` to `to`, sorted by one digit of their ids; the sort is stable. If
 * `from` is NULL, the input is 0 ... T - 1. */
static void by_digit(const struct micro_batch *b, int which, int32_t *to, const int32_t *from)
{
    int32_t begin[DIGITS] = {0}, at = 0;
    for (int32_t t = 0; t < b->T; t++) begin[digit(b, t, which)]++;
    for (int i = 0; i < DIGITS; i++) {
        const int32_t n = begin[i];
        begin[i] = at;
        at += n;
    }
    for (int32_t i = 0; i < b->T; i++) {
        const int32_t token = from ? from[i] : i;
        to[begin[digit(b, token, which)]++] = token;
    }
}

/* Sorts by radix sort, which is stable; starts is its second array. */
void micro_batch_sort(struct micro_batch *b)
{
    b->unique = 0;
    if (!b->order) return;
    by_digit(b, 0, b->order, NULL);
    by_digit(b, 1, b->starts, b->order);
    by_digit(b, 2, b->order, b->starts);
    for (int32_t i = 0; i < b->T; i++)
        if (i == 0 || b->ids[b->order[i]] != b->ids[b->order[i - 1]]) b->starts[b->unique++] = i;
    b->starts[b->unique] = (int32_t)b->T;
}
