/* SPDX-License-Identifier: Apache-2.0 */
/* An ordered thread pool: jobs run in parallel and their results arrive in the order of submission,
 * so that the number of threads never changes an output. */
#ifndef SFT_BASE_POOL_H
#define SFT_BASE_POOL_H

#include "base/err.h"

struct pool;
/* work runs on a worker thread; `worker`, 0 to threads - 1, selects per-thread scratch. done runs
 * on the caller's thread, in the order of pool_put, for each job before the first failure in that
 * order, which pool_put or pool_finish reports. Each job is released exactly once: by done,
 * whatever it returns, or by drop when its work failed or an earlier job failed. drop runs on the
 * caller's thread too. */
struct pool_ops {
    int (*work)(void *arg, void *job, int worker, struct err *e);
    int (*done)(void *arg, void *job, struct err *e);
    void (*drop)(void *arg, void *job);
    void *arg;
};
/* At most `depth` jobs are in flight. threads = 1 does all work on the caller's thread. Copies
 * *ops. NULL with ERR_MEMORY. */
struct pool *pool_new(int threads, int depth, const struct pool_ops *ops, struct err *e);
/* Submits a job, and may run done for finished ones. Returns 0, or -1 when a job has failed; later
 * calls report the same failure and drop their jobs. */
int pool_put(struct pool *p, void *job, struct err *e);
/* Waits for all jobs. Returns 0, or -1 with the first failure. */
int pool_finish(struct pool *p, struct err *e);
void pool_free(struct pool *p); /* drops unfinished jobs; NULL is fine */

#endif
