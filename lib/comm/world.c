/* SPDX-License-Identifier: Apache-2.0 */
/* The ranks of a job through a plugin; a world of one needs none. */
#include "comm/world.h"

#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "base/mem.h"

enum { MOST = 1 << 29 }; /* bytes a call: MPI counts in int */

struct world *world_self(void)
{
    static struct world self = {.place = {.size = 1, .node_size = 1}};
    return &self;
}

static int failed(struct world *w, int code, const char *what, struct err *e)
{
    char text[500];
    w->plugin->explain(code, text, sizeof text);
    w->broken = true;
    return err_set(e, ERR_DEVICE, "%s failed on rank %d: %s; was a rank lost?", what, w->place.rank,
                   text);
}

/* After a failure nobody can be met any more. */
static int gone(const struct world *w, struct err *e)
{
    return w->broken ? err_set(e, ERR_DEVICE, "the other ranks are lost") : 0;
}

int world_join(struct world *w, const char *plugin, struct err *e)
{
    *w = *world_self();
    const struct comm_plugin *p = comm_plugin_load(plugin, e);
    if (!p) return -1;
    w->plugin = p;
    int code = p->start(&w->place);
    if (code) return failed(w, code, "joining the other ranks", e);
    w->board = mem_alloc((size_t)w->place.size, WORLD_NOTE, e);
    if (!w->board) w->broken = true;
    return w->board ? 0 : -1;
}

void world_leave(struct world *w, int status)
{
    if (!w->plugin) return;
    if (w->broken)
        w->plugin->abandon(status);
    else
        w->plugin->finish();
    w->plugin = NULL;
    mem_free(w->board);
    w->board = NULL;
}

int world_gather(struct world *w, void *dst, const void *src, size_t bytes, struct err *e)
{
    if (!w->plugin) {
        if (dst != src) memcpy(dst, src, bytes);
        return 0;
    }
    if (gone(w, e)) return -1;
    int code = w->plugin->gather(dst, src, bytes);
    return code ? failed(w, code, "gathering", e) : 0;
}

int world_exchange(struct world *w, void *dst, const void *src, size_t bytes_each, struct err *e)
{
    if (!w->plugin) {
        if (dst != src) memcpy(dst, src, bytes_each);
        return 0;
    }
    if (gone(w, e)) return -1;
    int code = w->plugin->exchange(dst, src, bytes_each);
    return code ? failed(w, code, "an exchange", e) : 0;
}

int world_broadcast(struct world *w, void *buf, size_t bytes, int root, struct err *e)
{
    if (gone(w, e)) return -1;
    for (size_t at = 0; w->plugin && at < bytes; at += MOST) {
        size_t n = bytes - at < MOST ? bytes - at : MOST;
        int code = w->plugin->broadcast((char *)buf + at, n, root);
        if (code) return failed(w, code, "a broadcast", e);
    }
    return 0;
}

int world_send(struct world *w, const void *buf, size_t bytes, int to, struct err *e)
{
    if (!w->plugin) return err_set(e, ERR_INTERNAL, "send to rank %d of a world of 1", to);
    if (gone(w, e)) return -1;
    for (size_t at = 0; at < bytes; at += MOST) {
        size_t n = bytes - at < MOST ? bytes - at : MOST;
        int code = w->plugin->send((const char *)buf + at, n, to);
        if (code) return failed(w, code, "sending", e);
    }
    return 0;
}

int world_receive(struct world *w, void *buf, size_t bytes, int from, struct err *e)
{
    if (!w->plugin) return err_set(e, ERR_INTERNAL, "receive from rank %d of a world of 1", from);
    if (gone(w, e)) return -1;
    for (size_t at = 0; at < bytes; at += MOST) {
        size_t n = bytes - at < MOST ? bytes - at : MOST;
        int code = w->plugin->receive((char *)buf + at, n, from);
        if (code) return failed(w, code, "receiving", e);
    }
    return 0;
}

int world_barrier(struct world *w, struct err *e)
{
    if (gone(w, e)) return -1;
    int code = w->plugin ? w->plugin->barrier() : 0;
    return code ? failed(w, code, "waiting for the other ranks", e) : 0;
}

/* The end of a transfer of the side channel. Without a copy from process to process MPI moves some
 * 128 KiB each time it is asked, so naps are short at first, and long only where nothing comes for
 * many of them. */
static int side_wait(struct world *w, const char *what, struct err *e)
{
    enum { SHORTEST = 50000, LONGEST = 1000000 }; /* nanoseconds */
    for (long nap = SHORTEST;; nap += nap < LONGEST ? nap / 64 : 0) {
        int done = 0, code = w->plugin->side_done(&done);
        if (code) return failed(w, code, what, e);
        if (done) return 0;
        if (gone(w, e)) return -1;
        nanosleep(&(struct timespec){.tv_nsec = nap}, NULL);
    }
}

int world_side_send(struct world *w, const void *buf, size_t bytes, int to, struct err *e)
{
    if (gone(w, e)) return -1;
    int code = w->plugin->side_send(buf, bytes, to);
    return code ? failed(w, code, "sending", e) : side_wait(w, "sending", e);
}

int world_side_receive(struct world *w, void *buf, size_t bytes, int from, struct err *e)
{
    if (gone(w, e)) return -1;
    int code = w->plugin->side_receive(buf, bytes, from);
    return code ? failed(w, code, "receiving", e) : side_wait(w, "receiving", e);
}

const void *world_notes(struct world *w, const void *note, size_t bytes, struct err *e)
{
    if (!w->plugin) return note;
    if (bytes > WORLD_NOTE) {
        err_set(e, ERR_INTERNAL, "a note of %zu bytes", bytes);
        return NULL;
    }
    return world_gather(w, w->board, note, bytes, e) ? NULL : w->board;
}

int world_any(struct world *w, bool v, struct err *e)
{
    const unsigned char mine = v, *all = world_notes(w, &mine, 1, e);
    for (int i = 0; all && i < w->place.size; i++)
        if (all[i]) return 1;
    return all ? 0 : -1;
}

/* The lowest rank whose code is not 0; size when there is none; -1 on failure. */
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
    if (w->broken) return rc ? -1 : gone(w, e); /* there is nobody to agree with */
    if (rc && e->code == ERR_OK) err_set(e, ERR_INTERNAL, "failed without a reason");
    int from = first_failed(w, rc ? (int32_t)e->code : 0, e);
    if (from == w->place.size) return 0;
    if (from < 0) return -1;
    struct err said = *e;
    said.msg[sizeof said.msg - 1] = 0;
    if (world_broadcast(w, &said, sizeof said, from, e)) return -1;
    *e = said;
    return from ? err_prefix(e, "rank %d", from) : -1;
}

/* Ranks with equal values compete for the same CPUs. */
static uint64_t cpus_identity(const struct world *w, int cpus)
{
    struct {
        cpu_set_t set;
        int64_t node, cpus;
    } key;
    memset(&key, 0, sizeof key);
    if (sched_getaffinity(0, sizeof key.set, &key.set)) CPU_ZERO(&key.set); /* more than 1024 */
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
