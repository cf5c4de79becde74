/* SPDX-License-Identifier: Apache-2.0 */
/* The table of system calls, and wrappers that retry them. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io_impl.h"

static int call_open(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }

/* On a file system without RENAME_NOREPLACE, lstat tests for the target first. Another writer may
 * create it between the two calls; the rename of a folder still fails then, unless the new target
 * is an empty folder. */
static int call_rename_new(const char *from, const char *to)
{
    struct stat st;
    int rc = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    if (rc == 0 || (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP)) return rc;
    if (lstat(to, &st) == 0) errno = EEXIST;
    return errno == ENOENT ? rename(from, to) : -1;
}

struct io_sys io_sys = {
    .open = call_open,
    .read = read,
    .pread = pread,
    .write = write,
    .pwrite = pwrite,
    .fsync = fsync,
    .close = close,
    .rename = rename,
    .rename_new = call_rename_new,
    .link = link,
    .unlink = unlink,
    .mkdir = mkdir,
    .rmdir = rmdir,
    .ftruncate = ftruncate,
};

/* Network file systems interrupt also calls that local ones do not. */
#define REPEAT(call)                                                                               \
    do {                                                                                           \
        int rc;                                                                                    \
        do rc = (call);                                                                            \
        while (rc < 0 && errno == EINTR);                                                          \
        return rc;                                                                                 \
    } while (0)

int sys_open(const char *path, int flags, mode_t mode)
{
    REPEAT(io_sys.open(path, flags | O_CLOEXEC, mode));
}

int sys_fsync(int fd) { REPEAT(io_sys.fsync(fd)); }
int sys_rename(const char *from, const char *to) { REPEAT(io_sys.rename(from, to)); }
int sys_rename_new(const char *from, const char *to) { REPEAT(io_sys.rename_new(from, to)); }
int sys_link(const char *from, const char *to) { REPEAT(io_sys.link(from, to)); }
int sys_mkdir(const char *path) { REPEAT(io_sys.mkdir(path, 0777)); }
int sys_rmdir(const char *path) { REPEAT(io_sys.rmdir(path)); }
int sys_unlink(const char *path) { REPEAT(io_sys.unlink(path)); }
int sys_ftruncate(int fd, off_t size) { REPEAT(io_sys.ftruncate(fd, size)); }

/* A write beyond the limit of `ulimit -f` then fails with EFBIG and is reported, instead of ending
 * the process. A handler of the program stays. */
static void ignore_file_limit(void)
{
    struct sigaction now;
    if (sigaction(SIGXFSZ, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
        now.sa_handler == SIG_DFL)
        signal(SIGXFSZ, SIG_IGN);
}

/* The access modes make reading and writing fail, as on a closed descriptor. */
int io_standard(struct err *e)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_RDONLY};
    ignore_file_limit();
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
        if (open("/dev/null", modes[fd]) != fd) /* open takes the lowest free descriptor */
            return err_errno(e, ERR_IO,
                             "/dev/null: cannot stand for descriptor %d, which is closed", fd);
    }
    return 0;
}

/* Linux releases the descriptor even when close is interrupted. A second close could close a
 * descriptor that another thread has just opened. */
int sys_close(int fd)
{
    int rc = io_sys.close(fd);
    return rc && errno == EINTR ? 0 : rc;
}

/* The most bytes of one system call, below every limit of the kernel. */
enum { CALL_MAX = 1 << 30 };

static int write_all(int fd, const char *p, size_t n, bool placed, off_t at)
{
    while (n > 0) {
        size_t some = n < CALL_MAX ? n : CALL_MAX;
        ssize_t k = placed ? io_sys.pwrite(fd, p, some, at) : io_sys.write(fd, p, some);
        if (k < 0 && errno == EINTR) continue;
        if (k == 0) errno = EIO; /* no progress and no reason */
        if (k <= 0) return -1;
        p += k;
        n -= (size_t)k;
        at += k;
    }
    return 0;
}

int sys_write_all(int fd, const void *p, size_t n) { return write_all(fd, p, n, false, 0); }

int sys_pwrite_all(int fd, const void *p, size_t n, off_t at)
{
    return write_all(fd, p, n, true, at);
}

/* The folder part of path: its first *n bytes, or ".". */
static const char *parent_of(const char *path, size_t *n)
{
    *n = strlen(path);
    while (*n > 1 && path[*n - 1] == '/') --*n; /* "a/b/": the parent is "a" */
    while (*n > 0 && path[*n - 1] != '/') --*n;
    if (*n == 0) return *n = 1, ".";
    while (*n > 1 && path[*n - 1] == '/') --*n;
    return path;
}

char *path_parent(const char *path, struct err *e)
{
    size_t n;
    const char *parent = parent_of(path, &n);
    return mem_strndup(parent, n, e);
}

int sys_sync_dir(const char *dir)
{
    int fd = sys_open(dir, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) return -1;
    int rc = sys_fsync(fd);
    if (rc && (errno == EINVAL || errno == ENOTSUP)) rc = 0; /* no fsync on this file system */
    int saved = errno;
    sys_close(fd);
    errno = saved;
    return rc;
}

int sys_sync_parent(const char *path)
{
    char dir[PATH_MAX]; /* after a rename, no allocation may fail */
    size_t n;
    const char *parent = parent_of(path, &n);
    if (n >= sizeof dir) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(dir, parent, n);
    dir[n] = 0;
    return sys_sync_dir(dir);
}

char *io_path(const char *dir, const char *name, struct err *e)
{
    size_t d = strlen(dir), n = strlen(name);
    bool slash = d > 0 && dir[d - 1] != '/';
    char *p = mem_alloc(d + n + 2, 1, e);
    if (p) snprintf(p, d + n + 2, "%s%s%s", dir, slash ? "/" : "", name);
    return p;
}
