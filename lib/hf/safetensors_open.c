/* SPDX-License-Identifier: Apache-2.0 */
/* Opens a safetensors file, or the shards of the index of a folder, and finds tensors by name. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/doc.h"
#include "base/json.h"
#include "hf/safetensors_impl.h"

enum { MAX_SHARDS = 10000, MAX_INDEX = 64 << 20 };

void safetensors_close(struct safetensors *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->nfiles; i++) {
        io_unmap(&s->files[i].map);
        mem_free(s->files[i].path);
    }
    mem_free(s->files);
    mem_free(s->tensors);
    mem_free(s->by_name);
    arena_free(&s->names);
    mem_free(s);
}

void safetensors_forget(const struct safetensors *s, const struct hf_tensor *t, uint64_t from,
                        uint64_t n)
{
    const unsigned char *p = t->data + from;
    for (size_t i = 0; i < s->nfiles; i++) {
        const struct io_map *m = &s->files[i].map;
        if (m->n > 0 && m->p <= p && p < m->p + m->n) io_forget(m, p, n);
    }
}

bool safetensors_same(const struct safetensors *s, const struct hf_tensor *a,
                      const struct hf_tensor *b)
{
    enum { PIECE = 1 << 18 };
    bool same = a->dtype == b->dtype && a->bytes == b->bytes;
    for (uint64_t at = 0, c; same && at < a->bytes; at += c) {
        c = a->bytes - at < PIECE ? a->bytes - at : PIECE;
        same = memcmp(a->data + at, b->data + at, (size_t)c) == 0;
        safetensors_forget(s, a, at, c);
        safetensors_forget(s, b, at, c);
    }
    return same;
}

/* Maps path and reads its header. Takes ownership of path, also on failure. */
static int add_file(struct safetensors *s, char *path, struct err *e)
{
    if (!path) return -1;
    if (mem_grow(&s->files, &s->files_cap, s->nfiles + 1, sizeof *s->files, e)) {
        mem_free(path);
        return -1;
    }
    struct safetensors_file *f = &s->files[s->nfiles];
    memset(f, 0, sizeof *f);
    f->path = path;
    if (io_map(path, &f->map, e)) {
        mem_free(path);
        return -1;
    }
    s->nfiles++;
    f->p = f->map.p;
    f->n = f->map.n;
    return safetensors_read_header(s, f, e);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct hf_tensor *const *)a)->name, (*(struct hf_tensor *const *)b)->name);
}

static int index_names(struct safetensors *s, struct err *e)
{
    s->by_name = mem_alloc(s->count, sizeof *s->by_name, e);
    if (!s->by_name) return -1;
    for (size_t i = 0; i < s->count; i++) s->by_name[i] = &s->tensors[i];
    if (s->count > 1) qsort(s->by_name, s->count, sizeof *s->by_name, by_name);
    for (size_t i = 1; i < s->count; i++) {
        const struct hf_tensor *a = s->by_name[i - 1], *b = s->by_name[i];
        if (strcmp(a->name, b->name) == 0)
            return err_set(e, ERR_DATA, "%s: tensor \"%.200s\": is in %s too", b->file, b->name,
                           a->file);
    }
    return 0;
}

/* Makes the index of names, or frees s after a failure. */
static struct safetensors *finish(struct safetensors *s, int rc, struct err *e)
{
    if (rc == 0) rc = index_names(s, e);
    if (rc == 0) return s;
    safetensors_close(s);
    return NULL;
}

struct safetensors *safetensors_parse(const void *p, size_t n, const char *name, struct err *e)
{
    struct safetensors *s = mem_alloc(1, sizeof *s, e);
    if (!s) return NULL;
    int rc = -1;
    s->files = mem_alloc(1, sizeof *s->files, e);
    if (s->files && (s->files[0].path = mem_strndup(name, strlen(name), e))) {
        s->nfiles = s->files_cap = 1;
        s->files[0].p = p;
        s->files[0].n = n;
        rc = safetensors_read_header(s, &s->files[0], e);
    }
    return finish(s, rc, e);
}

/* An index may only name files in its own folder. */
static bool plain_name(struct str s)
{
    return s.n > 0 && s.n < 256 && s.p[0] != '.' && !memchr(s.p, '/', s.n) && !memchr(s.p, 0, s.n);
}

static int add_shard(struct safetensors *s, const char *dir, struct str file, struct err *e)
{
    char name[256];
    memcpy(name, file.p, file.n);
    name[file.n] = 0;
    size_t dir_n = strlen(dir);
    for (size_t i = 0; i < s->nfiles; i++)
        if (strcmp(s->files[i].path + dir_n + 1, name) == 0) return 0;
    if (s->nfiles == MAX_SHARDS)
        return err_set(e, ERR_DATA, "%s: more than %d shards", dir, MAX_SHARDS);
    return add_file(s, io_path(dir, name, e), e);
}

/* Checks that every tensor of the map is in the file that the map names. */
static int check_map(const struct safetensors *s, const struct json *map, const char *index,
                     struct arena *a, struct err *e)
{
    for (size_t i = 0; i < map->count; i++) {
        const char *name = arena_copy(a, map->keys[i].p, map->keys[i].n, e);
        if (!name) return -1;
        const struct hf_tensor *t = safetensors_find(s, name);
        const char *base = t ? strrchr(t->file, '/') : NULL;
        if (!t || !str_is(map->items[i].s, base ? base + 1 : t->file))
            return err_set(e, ERR_DATA, "%s: tensor \"%.200s\": is not in %.*s", index, name,
                           STR_FMT(map->items[i].s));
    }
    return 0;
}

static int open_index(struct safetensors *s, const char *dir, const char *index, struct err *e)
{
    struct buf text = {0};
    struct arena a = {.max = (size_t)1 << 30};
    int rc = -1;
    if (io_slurp(index, MAX_INDEX, &text, e)) goto out;
    const struct json *root = doc_parse(text.data, text.len, &a, e);
    if (!root) {
        err_prefix(e, "%s", index);
        goto out;
    }
    const struct json *map = root->kind == JSON_OBJECT ? json_get(root, "weight_map") : NULL;
    if (!map || map->kind != JSON_OBJECT || map->count == 0) {
        err_set(e, ERR_DATA, "%s: has no weight_map", index);
        goto out;
    }
    for (size_t i = 0; i < map->count; i++) {
        const struct json *file = &map->items[i];
        if (file->kind != JSON_STRING || !plain_name(file->s)) {
            err_set(e, ERR_DATA, "%s: weight_map: a file name is not a plain name", index);
            goto out;
        }
        if (add_shard(s, dir, file->s, e)) goto out;
    }
    rc = index_names(s, e) == 0 ? check_map(s, map, index, &a, e) : -1;
    mem_free(s->by_name);
    s->by_name = NULL;
out:
    buf_free(&text);
    arena_free(&a);
    return rc;
}

/* Returns the path of stem + suffix in dir; the caller frees it. */
static char *stem_path(const char *dir, const char *stem, const char *suffix, struct err *e)
{
    char name[128];
    snprintf(name, sizeof name, "%s%s", stem, suffix);
    return io_path(dir, name, e);
}

struct safetensors *safetensors_open_stem(const char *dir, const char *stem, struct err *e)
{
    struct safetensors *s = mem_alloc(1, sizeof *s, e);
    char *whole = stem_path(dir, stem, ".safetensors", e);
    char *index = stem_path(dir, stem, ".safetensors.index.json", e);
    const int is_whole = s && whole && index ? io_exists(whole, e) : -1;
    const int is_index = is_whole == 0 ? io_exists(index, e) : 0;
    int rc = -1;
    if (is_whole > 0) {
        rc = add_file(s, whole, e);
        whole = NULL;
    } else if (is_index > 0) {
        rc = open_index(s, dir, index, e);
    } else if (is_whole == 0 && is_index == 0) {
        err_set(e, ERR_NOINPUT,
                "%s: contains neither %s.safetensors nor %s.safetensors.index.json; weights in "
                "other formats must be converted first",
                dir, stem, stem);
    }
    mem_free(whole);
    mem_free(index);
    return s ? finish(s, rc, e) : NULL;
}

struct safetensors *safetensors_open(const char *path, struct err *e)
{
    const int folder = io_is_dir(path, e);
    if (folder) return folder < 0 ? NULL : safetensors_open_stem(path, "model", e);
    struct io_map map;
    if (io_map(path, &map, e)) return NULL;
    struct safetensors *s = safetensors_parse(map.p, map.n, path, e);
    if (s)
        s->files[0].map = map;
    else
        io_unmap(&map);
    return s;
}

size_t safetensors_count(const struct safetensors *s) { return s->count; }
const struct hf_tensor *safetensors_at(const struct safetensors *s, size_t i)
{
    return &s->tensors[i];
}

const struct hf_tensor *safetensors_find(const struct safetensors *s, const char *name)
{
    const struct hf_tensor key = {.name = name}, *k = &key;
    if (s->count == 0) return NULL;
    struct hf_tensor **t = bsearch(&k, s->by_name, s->count, sizeof *s->by_name, by_name);
    return t ? *t : NULL;
}

static bool is_end(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* Sets the message for a missing tensor. It contains a name that differs only in its prefix, if
 * there is one, as in files of other model classes. */
static void missing(const struct safetensors *s, const char *name, struct err *e)
{
    const char *like = NULL;
    for (size_t i = 0; i < s->count && !like; i++) {
        const char *x = s->tensors[i].name;
        if (is_end(x, name) || is_end(name, x)) like = x;
    }
    err_set(e, ERR_DATA, "%s: tensor \"%s\" is missing%s%.200s%s",
            s->nfiles ? s->files[0].path : "?", name, like ? "; there is \"" : "", like ? like : "",
            like ? "\": the file is of another class than config.json's model with its head" : "");
}

const struct hf_tensor *safetensors_need(const struct safetensors *s, const char *name, int ndim,
                                         const uint64_t *dim, struct err *e)
{
    const struct hf_tensor *t = safetensors_find(s, name);
    if (!t) {
        missing(s, name, e);
        return NULL;
    }
    if (ndim < 0 || (t->ndim == ndim && memcmp(t->dim, dim, (size_t)ndim * sizeof *dim) == 0))
        return t;
    char have[200], want[200];
    struct hf_tensor w = {.ndim = ndim};
    memcpy(w.dim, dim, (size_t)ndim * sizeof *dim);
    hf_tensor_shape(t, have, sizeof have);
    hf_tensor_shape(&w, want, sizeof want);
    err_set(e, ERR_DATA, "%s: tensor \"%s\": has shape %s, config.json needs %s", t->file, name,
            have, want);
    return NULL;
}
