/* SPDX-License-Identifier: Apache-2.0 */
/* What is really in a folder: every file with its size and hash. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "ckpt/manifest.h"

enum { MAX_DEPTH = 8 };
#define STEP ((size_t)1 << 20)

int manifest_measure(const char *dir, struct manifest_file *f, bool hash, struct err *e)
{
    struct io_map map;
    char *path = io_path(dir, f->path, e);
    if (!path) return -1;
    int rc = io_map(path, &map, e);
    free(path);
    if (rc != 0) return -1;
    f->size = map.n;
    struct hash128 *h = hash ? hash128_new(e) : NULL;
    rc = hash && !h ? -1 : 0;
    if (h) {
        for (size_t at = 0; at < map.n; at += STEP)
            hash128_add(h, map.p + at, map.n - at < STEP ? map.n - at : STEP);
        hash128_hex(h, f->hash);
        hash128_free(h);
    }
    io_unmap(&map);
    return rc;
}

struct walk {
    const char *root;
    const char *below; /* "" or "state" */
    int depth;
    bool hashes;
    struct manifest *m;
};

static int visit(void *arg, const char *name, struct err *e);

static int add_file(const struct walk *w, char *path, struct err *e)
{
    struct manifest *m = w->m;
    if (strcmp(path, "manifest.json") == 0) {
        free(path);
        return 0;
    }
    if (mem_grow(&m->files, &m->cap, m->count + 1, sizeof *m->files, e) != 0) {
        free(path);
        return -1;
    }
    struct manifest_file *f = &m->files[m->count++];
    memset(f, 0, sizeof *f);
    f->path = path;
    return manifest_measure(w->root, f, w->hashes, e);
}

static int visit(void *arg, const char *name, struct err *e)
{
    const struct walk *w = arg;
    char *path = w->below[0] ? io_path(w->below, name, e) : mem_strndup(name, strlen(name), e);
    char *full = path ? io_path(w->root, path, e) : NULL;
    int rc = -1;
    if (full && io_is_dir(full)) {
        struct walk inner = {w->root, path, w->depth + 1, w->hashes, w->m};
        rc = inner.depth > MAX_DEPTH ? err_set(e, ERR_DATA, "%s: folders nested too deeply", full)
                                     : io_list(full, visit, &inner, e);
    } else if (full) {
        rc = add_file(w, path, e);
        path = NULL;
    }
    free(path);
    free(full);
    return rc;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct manifest_file *)a)->path, ((const struct manifest_file *)b)->path);
}

int manifest_scan(const char *dir, bool hashes, struct manifest *m, struct err *e)
{
    struct walk w = {dir, "", 0, hashes, m};
    memset(m, 0, sizeof *m);
    if (io_list(dir, visit, &w, e) != 0) {
        manifest_free(m);
        return -1;
    }
    if (m->count > 1) qsort(m->files, m->count, sizeof *m->files, by_path);
    return 0;
}

const struct manifest_file *manifest_find(const struct manifest *m, const char *path)
{
    const struct manifest_file key = {.path = (char *)(uintptr_t)path};
    if (m->count == 0) return NULL;
    return bsearch(&key, m->files, m->count, sizeof *m->files, by_path);
}
