/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a folder that appears complete under its name, or not at all. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io_impl.h"

struct io_folder {
    int slot; /* of the temporary */
    char *path;
};

static int make_parents(const char *path, struct err *e)
{
    char *parent = path_parent(path, e);
    int rc = parent ? io_mkdirs(parent, e) : -1;
    mem_free(parent);
    return rc;
}

static char *without_slashes(const char *path, struct err *e)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    return mem_strndup(path, n, e);
}

struct io_folder *io_folder_new(const char *path, struct err *e)
{
    struct stat st;
    if (lstat(path, &st) == 0) {
        err_set(e, ERR_CREATE, "%s: exists already; choose another name or remove it", path);
        return NULL;
    }
    struct io_folder *f = mem_alloc(1, sizeof *f, e);
    if (!f) return NULL;
    f->path = without_slashes(path, e);
    f->slot = f->path && make_parents(f->path, e) == 0 ? temp_new(f->path, true, e) : -1;
    if (f->slot >= 0) return f;
    mem_free(f->path);
    mem_free(f);
    return NULL;
}

const char *io_folder_path(const struct io_folder *f) { return temp_name(f->slot); }

static void folder_free(struct io_folder *f)
{
    mem_free(f->path);
    mem_free(f);
}

void io_folder_abort(struct io_folder *f)
{
    if (!f) return;
    temp_remove(f->slot);
    folder_free(f);
}

int io_folder_commit(struct io_folder *f, struct err *e)
{
    int rc = io_intact(e) ? -1 : io_rename_dir(temp_name(f->slot), f->path, e);
    if (rc) return io_folder_abort(f), -1;
    temp_forget(f->slot);
    folder_free(f);
    return 0;
}
