/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that watches the board. It looks at ranks, not at clocks of other processes: it counts
 * its own time since another's counters last changed, so a job that was stopped as a whole and goes
 * on has lost nothing. */
#include "comm/watch.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "comm/comm_impl.h"
#include "comm/link.h"

/* In seconds. LOOK: between two looks. LATE: the most of them that a late look counts. SURE: before
 * a death is told, since the launcher may be ending all ranks. DEFER: before another rank than the
 * first one that is alive prints the line. END: from then on until the process is ended, if it does
 * not end by itself. REASON: for a reason to appear when MPI fails. DOUBT: for one when the
 * launcher ends the ranks, which Open MPI kills a second later; QUIET: of a host that is silent
 * then, which is two letters of it and a look (link.c). AWAKE: before a rank that stood still for
 * so long that others have told of it tells anything: the launcher is ending it. */
static const double LOOK = 0.1, LATE = 1, SURE = 0.3, DEFER = 3, END = 10, REASON = 2, DOUBT = 0.85,
                    QUIET = 0.6, AWAKE = 6;

struct seen {
    unsigned long long beats, moves;
    double beat, move; /* when they changed last */
    double gone;       /* when its process was first found to have ended; 0: it has not */
};
struct watch {
    struct world *w;
    struct io_shared memory;
    struct board *b;
    struct seen *seen;
    pthread_mutex_t gate;
    struct link *link; /* NULL: there is no other board; the gate guards it */
    pthread_t thread;
    bool started;
    double told;         /* when the reason was noticed; 0: there is none */
    double woke;         /* when this process went on after such a time */
    atomic_ullong clock; /* microseconds */
    atomic_bool quit, busy, doubt;
};

struct board *watch_board(const struct watch *watch) { return watch->b; }
struct board_rank *watch_mine(const struct watch *watch)
{
    return &watch->b->rank[watch->w->place.rank];
}
double watch_clock(const struct watch *watch) { return (double)atomic_load(&watch->clock) * 1e-6; }
bool watch_busy(const struct watch *watch) { return atomic_load(&watch->busy); }

/* ---- observing the ranks ---- */
static bool here(const struct board_rank *r) { return atomic_load(&r->state) == BOARD_HERE; }
static bool near(const struct watch *t, int rank)
{
    return t->b->rank[rank].node == t->b->rank[t->w->place.rank].node;
}

static void see(struct watch *t, int rank, double now)
{
    struct seen *s = &t->seen[rank];
    const struct board_rank *r = &t->b->rank[rank];
    const unsigned long long beats = atomic_load(&r->beats), moves = atomic_load(&r->moves);
    if (beats != s->beats) s->beat = now;
    if (moves != s->moves) s->move = now;
    s->beats = beats;
    s->moves = moves;
    /* It may have left between the two looks. */
    const bool gone = here(r) && near(t, rank) && rank != t->w->place.rank &&
                      !io_shared_held(&t->memory, (size_t)rank) && here(r);
    if (gone && s->gone == 0) s->gone = now;
}

/* ---- ending the job ---- */
static void decide(struct watch *t, int rank, enum board_cause cause, double seconds)
{
    char text[BOARD_TEXT];
    board_tell(t->b, t->w->place.size, rank, cause, seconds, t->w->hooks.advice, text, sizeof text);
    board_write(t->b, text);
}

/* True if no rank of another host is heard of. */
static bool silent(const struct watch *t, int rank, double now, double limit)
{
    const struct board_rank *all = t->b->rank;
    for (int r = 0; r < t->w->place.size; r++)
        if (all[r].node == all[rank].node && (near(t, r) || now - t->seen[r].beat <= limit))
            return false;
    return true;
}

static void judge(struct watch *t, int rank, double now)
{
    const struct seen *s = &t->seen[rank];
    const double limit = t->w->timeout;
    if (!here(&t->b->rank[rank]) || rank == t->w->place.rank) return;
    if (s->gone > 0 && now - s->gone > SURE) decide(t, rank, BOARD_DIED, 0);
    if (atomic_load(&t->doubt) && silent(t, rank, now, QUIET))
        decide(t, rank, BOARD_CUT, now - s->beat);
    if (limit <= 0 || now - s->beat <= limit) return;
    decide(t, rank, silent(t, rank, now, limit) ? BOARD_SILENT : BOARD_STILL, now - s->beat);
}

static bool works(const struct watch *t, int rank, double now)
{
    const struct seen *s = &t->seen[rank];
    const struct board_rank *r = &t->b->rank[rank];
    const double limit = t->w->timeout;
    return here(r) && !board_in(r) && now - s->beat <= limit &&
           now - s->move <= limit * WATCH_PATIENCE;
}

/* A rank that is not heard of is told of at the time-out, which may be later than that of a
 * collective that waits for it. */
static bool suspect(const struct watch *t, int rank, double now)
{
    return here(&t->b->rank[rank]) && rank != t->w->place.rank && now - t->seen[rank].beat > LATE;
}

/* The first rank that is alive prints; another one when that does not come to it. */
static bool speaks(const struct watch *t, double now)
{
    if (now - t->woke < AWAKE) return false;
    for (int r = 0; r < t->w->place.rank; r++)
        if (here(&t->b->rank[r]) && t->seen[r].gone == 0 && now - t->seen[r].beat < DEFER)
            return now - t->told > DEFER;
    return true;
}

static void end(struct watch *t, const char *text, double now)
{
    unsigned none = 0;
    const struct world_hooks *h = &t->w->hooks;
    if (t->told == 0) t->told = now;
    t->w->broken = true;
    if (h->tell && speaks(t, now) &&
        atomic_compare_exchange_strong(&t->b->speaker, &none, 1 + (unsigned)t->w->place.rank))
        h->tell(h->arg, text);
    if (h->end && now - t->told > END) h->end(h->arg);
}

static void look(struct watch *t)
{
    bool busy = false;
    const double now = watch_clock(t);
    atomic_fetch_add(&watch_mine(t)->beats, 1);
    for (int r = 0; r < t->w->place.size; r++) {
        see(t, r, now);
        judge(t, r, now);
        busy |= works(t, r, now) || suspect(t, r, now);
    }
    atomic_store(&t->busy, busy);
    const char *text = board_text(t->b);
    if (text) end(t, text, now);
}

/* Others wait from the last letter on, which may be older than the last look. */
static bool stood_still(const struct watch *t, double seconds)
{
    const double limit = t->w->timeout;
    return limit > 0 && seconds > 0.8 * limit && seconds > 2 * LATE;
}

static void *work(void *arg)
{
    struct watch *t = arg;
    double before = log_clock();
    while (!atomic_load(&t->quit)) {
        nanosleep(&(struct timespec){.tv_nsec = (long)(LOOK * 1e9)}, NULL);
        const double now = log_clock(), passed = now - before;
        atomic_fetch_add(&t->clock, (unsigned long long)((passed < LATE ? passed : LATE) * 1e6));
        before = now;
        if (stood_still(t, passed)) t->woke = watch_clock(t);
        pthread_mutex_lock(&t->gate);
        link_turn(t->link);
        pthread_mutex_unlock(&t->gate);
        look(t);
    }
    return NULL;
}

void watch_doubt(struct watch *watch)
{
    const double start = log_clock();
    atomic_store(&watch->doubt, true);
    while (!board_text(watch->b) && log_clock() - start < DOUBT)
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    atomic_store(&watch->doubt, false);
}

const char *watch_reason(const struct watch *watch)
{
    const double start = log_clock();
    while (!board_text(watch->b) && log_clock() - start < REASON)
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    return board_text(watch->b);
}

/* ---- meeting ---- */
/* Fits WORLD_NOTE. */
struct card {
    int32_t pid, fd, node;
    char host[BOARD_HOST];
};
_Static_assert(sizeof(struct card) <= WORLD_NOTE, "a card is a note");

/* The first rank of the node makes the memory, and the others open it. One that cannot, in a
 * container of its own perhaps, has a board for itself: 1. */
static int open_memory(struct watch *t, const struct card *first, struct err *e)
{
    struct err other;
    const struct comm_place *p = &t->w->place;
    const size_t bytes = board_bytes(p->size);
    if (p->rank == p->node || io_shared_open(&t->memory, first->pid, first->fd, bytes, &other) == 0)
        return 0;
    return io_shared_make(&t->memory, bytes, e) ? -1 : 1;
}

/* The owner of a board fills in who is who; each rank takes its place. */
static void take_place(struct watch *t, const struct card *all)
{
    const int rank = t->w->place.rank, size = t->w->place.size;
    t->b = t->memory.p;
    for (int r = 0; r < size && all[rank].node == rank; r++) {
        struct board_rank *x = &t->b->rank[r];
        x->pid = all[r].pid;
        x->node = all[r].node;
        memcpy(x->host, all[r].host, sizeof x->host - 1); /* the last byte stays 0 */
        err_clean(x->host);
    }
    io_shared_hold(&t->memory, (size_t)rank);
    board_take(watch_mine(t), "all", 0, size);
    atomic_store(&watch_mine(t)->state, BOARD_HERE);
}

/* All ranks agree after each part, so no watcher starts before every place is taken. */
static int meet(struct watch *t, struct err *e)
{
    struct world *w = t->w;
    const struct comm_place *p = &w->place;
    struct card card = {.pid = (int32_t)getpid(), .fd = -1, .node = p->node};
    int rc = 0;
    if (gethostname(card.host, sizeof card.host - 1)) snprintf(card.host, 10, "localhost");
    if (p->rank == p->node) rc = io_shared_make(&t->memory, board_bytes(p->size), e);
    if (world_agree(w, rc, e)) return -1;
    card.fd = t->memory.fd;
    const struct card *all = world_notes(w, &card, sizeof card, e);
    if (!all) return -1;
    rc = open_memory(t, &all[p->node], e);
    if (world_agree(w, rc < 0 ? -1 : 0, e)) return -1;
    if (rc) card.node = p->rank;
    if (!(all = world_notes(w, &card, sizeof card, e))) return -1;
    take_place(t, all);
    return world_agree(w, 0, e) || link_open(&t->link, w, t->b, e) ? -1 : 0;
}

static int start(struct watch *t, struct err *e)
{
    t->started = thread_start(&t->thread, work, t);
    return t->started ? 0 : err_set(e, ERR_MEMORY, "cannot start a thread that watches the ranks");
}

struct watch *watch_open(struct world *w, struct err *e)
{
    struct watch *t = mem_alloc(1, sizeof *t, e);
    if (!t) return NULL;
    t->w = w;
    t->memory.fd = -1;
    t->woke = -AWAKE;
    pthread_mutex_init(&t->gate, NULL);
    t->seen = mem_alloc((size_t)w->place.size, sizeof *t->seen, e);
    if (world_agree(w, t->seen ? 0 : -1, e) == 0 && meet(t, e) == 0 &&
        world_agree(w, start(t, e), e) == 0)
        return t;
    watch_close(t);
    return NULL;
}

void watch_leave(struct watch *watch)
{
    link_leave(watch->link);
    pthread_mutex_lock(&watch->gate);
    struct link *l = watch->link;
    watch->link = NULL;
    pthread_mutex_unlock(&watch->gate);
    link_close(l);
}

void watch_left(struct watch *watch) { atomic_store(&watch_mine(watch)->state, BOARD_LEFT); }

void watch_close(struct watch *watch)
{
    if (!watch) return;
    atomic_store(&watch->quit, true);
    if (watch->started) pthread_join(watch->thread, NULL);
    link_close(watch->link);
    pthread_mutex_destroy(&watch->gate);
    io_shared_close(&watch->memory);
    mem_free(watch->seen);
    mem_free(watch);
}
