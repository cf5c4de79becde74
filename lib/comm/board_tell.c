/* SPDX-License-Identifier: Apache-2.0 */
/* The one line that tells why a job ends. */
#include <stdio.h>
#include <string.h>

#include "comm/board.h"
#include "comm/comm_impl.h"

enum { SOME = 8 }; /* ranks that a line names at most */

struct line {
    char *text;
    size_t at, size;
};
static void put(struct line *l, const char *fmt, ...) ERR_PRINTF(2, 3);
static void put(struct line *l, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(l->text + l->at, l->size - l->at, fmt, args);
    va_end(args);
    if (n > 0) l->at += (size_t)n < l->size - l->at ? (size_t)n : l->size - l->at - 1;
}

/* ---- the collective that waits ---- */
/* True if r is a member of the group of s, on another rank, and has not begun its collective. */
static bool misses(const struct board_rank *r, const struct board_slot *s)
{
    const struct board_slot *mine = board_same(r, s);
    return mine && atomic_load(&mine->number) < atomic_load(&s->number);
}

/* Returns a slot of r whose collective waits for one of the ranks [first, end), or NULL. */
static const struct board_slot *waits(const struct board *b, int r, int first, int end)
{
    for (int i = 0; i < BOARD_SLOTS; i++) {
        const struct board_slot *s = &b->rank[r].slot[i];
        if (!atomic_load(&s->kind)) continue;
        for (int k = first; k < end; k++)
            if (misses(&b->rank[k], s)) return s;
    }
    return NULL;
}

/* The same of any rank that waits for `rank`. */
static const struct board_slot *waits_for(const struct board *b, int ranks, int rank)
{
    const struct board_slot *s = NULL;
    for (int r = 0; r < ranks && !s; r++) s = waits(b, r, rank, rank + 1);
    return s;
}

/* "ranks 1 and 3", "rank 1", or, of many, the first ones. all: how many there are. */
static void put_ranks(struct line *l, const int *some, int n, int all)
{
    char names[COMM_MEMBERS];
    comm_name_members(names, some, n);
    if (n == 1)
        put(l, "rank %d", some[0]);
    else
        put(l, "%s", names);
    if (all > n) put(l, " and %d more", all - n);
}

/* "; all_reduce 57 of dp waits for ranks 1 and 3" */
static void put_waiting(struct line *l, const struct board *b, int ranks,
                        const struct board_slot *s)
{
    int some[SOME], n = 0, all = 0;
    for (int r = 0; r < ranks; r++) {
        if (!misses(&b->rank[r], s)) continue;
        if (n < SOME) some[n++] = r;
        all++;
    }
    put(l, "; %s %llu of %s waits for ", board_kind(atomic_load(&s->was) - 1),
        (unsigned long long)atomic_load(&s->number), s->label);
    put_ranks(l, some, n, all);
}

/* ---- the rank ---- */
/* " in step 13, in all_gather 56 of dp" */
static void put_place(struct line *l, const struct board_rank *r)
{
    const unsigned long long step = atomic_load(&r->step);
    const struct board_slot *s = &r->slot[atomic_load(&r->last) % BOARD_SLOTS];
    if (step)
        put(l, " in step %llu", step);
    else
        put(l, " before the first step");
    for (int i = 0; i < BOARD_SLOTS; i++)
        if (atomic_load(&r->slot[i].kind)) s = &r->slot[i];
    const unsigned was = atomic_load(&s->was);
    if (was)
        put(l, ", %s %s %llu of %s", atomic_load(&s->kind) ? "in" : "after", board_kind(was - 1),
            (unsigned long long)atomic_load(&s->number), s->label);
}

/* "host node7 has been silent for 600 seconds: ranks 4, 5, 6 and 7" */
static void put_silent(struct line *l, const struct board *b, int ranks, int rank, double seconds)
{
    int some[SOME], n = 0, all = 0;
    for (int r = 0; r < ranks; r++) {
        if (b->rank[r].node != b->rank[rank].node) continue;
        if (n < SOME) some[n++] = r;
        all++;
    }
    put(l, "host %s has been silent for %.0f seconds: ", b->rank[rank].host, seconds);
    put_ranks(l, some, n, all);
}

void board_tell(const struct board *b, int ranks, int rank, enum board_cause cause, double seconds,
                const char *advice, char *text, size_t size)
{
    struct line l = {text, 0, size};
    const struct board_rank *r = &b->rank[rank];
    const bool own = cause == BOARD_WAITS;
    const struct board_slot *s = own ? waits(b, rank, 0, ranks) : waits_for(b, ranks, rank);
    if (cause == BOARD_SILENT || cause == BOARD_CUT)
        put_silent(&l, b, ranks, rank, seconds);
    else
        put(&l, "rank %d on %s (process %ld)", rank, r->host, (long)r->pid);
    if (cause == BOARD_DIED) put(&l, " died");
    if (cause == BOARD_STILL) put(&l, " has stood still for %.0f seconds", seconds);
    if (own) put(&l, " waited %.0f seconds in vain", seconds);
    put_place(&l, r);
    if (s) put_waiting(&l, b, ranks, s);
    if (own && !s) put(&l, ", for which no rank is missing that it knows of");
    if (cause != BOARD_DIED && cause != BOARD_CUT) put(&l, "; --comm-timeout sets the limit");
    if (advice) put(&l, "; %s", advice);
}
