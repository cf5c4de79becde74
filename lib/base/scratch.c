/* SPDX-License-Identifier: Apache-2.0 */
/* Unnamed temporary files. */
#include "base/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io_impl.h"

enum { CHUNK = 1 << 20 }; /* bytes written at a time */

struct scratch {
    int fd;
    uint64_t size;
    struct buf tail; /* bytes not yet written to the file */
    void *map;
    size_t mapped;
};

static const char *folder(void)
{
    const char *dir = getenv("TMPDIR");
    return dir && *dir ? dir : "/tmp";
}

/* A file that has a name for a moment: a process that is killed then leaves it. */
static int make_named(struct err *e)
{
    char *name = io_path(folder(), "sft.XXXXXX", e);
    if (!name) return -1;
    int fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0) {
        err_errno(e, ERR_CREATE, "%s: cannot create a temporary file; set TMPDIR", folder());
    } else if (sys_unlink(name)) {
        err_errno(e, ERR_IO, "%s: cannot remove", name);
        sys_close(fd);
        fd = -1;
    }
    mem_free(name);
    return fd;
}

/* Not every file system makes files without a name. */
static int make(struct err *e)
{
    const int fd = sys_open(folder(), O_TMPFILE | O_RDWR, 0600);
    if (fd >= 0) return fd;
    if (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT || errno == EINVAL)
        return make_named(e);
    return err_errno(e, ERR_CREATE, "%s: cannot create a temporary file; set TMPDIR", folder());
}

struct scratch *scratch_new(struct err *e)
{
    struct scratch *s = mem_alloc(1, sizeof *s, e);
    if (!s) return NULL;
    s->fd = make(e);
    if (s->fd >= 0) return s;
    mem_free(s);
    return NULL;
}

static int flush(struct scratch *s, struct err *e)
{
    if (s->tail.len && sys_write_all(s->fd, s->tail.data, s->tail.len))
        return err_errno(e, ERR_IO,
                         "%s: cannot write a temporary file; set TMPDIR to a folder "
                         "with more room",
                         folder());
    buf_reset(&s->tail);
    return 0;
}

int scratch_add(struct scratch *s, const void *p, size_t n, struct err *e)
{
    buf_add(&s->tail, p, n);
    if (buf_check(&s->tail, e)) return -1;
    s->size += n;
    return s->tail.len >= CHUNK ? flush(s, e) : 0;
}

uint64_t scratch_size(const struct scratch *s) { return s->size; }

const void *scratch_map(struct scratch *s, struct err *e)
{
    if (s->map || s->size == 0) return s->map ? s->map : "";
    if (flush(s, e)) return NULL;
    void *p = mmap(NULL, s->size, PROT_READ, MAP_PRIVATE, s->fd, 0);
    if (p == MAP_FAILED) {
        err_errno(e, ERR_IO, "%s: cannot map a temporary file", folder());
        return NULL;
    }
    s->map = p;
    s->mapped = s->size;
    return p;
}

void scratch_free(struct scratch *s)
{
    if (!s) return;
    if (s->map) munmap(s->map, s->mapped);
    sys_close(s->fd);
    buf_free(&s->tail);
    mem_free(s);
}
