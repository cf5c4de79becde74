/* SPDX-License-Identifier: Apache-2.0 */
/* The ranks of a job, connected by a plugin. A world of one rank needs none. */
#include "comm/world.h"

#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "base/mem.h"
#include "comm/comm_impl.h"
#include "comm/watch.h"

enum { CALL_MAX = 1 << 29 }; /* bytes of one call: MPI counts in int */

struct world *world_self(void)
{
    static struct world self = {.place = {.size = 1, .node_size = 1}};
    return &self;
}

/* The reason that is on the board is better than what MPI knows. */
static int failed(struct world *w, int code, struct err *e)
{
    char text[500];
    w->plugin->explain(code, text, sizeof text);
    w->broken = true;
    const char *reason = w->watch ? watch_reason(w->watch) : NULL;
    if (reason) return err_set(e, ERR_DEVICE, "%s", reason);
    return err_set(e, ERR_DEVICE, "rank %d: %s; was a rank lost?", w->place.rank, text);
}

int world_check(const struct world *w, struct err *e)
{
    if (!w->broken) return 0;
    const char *reason = w->watch ? board_text(watch_board(w->watch)) : NULL;
    return err_set(e, ERR_DEVICE, "%s", reason ? reason : "the other ranks are lost");
}

/* ---- waiting for a transfer ---- */
/* Pauses between two polls. Where MPI cannot copy from process to process, it moves about 128 KiB
 * per poll, so the pauses start short and grow slowly. *length: of the pause, in nanoseconds. */
static void pause_poll(bool sleep, long *length)
{
    enum { SHORTEST = 50000, LONGEST = 1000000 };
    if (!sleep) {
        sched_yield();
        return;
    }
    if (*length < SHORTEST) *length = SHORTEST;
    nanosleep(&(struct timespec){.tv_nsec = *length}, NULL);
    if (*length < LONGEST) *length += *length / 64;
}

int world_complete(struct world *w, struct comm_transfer *t, int code, struct world_wait how,
                   struct err *e)
{
    long length = 0;
    const double start = world_clock(w);
    for (;;) {
        int done = 0;
        if (code == 0) code = w->plugin->test(t, &done);
        if (code) return failed(w, code, e);
        if (done) return 0;
        if (world_check(w, e)) return -1;
        if (how.limited && world_late(w, start, e)) return -1;
        pause_poll(how.sleep, &length);
    }
}

struct comm_queue *world_queue(struct world *w, struct err *e)
{
    if (!w->queue) w->queue = comm_queue_open(false, e);
    return w->queue;
}

/* ---- joining and leaving ---- */
static int open_side(struct world *w, struct err *e)
{
    struct comm_transfer none = {0};
    int *ranks = mem_alloc((size_t)w->place.size, sizeof *ranks, e);
    if (!ranks) return -1;
    for (int i = 0; i < w->place.size; i++) ranks[i] = i;
    const int code = w->plugin->group_open(ranks, w->place.size, &w->side);
    mem_free(ranks);
    return code ? world_complete(w, &none, code, (struct world_wait){0}, e) : 0;
}

int world_join(struct world *w, const char *plugin, struct err *e)
{
    const struct world_hooks hooks = w->hooks;
    *w = *world_self();
    w->hooks = hooks;
    const struct comm_plugin *p = comm_plugin_load(plugin, e);
    if (!p) return -1;
    w->plugin = p;
    int code = p->start(&w->place);
    if (code) {
        failed(w, code, e);
        return err_prefix(e, "joining the other ranks");
    }
    w->notes = mem_alloc((size_t)w->place.size, WORLD_NOTE, e);
    if (w->notes && open_side(w, e) == 0 && (w->watch = watch_open(w, e))) return 0;
    w->broken = true;
    return -1;
}

void world_leave(struct world *w, int status)
{
    if (!w->plugin) return;
    comm_queue_close(w->queue);
    if (w->broken) {
        w->plugin->abandon(status);
    } else {
        if (w->watch) watch_leave(w->watch);
        w->plugin->group_close(w->side);
        w->plugin->finish();
        if (w->watch) watch_left(w->watch);
    }
    watch_close(w->watch);
    mem_free(w->notes);
    *w = *world_self();
}

/* ---- small exchanges of host memory ---- */
/* On the board they are collectives of "all", the first slot of a rank. */
static void enter(struct world *w, unsigned kind)
{
    struct board_slot *all = w->watch ? watch_mine(w->watch)->slot : NULL;
    if (all) world_enter(w, all, kind, atomic_load(&all->number) + 1);
}
static void leave(struct world *w)
{
    if (w->watch) world_exit(w, watch_mine(w->watch)->slot);
}

int world_broadcast(struct world *w, void *buf, size_t bytes, int root, struct err *e)
{
    if (world_check(w, e)) return -1;
    int rc = 0;
    enter(w, BOARD_BROADCAST);
    for (size_t at = 0; w->plugin && rc == 0 && at < bytes; at += CALL_MAX) {
        struct comm_transfer t = {0};
        const size_t n = bytes - at < CALL_MAX ? bytes - at : CALL_MAX;
        const int code = w->plugin->broadcast(w->place.all, (char *)buf + at, n, root, &t);
        rc = world_complete(w, &t, code, (struct world_wait){0}, e);
    }
    leave(w);
    return rc ? err_prefix(e, "a broadcast of rank %d", root) : 0;
}

int world_side_send(struct world *w, const void *buf, size_t bytes, int to, struct err *e)
{
    struct comm_transfer t = {0};
    if (!w->plugin) return err_set(e, ERR_INTERNAL, "send to rank %d of a world of 1", to);
    if (world_check(w, e)) return -1;
    const int code = w->plugin->send_receive(w->side, buf, bytes, to, NULL, 0, COMM_NOBODY, &t);
    if (world_complete(w, &t, code, (struct world_wait){.sleep = true}, e))
        return err_prefix(e, "sending to rank %d", to);
    return 0;
}

int world_side_receive(struct world *w, void *buf, size_t bytes, int from, struct err *e)
{
    struct comm_transfer t = {0};
    if (!w->plugin) return err_set(e, ERR_INTERNAL, "receive from rank %d of a world of 1", from);
    if (world_check(w, e)) return -1;
    const int code = w->plugin->send_receive(w->side, NULL, 0, COMM_NOBODY, buf, bytes, from, &t);
    if (world_complete(w, &t, code, (struct world_wait){.sleep = true}, e))
        return err_prefix(e, "receiving from rank %d", from);
    return 0;
}

/* One collective, whose bytes MPI counts in int on each rank. */
static int gather(struct world *w, void *dst, const void *src, size_t each, struct err *e)
{
    if (world_check(w, e)) return -1;
    struct comm_transfer t = {0};
    enter(w, BOARD_AGREEMENT);
    const int code = w->plugin->gather(w->place.all, dst, src, each, &t);
    const int rc = world_complete(w, &t, code, (struct world_wait){.limited = true}, e);
    leave(w);
    return rc ? err_prefix(e, "an agreement of all ranks") : 0;
}

const void *world_notes(struct world *w, const void *note, size_t bytes, struct err *e)
{
    if (!w->plugin) return note;
    if (bytes > WORLD_NOTE) {
        err_set(e, ERR_INTERNAL, "a note of %zu bytes", bytes);
        return NULL;
    }
    return gather(w, w->notes, note, bytes, e) ? NULL : w->notes;
}

int world_gather(struct world *w, void *dst, const void *src, size_t each, struct err *e)
{
    if (each > CALL_MAX) return err_set(e, ERR_INTERNAL, "a gather of %zu bytes a rank", each);
    if (w->plugin) return gather(w, dst, src, each, e);
    memcpy(dst, src, each);
    return 0;
}

int world_any(struct world *w, bool v, struct err *e)
{
    const unsigned char mine = v, *all = world_notes(w, &mine, 1, e);
    for (int i = 0; all && i < w->place.size; i++)
        if (all[i]) return 1;
    return all ? 0 : -1;
}

/* Returns the lowest rank whose code is not 0; size when there is none; -1 on failure. */
static int first_failed(struct world *w, int32_t code, struct err *e)
{
    const int32_t *all = world_notes(w, &code, sizeof code, e);
    int at = 0;
    while (all && at < w->place.size && all[at] == 0) at++;
    return all ? at : -1;
}

int world_agree(struct world *w, int rc, struct err *e)
{
    if (!w->plugin) return rc ? -1 : 0;
    if (w->broken) return rc ? -1 : world_check(w, e); /* the other ranks do not answer */
    if (rc && e->code == ERR_OK) err_set(e, ERR_INTERNAL, "failed without a reason");
    int from = first_failed(w, rc ? (int32_t)e->code : 0, e);
    if (from == w->place.size) return 0;
    if (from < 0) return -1;
    struct err first = *e;
    first.msg[sizeof first.msg - 1] = 0;
    if (world_broadcast(w, &first, sizeof first, from, e)) return -1;
    *e = first;
    return from ? err_prefix(e, "rank %d", from) : -1;
}

/* Identifies the CPUs of this rank: ranks with equal values compete for the same CPUs. */
static uint64_t cpus_identity(const struct world *w, int cpus)
{
    struct {
        cpu_set_t set;
        int64_t node, cpus;
    } key;
    memset(&key, 0, sizeof key);
    if (sched_getaffinity(0, sizeof key.set, &key.set)) CPU_ZERO(&key.set); /* over 1024 CPUs */
    key.node = w->place.node;
    key.cpus = cpus;
    return hash64(&key, sizeof key, 0);
}

int world_share_cpus(struct world *w, int cpus, int *share, struct err *e)
{
    *share = cpus;
    if (!w->plugin) return 0;
    const uint64_t mine = cpus_identity(w, cpus), *all = world_notes(w, &mine, sizeof mine, e);
    int ranks = 0;
    for (int i = 0; all && i < w->place.size; i++) ranks += all[i] == mine;
    if (!all) return -1;
    *share = cpus / ranks > 1 ? cpus / ranks : 1;
    return 0;
}
