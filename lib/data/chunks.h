/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts the documents of a micro-batch among the ranks of a context-parallel group.
 *
 * A document is 2 R chunks of adjacent tokens for R ranks; rank r has chunks r and 2 R - 1 - r, so
 * that all ranks have equally many pairs of query and key. The chunks of a document of n tokens
 * have n / (2 R) tokens, and n % (2 R) of them one more: the documents of a micro-batch give these
 * to the ranks in turn, first to the first chunk of each rank, then to the second. So the ranks'
 * numbers of tokens differ by at most one, whatever the lengths of the documents are. A chunk may
 * be empty. */
#ifndef SFT_DATA_CHUNKS_H
#define SFT_DATA_CHUNKS_H

#include <stdint.h>

/* The state before a document; begins as {.ranks = R}. */
struct chunks {
    int ranks;
    int64_t equal; /* tokens of each rank so far, without those that some have more */
    int64_t more;  /* the latter, of all ranks */
};
/* Returns the begin of chunk c, 0 to 2 R, of a document of n tokens; that of 2 R is n. */
int64_t chunks_begin(const struct chunks *k, int64_t n, int c);
/* Returns the tokens that a rank has of the documents so far. */
int64_t chunks_tokens(const struct chunks *k, int rank);
/* Goes on behind a document of n tokens. */
void chunks_add(struct chunks *k, int64_t n);

#endif
