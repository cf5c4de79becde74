/* SPDX-License-Identifier: Apache-2.0 */
/* Streams and events. Work begins only when the host waits for it, or when another process does
 * (see nccl.c). A random stream among the ready ones runs next, so that a missing wait between
 * streams shows. Copies read their source at that time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime.h"

struct CUstream_st {
    struct work *first, **last;
    struct CUstream_st *next;
};
struct CUevent_st {
    uint64_t recorded, done; /* versions: requested, reached */
    double at;               /* seconds */
};
static struct CUstream_st default_stream, *streams = &default_stream;
static uint64_t seed;

static struct CUstream_st *stream_of(cudaStream_t s)
{
    struct CUstream_st *x =
        s && s != cudaStreamLegacy && s != cudaStreamPerThread ? s : &default_stream;
    if (!x->last) x->last = &x->first;
    return x;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

cudaError_t stream_add(cudaStream_t s, const struct work *w)
{
    struct CUstream_st *x = stream_of(s);
    struct work *copy = malloc(sizeof *copy);
    if (!copy) emu_die("out of memory");
    *copy = *w;
    copy->next = NULL;
    *x->last = copy;
    x->last = &copy->next;
    return runtime_error();
}

/* ---- one piece of work ---- */
/* Returns the emulator's view of one side of a copy; NULL: inaccessible memory. */
static void *side(const void *p, size_t n)
{
    const uint64_t address = (uint64_t)(uintptr_t)p;
    return device_owns(address) ? device_see(address, n) : (void *)(uintptr_t)p;
}

static cudaError_t outside(const char *what, const void *p, size_t n)
{
    fprintf(stderr, "emulator: a %s of %zu bytes at %p leaves its allocation\n", what, n, p);
    return runtime_fail(cudaErrorIllegalAddress);
}

static cudaError_t copy(const struct work *w)
{
    void *to = side(w->to, w->n);
    const void *from = side(w->from, w->n);
    if (!to || !from) return outside("copy", to ? w->from : w->to, w->n);
    memmove(to, from, w->n);
    if (!device_owns((uint64_t)(uintptr_t)w->to)) return cudaSuccess;
    unsigned char *known = device_known((uint64_t)(uintptr_t)w->to);
    if (device_owns((uint64_t)(uintptr_t)w->from))
        memmove(known, device_known((uint64_t)(uintptr_t)w->from), w->n);
    else
        memset(known, 1, w->n);
    return cudaSuccess;
}

static cudaError_t set(const struct work *w)
{
    void *to = side(w->to, w->n);
    if (!to) return outside("memset", w->to, w->n);
    memset(to, w->value, w->n);
    if (device_owns((uint64_t)(uintptr_t)w->to))
        memset(device_known((uint64_t)(uintptr_t)w->to), 1, w->n);
    return cudaSuccess;
}

/* Runs a launch; EMU_TRACE=1 prints each launch and its seconds. */
static cudaError_t launch(struct launch *l)
{
    const double start = now();
    l->seed = random_next(&seed);
    const int failed = launch_run(l);
    if (emu_setting("EMU_TRACE", 0))
        fprintf(stderr, "emulator: %.3f s, %u,%u,%u blocks of %u,%u,%u: %s\n", now() - start,
                l->grid[0], l->grid[1], l->grid[2], l->size[0], l->size[1], l->size[2],
                l->kernel->name);
    return failed ? runtime_fail(cudaErrorLaunchFailure) : cudaSuccess;
}

static cudaError_t run(struct work *w)
{
    switch (w->kind) {
    case WORK_LAUNCH:
        return launch(&w->launch);
    case WORK_COPY:
        return copy(w);
    case WORK_SET:
        return set(w);
    case WORK_CALL:
    case WORK_ASK:
        w->call(w->arg);
        return cudaSuccess;
    case WORK_RECORD:
        if (w->event->done < w->version) w->event->done = w->version;
        w->event->at = now();
        return cudaSuccess;
    default:
        return cudaSuccess;
    }
}

static bool ready(const struct CUstream_st *x)
{
    const struct work *w = x->first;
    if (!w || runtime_error()) return w;
    if (w->kind == WORK_WAIT) return w->event->done >= w->version;
    return w->kind != WORK_ASK || w->ask(w->arg);
}

static struct CUstream_st *any_ready(void)
{
    unsigned n = 0;
    struct CUstream_st *chosen = NULL;
    for (struct CUstream_st *x = streams; x; x = x->next)
        if (ready(x) && random_next(&seed) % ++n == 0) chosen = x;
    return chosen;
}

static void step(struct CUstream_st *x)
{
    struct work *w = x->first;
    x->first = w->next;
    if (!x->first) x->last = &x->first;
    if (!runtime_error()) run(w);
    free(w->launch.params);
    free(w);
}

static bool busy(const struct CUstream_st *only)
{
    if (only) return only->first;
    for (struct CUstream_st *x = streams; x; x = x->next)
        if (x->first) return true;
    return false;
}

bool stream_step(void)
{
    if (!seed) seed = (uint64_t)emu_setting("EMU_SEED", 1);
    struct CUstream_st *x = any_ready();
    if (x) step(x);
    return x;
}

/* Lets other threads and processes run, if work waits for them. */
static void idle(void)
{
    bool asks = false;
    for (struct CUstream_st *x = streams; x; x = x->next)
        if (x->first && x->first->kind == WORK_ASK) asks = true;
    if (!asks) emu_die("streams wait for events that no stream records");
    pthread_mutex_unlock(&runtime_lock);
    usleep(50);
    pthread_mutex_lock(&runtime_lock);
}

static void go_on(void)
{
    if (!stream_step()) idle();
}

cudaError_t stream_drain(cudaStream_t s)
{
    const struct CUstream_st *only = s ? stream_of(s) : NULL;
    while (busy(only)) go_on();
    return runtime_error();
}

/* ---- the interface ---- */
#define LOCKED(...)                                                                                \
    pthread_mutex_lock(&runtime_lock);                                                             \
    __VA_ARGS__                                                                                    \
    pthread_mutex_unlock(&runtime_lock)

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags)
{
    (void)flags;
    struct CUstream_st *x = calloc(1, sizeof *x);
    if (!x) return cudaErrorMemoryAllocation;
    LOCKED(x->next = streams; x->last = &x->first; streams = x;);
    *s = x;
    return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t *s) { return cudaStreamCreateWithFlags(s, 0); }

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    LOCKED(cudaError_t e = stream_drain(s);
           for (struct CUstream_st **p = &streams; *p; p = &(*p)->next) if (*p == s) {
               *p = s->next;
               break;
           });
    free(s);
    return e;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    LOCKED(cudaError_t e = stream_drain(stream_of(s)););
    return e;
}
/* Queries run some pending work. */
cudaError_t cudaStreamQuery(cudaStream_t s)
{
    LOCKED(if (busy(stream_of(s))) go_on(); cudaError_t rc = runtime_error();
           if (!rc && busy(stream_of(s))) rc = cudaErrorNotReady;);
    return rc;
}
cudaError_t cudaDeviceSynchronize(void)
{
    LOCKED(cudaError_t e = stream_drain(NULL););
    return e;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags)
{
    (void)flags;
    *e = calloc(1, sizeof **e);
    return *e ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaEventCreate(cudaEvent_t *e) { return cudaEventCreateWithFlags(e, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    LOCKED(stream_drain(NULL););
    free(e);
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    LOCKED(cudaError_t rc = stream_add(
               s, &(struct work){.kind = WORK_RECORD, .event = e, .version = ++e->recorded}););
    return rc;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned flags)
{
    (void)flags;
    LOCKED(cudaError_t rc = stream_add(
               s, &(struct work){.kind = WORK_WAIT, .event = e, .version = e->recorded}););
    return rc;
}
cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    LOCKED(while (!runtime_error() && e->done < e->recorded) go_on();
           cudaError_t rc = runtime_error(););
    return rc;
}
cudaError_t cudaEventQuery(cudaEvent_t e)
{
    LOCKED(if (!runtime_error() && e->done < e->recorded) go_on(); cudaError_t rc = runtime_error();
           if (!rc && e->done < e->recorded) rc = cudaErrorNotReady;);
    return rc;
}
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    LOCKED(const bool done = from->done == from->recorded && to->done == to->recorded &&
                             from->recorded && to->recorded;
           *ms = (float)((to->at - from->at) * 1e3););
    return done ? cudaSuccess : cudaErrorNotReady;
}
