/* SPDX-License-Identifier: Apache-2.0 */
/* The board: memory that the ranks of a node share, with a place for each rank of the job, where a
 * rank writes what it is doing. Internal to lib/comm. */
#ifndef SFT_COMM_BOARD_H
#define SFT_COMM_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/io.h"
#include "comm/plugin.h"

enum { BOARD_SLOTS = 12, BOARD_LABEL = 12, BOARD_HOST = 48, BOARD_TEXT = 1000 };

/* A group of which the rank is a member. Groups of one label have no rank in common, so the lowest
 * member tells them apart. */
struct board_slot {
    char label[BOARD_LABEL]; /* "dp"; empty: free */
    int32_t first, size;     /* lowest rank; number of ranks */
    atomic_uint kind;        /* 1 + the kind of the collective that it is in; 0: in none */
    atomic_uint was;         /* the same of the latest */
    atomic_ullong number;    /* collectives begun */
};
enum board_state { BOARD_UNKNOWN, BOARD_HERE, BOARD_LEFT, BOARD_DEAD };
struct board_rank {
    int32_t pid, node; /* node: the lowest rank that has the same board */
    char host[BOARD_HOST];
    atomic_uint state;
    atomic_uint last;    /* the slot of the latest collective */
    atomic_ullong beats; /* counted by the rank's watcher: the process runs */
    atomic_ullong moves; /* collectives entered and left, steps: the rank gets on */
    atomic_ullong step;  /* the step that it trains, from 1; 0: before the first */
    struct board_slot slot[BOARD_SLOTS];
};
struct board {
    atomic_uint written; /* 1: somebody writes the text; 2: it is there */
    atomic_uint speaker; /* 1 + the rank that prints it */
    char text[BOARD_TEXT];
    struct board_rank rank[];
};

static inline size_t board_bytes(int ranks)
{
    return offsetof(struct board, rank) + (size_t)ranks * sizeof(struct board_rank);
}

/* Names of what a slot is in: a comm_kind, or one of these. */
enum { BOARD_AGREEMENT = 16, BOARD_BROADCAST };
const char *board_kind(unsigned kind);

/* Keeps the first text, why the job ends. */
void board_write(struct board *b, const char *text);
/* Returns that text; NULL as long as there is none. */
const char *board_text(const struct board *b);

/* Enters and leaves a collective; slot may be NULL. */
void board_enter(struct board_rank *r, struct board_slot *slot, unsigned kind, uint64_t number);
void board_leave(struct board_rank *r, struct board_slot *slot);
/* Returns a free slot for a group; NULL when there is none. Label it, then use it. */
struct board_slot *board_take(struct board_rank *r, const char *label, int first, int size);
/* Returns the slot of r for the group of slot s; NULL when it is no member. */
const struct board_slot *board_same(const struct board_rank *r, const struct board_slot *s);
/* True if the rank is in a collective. */
bool board_in(const struct board_rank *r);

/* ---- board_tell.c ---- */
enum board_cause { BOARD_DIED, BOARD_STILL, BOARD_SILENT, BOARD_CUT, BOARD_WAITS };
/* Writes one line: that `rank` is the cause, how long that was noticed, where the rank is, which
 * ranks the others miss, and the advice, unless it is NULL. */
void board_tell(const struct board *b, int ranks, int rank, enum board_cause cause, double seconds,
                const char *advice, char *text, size_t size);

#endif
