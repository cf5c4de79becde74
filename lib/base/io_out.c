/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a file that appears complete under its name, or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bar_impl.h"
#include "base/io_impl.h"

struct io_out {
    int fd;
    int slot;   /* of the temporary file; -1: written directly */
    bool stdio; /* standard output */
    char *path; /* the target, links resolved; or "<stdout>" */
    uint64_t written;
    char *block; /* bytes not yet written, when the page cache is bypassed; else NULL */
};

/* Returns the target of the final rename, with *direct = false, for a new or regular file; or path
 * with *direct = true for a device. NULL on failure. */
static char *resolve(const char *path, bool *direct, struct err *e)
{
    struct stat st;
    *direct = false;
    size_t n = strlen(path);
    if (n == 0 || path[n - 1] == '/') {
        err_set(e, ERR_CREATE, "%s: cannot create: not the name of a file", n ? path : "''");
        return NULL;
    }
    if (stat(path, &st) != 0) return mem_strndup(path, n, e);
    if (S_ISDIR(st.st_mode)) {
        err_set(e, ERR_CREATE, "%s: cannot create: is a folder", path);
        return NULL;
    }
    *direct = !S_ISREG(st.st_mode);
    if (*direct || lstat(path, &st) != 0 || !S_ISLNK(st.st_mode)) return mem_strndup(path, n, e);
    char real[PATH_MAX];
    if (realpath(path, real)) return mem_strndup(real, strlen(real), e);
    err_errno(e, ERR_CREATE, "%s: cannot follow the link", path);
    return NULL;
}

static int open_out(struct io_out *out, bool direct, struct err *e)
{
    if (!direct) {
        out->slot = temp_new(out->path, false, e);
        out->fd = out->slot < 0 ? -1 : temp_fd(out->slot);
        return out->slot < 0 ? -1 : 0;
    }
    out->fd = sys_open(out->path, O_WRONLY, 0);
    return out->fd < 0 ? err_errno(e, ERR_CREATE, "%s: cannot create", out->path) : 0;
}

struct io_out *io_create(const char *path, struct err *e)
{
    bool direct = false;
    struct io_out *out = mem_alloc(1, sizeof *out, e);
    if (!out) return NULL;
    out->slot = -1;
    /* /dev/stdout may be a file that already has content: a rename must not replace it */
    out->stdio = strcmp(path, "-") == 0 || strcmp(path, "/dev/stdout") == 0;
    out->path = out->stdio ? mem_strndup("<stdout>", 8, e) : resolve(path, &direct, e);
    if (!out->path) goto fail;
    if (out->stdio)
        out->fd = STDOUT_FILENO;
    else if (open_out(out, direct, e))
        goto fail;
    return out;
fail:
    mem_free(out->path);
    mem_free(out);
    return NULL;
}

/* ---- large files, which bypass the page cache ---- */
enum { BLOCK = 4096 }; /* an alignment that every disk accepts */

static int set_direct(const struct io_out *out, bool on)
{
    const int flags = fcntl(out->fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(out->fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT);
}

void io_past_cache(struct io_out *out)
{
    if (out->slot < 0 || out->written || out->block || set_direct(out, true)) return;
    out->block = mem_aligned(BLOCK, IO_PAST_CACHE, NULL);
    if (!out->block) set_direct(out, false);
}

/* Writes the n bytes of the block, which end at `written`. A size that is not a multiple of BLOCK,
 * or a refusal by the file system, makes it use the page cache. */
static int put_block(struct io_out *out, size_t n)
{
    const off_t at = (off_t)(out->written - n);
    if (n % BLOCK && set_direct(out, false)) return -1;
    int rc = sys_pwrite_all(out->fd, out->block, n, at);
    if (rc && errno == EINVAL && set_direct(out, false) == 0)
        rc = sys_pwrite_all(out->fd, out->block, n, at);
    return rc;
}

static int write_blocks(struct io_out *out, const char *p, size_t n)
{
    while (n > 0) {
        const size_t used = out->written % IO_PAST_CACHE, room = IO_PAST_CACHE - used,
                     k = n < room ? n : room;
        memcpy(out->block + used, p, k);
        p += k, n -= k;
        out->written += k;
        if (k == room && put_block(out, IO_PAST_CACHE)) return -1;
    }
    return 0;
}

static int write_rest(struct io_out *out)
{
    const size_t used = out->block ? out->written % IO_PAST_CACHE : 0;
    return used ? put_block(out, used) : 0;
}

/* A bar on the same terminal makes way for the bytes. */
static int write_stdout(const char *p, size_t n)
{
    bar_hide();
    const int rc = sys_write_all(STDOUT_FILENO, p, n), why = errno;
    bar_show();
    errno = why;
    return rc;
}

int io_write(struct io_out *out, const void *p, size_t n, struct err *e)
{
    const int rc = out->stdio   ? write_stdout(p, n)
                   : out->block ? write_blocks(out, p, n)
                                : sys_write_all(out->fd, p, n);
    if (rc) return err_errno(e, ERR_IO, "%s: write failed", out->path);
    if (!out->block) out->written += n;
    return 0;
}

uint64_t io_written(const struct io_out *out) { return out->written; }

bool io_out_is_tty(const struct io_out *out) { return isatty(out->fd) == 1; }

static void out_free(struct io_out *out)
{
    mem_free(out->block);
    mem_free(out->path);
    mem_free(out);
}

/* Network file systems report a failed write when a descriptor is closed. Closing a duplicate keeps
 * descriptor 1 taken and a temporary file locked. */
static int close_copy(const struct io_out *out)
{
    const int fd = fcntl(out->fd, F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? -1 : sys_close(fd);
}

static int commit_direct(struct io_out *out, struct err *e)
{
    if ((out->stdio ? close_copy(out) : sys_close(out->fd)) == 0) return 0;
    return err_errno(e, ERR_IO, "%s: close failed", out->path);
}

static int commit_temp(struct io_out *out, struct err *e)
{
    if (write_rest(out) || sys_fsync(out->fd) || close_copy(out)) {
        err_errno(e, ERR_IO, "%s: write failed", out->path);
    } else if (sys_rename(temp_name(out->slot), out->path)) {
        err_errno(e, ERR_CREATE, "%s: cannot rename the finished file", out->path);
    } else {
        temp_forget(out->slot);
        if (sys_sync_parent(out->path) == 0) return 0;
        return err_errno(e, ERR_IO, "%s: cannot sync its folder", out->path);
    }
    temp_remove(out->slot);
    return -1;
}

void io_abort(struct io_out *out)
{
    if (!out) return;
    if (out->slot >= 0)
        temp_remove(out->slot);
    else if (!out->stdio)
        sys_close(out->fd);
    out_free(out);
}

int io_commit(struct io_out *out, struct err *e)
{
    if (io_intact(e)) return io_abort(out), -1;
    int rc = out->slot < 0 ? commit_direct(out, e) : commit_temp(out, e);
    out_free(out);
    return rc;
}

int io_put(const char *path, const void *p, size_t n, struct err *e)
{
    struct io_out *out = io_create(path, e);
    if (!out) return -1;
    if (io_write(out, p, n, e) == 0) return io_commit(out, e);
    io_abort(out);
    return -1;
}

/* ---- append-only files ---- */
struct io_log {
    int fd;
    char *path;
};

static int log_cut(struct io_log *l, int64_t keep)
{
    struct stat st;
    if (keep < 0) return 0;
    if (fstat(l->fd, &st) != 0) return -1;
    if (st.st_size <= keep) return 0;
    return sys_ftruncate(l->fd, (off_t)keep);
}

int io_append_fd(const char *path, struct err *e)
{
    int fd = sys_open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (fd < 0) err_errno(e, ERR_CREATE, "%s: cannot open for appending", path);
    return fd;
}

static void log_free(struct io_log *l)
{
    mem_free(l->path);
    mem_free(l);
}

static struct io_log *log_make(const char *path, struct err *e)
{
    struct io_log *l = mem_alloc(1, sizeof *l, e);
    if (!l) return NULL;
    l->path = mem_strndup(path, strlen(path), e);
    if (l->path) return l;
    log_free(l);
    return NULL;
}

/* Prepares an open file. Its name is synced here, its bytes by io_log_sync. */
static int log_begin(struct io_log *l, int64_t keep, struct err *e)
{
    if (log_cut(l, keep)) return err_errno(e, ERR_IO, "%s: cannot shorten", l->path);
    if (sys_sync_parent(l->path) == 0) return 0;
    return err_errno(e, ERR_IO, "%s: cannot sync its folder", l->path);
}

struct io_log *io_log_open(const char *path, int64_t keep, struct err *e)
{
    struct io_log *l = log_make(path, e);
    if (!l) return NULL;
    l->fd = io_append_fd(path, e);
    if (l->fd >= 0 && log_begin(l, keep, e) == 0) return l;
    if (l->fd >= 0) sys_close(l->fd);
    log_free(l);
    return NULL;
}

int io_log_new(const char *path, struct io_log **log, struct err *e)
{
    struct io_log *l = log_make(path, e);
    if (!l) return -1;
    l->fd = sys_open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0666);
    if (l->fd >= 0) return *log = l, 0;
    const int rc = errno == EEXIST ? 1 : err_errno(e, ERR_CREATE, "%s: cannot create", path);
    log_free(l);
    return rc;
}

int io_append(struct io_log *l, const void *p, size_t n, struct err *e)
{
    if (sys_write_all(l->fd, p, n)) return err_errno(e, ERR_IO, "%s: write failed", l->path);
    return 0;
}

/* A device or a pipe has no fsync. */
static int log_fsync(struct io_log *l)
{
    int rc = sys_fsync(l->fd);
    return rc && (errno == EINVAL || errno == EROFS) ? 0 : rc;
}

int io_log_sync(struct io_log *l, struct err *e)
{
    return log_fsync(l) ? err_errno(e, ERR_IO, "%s: write failed", l->path) : 0;
}

int io_log_close(struct io_log *l, struct err *e)
{
    if (!l) return 0;
    int rc = log_fsync(l), why = errno;
    int closed = sys_close(l->fd);
    if (rc) errno = why;
    if (rc || closed) rc = err_errno(e, ERR_IO, "%s: write failed", l->path);
    log_free(l);
    return rc;
}
