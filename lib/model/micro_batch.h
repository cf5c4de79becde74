/* SPDX-License-Identifier: Apache-2.0 */
/* One micro-batch: whole documents, one after the other. Its arrays are in one block, which the
 * host fills. One upload copies it to a block of the same layout on the device. */
#ifndef SFT_MODEL_MICRO_BATCH_H
#define SFT_MODEL_MICRO_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The loss at targets[i] is the loss of the prediction of token target[i] from row rows[i].
 *
 * With context parallelism a rank has two chunks of each document, see data/chunks.h. Its arrays of
 * tokens have the chunks of all documents, one after the other; a chunk may be empty.
 *
 * With a cache the documents' keys are in its rows, with gaps between them: keys.end tells where
 * those of each end. A document's tokens are then its first chunk, and its second one is empty. */
struct micro_batch {
    int64_t T, targets, max_len; /* tokens; tokens of the longest document */
    int64_t all, all_targets;    /* of all ranks of the group; without one, T and targets */
    int64_t peers;               /* where ranks share out the experts, the most tokens of one of
                                    them; else 0 */
    int64_t unique;              /* distinct ids */
    int32_t docs;
    int32_t *ids, *pos;     /* [T] */
    int32_t *sample;        /* [T] identifier of the token's sample; only dropout reads it */
    int32_t *cu;            /* [docs + 1] begin of each document, then T; of each chunk:
                               [2 docs + 1] */
    int32_t *rows, *target; /* [targets]; rows increase */
    float *weight;          /* [targets] */
    int32_t *order;         /* [T] the tokens sorted by id (stable) */
    int32_t *starts;        /* [unique + 1] begin of each distinct id in order, then T. Both are
                               NULL if the embedding has no gradient */
    struct {
        int64_t each;   /* rows of a rank's block in a gather: the most tokens of a rank */
        int32_t *cu;    /* [docs + 1] begin of each document among all tokens, then all */
        int32_t *end;   /* [2 docs] end of the keys of each chunk of this rank */
        int32_t *row;   /* [all] row of each token in the gathered blocks, rank * each + t */
        int32_t *token; /* [ranks * each] token of each of these rows; all: none */
    } keys;             /* with context parallelism; cu and end also with a cache, of whose rows */
    bool cached;        /* generation: the documents' keys are in the cache */
};

/* Returns true if no rank has a token of the micro-batch: nothing is computed for it. */
static inline bool micro_batch_empty(const struct micro_batch *b)
{
    return b->T == 0 && b->all == 0 && b->peers == 0;
}

/* Offsets in the block, in bytes. */
struct micro_batch_layout {
    size_t ids, pos, sample, cu, rows, target; /* int32 */
    size_t weight;                             /* float */
    /* if documents have their own rotary frequencies: [tokens, pairs] float; and int32, each
     * token's row in them */
    size_t cosines, sines, turn;
    size_t order, starts;                       /* int32; valid if has_order */
    size_t key_cu, key_end, key_row, key_token; /* int32; as micro_batch.keys */
    bool has_order;
    size_t bytes;
};
/* The sizes that a layout depends on. */
struct micro_batch_room {
    int64_t tokens; /* the most of a rank */
    int64_t pairs;  /* model_pairs if there are rotary rows, else 0 */
    bool order;     /* it includes the tokens' order, which the gradient of the embedding reads */
    int64_t all;    /* with context parallelism the most tokens of all ranks, and their number */
    int ranks;      /* 0 or 1: no context parallelism */
    int32_t docs;   /* with a cache: the most documents; else 0 */
};
struct micro_batch_layout micro_batch_layout(const struct micro_batch_room *r);
/* Sets the array pointers to their places in a block of that layout. */
void micro_batch_place(struct micro_batch *b, const struct micro_batch_layout *k, void *block);
/* Computes order, starts and unique from the ids. Does nothing if the block has no space for them.
 */
void micro_batch_sort(struct micro_batch *b);

#endif
