/* SPDX-License-Identifier: Apache-2.0 */
/* Lists the files of a folder with their sizes, and hashes a file. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "save/manifest_impl.h"

enum { MAX_DEPTH = 8 };
#define STEP ((size_t)1 << 20)

/* Adds the bytes of an open file to h, up to the first step beyond `most`, and returns their
 * number, or -1. It does not map the file: the pages of a mapped checkpoint would count as memory
 * of the run that saves it. */
static int64_t hash_file(struct io_in *in, uint64_t most, struct hash128 *h, struct err *e)
{
    char *buf = mem_alloc(STEP, 1, e);
    uint64_t size = 0;
    ssize_t n = buf ? 0 : -1;
    while (buf && size <= most && (n = io_read(in, buf, STEP, e)) > 0) {
        hash128_add(h, buf, (size_t)n);
        size += (uint64_t)n;
    }
    mem_free(buf);
    return n < 0 ? -1 : (int64_t)size;
}

static int hash_path(const char *path, struct manifest_file *f, struct err *e)
{
    struct io_in *in = io_open_regular(path, e);
    struct hash128 *h = in ? hash128_new(e) : NULL;
    int64_t size = h ? hash_file(in, f->size, h, e) : -1;
    if (size >= 0) {
        f->size = (uint64_t)size;
        hash128_hex(h, f->hash);
    }
    hash128_free(h);
    io_close(in);
    return size < 0 ? -1 : 0;
}

int manifest_measure(const char *dir, struct manifest_file *f, bool hash, struct err *e)
{
    char *path = io_path(dir, f->path, e);
    if (!path) return -1;
    struct stat st;
    int rc = io_stat(path, &st, e);
    if (rc == 0 && !S_ISREG(st.st_mode))
        rc = err_set(e, ERR_DATA, "%s: is not a regular file", path);
    if (rc == 0) f->size = (uint64_t)st.st_size;
    if (rc == 0 && hash) rc = hash_path(path, f, e);
    mem_free(path);
    return rc;
}

struct walk {
    const char *root;
    const char *below; /* "" or "state" */
    int depth;
    struct manifest *m;
};

static int visit(void *arg, const char *name, struct err *e);

static int add_file(const struct walk *w, char *path, struct err *e)
{
    struct manifest *m = w->m;
    if (strcmp(path, "manifest.json") == 0) {
        mem_free(path);
        return 0;
    }
    if (mem_grow(&m->files, &m->cap, m->count + 1, sizeof *m->files, e)) {
        mem_free(path);
        return -1;
    }
    struct manifest_file *f = &m->files[m->count++];
    memset(f, 0, sizeof *f);
    f->path = path;
    return manifest_measure(w->root, f, false, e);
}

static int visit(void *arg, const char *name, struct err *e)
{
    const struct walk *w = arg;
    char *path = w->below[0] ? io_path(w->below, name, e) : mem_strndup(name, strlen(name), e);
    char *full = path ? io_path(w->root, path, e) : NULL;
    const int folder = full ? io_is_dir(full, e) : -1;
    int rc = -1;
    if (folder > 0) {
        struct walk inner = {w->root, path, w->depth + 1, w->m};
        rc = inner.depth > MAX_DEPTH ? err_set(e, ERR_DATA, "%s: folders nested too deeply", full)
                                     : io_list(full, visit, &inner, e);
    } else if (folder == 0) {
        rc = add_file(w, path, e);
        path = NULL;
    }
    mem_free(path);
    mem_free(full);
    return rc;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct manifest_file *)a)->path, ((const struct manifest_file *)b)->path);
}

int manifest_scan(const char *dir, struct manifest *m, struct err *e)
{
    struct walk w = {dir, "", 0, m};
    memset(m, 0, sizeof *m);
    if (io_list(dir, visit, &w, e)) {
        manifest_free(m);
        return -1;
    }
    manifest_sort(m);
    return 0;
}

int manifest_add(struct manifest *m, const char *path, uint64_t size, const char *hash,
                 struct err *e)
{
    if (mem_grow(&m->files, &m->cap, m->count + 1, sizeof *m->files, e)) return -1;
    struct manifest_file *f = &m->files[m->count];
    *f = (struct manifest_file){.path = mem_strndup(path, strlen(path), e), .size = size};
    if (!f->path) return -1;
    snprintf(f->hash, sizeof f->hash, "%s", hash);
    m->count++;
    return 0;
}

void manifest_sort(struct manifest *m)
{
    if (m->count > 1) qsort(m->files, m->count, sizeof *m->files, by_path);
}

const struct manifest_file *manifest_find(const struct manifest *m, const char *path)
{
    const struct manifest_file key = {.path = (char *)(uintptr_t)path};
    if (m->count == 0) return NULL;
    return bsearch(&key, m->files, m->count, sizeof *m->files, by_path);
}
