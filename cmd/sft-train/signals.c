/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a run to stop: the handler only notes it; the loop looks after each step. */
#include <signal.h>

#include "run.h"

static volatile sig_atomic_t asked;

/* A second SIGINT ends the process at once. */
static void note(int sig)
{
    asked = 1;
    if (sig == SIGINT) signal(SIGINT, SIG_DFL);
}

void signals_catch(void)
{
    static const int all[] = {SIGUSR1, SIGTERM, SIGINT};
    struct sigaction a = {.sa_handler = note, .sa_flags = SA_RESTART};
    sigemptyset(&a.sa_mask);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sigaction(all[i], &a, NULL);
}

bool signals_stop(void *unused)
{
    (void)unused;
    return asked != 0;
}
