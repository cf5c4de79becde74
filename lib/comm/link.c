/* SPDX-License-Identifier: Apache-2.0 */
/* Letters between the owners of boards, by MPI on a group of its own: four a second, and at once
 * when the reason for the end of the job is known. */
#include "comm/link.h"

#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "comm/comm_impl.h"
#include "comm/letter.h"
#include "comm/watch.h"

struct peer {
    int owner;
    struct letter *in, *out;
    size_t in_bytes, out_bytes;
    struct comm_transfer coming, going;
    bool receives, sends, told, ended; /* ended: its last letter has come, or it is lost */
    bool parted;                       /* our last letter has been begun */
    double sent;                       /* when the latest letter was begun */
};
struct link {
    struct world *w;
    struct board *b;
    comm_handle group;
    struct peer *peers;
    int n;
    atomic_bool leaving, done;
};
static const double PERIOD = 0.25, PART = 10; /* seconds */

/* ---- letters ---- */
/* The job has one reason, which another host tells. */
static void read_letter(struct link *l, struct peer *p)
{
    unsigned none = 0;
    p->ended = letter_read(p->in, l->b, l->w->place.size, p->owner);
    if (p->in->told && p->owner < l->w->place.rank)
        atomic_compare_exchange_strong(&l->b->speaker, &none, 1 + (unsigned)p->owner);
}

/* ---- sending and receiving ---- */
static void expect(struct link *l, struct peer *p)
{
    p->coming = (struct comm_transfer){0};
    p->receives = l->w->plugin->send_receive(l->group, NULL, 0, COMM_NOBODY, p->in, p->in_bytes,
                                             p->owner, &p->coming) == 0;
    p->ended = !p->receives;
}

/* Returns true if a letter has come. */
static bool receive(struct link *l, struct peer *p)
{
    int done = 0;
    if (!p->receives) return false;
    if (l->w->plugin->test(&p->coming, &done)) p->ended = true;
    if (!done && !p->ended) return false;
    p->receives = false;
    if (done) read_letter(l, p);
    if (!p->ended) expect(l, p);
    return done;
}

/* Letters wait for a watcher that gets no processor. Reading one a turn would take a host that has
 * fallen silent for alive as long as there are others. */
static void receive_all(struct link *l, struct peer *p)
{
    enum { MOST = 1000 };
    for (int n = 0; n < MOST && receive(l, p);) n++;
}

static void send(struct link *l, struct peer *p, double now)
{
    int done = 0;
    const bool last = atomic_load(&l->leaving), news = board_text(l->b) && !p->told;
    if (p->sends && (l->w->plugin->test(&p->going, &done) || done)) p->sends = false;
    if (p->sends || p->parted || (!last && !news && now - p->sent < PERIOD)) return;
    letter_write(p->out, l->b, l->w->place.size, l->w->place.rank, last);
    p->told = p->out->told;
    p->parted = last;
    p->sent = now;
    p->going = (struct comm_transfer){0};
    p->sends = l->w->plugin->send_receive(l->group, p->out, p->out_bytes, p->owner, NULL, 0,
                                          COMM_NOBODY, &p->going) == 0;
}

void link_turn(struct link *link)
{
    bool done = true;
    const double now = log_clock();
    for (int i = 0; link && i < link->n; i++) {
        struct peer *p = &link->peers[i];
        receive_all(link, p);
        send(link, p, now);
        done &= p->ended && p->parted && !p->sends;
    }
    if (link) atomic_store(&link->done, done);
}

void link_leave(struct link *link)
{
    const double start = log_clock();
    if (!link) return;
    atomic_store(&link->leaving, true);
    while (link->n && !atomic_load(&link->done) && !link->w->broken && log_clock() - start < PART)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

/* ---- opening ---- */
static int open_peer(struct link *l, int owner, struct err *e)
{
    struct peer *p = &l->peers[l->n];
    const int size = l->w->place.size;
    *p = (struct peer){.owner = owner,
                       .in_bytes = letter_bytes(letter_ranks(l->b, size, owner)),
                       .out_bytes = letter_bytes(letter_ranks(l->b, size, l->w->place.rank))};
    p->in = mem_alloc(p->in_bytes, 1, e);
    p->out = p->in ? mem_alloc(p->out_bytes, 1, e) : NULL;
    if (!p->out) {
        mem_free(p->in);
        return -1;
    }
    l->n++;
    return 0;
}

static int open_peers(struct link *l, struct err *e)
{
    const struct comm_place *p = &l->w->place;
    if (l->b->rank[p->rank].node != p->rank) return 0; /* not an owner */
    l->peers = mem_alloc((size_t)p->size, sizeof *l->peers, e);
    int rc = l->peers ? 0 : -1;
    for (int r = 0; r < p->size && rc == 0; r++)
        if (l->b->rank[r].node == r && r != p->rank) rc = open_peer(l, r, e);
    return rc;
}

static int open_group(struct link *l, struct err *e)
{
    const int n = l->w->place.size;
    struct comm_transfer none = {0};
    int *ranks = mem_alloc((size_t)n, sizeof *ranks, e);
    if (world_agree(l->w, ranks ? 0 : -1, e)) {
        mem_free(ranks);
        return -1;
    }
    for (int i = 0; i < n; i++) ranks[i] = i;
    const int code = l->w->plugin->group_open(ranks, n, &l->group);
    mem_free(ranks);
    return code ? world_complete(l->w, &none, code, (struct world_wait){0}, e) : 0;
}

/* Ranks of other hosts are there before their first letter, and can fall silent before it. */
static void expect_ranks(struct board *b, int ranks)
{
    for (int r = 0; r < ranks; r++) {
        unsigned unknown = BOARD_UNKNOWN;
        atomic_compare_exchange_strong(&b->rank[r].state, &unknown, BOARD_HERE);
    }
}

int link_open(struct link **link, struct world *w, struct board *b, struct err *e)
{
    bool several = false;
    *link = NULL;
    for (int r = 1; r < w->place.size; r++) several |= b->rank[r].node != b->rank[0].node;
    if (!several || !w->place.threads) return 0;
    struct link *l = mem_alloc(1, sizeof *l, e);
    if (l) *l = (struct link){.w = w, .b = b};
    const int rc = l ? open_peers(l, e) : -1;
    *link = l;
    if (world_agree(w, rc, e) || open_group(l, e)) return -1;
    for (int i = 0; i < l->n; i++) expect(l, &l->peers[i]);
    expect_ranks(b, w->place.size);
    return 0;
}

void link_close(struct link *link)
{
    if (!link) return;
    if (atomic_load(&link->leaving) && !link->w->broken) link->w->plugin->group_close(link->group);
    for (int i = 0; i < link->n; i++) {
        mem_free(link->peers[i].in);
        mem_free(link->peers[i].out);
    }
    mem_free(link->peers);
    mem_free(link);
}
