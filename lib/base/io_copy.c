/* SPDX-License-Identifier: Apache-2.0 */
/* A second name for a file, or a copy of it. */
#include "base/io_impl.h"

static int pass_on(struct io_in *in, struct io_out *out, struct err *e)
{
    enum { ROOM = 1 << 16 };
    char *room = mem_alloc(ROOM, 1, e);
    ssize_t n = room ? 0 : -1;
    while (room && (n = io_read(in, room, ROOM, e)) > 0)
        if (io_write(out, room, (size_t)n, e)) {
            n = -1;
            break;
        }
    mem_free(room);
    return n < 0 ? -1 : 0;
}

static int copy(const char *from, const char *to, struct err *e)
{
    struct io_in *in = io_open_regular(from, e);
    struct io_out *out = in ? io_create(to, e) : NULL;
    int rc = out ? pass_on(in, out, e) : -1;
    io_close(in);
    if (rc == 0) return io_commit(out, e);
    io_abort(out);
    return -1;
}

/* Whatever is wrong beside a file system without links, the copy meets and tells it too. */
int io_duplicate(const char *from, const char *to, struct err *e)
{
    if (sys_link(from, to)) return copy(from, to, e);
    if (sys_sync_parent(to)) return err_errno(e, ERR_IO, "%s: cannot sync its folder", to);
    return 0;
}
