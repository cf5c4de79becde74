/* SPDX-License-Identifier: Apache-2.0 */
/* Stops a run on request: a thread notes the signals and answers them, and the loop reads the note
 * after each step. A terminal that is closed (SIGHUP) counts too. No handler runs on a thread that
 * computes: oneDNN's fp32 products have their stack pointer in the heap while they run (its issue
 * 4845; up to version 3.11), where a signal's frame would overwrite what lies below. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "run.h"

static sigset_t waited;                    /* blocked in every thread */
static struct world *_Atomic under_mpirun; /* NULL: SIGTERM asks the run to stop */

/* The step at which the run stops is known exactly: the loop asks under the lock. */
static struct {
    pthread_mutex_t lock;
    bool asked, over;
    uint64_t done, total; /* steps; total 0: training has not begun */
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* "stopping after step 12". All steps may be done already. */
static void describe(char *out, size_t n)
{
    if (state.total == 0)
        snprintf(out, n, "stopping after the first step");
    else if (state.done < state.total)
        snprintf(out, n, "stopping after step %llu", (unsigned long long)state.done + 1);
    else
        snprintf(out, n, "all steps are done, and their end is being saved");
}

/* Answers under the lock, so that the run cannot end between the request and its answer. */
static void answer(bool tell, const char *more)
{
    char text[80];
    pthread_mutex_lock(&state.lock);
    state.asked = true;
    describe(text, sizeof text);
    if (tell && !state.over) log_line(LOG_INFO, "%s%s", text, more);
    pthread_mutex_unlock(&state.lock);
}

/* From now on the signal has its default action: this thread alone lets it through. */
static void let_through(int sig)
{
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, sig);
    sigdelset(&waited, sig);
    pthread_sigmask(SIG_UNBLOCK, &one, NULL);
}

/* Takes each SIGTERM of the next second: launchers send it to a group and to its processes. */
static void take_copies(void)
{
    sigset_t terminate;
    struct timespec second = {.tv_sec = 1};
    sigemptyset(&terminate);
    sigaddset(&terminate, SIGTERM);
    const double end = log_clock() + 1;
    while (sigtimedwait(&terminate, NULL, &second) == SIGTERM) {
        const double left = end - log_clock();
        if (left <= 0) break;
        second = (struct timespec){.tv_nsec = (long)(left * 999999999)};
    }
}

/* The first SIGINT or SIGTERM makes the second end the process, before anything is written: a
 * terminal that takes no output must not keep the process from its end. SIGUSR1 and SIGHUP may come
 * any number of times. */
static void *note(void *unused)
{
    bool told = false, again = false;
    for (int sig; sigwait(&waited, &sig) == 0;) {
        const bool ends = sig == SIGINT || sig == SIGTERM;
        if (ends) let_through(SIGINT);
        struct world *w = atomic_load(&under_mpirun);
        if (sig == SIGTERM && w) world_doubt(w);
        const bool first = ends && !again;
        answer(first || !told, first ? "; again to stop now" : "");
        told = true;
        if (!ends || again) continue;
        again = true;
        if (sig == SIGTERM) take_copies();
        let_through(SIGTERM);
    }
    return unused;
}

int signals_catch(struct err *e)
{
    static const int all[] = {SIGUSR1, SIGTERM, SIGINT, SIGHUP};
    struct sigaction now;
    pthread_t thread;
    sigemptyset(&waited);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (sigaction(all[i], NULL, &now) || (all[i] == SIGHUP && now.sa_handler == SIG_IGN))
            continue;            /* nohup asks to ignore it */
        signal(all[i], SIG_DFL); /* a shell's background ignores SIGINT */
        sigaddset(&waited, all[i]);
    }
    signal(SIGPIPE, SIG_IGN);                  /* a pager that ends does not end the run */
    pthread_sigmask(SIG_BLOCK, &waited, NULL); /* also of threads that are yet to start */
    if (pthread_create(&thread, NULL, note, NULL))
        return err_set(e, ERR_MEMORY, "cannot start a thread that waits for signals");
    pthread_detach(thread);
    return 0;
}

void signals_over(void)
{
    pthread_mutex_lock(&state.lock);
    state.over = true;
    pthread_mutex_unlock(&state.lock);
}

void signals_under_mpirun(struct world *w) { atomic_store(&under_mpirun, w); }

bool signals_stop(uint64_t done, uint64_t total)
{
    pthread_mutex_lock(&state.lock);
    const bool asked = state.asked;
    state.done = done;
    state.total = total;
    pthread_mutex_unlock(&state.lock);
    return asked;
}
