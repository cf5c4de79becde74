/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that processes of one user share. It is a file without a name, so nothing stays behind
 * however they end. A process holds a byte of it by a record lock, which the kernel releases when
 * the process ends. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io_impl.h"

static int map_shared(struct io_shared *s, struct err *e)
{
    void *p = mmap(NULL, s->n, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (p == MAP_FAILED) {
        err_errno(e, ERR_IO, "cannot map shared memory");
        io_shared_close(s);
        return -1;
    }
    s->p = p;
    return 0;
}

int io_shared_make(struct io_shared *s, size_t n, struct err *e)
{
    *s = (struct io_shared){.n = n, .fd = memfd_create("sft", MFD_CLOEXEC)};
    if (s->fd < 0) return err_errno(e, ERR_IO, "cannot make shared memory");
    if (sys_ftruncate(s->fd, (off_t)n) == 0) return map_shared(s, e);
    err_errno(e, ERR_IO, "cannot make %zu bytes of shared memory", n);
    io_shared_close(s);
    return -1;
}

int io_shared_open(struct io_shared *s, long pid, int theirs, size_t n, struct err *e)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%ld/fd/%d", pid, theirs);
    *s = (struct io_shared){.n = n, .fd = sys_open(path, O_RDWR, 0)};
    if (s->fd >= 0 && fstat(s->fd, &st) == 0 && st.st_size == (off_t)n) return map_shared(s, e);
    err_errno(e, ERR_IO, "%s: cannot open shared memory", path);
    io_shared_close(s);
    return -1;
}

void io_shared_close(struct io_shared *s)
{
    if (s->p) munmap(s->p, s->n);
    if (s->fd >= 0) sys_close(s->fd);
    *s = (struct io_shared){.fd = -1};
}

int io_shared_hold(const struct io_shared *s, size_t at)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = 1};
    return fcntl(s->fd, F_SETLK, &l);
}

bool io_shared_held(const struct io_shared *s, size_t at)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = 1};
    return fcntl(s->fd, F_GETLK, &l) != 0 || l.l_type != F_UNLCK;
}
