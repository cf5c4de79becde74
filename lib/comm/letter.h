/* SPDX-License-Identifier: Apache-2.0 */
/* A letter between the owners of boards: the places of the sender's ranks. Internal to lib/comm. */
#ifndef SFT_COMM_LETTER_H
#define SFT_COMM_LETTER_H

#include "comm/board.h"

struct letter {
    uint32_t last; /* no other letter follows */
    uint32_t told; /* the text is there */
    char text[BOARD_TEXT];
    struct board_rank rank[]; /* of the sender's board, in their order */
};
static inline size_t letter_bytes(int ranks)
{
    return offsetof(struct letter, rank) + (size_t)ranks * sizeof(struct board_rank);
}
/* Returns how many of the board's ranks have this owner. */
int letter_ranks(const struct board *b, int ranks, int owner);
/* Fills in x, of letter_bytes(letter_ranks(b, ranks, owner)) bytes, from a board of `ranks`. */
void letter_write(struct letter *x, const struct board *b, int ranks, int owner, bool last);
/* Takes a letter of such an owner into the board. Any bytes may have come: only what a rank does is
 * taken, never where it is, and texts are cut to their room. Returns true for a last letter. */
bool letter_read(const struct letter *x, struct board *b, int ranks, int owner);

#endif
