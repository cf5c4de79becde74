/* SPDX-License-Identifier: Apache-2.0 */
/* Folders: create, list, remove, rename. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io_impl.h"

/* Returns 1 and fills *st, 0 when path does not exist, or -1. */
static int look(const char *path, struct stat *st, struct err *e)
{
    if (stat(path, st) == 0) return 1;
    if (errno == ENOENT || errno == ENOTDIR) return 0;
    return err_errno(e, ERR_NOINPUT, "%s: cannot tell whether it is there", path);
}

int io_exists(const char *path, struct err *e)
{
    struct stat st;
    return look(path, &st, e);
}

int io_is_dir(const char *path, struct err *e)
{
    struct stat st;
    const int there = look(path, &st, e);
    return there > 0 ? S_ISDIR(st.st_mode) : there;
}

int io_has(const char *dir, const char *name, struct err *e)
{
    char *path = io_path(dir, name, e);
    const int there = path ? io_exists(path, e) : -1;
    mem_free(path);
    return there;
}

int io_stat(const char *path, struct stat *st, struct err *e)
{
    if (stat(path, st) == 0) return 0;
    return err_errno(e, ERR_NOINPUT, "%s: cannot stat", path);
}

/* Creates one level. A folder that exists already is fine. The sync of its parent makes its name
 * outlast a power cut: a file in it that is committed later is lost without the name. */
int io_mkdir(const char *path, struct err *e)
{
    if (sys_mkdir(path) == 0) {
        if (sys_sync_parent(path) == 0) return 0;
        return err_errno(e, ERR_IO, "%s: cannot sync its folder", path);
    }
    const int why = errno;
    if (io_is_dir(path, NULL) > 0) return 0;
    errno = why;
    return err_errno(e, ERR_CREATE, "%s: cannot create the folder", path);
}

char *io_real(const char *path, struct err *e)
{
    char *real = realpath(path, NULL);
    if (!real) err_errno(e, ERR_NOINPUT, "%s: cannot be found", path);
    return real;
}

int io_mkdirs(const char *path, struct err *e)
{
    if (io_is_dir(path, NULL) > 0) return 0;
    char *p = mem_strndup(path, strlen(path), e);
    if (!p) return -1;
    int rc = 0;
    for (char *s = p + 1; *p && *s && rc == 0; s++) {
        if (*s != '/') continue;
        *s = 0;
        rc = io_mkdir(p, e);
        *s = '/';
    }
    if (rc == 0) rc = io_mkdir(p, e);
    mem_free(p);
    return rc;
}

/* ---- listing ---- */
struct names {
    char **v;
    size_t n, cap;
};

static void names_free(struct names *l)
{
    for (size_t i = 0; i < l->n; i++) mem_free(l->v[i]);
    mem_free(l->v);
}

static int names_read(DIR *d, const char *dir, struct names *l, struct err *e)
{
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(d);
        if (!entry && errno) return err_errno(e, ERR_IO, "%s: cannot list", dir);
        if (!entry) return 0;
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
        if (mem_grow(&l->v, &l->cap, l->n + 1, sizeof *l->v, e)) return -1;
        char *copy = mem_strndup(name, strlen(name), e);
        if (!copy) return -1;
        l->v[l->n++] = copy;
    }
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int io_list(const char *dir, int (*f)(void *arg, const char *name, struct err *e), void *arg,
            struct err *e)
{
    DIR *d;
    do d = opendir(dir);
    while (!d && errno == EINTR);
    if (!d) return err_errno(e, ERR_NOINPUT, "%s: cannot list", dir);
    struct names l = {0};
    int rc = names_read(d, dir, &l, e);
    closedir(d);
    if (l.n > 1) qsort(l.v, l.n, sizeof *l.v, by_bytes);
    for (size_t i = 0; i < l.n && rc == 0; i++) rc = f(arg, l.v[i], e);
    names_free(&l);
    return rc;
}

/* ---- removing ---- */
struct removal {
    const char *dir;
    int depth;
};
enum { REMOVE_MAX_DEPTH = 64 };
static int remove_below(const char *path, int depth, struct err *e);

static int remove_entry(void *arg, const char *name, struct err *e)
{
    const struct removal *r = arg;
    char *path = io_path(r->dir, name, e);
    int rc = path ? remove_below(path, r->depth + 1, e) : -1;
    mem_free(path);
    return rc;
}

static int remove_below(const char *path, int depth, struct err *e)
{
    struct stat st;
    if (depth > REMOVE_MAX_DEPTH)
        return err_set(e, ERR_IO, "%s: folders nested too deeply to remove", path);
    if (lstat(path, &st) != 0) return err_errno(e, ERR_IO, "%s: cannot remove", path);
    bool folder = S_ISDIR(st.st_mode);
    struct removal r = {path, depth};
    if (folder && io_list(path, remove_entry, &r, e) != 0) return -1;
    if ((folder ? sys_rmdir(path) : sys_unlink(path)) == 0) return 0;
    return err_errno(e, ERR_IO, "%s: cannot remove", path);
}

int io_remove_tree(const char *path, struct err *e) { return remove_below(path, 0, e); }

/* ---- renaming ---- */
int io_rename_dir(const char *from, const char *to, struct err *e)
{
    if (io_is_dir(from, NULL) > 0 && sys_sync_dir(from))
        return err_errno(e, ERR_IO, "%s: cannot sync", from);
    if (sys_rename_new(from, to)) {
        if (errno == EEXIST || errno == ENOTEMPTY)
            return err_set(e, ERR_CREATE, "%s: exists already", to);
        return err_errno(e, ERR_CREATE, "%s: cannot rename %s to this", to, from);
    }
    if (sys_sync_parent(to)) return err_errno(e, ERR_IO, "%s: cannot sync its folder", to);
    return 0;
}
