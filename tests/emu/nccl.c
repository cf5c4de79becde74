/* SPDX-License-Identifier: Apache-2.0 */
/* The NCCL functions that our programs use, between processes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "nccl_work.h"

#define EXPORT __attribute__((visibility("default")))
/* ---- communicators ---- */
EXPORT int ncclGetVersion(int *v) { return *v = 22809, NCCL_OK; }
EXPORT const char *ncclGetErrorString(int r)
{
    static const char *const texts[] = {"no error",       "unhandled cuda error", "system error",
                                        "internal error", "invalid argument",     "invalid usage",
                                        "remote error",   "operation in progress"};
    return r >= 0 && r <= NCCL_IN_PROGRESS ? texts[r] : "unknown result";
}
EXPORT const char *ncclGetLastError(struct ncclComm *c)
{
    (void)c;
    return nccl_error;
}

EXPORT int ncclGetUniqueId(struct nccl_id *id)
{
    static unsigned made;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    memset(id, 0, sizeof *id);
    snprintf(id->bytes, sizeof id->bytes, "/emu-nccl-%d-%u-%ld", (int)getpid(), made++, t.tv_nsec);
    return NCCL_OK;
}

EXPORT int ncclCommInitRankConfig(struct ncclComm **to, int ranks, struct nccl_id id, int rank,
                                  struct nccl_config *how)
{
    if (ranks < 1 || ranks > WIRE_RANKS || rank < 0 || rank >= ranks)
        return nccl_refuse(NCCL_INVALID_ARGUMENT, "a rank outside of its communicator");
    if (how && how->magic != NCCL_CONFIG_MAGIC)
        return nccl_refuse(NCCL_INVALID_ARGUMENT, "a configuration that is not initialised");
    struct ncclComm *c = calloc(1, sizeof *c);
    if (!c) return NCCL_SYSTEM_ERROR;
    *c = (struct ncclComm){.rank = rank, .ranks = ranks, .blocking = !how || how->blocking != 0};
    c->wire = wire_open(id.bytes, ranks, rank, runtime_device());
    LOCK(nccl_add(c););
    *to = c;
    while (c->blocking && !nccl_complete(c)) usleep(200);
    return c->blocking ? c->async : NCCL_IN_PROGRESS;
}
EXPORT int ncclCommInitRank(struct ncclComm **to, int ranks, struct nccl_id id, int rank)
{
    return ncclCommInitRankConfig(to, ranks, id, rank, NULL);
}

EXPORT int ncclCommGetAsyncError(struct ncclComm *c, int *result)
{
    LOCK(*result = nccl_poll(c););
    if (*result == NCCL_IN_PROGRESS) usleep(20);
    return NCCL_OK;
}

EXPORT int ncclCommFinalize(struct ncclComm *c)
{
    c->finalizing = true;
    return NCCL_IN_PROGRESS;
}

/* Work in streams may still name the communicator, so its memory stays. */
EXPORT int ncclCommAbort(struct ncclComm *c)
{
    LOCK(c->aborted = true; wire_end(c->wire); wire_forget(c->wire););
    return NCCL_OK;
}
EXPORT int ncclCommDestroy(struct ncclComm *c)
{
    if (c->finished < c->issued)
        nccl_refuse(NCCL_INVALID_USAGE, "a communicator is destroyed before its calls end");
    return ncclCommAbort(c);
}

/* ---- calls ---- */
static struct {
    int depth, n;
    struct op *op[8]; /* one for each communicator */
} group;

static struct op *op_new(struct ncclComm *c, cudaStream_t s)
{
    struct op *o = calloc(1, sizeof *o);
    if (!o) emu_die("out of memory");
    o->comm = c;
    o->stream = s;
    return o;
}

static void op_add(struct op *o, struct part p)
{
    o->part = realloc(o->part, (size_t)(o->parts + 1) * sizeof *o->part);
    if (!o->part) emu_die("out of memory");
    o->part[o->parts++] = p;
}

static size_t size_of(int type)
{
    static const size_t sizes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2};
    return type >= 0 && type < 10 ? sizes[type] : 0;
}

static uint64_t address(const void *p) { return (uint64_t)(uintptr_t)p; }

static int check(const struct ncclComm *c, const void *p, int type, int peer)
{
    if (!size_of(type)) return nccl_refuse(NCCL_INVALID_ARGUMENT, "a type that NCCL has not");
    if (peer < 0 || peer >= c->ranks)
        return nccl_refuse(NCCL_INVALID_ARGUMENT, "a peer outside of the communicator");
    if (!device_owns(address(p)))
        return nccl_refuse(NCCL_INVALID_ARGUMENT, "a buffer that is not device memory");
    return NCCL_OK;
}

/* Returns the op of the open group for a communicator, or a new one. */
static struct op *op_of(struct ncclComm *c, cudaStream_t s)
{
    for (int i = 0; i < group.n; i++)
        if (group.op[i]->comm == c) return group.op[i];
    struct op *o = op_new(c, s);
    if (group.depth && group.n < 8) group.op[group.n++] = o;
    return o;
}

static int point(struct ncclComm *c, const struct part *p, cudaStream_t s)
{
    char text[WIRE_TEXT];
    struct op *o = op_of(c, s);
    if (o->stream != s) return nccl_refuse(NCCL_INVALID_USAGE, "a group with calls in two streams");
    wire_describe(text, sizeof text, &p->letter, p->out);
    const size_t n = strlen(o->text);
    snprintf(o->text + n, sizeof o->text - n, "%s%s %s rank %d", n ? " and " : "", text,
             p->out ? "to" : "from", p->peer);
    op_add(o, *p);
    return group.depth ? NCCL_OK : nccl_issue(c, o);
}

EXPORT int ncclSend(const void *src, size_t n, int type, int to, struct ncclComm *c,
                    struct CUstream_st *s)
{
    if (check(c, src, type, to)) return NCCL_INVALID_ARGUMENT;
    const struct part p = {.letter = {LETTER_POINT, type, 0, n},
                           .peer = to,
                           .out = true,
                           .at = address(src),
                           .bytes = n * size_of(type)};
    LOCK(const int rc = point(c, &p, s););
    return rc;
}

EXPORT int ncclRecv(void *dst, size_t n, int type, int from, struct ncclComm *c,
                    struct CUstream_st *s)
{
    if (check(c, dst, type, from)) return NCCL_INVALID_ARGUMENT;
    const struct part p = {.letter = {LETTER_POINT, type, 0, n},
                           .peer = from,
                           .at = address(dst),
                           .bytes = n * size_of(type)};
    LOCK(const int rc = point(c, &p, s););
    return rc;
}

EXPORT int ncclGroupStart(void)
{
    LOCK(group.depth++;);
    return NCCL_OK;
}

EXPORT int ncclGroupEnd(void)
{
    int rc = NCCL_OK;
    LOCK(if (group.depth == 0) rc =
             nccl_refuse(NCCL_INVALID_USAGE, "a group ends that did not begin");
         else if (--group.depth == 0) {
             for (int i = 0; i < group.n; i++) {
                 const int one = nccl_issue(group.op[i]->comm, group.op[i]);
                 if (rc == NCCL_OK || rc == NCCL_IN_PROGRESS) rc = one ? one : rc;
             }
             group.n = 0;
         });
    return rc;
}

/* Queues a collective. Every rank exchanges its letter with every other one; parts without bytes
 * carry it alone. own: a copy on this device comes first. */
static int collective(struct op *o, void *dst, const void *src, size_t own)
{
    struct ncclComm *c = o->comm;
    if (group.depth)
        return nccl_refuse(NCCL_INVALID_USAGE, "a collective in a group is not emulated");
    if (o->parts) wire_describe(o->text, sizeof o->text, &o->part[0].letter, true);
    if (own && dst != src)
        stream_add(o->stream, &(struct work){.kind = WORK_COPY, .to = dst, .from = src, .n = own});
    return nccl_issue(c, o);
}

EXPORT int ncclAllGather(const void *src, void *dst, size_t n, int type, struct ncclComm *c,
                         struct CUstream_st *s)
{
    const size_t bytes = n * size_of(type);
    char *own = (char *)dst + (size_t)c->rank * bytes;
    if (check(c, src, type, 0) || check(c, dst, type, 0)) return NCCL_INVALID_ARGUMENT;
    struct op *o = op_new(c, s);
    for (int r = 0; r < c->ranks; r++) {
        struct part p = {.letter = {LETTER_GATHER, type, 0, n}, .peer = r, .bytes = bytes};
        if (r == c->rank) continue;
        p.at = address(dst) + (size_t)r * bytes;
        op_add(o, p);
        p.at = address(src), p.out = true;
        op_add(o, p);
    }
    LOCK(const int rc = collective(o, own, src, bytes););
    return rc;
}

EXPORT int ncclBroadcast(const void *src, void *dst, size_t n, int type, int root,
                         struct ncclComm *c, struct CUstream_st *s)
{
    const size_t bytes = n * size_of(type);
    if (check(c, dst, type, root)) return NCCL_INVALID_ARGUMENT;
    struct op *o = op_new(c, s);
    for (int r = 0; r < c->ranks; r++) {
        struct part p = {.letter = {LETTER_BROADCAST, type, root, n}, .peer = r};
        if (r == c->rank) continue;
        p.at = address(dst), p.bytes = r == root ? bytes : 0;
        op_add(o, p);
        p.at = address(src), p.out = true, p.bytes = c->rank == root ? bytes : 0;
        op_add(o, p);
    }
    LOCK(const int rc = collective(o, dst, src, c->rank == root ? bytes : 0););
    return rc;
}
