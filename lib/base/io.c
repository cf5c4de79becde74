/* SPDX-License-Identifier: Apache-2.0 */
/* Reading: streams, whole files. */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/io_impl.h"

struct io_in {
    int fd;
    bool standard; /* standard input, which io_close leaves open */
    char *name;
    struct io_source source;
    void (*tap)(void *arg, const void *p, size_t n);
    void *tap_arg;
};

/* Tests an open file by its first bytes. A pointer has less than 1024 bytes, says the specification
 * of git-lfs. A read that fails is told by the one that follows. */
static bool is_lfs_pointer(int fd, const struct stat *st)
{
    static const char begin[] = "version https://git-lfs.github.com/spec/";
    enum { BEGIN = sizeof begin - 1, LONGEST = 1024 };
    char text[BEGIN];
    return S_ISREG(st->st_mode) && st->st_size > BEGIN && st->st_size < LONGEST &&
           io_sys.pread(fd, text, BEGIN, 0) == BEGIN && memcmp(text, begin, BEGIN) == 0;
}

/* A FIFO is opened without O_NONBLOCK only where any file will do: the open waits for a writer. */
int file_open(const char *path, enum file_kind kind, struct stat *st, struct err *e)
{
    int fd = sys_open(path, kind == REGULAR_FILE ? O_RDONLY | O_NONBLOCK : O_RDONLY, 0);
    if (fd < 0) return err_errno(e, ERR_NOINPUT, "%s: cannot open", path);
    if (fstat(fd, st))
        err_errno(e, ERR_NOINPUT, "%s: cannot stat", path);
    else if (S_ISDIR(st->st_mode))
        err_set(e, ERR_NOINPUT, "%s: is a folder, not a file", path);
    else if (kind == REGULAR_FILE && !S_ISREG(st->st_mode))
        err_set(e, ERR_NOINPUT, "%s: is not a regular file", path);
    else if (is_lfs_pointer(fd, st))
        err_set(e, ERR_DATA,
                "%s: is a git-lfs pointer, not the file itself; fetch the file with: git lfs pull",
                path);
    else
        return fd;
    sys_close(fd);
    return -1;
}

/* Reads until n bytes are there or the input ends. Returns the bytes read, or -1 with errno. */
static ssize_t read_full(int fd, char *p, size_t n)
{
    size_t got = 0;
    while (got < n) {
        size_t some = n - got < ((size_t)1 << 30) ? n - got : (size_t)1 << 30;
        ssize_t k = io_sys.read(fd, p + got, some);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return -1;
        if (k == 0) break;
        got += (size_t)k;
    }
    return (ssize_t)got;
}

static ssize_t read_file(void *arg, void *p, size_t n, struct err *e)
{
    const struct io_in *in = arg;
    ssize_t k = read_full(in->fd, p, n);
    return k < 0 ? err_errno(e, ERR_IO, "%s: read failed", in->name) : k;
}

static struct io_in *open_in(const char *path, enum file_kind kind, struct err *e)
{
    bool standard = kind == ANY_FILE && strcmp(path, "-") == 0;
    struct stat st = {0};
    int fd = standard ? STDIN_FILENO : file_open(path, kind, &st, e);
    if (fd < 0) return NULL;
    const char *name = standard ? "<stdin>" : path;
    struct io_in *in = mem_alloc(1, sizeof *in, e);
    if (in) in->name = mem_strndup(name, strlen(name), e);
    if (!in || !in->name) {
        if (!standard) sys_close(fd);
        mem_free(in);
        return NULL;
    }
    in->fd = fd;
    in->standard = standard;
    in->source = (struct io_source){.read = read_file, .arg = in};
    return in;
}

struct io_in *io_open(const char *path, struct err *e) { return open_in(path, ANY_FILE, e); }

struct io_in *io_open_regular(const char *path, struct err *e)
{
    return open_in(path, REGULAR_FILE, e);
}

ssize_t io_read(struct io_in *in, void *p, size_t n, struct err *e)
{
    ssize_t k = in->source.read(in->source.arg, p, n, e);
    if (k > 0 && in->tap) in->tap(in->tap_arg, p, (size_t)k);
    return k;
}

struct io_source io_source(const struct io_in *in) { return in->source; }

void io_set_source(struct io_in *in, struct io_source s) { in->source = s; }

void io_tap(struct io_in *in, void (*f)(void *arg, const void *p, size_t n), void *arg)
{
    in->tap = f;
    in->tap_arg = arg;
}

const char *io_name(const struct io_in *in) { return in->name; }

void io_close(struct io_in *in)
{
    if (!in) return;
    if (in->source.free) in->source.free(in->source.arg);
    if (!in->standard) sys_close(in->fd);
    mem_free(in->name);
    mem_free(in);
}

static int slurp(const char *path, enum file_kind kind, size_t max, struct buf *b, struct err *e)
{
    struct io_in *in = open_in(path, kind, e);
    if (!in) return -1;
    size_t total = 0, step = 64 << 10;
    int rc = 0;
    for (;;) {
        size_t before = b->len;
        char *to = buf_room(b, step);
        if (!to) {
            rc = buf_check(b, e);
            err_prefix(e, "%s", io_name(in));
            break;
        }
        ssize_t k = io_read(in, to, step, e);
        b->len = before + (k > 0 ? (size_t)k : 0);
        b->data[b->len] = 0;
        if (k < 0) rc = -1;
        total += k > 0 ? (size_t)k : 0;
        if (total > max) rc = err_set(e, ERR_DATA, "%s: longer than %zu bytes", path, max);
        if (rc || (size_t)k < step) break;
        if (step < (size_t)16 << 20) step *= 2;
    }
    io_close(in);
    return rc;
}

int io_slurp(const char *path, size_t max, struct buf *b, struct err *e)
{
    return slurp(path, REGULAR_FILE, max, b, e);
}

int io_slurp_any(const char *path, size_t max, struct buf *b, struct err *e)
{
    return slurp(path, ANY_FILE, max, b, e);
}

bool io_glance(const char *path, char *text, size_t room)
{
    int fd = sys_open(path, O_RDONLY, 0);
    ssize_t n = fd < 0 ? -1 : read_full(fd, text, room - 1);
    if (fd >= 0) sys_close(fd);
    text[n < 0 ? 0 : n] = 0;
    return n >= 0;
}
