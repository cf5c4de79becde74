/* SPDX-License-Identifier: Apache-2.0 */
/* Marks of a world on the board: a rank shows what it does, and reads it while it waits. */
#include <time.h>

#include "base/log.h"
#include "comm/comm_impl.h"
#include "comm/watch.h"

/* ---- writing ---- */
struct board_slot *world_mark(struct world *w, const char *label, const int *ranks, int n)
{
    int first = ranks[0];
    for (int i = 1; i < n; i++) first = ranks[i] < first ? ranks[i] : first;
    return w->watch ? board_take(watch_mine(w->watch), label, first, n) : NULL;
}

void world_unmark(struct board_slot *slot)
{
    if (slot) slot->label[0] = 0;
}

void world_enter(struct world *w, struct board_slot *slot, unsigned kind, uint64_t number)
{
    if (slot) board_enter(watch_mine(w->watch), slot, kind, number);
}

void world_exit(struct world *w, struct board_slot *slot)
{
    if (slot) board_leave(watch_mine(w->watch), slot);
}

void world_step(struct world *w, uint64_t step)
{
    struct board_rank *r = w->watch ? watch_mine(w->watch) : NULL;
    if (!r) return;
    atomic_store(&r->step, step);
    atomic_fetch_add(&r->moves, 1);
}

/* In a broken world: gives the reason, unless another rank has given one, and waits until the rank
 * that prints it has done so. */
static void tell(struct world *w, const char *text)
{
    enum { TURNS = 400 }; /* eight seconds: longer than any watcher is silent */
    if (!w->watch) return;
    struct board *b = watch_board(w->watch);
    board_write(b, text);
    for (int i = 0; i < TURNS && !atomic_load(&b->speaker); i++)
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

int world_fail(struct world *w, bool silent, const struct err *e)
{
    const int code = e->code ? (int)e->code : ERR_INTERNAL;
    if (!w->broken || !w->plugin) return silent ? code : log_fail(e);
    tell(w, e->msg);
    return code;
}

void world_doubt(struct world *w)
{
    if (w->watch) watch_doubt(w->watch);
}

/* ---- waiting ---- */
/* Seconds beyond the time-out, so that a watcher is the first to tell of a rank that stands still.
 */
static const double LONGER = 1;

double world_clock(const struct world *w) { return w->watch ? watch_clock(w->watch) : 0; }

int world_late(struct world *w, double since, struct err *e)
{
    char text[BOARD_TEXT];
    const double limit = w->timeout;
    if (!w->watch || limit <= 0) return 0;
    const double waited = watch_clock(w->watch) - since;
    if (waited <= limit + LONGER || (waited <= limit * WATCH_PATIENCE && watch_busy(w->watch)))
        return 0;
    w->broken = true;
    board_tell(watch_board(w->watch), w->place.size, w->place.rank, BOARD_WAITS, waited,
               w->hooks.advice, text, sizeof text);
    return err_set(e, ERR_DEVICE, "%s", text);
}
