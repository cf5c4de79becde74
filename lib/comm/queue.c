/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded queue of collectives. Its own thread, or the thread that waits, runs them in order. */
#include <pthread.h>

#include "base/mem.h"
#include "base/thread.h"
#include "comm/comm_impl.h"

enum { DEPTH = 64 }; /* queued calls; comm_queue_push waits when the queue is full */

struct entry {
    comm_run_fn *run;
    struct comm *c;
    struct comm_call call;
};
struct comm_queue {
    struct entry ring[DEPTH];
    uint64_t pushed, done; /* calls since the queue was opened */
    bool threaded, quit;
    pthread_t thread;
    pthread_mutex_t lock; /* protects the members above when there is a thread */
    pthread_cond_t change;
};

static void run_oldest(struct comm_queue *q)
{
    const struct entry x = q->ring[q->done % DEPTH];
    x.run(x.c, &x.call);
    q->done++;
}

/* An entry stays in the ring until it has run, so it can run without a copy and without the lock.
 */
static void *work(void *arg)
{
    struct comm_queue *q = arg;
    pthread_mutex_lock(&q->lock);
    for (;;) {
        while (q->done == q->pushed && !q->quit) pthread_cond_wait(&q->change, &q->lock);
        if (q->done == q->pushed) break;
        const struct entry *x = &q->ring[q->done % DEPTH];
        pthread_mutex_unlock(&q->lock);
        x->run(x->c, &x->call);
        pthread_mutex_lock(&q->lock);
        q->done++;
        pthread_cond_broadcast(&q->change);
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

static int start(struct comm_queue *q, struct err *e)
{
    q->threaded = thread_start(&q->thread, work, q);
    return q->threaded ? 0 : err_set(e, ERR_MEMORY, "cannot start a thread for collectives");
}

struct comm_queue *comm_queue_open(bool thread, struct err *e)
{
    struct comm_queue *q = mem_alloc(1, sizeof *q, e);
    if (!q) return NULL;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->change, NULL);
    if (!thread || start(q, e) == 0) return q;
    comm_queue_close(q);
    return NULL;
}

void comm_queue_close(struct comm_queue *q)
{
    if (!q) return;
    if (q->threaded) {
        pthread_mutex_lock(&q->lock);
        q->quit = true;
        pthread_cond_broadcast(&q->change);
        pthread_mutex_unlock(&q->lock);
        pthread_join(q->thread, NULL);
    }
    while (q->done < q->pushed) run_oldest(q);
    pthread_cond_destroy(&q->change);
    pthread_mutex_destroy(&q->lock);
    mem_free(q);
}

uint64_t comm_queue_push(struct comm_queue *q, comm_run_fn *run, struct comm *c,
                         const struct comm_call *call)
{
    pthread_mutex_lock(&q->lock);
    while (q->threaded && q->pushed - q->done == DEPTH) pthread_cond_wait(&q->change, &q->lock);
    while (q->pushed - q->done == DEPTH) run_oldest(q);
    q->ring[q->pushed % DEPTH] = (struct entry){run, c, *call};
    const uint64_t number = ++q->pushed;
    pthread_cond_broadcast(&q->change);
    pthread_mutex_unlock(&q->lock);
    return number;
}

void comm_queue_wait(struct comm_queue *q, uint64_t number)
{
    pthread_mutex_lock(&q->lock);
    while (q->threaded && q->done < number) pthread_cond_wait(&q->change, &q->lock);
    while (q->done < number) run_oldest(q);
    pthread_mutex_unlock(&q->lock);
}
