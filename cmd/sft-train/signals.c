/* SPDX-License-Identifier: Apache-2.0 */
/* Stops a run on request: a thread notes the signals, and the loop reads the note after each step.
 * A terminal that is closed (SIGHUP) counts too. No handler runs on a thread that computes:
 * oneDNN's fp32 products have their stack pointer in the heap while they run (its issue 4845; up to
 * version 3.11), where a signal's frame would overwrite what lies below. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "run.h"

static atomic_bool asked;
static sigset_t waited; /* blocked in every thread */

/* After the first SIGINT this thread alone lets it through, so that a second one ends the process.
 */
static void *note(void *unused)
{
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    for (int sig; sigwait(&waited, &sig) == 0;) {
        asked = true;
        if (sig != SIGINT) continue;
        sigdelset(&waited, SIGINT);
        pthread_sigmask(SIG_UNBLOCK, &interrupt, NULL);
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

bool signals_stop(void *unused)
{
    (void)unused;
    return asked;
}
