/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between processes. Each pair of ranks has a channel for each direction, which holds one
 * chunk. A rank publishes the call that it is in, so that the others find calls that do not match
 * and ranks that wait for one another in a circle. */
#include "wire.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CHUNK = 128 << 10 };
struct channel {
    _Atomic uint64_t posted, taken; /* chunks */
    struct letter letter;
    size_t bytes;
    unsigned char data[CHUNK], known[CHUNK];
};
/* A rank. The version is odd while the members change. */
struct place {
    _Atomic uint64_t version;
    _Atomic int attached, device, busy;
    _Atomic int out[WIRE_RANKS], in[WIRE_RANKS]; /* messages that are not posted, or not taken */
    char text[WIRE_TEXT];
};
enum { FINE, FAILING, FAILED };
struct shared {
    _Atomic int ranks, arrived, failed;
    char why[2 * WIRE_TEXT + 80];
    struct place place[WIRE_RANKS];
    struct channel channel[WIRE_RANKS][WIRE_RANKS]; /* from, to */
};
struct wire {
    struct shared *s;
    int ranks, rank;
    char name[64];
};

/* ---- opening and failing ---- */
struct wire *wire_open(const char *name, int ranks, int rank, int device)
{
    struct wire *w = calloc(1, sizeof *w);
    const int file = shm_open(name, O_CREAT | O_RDWR, 0600);
    if (!w || file < 0 || ftruncate(file, sizeof *w->s)) emu_die("no memory for a communicator");
    w->s = mmap(NULL, sizeof *w->s, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (w->s == MAP_FAILED) emu_die("no addresses for a communicator");
    snprintf(w->name, sizeof w->name, "%s", name);
    w->ranks = ranks, w->rank = rank;
    int before = 0;
    if (!atomic_compare_exchange_strong(&w->s->ranks, &before, ranks) && before != ranks)
        wire_fail(w, "rank %d opens a communicator of %d ranks, another rank one of %d", rank,
                  ranks, before);
    if (atomic_exchange(&w->s->place[rank].attached, 1))
        wire_fail(w, "two processes open a communicator as rank %d", rank);
    w->s->place[rank].device = device;
    atomic_fetch_add(&w->s->arrived, 1);
    return w;
}

void wire_forget(const struct wire *w) { shm_unlink(w->name); }

bool wire_complete(struct wire *w)
{
    if (w->s->arrived < w->ranks) return false;
    for (int a = 0; a < w->ranks; a++)
        for (int b = a + 1; b < w->ranks; b++)
            if (w->s->place[a].device == w->s->place[b].device)
                wire_fail(w, "ranks %d and %d are both on device %d", a, b, w->s->place[a].device);
    return true;
}

const char *wire_failure(const struct wire *w) { return w->s->failed == FAILED ? w->s->why : NULL; }

void wire_fail(struct wire *w, const char *text, ...)
{
    va_list a;
    int before = FINE;
    if (!atomic_compare_exchange_strong(&w->s->failed, &before, FAILING)) return;
    va_start(a, text);
    vsnprintf(w->s->why, sizeof w->s->why, text, a);
    va_end(a);
    fprintf(stderr, "emulator: nccl: %s\n", w->s->why);
    w->s->failed = FAILED;
}

/* ---- what a rank is in ---- */
static void change(struct wire *w) { atomic_fetch_add(&w->s->place[w->rank].version, 1); }

void wire_begin(struct wire *w, const struct op *o)
{
    struct place *p = &w->s->place[w->rank];
    change(w);
    for (int i = 0; i < o->parts; i++)
        atomic_fetch_add(&(o->part[i].out ? p->out : p->in)[o->part[i].peer], 1);
    memcpy(p->text, o->text, sizeof p->text);
    p->busy = 1;
    change(w);
}

void wire_end(struct wire *w)
{
    struct place *p = &w->s->place[w->rank];
    change(w);
    for (int i = 0; i < WIRE_RANKS; i++) p->out[i] = p->in[i] = 0;
    p->busy = 0;
    change(w);
}

static bool sends(const struct wire *w, int from, int to)
{
    const struct channel *c = &w->s->channel[from][to];
    return w->s->place[from].out[to] > 0 || c->posted > c->taken;
}

bool wire_wanted(const struct wire *w)
{
    for (int r = 0; r < w->ranks; r++)
        if (r != w->rank && w->s->place[r].busy &&
            (sends(w, r, w->rank) || w->s->place[r].in[w->rank] > 0))
            return true;
    return false;
}

/* ---- one part ---- */
void wire_describe(char *text, size_t size, const struct letter *l, bool out)
{
    static const char *const types[] = {"int8",   "uint8",   "int32",   "uint32",  "int64",
                                        "uint64", "float16", "float32", "float64", "bfloat16"};
    const char *name = l->kind == LETTER_GATHER      ? "ncclAllGather"
                       : l->kind == LETTER_BROADCAST ? "ncclBroadcast"
                       : out                         ? "ncclSend"
                                                     : "ncclRecv";
    const int n =
        snprintf(text, size, "%s of %llu %s", name, (unsigned long long)l->count, types[l->type]);
    if (l->kind == LETTER_BROADCAST && (size_t)n < size)
        snprintf(text + n, size - (size_t)n, " from rank %d", l->root);
}

static bool same(const struct letter *a, const struct letter *b)
{
    return a->kind == b->kind && a->type == b->type && a->count == b->count && a->root == b->root;
}

static void differ(struct wire *w, const struct part *p, const struct letter *theirs)
{
    char mine[WIRE_TEXT], other[WIRE_TEXT];
    wire_describe(mine, sizeof mine, &p->letter, false);
    wire_describe(other, sizeof other, theirs, true);
    wire_fail(w, "calls do not match: rank %d calls %s, and rank %d %s", p->peer, other, w->rank,
              mine);
}

static bool post(struct wire *w, struct part *p)
{
    struct channel *c = &w->s->channel[w->rank][p->peer];
    if (c->posted > c->taken) return false;
    if (p->posted) return p->done = true;
    c->bytes = p->bytes - p->moved < CHUNK ? p->bytes - p->moved : CHUNK;
    c->letter = p->letter;
    if (c->bytes) {
        const void *from = device_see(p->at + p->moved, c->bytes);
        if (!from) wire_fail(w, "rank %d sends from outside of an allocation", w->rank);
        if (!from) return false;
        memcpy(c->data, from, c->bytes);
        memcpy(c->known, device_known(p->at + p->moved), c->bytes);
    }
    p->moved += c->bytes;
    p->posted = p->moved == p->bytes;
    change(w);
    if (p->posted) atomic_fetch_sub(&w->s->place[w->rank].out[p->peer], 1);
    atomic_fetch_add(&c->posted, 1);
    change(w);
    return true;
}

static bool take(struct wire *w, struct part *p)
{
    struct channel *c = &w->s->channel[p->peer][w->rank];
    if (c->posted == c->taken) return false;
    if (!p->begun && !same(&c->letter, &p->letter)) {
        differ(w, p, &c->letter);
        return false;
    }
    p->begun = true;
    if (c->bytes) {
        void *to = device_see(p->at + p->moved, c->bytes);
        if (!to) wire_fail(w, "rank %d receives outside of an allocation", w->rank);
        if (!to) return false;
        memcpy(to, c->data, c->bytes);
        memcpy(device_known(p->at + p->moved), c->known, c->bytes);
    }
    p->moved += c->bytes;
    p->done = p->moved == p->bytes;
    change(w);
    if (p->done) atomic_fetch_sub(&w->s->place[w->rank].in[p->peer], 1);
    atomic_fetch_add(&c->taken, 1);
    change(w);
    return true;
}

/* Messages of one direction between two ranks follow one another. */
static bool pass(struct wire *w, struct op *o)
{
    bool waits[2][WIRE_RANKS] = {{false}}, moved = false;
    for (int i = 0; i < o->parts; i++) {
        struct part *p = &o->part[i];
        if (p->done || waits[p->out][p->peer]) continue;
        if (p->out ? post(w, p) : take(w, p)) moved = true;
        if (!p->done) waits[p->out][p->peer] = true;
    }
    return moved;
}

bool wire_advance(struct wire *w, struct op *o)
{
    while (!wire_failure(w) && pass(w, o)) {}
    for (int i = 0; i < o->parts; i++)
        if (!o->part[i].done) return false;
    return true;
}

/* ---- circles ---- */
/* Returns true if rank a is in a call that needs b, and b in one that does not answer it. */
static bool waits_for(const struct wire *w, int a, int b)
{
    const struct place *x = &w->s->place[a], *y = &w->s->place[b];
    if (a == b || !x->busy || !y->busy) return false;
    return (sends(w, a, b) && y->in[a] == 0) || (x->in[b] > 0 && !sends(w, b, a));
}

/* Goes from rank to rank along waits; before[]: from which one each was reached, -1: not yet. */
static bool find_circle(const struct wire *w, bool waits[WIRE_RANKS][WIRE_RANKS], int before[])
{
    int line[WIRE_RANKS], n = 0, at = 0;
    for (int r = 0; r < w->ranks; r++) before[r] = -1;
    line[n++] = w->rank;
    while (at < n) {
        const int a = line[at++];
        for (int b = 0; b < w->ranks; b++) {
            if (!waits[a][b] || before[b] >= 0) continue;
            before[b] = a;
            if (b == w->rank) return true;
            line[n++] = b;
        }
    }
    return false;
}

/* A circle is certain if no rank changed while it was read: the calls in it never end. */
void wire_check_circle(struct wire *w)
{
    uint64_t version[WIRE_RANKS];
    bool waits[WIRE_RANKS][WIRE_RANKS];
    int before[WIRE_RANKS];
    char text[2 * WIRE_TEXT] = "";
    for (int r = 0; r < w->ranks; r++) version[r] = w->s->place[r].version;
    for (int a = 0; a < w->ranks; a++)
        for (int b = 0; b < w->ranks; b++) waits[a][b] = waits_for(w, a, b);
    if (!find_circle(w, waits, before)) return;
    int r = w->rank;
    do {
        const size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, "%srank %d is in %s", n ? ", " : "", r,
                 w->s->place[r].text);
        r = before[r];
    } while (r != w->rank);
    for (int k = 0; k < w->ranks; k++)
        if (version[k] % 2 || version[k] != w->s->place[k].version) return;
    wire_fail(w, "ranks wait for one another: %s", text);
}
