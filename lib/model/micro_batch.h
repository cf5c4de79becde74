/* SPDX-License-Identifier: Apache-2.0 */
/* One micro-batch: whole documents, one after the other. Its arrays are in one block, which the
 * host fills. One upload copies it to a block of the same layout on the device. */
#ifndef SFT_MODEL_MICRO_BATCH_H
#define SFT_MODEL_MICRO_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The loss at targets[i] is the loss of the prediction of token target[i] from row rows[i]. */
struct micro_batch {
    int64_t T, targets, max_len; /* tokens; tokens of the longest document */
    int64_t unique;              /* distinct ids */
    int32_t docs;
    int32_t *ids, *pos;     /* [T] */
    int32_t *sample;        /* [T] identifier of the token's sample; only dropout reads it */
    int32_t *cu;            /* [docs + 1] begin of each document, then T */
    int32_t *rows, *target; /* [targets]; rows increase */
    float *weight;          /* [targets] */
    int32_t *order;         /* [T] the tokens sorted by id (stable) */
    int32_t *starts;        /* [unique + 1] begin of each distinct id in order, then T. Both are
                               NULL if the embedding has no gradient */
    bool cached;            /* generation: one document with a cache */
    int64_t past;           /* its first positions, whose keys and values are cached */
};

/* Offsets in the block, in bytes. */
struct micro_batch_layout {
    size_t ids, pos, sample, cu, rows, target; /* int32 */
    size_t weight;                             /* float */
    size_t keys;                               /* int32 [2]: cu of the keys in the cache */
    /* if documents have their own rotary frequencies: [tokens, pairs] float; and int32, each
     * token's row in them */
    size_t cosines, sines, turn;
    size_t order, starts; /* int32; valid if has_order */
    bool has_order;
    size_t bytes;
};
/* Returns the layout for up to `tokens` tokens. pairs: head_dim/2 if there are rotary rows, else 0.
 * order: the layout includes the tokens' order, which the gradient of the embedding reads. */
struct micro_batch_layout micro_batch_layout(int64_t tokens, int64_t pairs, bool order);
/* Sets the array pointers to their places in a block of that layout. */
void micro_batch_place(struct micro_batch *b, const struct micro_batch_layout *k, void *block);
/* Computes order, starts and unique from the ids. Does nothing if the block has no space for them.
 */
void micro_batch_sort(struct micro_batch *b);

#endif
