/* SPDX-License-Identifier: Apache-2.0 */
/* The ordered thread pool: a ring of jobs that workers take in order and the caller retires in
 * order. */
#include "base/pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

struct slot {
    void *job;
    bool ready; /* the work has ended, or was skipped */
    int rc;
    struct err err;
};

struct worker {
    struct pool *pool;
    int index;
    pthread_t thread;
};

/* Jobs are numbered from 0; job n is in ring[n % depth]. retired <= taken <= given. */
struct pool {
    struct pool_ops ops;
    struct slot *ring;
    uint64_t depth, given, taken, retired;
    uint64_t bad; /* the first job known to have failed; the work of later jobs is skipped */
    bool failed;  /* a failed job has been retired; `failure` is its error */
    bool stop;
    struct err failure;
    int threads; /* threads started; 0: the caller's thread does all work */
    struct worker *workers;
    pthread_mutex_t lock;
    pthread_cond_t put, ready; /* put: a new job, or stop; ready: the oldest job is ready */
};

/* Holds the lock on entry and exit. */
static void work_one(struct pool *p, int index)
{
    uint64_t n = p->taken++;
    struct slot *s = &p->ring[n % p->depth];
    if (n < p->bad) {
        pthread_mutex_unlock(&p->lock);
        int rc = p->ops.work(p->ops.arg, s->job, index, &s->err);
        pthread_mutex_lock(&p->lock);
        s->rc = rc;
        if (rc && n < p->bad) p->bad = n;
    }
    s->ready = true;
    if (n == p->retired) pthread_cond_signal(&p->ready);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->pool;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->stop && p->taken == p->given) pthread_cond_wait(&p->put, &p->lock);
        if (p->stop) break;
        work_one(p, w->index);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Ignores a thread that cannot start: fewer threads, or none, change only the speed. */
static void start(struct pool *p, int threads)
{
    for (int i = 0; i < threads; i++) {
        struct worker *w = &p->workers[i];
        *w = (struct worker){.pool = p, .index = i};
        if (pthread_create(&w->thread, NULL, worker_main, w)) break;
        p->threads++;
    }
}

struct pool *pool_new(int threads, int depth, const struct pool_ops *ops, struct err *e)
{
    if (threads < 1) threads = 1;
    if (depth < 1) depth = 1;
    struct pool *p = mem_alloc(1, sizeof *p, e);
    if (!p) return NULL;
    p->ring = mem_alloc((size_t)depth, sizeof *p->ring, e);
    p->workers = mem_alloc((size_t)threads, sizeof *p->workers, e);
    if (!p->ring || !p->workers) {
        mem_free(p->ring);
        mem_free(p->workers);
        mem_free(p);
        return NULL;
    }
    p->ops = *ops;
    p->depth = (uint64_t)depth;
    p->bad = UINT64_MAX;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->put, NULL);
    pthread_cond_init(&p->ready, NULL);
    if (threads > 1) start(p, threads);
    return p;
}

static void fail(struct pool *p, const struct err *why)
{
    p->failed = true;
    p->failure = *why;
}

/* Retires the oldest job, which is ready. Holds the lock on entry and exit, not during callbacks.
 */
static void retire(struct pool *p)
{
    struct slot s = {0};
    uint64_t n = p->retired;
    struct slot *at = &p->ring[n % p->depth];
    void *job = at->job;
    int rc = at->rc;
    if (rc && !p->failed) fail(p, &at->err);
    bool drop = p->failed;
    pthread_mutex_unlock(&p->lock);
    if (drop)
        p->ops.drop(p->ops.arg, job);
    else
        rc = p->ops.done(p->ops.arg, job, &s.err);
    pthread_mutex_lock(&p->lock);
    if (!drop && rc) {
        fail(p, &s.err);
        if (n < p->bad) p->bad = n;
    }
    at->ready = false;
    at->rc = 0;
    at->err.code = ERR_OK;
    at->err.msg[0] = 0;
    p->retired++;
}

/* Waits until at most `most` jobs are not retired, and retires every job that is ready. Holds the
 * lock. */
static void drain(struct pool *p, uint64_t most)
{
    while (p->given > p->retired) {
        struct slot *s = &p->ring[p->retired % p->depth];
        if (!s->ready && p->given - p->retired <= most) return;
        if (!s->ready && p->threads == 0) work_one(p, 0);
        while (!s->ready) pthread_cond_wait(&p->ready, &p->lock);
        retire(p);
    }
}

static int report(const struct pool *p, struct err *e)
{
    if (!p->failed) return 0;
    if (e) *e = p->failure;
    return -1;
}

int pool_put(struct pool *p, void *job, struct err *e)
{
    pthread_mutex_lock(&p->lock);
    drain(p, p->depth - 1);
    if (p->failed) {
        pthread_mutex_unlock(&p->lock);
        p->ops.drop(p->ops.arg, job);
        return report(p, e);
    }
    p->ring[p->given % p->depth].job = job;
    p->given++;
    pthread_cond_signal(&p->put);
    if (p->threads == 0) drain(p, 0);
    pthread_mutex_unlock(&p->lock);
    return report(p, e);
}

int pool_finish(struct pool *p, struct err *e)
{
    pthread_mutex_lock(&p->lock);
    drain(p, 0);
    pthread_mutex_unlock(&p->lock);
    return report(p, e);
}

void pool_free(struct pool *p)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->bad = p->retired; /* no worker starts a remaining job */
    if (!p->failed) fail(p, &(struct err){.code = ERR_STOPPED});
    drain(p, 0);
    p->stop = true;
    pthread_cond_broadcast(&p->put);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->threads; i++) pthread_join(p->workers[i].thread, NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->put);
    pthread_cond_destroy(&p->ready);
    mem_free(p->ring);
    mem_free(p->workers);
    mem_free(p);
}
