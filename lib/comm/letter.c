/* SPDX-License-Identifier: Apache-2.0 */
/* Writes and reads letters. They come over a network, from a rank that may be broken, so what they
 * say is bounded before it gets to the board, where every rank of this node reads it. */
#include "comm/letter.h"

#include <string.h>

int letter_ranks(const struct board *b, int ranks, int owner)
{
    int n = 0;
    for (int r = 0; r < ranks; r++) n += b->rank[r].node == owner;
    return n;
}

/* Counters may change while they are copied: the next letter has them. */
void letter_write(struct letter *x, const struct board *b, int ranks, int owner, bool last)
{
    int n = 0;
    const char *text = board_text(b);
    x->last = last;
    x->told = text != NULL;
    if (text) memcpy(x->text, text, BOARD_TEXT);
    for (int r = 0; r < ranks; r++)
        if (b->rank[r].node == owner) memcpy(&x->rank[n++], &b->rank[r], sizeof *x->rank);
}

/* ---- reading ---- */
static void read_slot(struct board_slot *to, const struct board_slot *from)
{
    memcpy(to->label, from->label, sizeof to->label - 1);
    to->label[sizeof to->label - 1] = 0;
    err_clean(to->label);
    to->first = from->first;
    to->size = from->size;
    atomic_store(&to->was, atomic_load(&from->was));
    atomic_store(&to->number, atomic_load(&from->number));
    atomic_store(&to->kind, atomic_load(&from->kind));
}

/* The process, the node and the host stay: they are known since the ranks met. */
static void read_rank(struct board_rank *to, const struct board_rank *from)
{
    const unsigned state = atomic_load(&from->state);
    for (int i = 0; i < BOARD_SLOTS; i++) read_slot(&to->slot[i], &from->slot[i]);
    if (state <= BOARD_DEAD) atomic_store(&to->state, state);
    atomic_store(&to->last, atomic_load(&from->last) % BOARD_SLOTS);
    atomic_store(&to->step, atomic_load(&from->step));
    atomic_store(&to->moves, atomic_load(&from->moves));
    atomic_store(&to->beats, atomic_load(&from->beats));
}

bool letter_read(const struct letter *x, struct board *b, int ranks, int owner)
{
    int n = 0;
    char text[BOARD_TEXT];
    for (int r = 0; r < ranks; r++) {
        if (b->rank[r].node != owner) continue;
        read_rank(&b->rank[r], &x->rank[n++]);
        if (x->last) atomic_store(&b->rank[r].state, BOARD_LEFT);
    }
    memcpy(text, x->text, sizeof text - 1);
    text[sizeof text - 1] = 0;
    err_clean(text);
    if (x->told && *text) board_write(b, text);
    return x->last;
}
