/* SPDX-License-Identifier: Apache-2.0 */
/* Writes safetensors files: the header from the list of tensors, then the data as a stream. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/doc.h"
#include "base/hash.h"
#include "base/io.h"
#include "hf/safetensors.h"

enum { DATA_ALIGN = 64, MAX_NAME = 1000, FILE_NAME = 128 };

struct safetensors_writer {
    char *dir, *stem;
    struct hf_tensor *list; /* [count] `names` owns the names; `file` is unused */
    size_t *shard;          /* [count] the shard of each tensor */
    size_t count, shards;
    struct arena names;
    struct io_out *out;   /* the current shard */
    struct hash128 *hash; /* of the bytes of the current shard */
    safetensors_done *watch;
    void *watch_arg;
    size_t next;   /* the current tensor */
    uint64_t done; /* bytes of it written so far */
};

static void writer_free(struct safetensors_writer *w)
{
    hash128_free(w->hash);
    mem_free(w->dir);
    mem_free(w->stem);
    mem_free(w->list);
    mem_free(w->shard);
    arena_free(&w->names);
    mem_free(w);
}

void safetensors_abort(struct safetensors_writer *w)
{
    if (!w) return;
    io_abort(w->out);
    writer_free(w);
}

static void shard_name(const struct safetensors_writer *w, size_t shard, char *out, size_t n)
{
    if (w->shards <= 1)
        snprintf(out, n, "%s.safetensors", w->stem);
    else
        snprintf(out, n, "%s-%05zu-of-%05zu.safetensors", w->stem, shard + 1, w->shards);
}

void safetensors_watch(struct safetensors_writer *w, safetensors_done *done, void *arg)
{
    w->watch = done;
    w->watch_arg = arg;
}

static int put(struct safetensors_writer *w, const void *p, size_t n, struct err *e)
{
    hash128_add(w->hash, p, n);
    return io_write(w->out, p, n, e);
}

/* Appends the JSON header of one shard, padded with spaces so that the data is aligned. */
static void header_text(const struct safetensors_writer *w, size_t shard, struct buf *b)
{
    uint64_t at = 0;
    buf_puts(b, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < w->count; i++) {
        const struct hf_tensor *t = &w->list[i];
        if (w->shard[i] != shard) continue;
        buf_putc(b, ',');
        buf_json(b, str_z(t->name));
        buf_printf(b, ":{\"dtype\":\"%s\",\"shape\":[", hf_dtype_name(t->dtype));
        for (int d = 0; d < t->ndim; d++) buf_printf(b, "%s%" PRIu64, d ? "," : "", t->dim[d]);
        buf_printf(b, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, at + t->bytes);
        at += t->bytes;
    }
    buf_putc(b, '}');
    while ((b->len + 8) % DATA_ALIGN && !b->failed) buf_putc(b, ' ');
}

static int begin_shard(struct safetensors_writer *w, size_t shard, struct err *e)
{
    char name[FILE_NAME];
    struct buf header = {0}, head = {0};
    shard_name(w, shard, name, sizeof name);
    header_text(w, shard, &header);
    buf_u64(&head, header.len);
    int rc = -1;
    char *path = io_path(w->dir, name, e);
    if (path && buf_check(&header, e) == 0 && buf_check(&head, e) == 0) {
        if (header.len > SAFETENSORS_MAX_HEADER)
            err_set(e, ERR_INTERNAL, "%s: the header would be larger than readers accept", path);
        else if ((w->hash = hash128_new(e)) && (w->out = io_create(path, e))) {
            io_past_cache(w->out);
            rc = put(w, head.data, head.len, e) == 0 ? put(w, header.data, header.len, e) : -1;
        }
    }
    mem_free(path);
    buf_free(&header);
    buf_free(&head);
    return rc;
}

static int end_shard(struct safetensors_writer *w, size_t shard, struct err *e)
{
    char name[FILE_NAME], hex[HASH128_HEX];
    const uint64_t size = io_written(w->out);
    struct io_out *out = w->out;
    hash128_hex(w->hash, hex);
    hash128_free(w->hash);
    w->hash = NULL;
    w->out = NULL;
    shard_name(w, shard, name, sizeof name);
    if (io_commit(out, e)) return -1;
    return w->watch ? w->watch(w->watch_arg, name, size, hex, e) : 0;
}

/* Moves past finished tensors; closes and opens files when the shard changes. */
static int advance(struct safetensors_writer *w, struct err *e)
{
    while (w->next < w->count && w->done == w->list[w->next].bytes) {
        size_t shard = w->shard[w->next++];
        w->done = 0;
        if (w->next < w->count && w->shard[w->next] != shard) {
            if (end_shard(w, shard, e) || begin_shard(w, shard + 1, e)) return -1;
        }
    }
    return 0;
}

/* Assigns tensors to shards in order: a tensor that would exceed the limit starts the next shard.
 */
static void plan_shards(struct safetensors_writer *w, uint64_t limit)
{
    uint64_t used = 0;
    size_t shard = 0;
    for (size_t i = 0; i < w->count; i++) {
        uint64_t n = w->list[i].bytes;
        if (limit && used && n > limit - (used < limit ? used : limit)) {
            shard++;
            used = 0;
        }
        w->shard[i] = shard;
        used += n;
    }
    w->shards = shard + 1;
}

static int copy_list(struct safetensors_writer *w, const struct hf_tensor *list, size_t n,
                     struct err *e)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) {
        struct hf_tensor *t = &w->list[i];
        *t = list[i];
        size_t len = strlen(t->name);
        if (len > MAX_NAME || t->ndim < 0 || t->ndim > HF_MAX_DIMS || hf_tensor_size(t) ||
            __builtin_add_overflow(total, t->bytes, &total))
            return err_set(e, ERR_INTERNAL, "tensor \"%.200s\": impossible name or size", t->name);
        if (!(t->name = arena_copy(&w->names, t->name, len, e))) return -1;
    }
    return 0;
}

struct safetensors_writer *safetensors_create(const char *dir, const char *stem,
                                              const struct hf_tensor *list, size_t n,
                                              uint64_t shard_bytes, struct err *e)
{
    struct safetensors_writer *w = mem_alloc(1, sizeof *w, e);
    if (!w) return NULL;
    w->count = n;
    w->dir = mem_strndup(dir, strlen(dir), e);
    w->stem = mem_strndup(stem, strlen(stem), e);
    w->list = mem_alloc(n, sizeof *w->list, e);
    w->shard = mem_alloc(n, sizeof *w->shard, e);
    if (!w->dir || !w->stem || !w->list || !w->shard || copy_list(w, list, n, e)) goto fail;
    plan_shards(w, shard_bytes);
    if (begin_shard(w, 0, e) || advance(w, e)) goto fail;
    return w;
fail:
    safetensors_abort(w);
    return NULL;
}

int safetensors_write(struct safetensors_writer *w, const void *p, size_t n, struct err *e)
{
    const unsigned char *from = p;
    while (n > 0) {
        if (w->next == w->count)
            return err_set(e, ERR_INTERNAL, "%s: more tensor data than announced", w->dir);
        uint64_t left = w->list[w->next].bytes - w->done;
        size_t step = n < left ? n : (size_t)left;
        if (put(w, from, step, e)) return -1;
        from += step;
        n -= step;
        w->done += step;
        if (advance(w, e)) return -1;
    }
    return 0;
}

static int by_tensor_name(const void *a, const void *b)
{
    return strcmp((*(const struct hf_tensor *const *)a)->name,
                  (*(const struct hf_tensor *const *)b)->name);
}

/* Fills `sorted` with the tensors by name, as transformers sorts them, and `files` with the name of
 * each shard. */
static void fill_index(struct doc *d, const struct safetensors_writer *w,
                       const struct hf_tensor **sorted, char (*files)[FILE_NAME])
{
    uint64_t total = 0;
    for (size_t i = 0; i < w->count; i++) {
        sorted[i] = &w->list[i];
        total += w->list[i].bytes;
    }
    qsort(sorted, w->count, sizeof *sorted, by_tensor_name);
    for (size_t i = 0; i < w->shards; i++) shard_name(w, i, files[i], sizeof files[i]);
    doc_object(d, "metadata");
    doc_uint(d, "total_size", total);
    doc_close(d);
    doc_object(d, "weight_map");
    for (size_t i = 0; i < w->count; i++)
        doc_text(d, sorted[i]->name, files[w->shard[sorted[i] - w->list]]);
    doc_close(d);
}

/* Writes STEM.safetensors.index.json. */
static int write_index(const struct safetensors_writer *w, struct err *e)
{
    char name[FILE_NAME + 16];
    struct doc d;
    int rc = -1;
    const struct hf_tensor **sorted = mem_alloc(w->count, sizeof *sorted, e);
    char(*files)[FILE_NAME] = sorted ? mem_alloc(w->shards, sizeof *files, e) : NULL;
    if (files) {
        doc_begin(&d);
        fill_index(&d, w, sorted, files);
        snprintf(name, sizeof name, "%s.safetensors.index.json", w->stem);
        rc = doc_put(&d, w->dir, name, e);
    }
    mem_free(sorted);
    mem_free(files);
    return rc;
}

int safetensors_commit(struct safetensors_writer *w, struct err *e)
{
    int rc = -1;
    if (w->next != w->count)
        err_set(e, ERR_INTERNAL, "%s: tensor \"%.200s\": data is missing", w->dir,
                w->list[w->next].name);
    else if (end_shard(w, w->shards - 1, e) == 0)
        rc = w->shards > 1 ? write_index(w, e) : 0;
    safetensors_abort(w);
    return rc;
}
