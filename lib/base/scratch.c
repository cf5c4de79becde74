/* SPDX-License-Identifier: Apache-2.0 */
/* Unnamed temporary files. */
#include "base/scratch.h"

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

struct scratch *scratch_new(struct err *e)
{
    struct scratch *s = mem_alloc(1, sizeof *s, e);
    char *name = s ? io_path(folder(), "sft.XXXXXX", e) : NULL;
    if (!name) {
        mem_free(s);
        return NULL;
    }
    s->fd = mkostemp(name, O_CLOEXEC);
    if (s->fd < 0)
        err_errno(e, ERR_CREATE, "%s: cannot create a temporary file; set TMPDIR", folder());
    else
        io_sys.unlink(name);
    mem_free(name);
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
