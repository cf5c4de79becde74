/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of a micro-batch's block. */
#include "model/micro_batch.h"

enum { ITEM = 4, ALIGN = 64 }; /* bytes: of int32_t and float; of an array's begin */

/* The next array of `count` items. */
static size_t take(size_t *bytes, int64_t count)
{
    const size_t at = *bytes;
    *bytes += ((size_t)count * ITEM + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

struct micro_batch_layout micro_batch_layout(int64_t tokens, int64_t pairs)
{
    struct micro_batch_layout k = {0};
    size_t *const end = &k.bytes;
    k.ids = take(end, tokens);
    k.pos = take(end, tokens);
    k.sample = take(end, tokens);
    k.cu = take(end, tokens + 1);
    k.rows = take(end, tokens);
    k.target = take(end, tokens);
    k.weight = take(end, tokens);
    k.keys = take(end, 2);
    k.turn = take(end, pairs ? tokens : 0);
    k.cosines = take(end, tokens * pairs);
    k.sines = take(end, tokens * pairs);
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
}
