/* SPDX-License-Identifier: Apache-2.0 */
/* Linked into a copy of sft-train for tests/cli/killed.sh: system calls that change files are
 * counted, and one of them kills the process or fails.
 *
 *     KILL_AT=K    SIGKILL instead of call K (from 1); every other K, half of a write is done first
 *     FAIL_AT=K    call K and all after it fail with errno FAIL_ERRNO
 *     RUN_AT=K     the shell command RUN_COMMAND before call K
 *     RUN_ON=TEXT  the same, before a file is first made with TEXT in its path; other threads go on
 *     KILL_LOG=F   at exit the number of calls is written to F
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

static struct io_sys real;
static long kill_at, fail_at, run_at;
static const char *run_on;
static atomic_flag ran = ATOMIC_FLAG_INIT;
static int fail_errno;
static atomic_long calls;

static void run(void)
{
    if (system(getenv("RUN_COMMAND")) != 0) abort();
}

/* true: the call is to fail. */
static bool counted(int fd, const void *p, size_t n)
{
    const long k = atomic_fetch_add(&calls, 1) + 1;
    if (k == kill_at) {
        if (p && k % 2) n = (size_t)real.write(fd, p, n / 2);
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    if (k == run_at) run();
    if (!fail_at || k < fail_at) return false;
    errno = fail_errno;
    return true;
}

static int k_open(const char *path, int flags, mode_t mode)
{
    if ((flags & O_ACCMODE) == O_RDONLY) return real.open(path, flags, mode);
    if (run_on && strstr(path, run_on) && !atomic_flag_test_and_set(&ran)) run();
    return counted(-1, NULL, 0) ? -1 : real.open(path, flags, mode);
}
static ssize_t k_write(int fd, const void *p, size_t n)
{
    if (fd <= STDERR_FILENO) return real.write(fd, p, n);
    return counted(fd, p, n) ? -1 : real.write(fd, p, n);
}
static int k_fsync(int fd) { return counted(fd, NULL, 0) ? -1 : real.fsync(fd); }
static int k_rename(const char *a, const char *b)
{
    return counted(-1, NULL, 0) ? -1 : real.rename(a, b);
}
static int k_rename_new(const char *a, const char *b)
{
    return counted(-1, NULL, 0) ? -1 : real.rename_new(a, b);
}
static int k_link(const char *a, const char *b)
{
    return counted(-1, NULL, 0) ? -1 : real.link(a, b);
}
static int k_unlink(const char *path)
{
    /* what is there can be removed although nothing can be written */
    if (!fail_at) counted(-1, NULL, 0);
    return real.unlink(path);
}
static int k_rmdir(const char *path)
{
    if (!fail_at) counted(-1, NULL, 0);
    return real.rmdir(path);
}
static int k_mkdir(const char *path, mode_t mode)
{
    return counted(-1, NULL, 0) ? -1 : real.mkdir(path, mode);
}

static void tell(void)
{
    const char *path = getenv("KILL_LOG");
    FILE *f = path ? fopen(path, "w") : NULL;
    if (!f) return;
    fprintf(f, "%ld\n", atomic_load(&calls));
    fclose(f);
}

static long number(const char *name)
{
    const char *s = getenv(name);
    return s ? atol(s) : 0;
}

__attribute__((constructor)) static void hook(void)
{
    kill_at = number("KILL_AT");
    fail_at = number("FAIL_AT");
    run_at = number("RUN_AT");
    run_on = getenv("RUN_ON");
    fail_errno = (int)number("FAIL_ERRNO");
    real = io_sys;
    io_sys.open = k_open;
    io_sys.write = k_write;
    io_sys.fsync = k_fsync;
    io_sys.rename = k_rename;
    io_sys.rename_new = k_rename_new;
    io_sys.link = k_link;
    io_sys.unlink = k_unlink;
    io_sys.rmdir = k_rmdir;
    io_sys.mkdir = k_mkdir;
    atexit(tell);
}
