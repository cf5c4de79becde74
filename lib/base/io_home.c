/* SPDX-License-Identifier: Apache-2.0 */
/* Expands home folders in paths: ~ and ~USER, as a shell does. */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"

static int own_home(struct buf *out, struct err *e)
{
    const char *home = getenv("HOME");
    if (!home || !*home)
        return err_set(e, ERR_CONFIG,
                       "HOME is not set, so ~ stands for no folder; write the path in full");
    if (*home != '/')
        return err_set(e, ERR_CONFIG,
                       "HOME is '%.100s', which is no absolute path; write the path in full", home);
    buf_puts(out, home);
    return 0;
}

static int home_of(const char *user, size_t n, struct buf *out, struct err *e)
{
    char name[256], room[16384];
    struct passwd entry, *found = NULL;
    if (n < sizeof name) {
        memcpy(name, user, n);
        name[n] = 0;
        if (getpwnam_r(name, &entry, room, sizeof room, &found) == ENOMEM)
            return err_set(e, ERR_MEMORY, "out of memory");
    }
    if (!found || *found->pw_dir != '/')
        return err_set(e, ERR_CONFIG,
                       "there is no user %.*s with a home folder; for a file of that name write "
                       "./~%.*s",
                       (int)n, user, (int)n, user);
    buf_puts(out, found->pw_dir);
    return 0;
}

int io_expand_home(const char *path, struct buf *out, struct err *e)
{
    if (*path == '~') {
        const size_t start = out->len, n = strcspn(++path, "/");
        if (n ? home_of(path, n, out, e) : own_home(out, e)) return -1;
        path += n;
        /* avoids a double slash, also when the home folder is / */
        while (*path && out->len > start && out->data[out->len - 1] == '/')
            out->data[--out->len] = 0;
    }
    buf_puts(out, path);
    return buf_check(out, e);
}
