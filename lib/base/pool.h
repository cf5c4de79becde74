/* SPDX-License-Identifier: Apache-2.0 */
/* An ordered thread pool: jobs run in parallel, results come back in the order they were given, so
 * that the number of threads never changes an output. */
#ifndef SFT_BASE_POOL_H
#define SFT_BASE_POOL_H

#include "base/err.h"

struct pool;
/* work(arg, job, worker, e) runs on a worker (worker = 0..threads-1, for per-thread scratch);
 * done(arg, job, e) runs on the caller's thread, in the order of pool_put, for each job before the
 * first failure. The first failure in that order is what pool_put or pool_finish reports.
 * Each job given to pool_put is released exactly once: by done, whatever it returns, or by
 * drop(arg, job) when its own work failed or a failure came before it. drop runs on the caller's
 * thread too. threads = 1 runs all on the caller's thread. At most `depth` jobs are in flight. */
struct pool_ops {
    int (*work)(void *arg, void *job, int worker, struct err *e);
    int (*done)(void *arg, void *job, struct err *e);
    void (*drop)(void *arg, void *job);
    void *arg;
};
struct pool *pool_new(int threads, int depth, const struct pool_ops *ops, struct err *e);
/* Hands over job; may first run done() for finished ones. -1: the run has failed (the job has been
 * dropped); further calls report the same failure. */
int pool_put(struct pool *p, void *job, struct err *e);
/* Waits for all; 0, or -1 with the first failure. */
int pool_finish(struct pool *p, struct err *e);
void pool_free(struct pool *p); /* drops what is unfinished; NULL is fine */

#endif
