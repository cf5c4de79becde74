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
    bool stop;            /* the thread shall end */
    bool over;            /* no step follows `made`; rc and why are the result after it */
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
    struct prefetch *p = arg;
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    pthread_mutex_lock(&p->lock);
    while (!p->over && !p->stop) {
        if (p->made == p->taken + p->depth) {
            pthread_cond_wait(&p->took_one, &p->lock);
            continue;
        }
        struct feed_step *s = &p->ring[p->made % (p->depth + 1)];
        pthread_mutex_unlock(&p->lock);
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before);
        int rc = p->read(p->arg, s, &p->why);
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
        pthread_mutex_lock(&p->lock);
        p->rc = rc;
        p->over = rc != 1;
        p->made += rc == 1;
        pthread_cond_signal(&p->made_one);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct prefetch *prefetch_new(const struct feed_room *room, unsigned depth, void *memory,
                              int (*read)(void *arg, struct feed_step *s, struct err *e), void *arg,
                              struct err *e)
{
    struct prefetch *p = mem_alloc(1, sizeof *p, e);
    if (!p) return NULL;
    *p = (struct prefetch){.read = read, .arg = arg, .depth = depth};
    p->ring = mem_alloc((size_t)depth + 1, sizeof *p->ring, e);
    if (!p->ring) {
        mem_free(p);
        return NULL;
    }
    for (unsigned i = 0; i <= depth; i++)
        p->ring[i] = prefetch_step(room, (char *)memory + i * lay_out(room).end);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->made_one, NULL);
    pthread_cond_init(&p->took_one, NULL);
    /* Without a thread prefetch_next reads the same steps when they are asked for. */
    p->threaded = depth && pthread_create(&p->thread, NULL, reader, p) == 0;
    return p;
}

static void read_here(struct prefetch *p)
{
    if (p->over) return;
    p->rc = p->read(p->arg, &p->ring[p->made % (p->depth + 1)], &p->why);
    p->over = p->rc != 1;
    p->made += p->rc == 1;
}

int prefetch_next(struct prefetch *p, struct feed_step *s, struct err *e)
{
    int rc = 1;
    if (!p->threaded) read_here(p);
    pthread_mutex_lock(&p->lock);
    while (p->made == p->taken && !p->over) pthread_cond_wait(&p->made_one, &p->lock);
    if (p->made > p->taken) {
        *s = p->ring[p->taken++ % (p->depth + 1)];
        pthread_cond_signal(&p->took_one);
    } else {
        rc = p->rc;
        if (rc < 0) err_set(e, p->why.code, "%s", p->why.msg);
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

void prefetch_free(struct prefetch *p)
{
    if (!p) return;
    if (p->threaded) {
        pthread_mutex_lock(&p->lock);
        p->stop = true;
        pthread_cond_signal(&p->took_one);
        pthread_mutex_unlock(&p->lock);
        pthread_cancel(p->thread);
        pthread_join(p->thread, NULL);
    }
    pthread_cond_destroy(&p->took_one);
    pthread_cond_destroy(&p->made_one);
    pthread_mutex_destroy(&p->lock);
    mem_free(p->ring);
    mem_free(p);
}
