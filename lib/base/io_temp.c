/* SPDX-License-Identifier: Apache-2.0 */
/* Unfinished files, removed when the process exits or is told to by a signal. */
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/io_impl.h"

/* A table of fixed places, never freed: a signal handler may read it at any moment. */
enum { SLOTS = 256 };
enum { SLOT_FREE, SLOT_BUSY, SLOT_LIVE };
static struct {
    atomic_int state;
    pid_t owner; /* a forked child must not remove its parent's files */
    char path[PATH_MAX];
} slots[SLOTS];

static void remove_all(void)
{
    pid_t me = getpid();
    for (int i = 0; i < SLOTS; i++)
        if (atomic_load(&slots[i].state) == SLOT_LIVE && slots[i].owner == me)
            io_sys.unlink(slots[i].path);
}

/* Ends the process as if nobody had caught the signal, so that a shell sees what happened. */
static void on_signal(int sig)
{
    remove_all();
    signal(sig, SIG_DFL);
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, sig);
    raise(sig);
    pthread_sigmask(SIG_UNBLOCK, &one, NULL);
}

static void take_signal(int sig, void (*handler)(int))
{
    struct sigaction now, act = {.sa_handler = handler};
    if (sigaction(sig, NULL, &now) != 0 || (now.sa_flags & SA_SIGINFO)) return;
    if (now.sa_handler != SIG_DFL) return; /* nohup, or a program with plans of its own */
    sigemptyset(&act.sa_mask);
    sigaction(sig, &act, NULL);
}

static void install(void)
{
    atexit(remove_all);
    static const int deadly[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++) take_signal(deadly[i], on_signal);
    take_signal(SIGXFSZ, SIG_IGN); /* write then fails with EFBIG and is reported */
}

static void random_letters(char *out, int n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    static atomic_uint made;
    uint64_t r;
    if (getrandom(&r, sizeof r, GRND_NONBLOCK) != (ssize_t)sizeof r) { /* early in a boot */
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        r = ((uint64_t)t.tv_nsec << 32) ^ (uint64_t)getpid() ^ atomic_fetch_add(&made, 1) * 40503u;
    }
    for (int i = 0; i < n; i++, r /= 36) out[i] = letters[r % 36];
    out[n] = 0;
}

/* FOLDER/.NAME.XXXXXX, NAME cut so that the whole is a name the file system takes. */
static int make_name(char *out, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char tail[7];
    random_letters(tail, 6);
    int n =
        snprintf(out, PATH_MAX, "%.*s.%.*s.%s", (int)(name - path), path, NAME_MAX - 8, name, tail);
    return n < 0 || n >= PATH_MAX ? -1 : 0;
}

int temp_new(const char *path, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
    for (int i = 0; i < SLOTS; i++) {
        int want = SLOT_FREE;
        if (!atomic_compare_exchange_strong(&slots[i].state, &want, SLOT_BUSY)) continue;
        if (make_name(slots[i].path, path) < 0) {
            atomic_store(&slots[i].state, SLOT_FREE);
            return err_set(e, ERR_CREATE, "%s: cannot create: the path is too long", path);
        }
        slots[i].owner = getpid();
        atomic_store(&slots[i].state, SLOT_LIVE);
        return i;
    }
    return err_set(e, ERR_INTERNAL, "%s: more than %d unfinished files", path, SLOTS);
}

const char *temp_name(int slot) { return slots[slot].path; }

void temp_forget(int slot) { atomic_store(&slots[slot].state, SLOT_FREE); }
