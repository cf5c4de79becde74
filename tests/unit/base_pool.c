/* SPDX-License-Identifier: Apache-2.0 */
/* The thread pool: order, the first failure in order, and every job released exactly once. */
#include "base/pool.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/mem.h"
#include "test.h"

enum { JOBS = 500 };
struct job {
    int number;
    uint64_t result;
};
static struct {
    struct job jobs[JOBS];
    int released[JOBS]; /* by done or drop: touched on the caller's thread alone */
    int order[JOBS], ndone;
    int bad_work[2], bad_done; /* jobs that fail; -1: none */
    atomic_int busy[8];        /* jobs that a worker works on */
    atomic_int overlaps, in_flight, most, worked;
} run;

static int work(void *arg, void *job, int worker, struct err *e)
{
    struct job *j = job;
    (void)arg;
    if (worker < 0 || worker >= 8 || atomic_fetch_add(&run.busy[worker], 1) != 0) run.overlaps++;
    for (int i = 0; i < j->number % 7; i++) sched_yield(); /* ends out of order */
    uint64_t r = (uint64_t)j->number;
    for (int i = 0; i < 1000; i++) r = r * 6364136223846793005u + 1442695040888963407u;
    j->result = r;
    run.worked++;
    atomic_fetch_sub(&run.busy[worker], 1);
    if (j->number == run.bad_work[0] || j->number == run.bad_work[1])
        return err_set(e, ERR_DATA, "job %d is bad", j->number);
    return 0;
}

static int done(void *arg, void *job, struct err *e)
{
    struct job *j = job;
    (void)arg;
    run.in_flight--;
    run.released[j->number]++;
    run.order[run.ndone++] = j->number;
    return j->number == run.bad_done ? err_set(e, ERR_IO, "done %d is bad", j->number) : 0;
}

static void drop(void *arg, void *job)
{
    (void)arg;
    run.in_flight--;
    run.released[((struct job *)job)->number]++;
}

/* Runs all jobs, or until a failure; its code. *given: how many were put. */
static int go(int threads, int depth, int bad1, int bad2, int bad_done, int *given, struct err *e)
{
    static const struct pool_ops ops = {work, done, drop, NULL};
    memset(&run, 0, sizeof run);
    run.bad_work[0] = bad1;
    run.bad_work[1] = bad2;
    run.bad_done = bad_done;
    *e = (struct err){0};
    struct pool *p = pool_new(threads, depth, &ops, e);
    if (!p) return -2;
    int rc = 0;
    for (*given = 0; *given < JOBS && rc == 0;) {
        struct job *j = &run.jobs[*given];
        j->number = (*given)++;
        if (++run.in_flight > run.most) run.most = run.in_flight;
        rc = pool_put(p, j, e);
    }
    struct err last = {0};
    int end = pool_finish(p, &last);
    EXPECT("pool: put and finish agree",
           end == (rc ? rc : end) && (!rc || strcmp(last.msg, e->msg) == 0));
    if (end) *e = last;
    pool_free(p);
    return end;
}

/* Everything that was put has been released once, and done in order up to `upto`. */
static bool tidy(int given, int upto)
{
    bool ok = run.ndone == upto && run.overlaps == 0;
    for (int i = 0; i < JOBS; i++) ok &= run.released[i] == (i < given);
    for (int i = 0; i < upto; i++) ok &= run.order[i] == i;
    return ok;
}

int main(void)
{
    static const int shapes[][2] = {{1, 1}, {1, 8}, {2, 1}, {2, 2}, {3, 64}, {8, 16}, {8, 3}};
    bool order = true, first = true, retire = true, bounded = true, same = true;
    uint64_t sum = 0;
    struct err e;
    int n;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        int t = shapes[s][0], d = shapes[s][1];
        order &= go(t, d, -1, -1, -1, &n, &e) == 0 && tidy(JOBS, JOBS);
        bounded &= run.most <= d + 1; /* the one that waits in pool_put */
        uint64_t x = 0;
        for (int i = 0; i < JOBS; i++) x = x * 31 + run.jobs[i].result;
        same &= s == 0 || x == sum;
        sum = x;
        /* of two that fail the earlier one is told, though the later one may fail sooner */
        first &= go(t, d, 201, 200, -1, &n, &e) == -1 && tidy(n, 200) && e.code == ERR_DATA &&
                 strcmp(e.msg, "job 200 is bad") == 0;
        first &= go(t, d, 0, 1, -1, &n, &e) == -1 && tidy(n, 0) && !strcmp(e.msg, "job 0 is bad");
        first &= go(t, d, JOBS - 1, -1, -1, &n, &e) == -1 && tidy(JOBS, JOBS - 1);
        retire &= go(t, d, 150, -1, 100, &n, &e) == -1 && tidy(n, 101) && e.code == ERR_IO &&
                  strcmp(e.msg, "done 100 is bad") == 0;
    }
    CHECK("pool: results come in order", order);
    CHECK("pool: the same results with any number of threads", same);
    CHECK("pool: the depth bounds what is in flight", bounded);
    CHECK("pool: the first failure of work, in order", first);
    CHECK("pool: a failure of done ends the run", retire);

    static const struct pool_ops ops = {work, done, drop, NULL};
    memset(&run, 0, sizeof run);
    run.bad_work[0] = run.bad_work[1] = run.bad_done = -1;
    struct pool *p = pool_new(3, 50, &ops, &e);
    for (int i = 0; i < 20; i++) {
        run.jobs[i].number = i;
        pool_put(p, &run.jobs[i], &e);
    }
    pool_free(p); /* without pool_finish */
    pool_free(NULL);
    CHECK("pool: unfinished work is released", tidy(20, run.ndone));
    p = pool_new(0, 0, &ops, &e);
    CHECK("pool: a run without work finishes",
          p && pool_finish(p, &e) == 0 && pool_finish(p, &e) == 0);
    pool_free(p);
    TEST_END();
}
