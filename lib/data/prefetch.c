/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of depth + 1 steps: the one in training, and those that are ready. */
#include "data/prefetch_impl.h"

#include <pthread.h>

#include "base/mem.h"

struct prefetch {
    int (*read)(void *arg, struct feed_step *s, struct err *e);
    void *arg;
    struct feed_step *ring; /* step k lies in ring[k % (depth + 1)] */
    unsigned depth;
    bool threaded;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t made_one, took_one;
    /* guarded by the lock */
    uint64_t made, taken; /* steps; taken <= made <= taken + depth */
    bool over, stop;      /* over: no step follows `made`, and rc and why tell the reason;
                             stop: the reader ends */
    int rc;
    struct err why;
};

/* ---- memory ---- */
enum { ALIGN = 64 };

/* Adds count elements of size to *at, aligned; their offset, or SIZE_MAX. */
static size_t part(size_t *at, uint64_t count, size_t size)
{
    size_t begin = *at, bytes;
    if (begin == SIZE_MAX || count > SIZE_MAX || mem_mul((size_t)count, size, &bytes) ||
        mem_add(bytes, begin + ALIGN - 1, &bytes)) {
        *at = SIZE_MAX;
        return SIZE_MAX;
    }
    *at = bytes / ALIGN * ALIGN;
    return begin;
}

struct places {
    size_t samples, rows, ids, weights, end;
};
static struct places lay_out(const struct feed_room *r)
{
    struct places l = {0};
    l.samples = part(&l.end, r->samples, sizeof(struct feed_sample));
    l.rows = part(&l.end, r->rows, sizeof(struct feed_row));
    l.ids = part(&l.end, r->tokens, sizeof(uint32_t));
    l.weights = part(&l.end, r->tokens, sizeof(float));
    return l;
}

struct feed_room feed_room(uint64_t length, uint64_t global_batch, enum pack_mode mode)
{
    uint64_t tokens;
    if (__builtin_mul_overflow(length, global_batch, &tokens)) tokens = UINT64_MAX;
    return (struct feed_room){.tokens = tokens,
                              .rows = global_batch,
                              .samples = mode == PACK_DENSE ? tokens : global_batch};
}

size_t feed_room_bytes(const struct feed_room *r, unsigned depth)
{
    size_t bytes = lay_out(r).end;
    return bytes == SIZE_MAX || mem_mul(bytes, (size_t)depth + 1, &bytes) ? SIZE_MAX : bytes;
}

struct feed_step prefetch_step(const struct feed_room *r, void *at)
{
    const struct places l = lay_out(r);
    char *memory = at;
    return (struct feed_step){.samples = (void *)(memory + l.samples),
                              .rows = (void *)(memory + l.rows),
                              .ids = (void *)(memory + l.ids),
                              .weights = (void *)(memory + l.weights),
                              .samples_cap = (size_t)r->samples,
                              .rows_cap = (size_t)r->rows,
                              .ids_cap = (size_t)r->tokens,
                              .weights_cap = (size_t)r->tokens,
                              .fixed = true};
}

/* ---- reading ---- */
/* The thread may be cancelled while it waits for input, and nowhere else. The memory that it reads
 * into is freed only after it has ended. */
static void *reader(void *arg)
{
    struct prefetch *a = arg;
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    pthread_mutex_lock(&a->lock);
    while (!a->over && !a->stop) {
        if (a->made == a->taken + a->depth) {
            pthread_cond_wait(&a->took_one, &a->lock);
            continue;
        }
        struct feed_step *s = &a->ring[a->made % (a->depth + 1)];
        pthread_mutex_unlock(&a->lock);
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before);
        int rc = a->read(a->arg, s, &a->why);
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
        pthread_mutex_lock(&a->lock);
        a->rc = rc;
        a->over = rc != 1;
        a->made += rc == 1;
        pthread_cond_signal(&a->made_one);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

struct prefetch *prefetch_new(const struct feed_room *room, unsigned depth, void *memory,
                              int (*read)(void *arg, struct feed_step *s, struct err *e), void *arg,
                              struct err *e)
{
    struct prefetch *a = mem_alloc(1, sizeof *a, e);
    if (!a) return NULL;
    *a = (struct prefetch){.read = read, .arg = arg, .depth = depth};
    a->ring = mem_alloc((size_t)depth + 1, sizeof *a->ring, e);
    if (!a->ring) {
        mem_free(a);
        return NULL;
    }
    for (unsigned i = 0; i <= depth; i++)
        a->ring[i] = prefetch_step(room, (char *)memory + i * lay_out(room).end);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->made_one, NULL);
    pthread_cond_init(&a->took_one, NULL);
    /* Without a thread prefetch_next reads the same steps when they are asked for. */
    a->threaded = depth && pthread_create(&a->thread, NULL, reader, a) == 0;
    return a;
}

static void read_here(struct prefetch *a)
{
    if (a->over) return;
    a->rc = a->read(a->arg, &a->ring[a->made % (a->depth + 1)], &a->why);
    a->over = a->rc != 1;
    a->made += a->rc == 1;
}

int prefetch_next(struct prefetch *a, struct feed_step *s, struct err *e)
{
    int rc = 1;
    if (!a->threaded) read_here(a);
    pthread_mutex_lock(&a->lock);
    while (a->made == a->taken && !a->over) pthread_cond_wait(&a->made_one, &a->lock);
    if (a->made > a->taken) {
        *s = a->ring[a->taken++ % (a->depth + 1)];
        pthread_cond_signal(&a->took_one);
    } else {
        rc = a->rc;
        if (rc < 0) err_set(e, a->why.code, "%s", a->why.msg);
    }
    pthread_mutex_unlock(&a->lock);
    return rc;
}

void prefetch_free(struct prefetch *a)
{
    if (!a) return;
    if (a->threaded) {
        pthread_mutex_lock(&a->lock);
        a->stop = true;
        pthread_cond_signal(&a->took_one);
        pthread_mutex_unlock(&a->lock);
        pthread_cancel(a->thread);
        pthread_join(a->thread, NULL);
    }
    pthread_cond_destroy(&a->took_one);
    pthread_cond_destroy(&a->made_one);
    pthread_mutex_destroy(&a->lock);
    mem_free(a->ring);
    mem_free(a);
}
