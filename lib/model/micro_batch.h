/* SPDX-License-Identifier: Apache-2.0 */
/* One micro-batch: whole documents side by side. Its arrays lie in one block, which the host fills
 * and one upload copies to a block of the same layout on the device. */
#ifndef SFT_MODEL_MICRO_BATCH_H
#define SFT_MODEL_MICRO_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The loss at targets[i] is that of predicting the token target[i] from row rows[i]. */
struct micro_batch {
    int64_t T, targets, max_len; /* tokens; and of the longest document */
    int64_t unique;              /* distinct ids */
    int32_t docs;
    int32_t *ids, *pos;     /* [T] */
    int32_t *sample;        /* [T] a name of the token's sample; read only for dropout */
    int32_t *cu;            /* [docs + 1], where each document begins, and T */
    int32_t *rows, *target; /* [targets]; rows rise */
    float *weight;          /* [targets] */
    int32_t *order;         /* [T] the tokens by id, those of one id in their order; */
    int32_t *starts;        /* [unique + 1] where each distinct id begins there, and T. Both NULL
                               where the embedding has no gradient */
    bool cached;            /* generation: one document, whose first `past` positions */
    int64_t past;           /* have their keys and values in the cache */
};

/* Offsets in the block, in bytes. */
struct micro_batch_layout {
    size_t ids, pos, sample, cu, rows, target; /* int32 */
    size_t weight;                             /* float */
    size_t keys;                               /* int32 [2]: cu of the keys in the cache */
    /* where documents have rotary frequencies of their own, [tokens, pairs] float; and for each
     * token its row there, int32 */
    size_t cosines, sines, turn;
    size_t order, starts; /* int32; where has_order */
    bool has_order;
    size_t bytes;
};
/* For up to `tokens` tokens. pairs: head_dim/2 where there are rotary rows, else 0. order: with
 * the tokens' order, which the gradient of the embedding reads. */
struct micro_batch_layout micro_batch_layout(int64_t tokens, int64_t pairs, bool order);
/* Points the arrays into a block of that layout. */
void micro_batch_place(struct micro_batch *b, const struct micro_batch_layout *k, void *block);
/* Makes order, starts and unique from the ids; nothing where the block has no room for them. */
void micro_batch_sort(struct micro_batch *b);

#endif
