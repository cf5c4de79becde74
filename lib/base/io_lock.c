/* SPDX-License-Identifier: Apache-2.0 */
/* Locks by flock. Linux forwards it to the server of a network file system. The lock ends when the
 * last descriptor of the open file is closed, even by the death of its process. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/io_impl.h"

enum { LINE = 512 };

/* Returns 0 with the lock; 1 when another process holds it, with *fd open; -1 on failure. */
static int take(const char *path, int *fd, struct err *e)
{
    *fd = sys_open(path, O_RDWR | O_CREAT, 0666);
    if (*fd < 0) return err_errno(e, ERR_CREATE, "%s: cannot create the lock file", path);
    if (sys_lock(*fd) == 0) return 0;
    if (errno == EWOULDBLOCK) return 1;
    err_errno(e, ERR_CREATE, "%s: cannot lock", path);
    io_unlock(*fd);
    *fd = -1;
    return -1;
}

static int busy(const char *path, const char *line, struct err *e);

int io_lock(const char *path, int *fd, struct err *e)
{
    int rc = take(path, fd, e);
    if (rc <= 0) return rc;
    io_unlock(*fd);
    *fd = -1;
    return busy(path, "", e);
}

void io_unlock(int fd)
{
    if (fd >= 0) sys_close(fd);
}

/* ---- the line about the holder ---- */
static int put_line(const char *path, int fd, pid_t holder, struct err *e)
{
    char host[HOST_NAME_MAX + 1] = "", line[LINE], when[40];
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    if (gethostname(host, sizeof host - 1) || !*host) snprintf(host, sizeof host, "localhost");
    if (!gmtime_r(&now.tv_sec, &utc) || !strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc))
        snprintf(when, sizeof when, "%lld", (long long)now.tv_sec);
    int n = snprintf(line, sizeof line, "%ld %s %s.%06ldZ\n", (long)holder, host, when,
                     now.tv_nsec / 1000);
    if (sys_pwrite_all(fd, line, (size_t)n, 0) || sys_ftruncate(fd, n))
        return err_errno(e, ERR_IO, "%s: write failed", path);
    return 0;
}

/* Reads the first line, without its newline; "" when there is none. */
static void get_line(const char *path, char line[LINE])
{
    int fd = sys_open(path, O_RDONLY, 0);
    ssize_t n = fd < 0 ? 0 : io_sys.read(fd, line, LINE - 1);
    line[n > 0 ? n : 0] = 0;
    line[strcspn(line, "\n")] = 0;
    io_unlock(fd);
}

static int busy(const char *path, const char *line, struct err *e)
{
    char holder[LINE] = "another process", process[24], host[HOST_NAME_MAX + 1], when[40];
    if (sscanf(line, "%23s %64s %39s", process, host, when) == 3) {
        when[strcspn(when, ".")] = 0;
        snprintf(holder, sizeof holder, "process %s on %s since %s UTC, or what it started",
                 process, host, when);
    }
    err_set(e, ERR_CREATE, "%s: in use by %s; let it end, or choose another folder", path, holder);
    return 1;
}

void io_unlock_named(int fd)
{
    if (fd >= 0 && sys_ftruncate(fd, 0)) errno = 0; /* an old line does no harm */
    io_unlock(fd);
}

/* Returns the descriptor in `lent` if it has path open, else -1. *line: the line in `lent`, or
 * NULL.
 */
static int lent_fd(const char *path, const char *lent, const char **line)
{
    struct stat a, b;
    char *end;
    *line = NULL;
    if (!lent || *lent < '0' || *lent > '9') return -1;
    errno = 0;
    long fd = strtol(lent, &end, 10);
    if (errno || fd > INT_MAX || (*end && *end != ' ')) return -1;
    if (*end) *line = end + 1;
    if (fstat((int)fd, &a) || stat(path, &b)) return -1;
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino ? (int)fd : -1;
}

/* The lock belongs to the open file that this process shares with its parent, so no second
 * descriptor is opened. */
static int take_lent(const char *path, int from, bool named, struct err *e)
{
    char line[LINE];
    if (sys_lock(from)) return get_line(path, line), busy(path, line, e);
    return named ? 0 : put_line(path, from, getppid(), e);
}

int io_lock_named(const char *path, const char *lent, int *fd, struct err *e)
{
    const char *mine;
    char line[LINE];
    const int from = lent_fd(path, lent, &mine);
    *fd = -1;
    if (from >= 0) return take_lent(path, from, mine, e);
    int rc = take(path, fd, e);
    if (rc == 0 && put_line(path, *fd, getpid(), e) == 0) return 0;
    if (rc == 1) {
        get_line(path, line);
        rc = mine && *mine && strcmp(line, mine) == 0 ? 0 : busy(path, line, e);
    } else {
        rc = -1;
    }
    io_unlock(*fd);
    *fd = -1;
    return rc;
}
