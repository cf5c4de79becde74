/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of GPUs: opening, order, progress and failures. Collectives are queued in the second queue
 * of the device and complete without the host. While the host waits for the device it observes
 * them: one that takes too long, or that NCCL reports as failed, breaks the world, and all groups
 * of the device are aborted, since the device would wait for ever. */
#include "comm/nccl.h"

#include <sched.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/plugin.h"

static const struct nccl_plugin *load_plugin(struct err *e)
{
    const struct plugin p = {.file = "cuda.so",
                             .symbol = NCCL_PLUGIN_SYMBOL,
                             .missing = "this build has no CUDA; install the CUDA toolkit (nvcc "
                                        "12.8 or later), then run make again",
                             .broken = "are the CUDA runtime and cuBLASLt where it can find them "
                                       "(LD_LIBRARY_PATH)?",
                             .version = NCCL_PLUGIN_VERSION};
    return plugin_load(&p, e);
}

/* ---- the board ---- */
static const struct comm_call *oldest(const struct nccl *n)
{
    return &n->ring[n->done % NCCL_CALLS];
}
/* Shows on the board that the device is in the oldest call, or that it is in none. */
static void show(struct nccl *n)
{
    n->begun = n->done + 1;
    n->since = world_clock(n->world);
    world_enter(n->world, n->c.slot, oldest(n)->kind, n->begun);
}
static void hide(struct nccl *n)
{
    if (n->begun) world_exit(n->world, n->c.slot);
    n->begun = 0;
}

/* ---- failures ---- */
static struct nccl *nccl_watching(struct device_watch *w) { return (struct nccl *)(void *)w; }

static void give_up(struct nccl *n)
{
    if (n->group) n->plugin->abort(n->group);
    n->group = NULL;
    n->done = n->queued;
    hide(n);
}

/* Ends all groups of the device with the failure of one of them: their work shares a queue. They
 * are aborted together, since the end of one may need that of another whose work comes first. */
static void give_all_up(struct nccl *n, const struct err *e)
{
    n->world->broken = true;
    for (struct device_watch *w = n->c.device->watch; w; w = w->next) {
        struct nccl *x = nccl_watching(w);
        if (x == n || x->done < x->queued) comm_fail(&x->c, e);
    }
    n->plugin->begin();
    for (struct device_watch *w = n->c.device->watch; w; w = w->next) give_up(nccl_watching(w));
    n->plugin->end();
}

/* ---- progress ---- */
static int slot_of(uint64_t call) { return (int)(call % NCCL_CALLS) * 2; }

/* Asks NCCL for an error, and the device for calls that it has completed. */
static int observe(struct nccl *n, struct err *e)
{
    bool past = true, settled;
    int code = n->plugin->settled(n->group, &settled);
    while (!code && past && n->done < n->queued) {
        code = n->plugin->noted(n->group, slot_of(n->done) + 1, &past);
        n->done += past && !code;
    }
    if (n->begun && n->begun <= n->done) hide(n);
    return nccl_check(n, code, e) ? -1 : world_check(n->world, e);
}

/* Fails when the device has been in the oldest call for too long. */
static int check_time(struct nccl *n, struct err *e)
{
    bool in = false;
    if (n->done == n->queued) return 0;
    if (nccl_check(n, n->plugin->noted(n->group, slot_of(n->done), &in), e)) return -1;
    if (!in) return 0; /* the device has earlier work */
    if (n->begun != n->done + 1) show(n);
    return world_late(n->world, n->since, e);
}

static void nccl_look(struct device_watch *w)
{
    struct err e;
    struct nccl *n = nccl_watching(w);
    if (!n->group || n->done == n->queued) return;
    if (observe(n, &e) == 0 && check_time(n, &e) == 0) return;
    comm_prefix(&e, oldest(n), n->members);
    give_all_up(n, &e);
}

/* ---- the operations of a group ---- */
/* Queues a call between its notes. */
static int queue(struct nccl *n, const struct comm_call *k, struct err *e)
{
    struct device *d = n->c.device;
    const int slot = slot_of(n->queued);
    d->ops->after(d, QUEUE_COMM);
    if (nccl_check(n, n->plugin->note(n->group, slot), e) || nccl_queue_call(n, k, e)) return -1;
    return nccl_check(n, n->plugin->note(n->group, slot + 1), e);
}

/* When the ring is full, its oldest call is no longer observed. */
static void nccl_run(struct comm *c, const struct comm_call *k)
{
    struct err e;
    struct nccl *n = nccl_of(c);
    if (comm_check(c, k, &e)) {
        comm_fail(c, &e);
        return;
    }
    int rc =
        n->group ? world_check(n->world, &e) : err_set(&e, ERR_DEVICE, "the other ranks are lost");
    if (rc == 0) {
        if (n->queued - n->done == NCCL_CALLS) n->done++;
        n->ring[n->queued % NCCL_CALLS] = *k;
        rc = queue(n, k, &e);
        n->queued++;
    }
    if (rc == 0) return;
    comm_prefix(&e, k, n->members);
    give_all_up(n, &e);
}

static void nccl_join(struct comm *c) { c->device->ops->after(c->device, QUEUE_COMPUTE); }

static int nccl_finish(struct comm *c, struct err *e)
{
    struct nccl *n = nccl_of(c);
    while (n->done < n->queued) {
        device_look(c->device);
        sched_yield();
    }
    return comm_take_failure(c, e);
}

static void unwatch(struct nccl *n)
{
    struct device_watch **at = &n->c.device->watch;
    while (*at && *at != &n->watch) at = &(*at)->next;
    if (*at) *at = n->watch.next;
}

static void nccl_close(struct comm *c)
{
    struct err e;
    struct nccl *n = nccl_of(c);
    nccl_finish(c, NULL);
    unwatch(n);
    if (n->group && !n->world->broken && n->plugin->finalize(n->group) == 0 &&
        nccl_settle(n, &e) == 0)
        n->plugin->close(n->group);
    else
        give_up(n);
    world_unmark(c->slot);
    mem_free(n);
}

static const struct comm_ops nccl_ops = {.name = "nccl",
                                         .close = nccl_close,
                                         .room = nccl_room,
                                         .run = nccl_run,
                                         .join = nccl_join,
                                         .finish = nccl_finish};

/* ---- opening ---- */
/* The communicator's id, from the group's first rank, and whether all ranks could load NCCL. */
struct hello {
    int32_t failed;
    char id[NCCL_ID_BYTES];
};

static int exchange_hello(struct nccl *n, comm_handle members, struct hello *all, struct err *e)
{
    struct comm_transfer t = {0};
    const struct world_wait how = {.limited = true};
    struct hello mine = all[n->c.rank];
    const int code = n->world->plugin->gather(members, all, &mine, sizeof mine, &t);
    return world_complete(n->world, &t, code, how, e);
}

/* Gathers the hellos of all ranks by the plugin of the world. */
static int meet(struct nccl *n, const int *ranks, struct hello *all, struct err *e)
{
    comm_handle members;
    struct comm_transfer none = {0};
    const struct comm_plugin *p = n->world->plugin;
    const int code = p->group_open(ranks, n->c.size, &members);
    if (code) return world_complete(n->world, &none, code, (struct world_wait){0}, e);
    const int rc = exchange_hello(n, members, all, e);
    if (rc == 0) p->group_close(members);
    return rc;
}

/* Loads NCCL here; a failure is told to the other ranks first, which would wait for this one. */
static int prepare(struct nccl *n, struct hello *mine, struct err *e)
{
    n->plugin = load_plugin(e);
    if (!n->plugin || n->plugin->load(e)) return -1;
    return n->c.rank == 0 ? nccl_check(n, n->plugin->identify(mine->id), e) : 0;
}

static int open_group(struct nccl *n, const int *ranks, struct hello *all, struct err *e)
{
    struct err other;
    const int rc = prepare(n, &all[n->c.rank], e);
    all[n->c.rank].failed = rc != 0;
    if (meet(n, ranks, all, rc ? &other : e) || rc) return -1;
    for (int r = 0; r < n->c.size; r++)
        if (all[r].failed)
            return err_set(e, ERR_DEVICE, "rank %d cannot load NCCL (libnccl.so.2)", ranks[r]);
    const int code = n->plugin->open(n->c.device, all[0].id, n->c.size, n->c.rank, &n->group);
    if (nccl_check(n, code, e) || nccl_settle(n, e)) {
        n->world->broken = true; /* the other ranks wait for this one */
        return err_prefix(e, "opening the group of %s", n->members);
    }
    return 0;
}

struct comm *nccl_group_open(struct world *w, struct device *d, const int *ranks, int size,
                             int rank, struct err *e)
{
    struct nccl *n = mem_alloc(1, sizeof *n, e);
    struct hello *all = n ? mem_alloc((size_t)size, sizeof *all, e) : NULL;
    if (!all) {
        mem_free(n);
        return NULL;
    }
    n->c = (struct comm){.ops = &nccl_ops,
                         .label = "group",
                         .rank = rank,
                         .size = size,
                         .device = d,
                         .direct = true};
    n->world = w;
    n->watch = (struct device_watch){nccl_look, d->watch};
    d->watch = &n->watch;
    comm_name_members(n->members, ranks, size);
    const int rc = open_group(n, ranks, all, e);
    mem_free(all);
    if (rc == 0) return &n->c;
    comm_close(&n->c);
    return NULL;
}
