/* SPDX-License-Identifier: Apache-2.0 */
/* The ring. Positions count bytes from ring_begin and never wrap; position p is at p % size. */
#include "save/ring_impl.h"

#include <pthread.h>
#include <stdint.h>

#include "base/mem.h"

enum { LINE = 64, SLOTS = 4096 }; /* LINE: so that elements are aligned */

struct ring {
    char *memory;
    size_t size;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t change;
    uint64_t head, tail; /* positions [tail, head) are in use */
    uint64_t put, taken; /* pieces */
    bool ended;
    struct slot {
        struct ring_piece piece;
        uint64_t end; /* tail after it is given back */
    } slots[SLOTS];   /* piece k: slots[k % SLOTS] */
};

size_t ring_room(size_t bytes) { return (bytes + LINE - 1) / LINE * LINE; }

struct ring *ring_open(void *memory, size_t bytes, struct err *e)
{
    struct ring *r = mem_alloc(1, sizeof *r, e);
    if (!r) return NULL;
    r->memory = memory;
    r->size = bytes;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->change, NULL);
    return r;
}

void ring_close(struct ring *r)
{
    if (!r) return;
    pthread_cond_destroy(&r->change);
    pthread_mutex_destroy(&r->lock);
    mem_free(r);
}

void ring_begin(struct ring *r)
{
    pthread_mutex_lock(&r->lock);
    r->head = r->tail = r->put = r->taken = 0;
    r->ended = false;
    pthread_mutex_unlock(&r->lock);
}

void *ring_reserve(struct ring *r, size_t bytes)
{
    const size_t room = ring_room(bytes);
    pthread_mutex_lock(&r->lock);
    uint64_t begin = r->head;
    if (begin % r->size + room > r->size) begin += r->size - begin % r->size; /* contiguous */
    for (;;) {
        if (r->taken == r->put) r->tail = begin; /* the skipped bytes are free too */
        if (begin + room - r->tail <= r->size && r->put - r->taken < SLOTS) break;
        pthread_cond_wait(&r->change, &r->lock);
    }
    char *to = r->memory + begin % r->size;
    r->head = begin + room;
    r->slots[r->put % SLOTS] = (struct slot){{.p = to, .bytes = bytes}, r->head};
    pthread_mutex_unlock(&r->lock);
    return to;
}

void ring_publish(struct ring *r, size_t bytes, int tag)
{
    pthread_mutex_lock(&r->lock);
    struct slot *s = &r->slots[r->put++ % SLOTS];
    r->head = s->end -= ring_room(s->piece.bytes) - ring_room(bytes);
    s->piece.bytes = bytes;
    s->piece.tag = tag;
    pthread_cond_broadcast(&r->change);
    pthread_mutex_unlock(&r->lock);
}

void ring_end(struct ring *r)
{
    pthread_mutex_lock(&r->lock);
    r->ended = true;
    pthread_cond_broadcast(&r->change);
    pthread_mutex_unlock(&r->lock);
}

bool ring_take(struct ring *r, struct ring_piece *p)
{
    pthread_mutex_lock(&r->lock);
    while (r->put == r->taken && !r->ended) pthread_cond_wait(&r->change, &r->lock);
    const bool some = r->put != r->taken;
    if (some) *p = r->slots[r->taken % SLOTS].piece;
    pthread_mutex_unlock(&r->lock);
    return some;
}

void ring_give_back(struct ring *r)
{
    pthread_mutex_lock(&r->lock);
    r->tail = r->slots[r->taken++ % SLOTS].end;
    pthread_cond_broadcast(&r->change);
    pthread_mutex_unlock(&r->lock);
}
