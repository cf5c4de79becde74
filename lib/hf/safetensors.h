/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors files: read through a mapping, one file or the shards of a folder; written in order.
 * Format: https://github.com/huggingface/safetensors#format */
#ifndef SFT_HF_SAFETENSORS_H
#define SFT_HF_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "hf/dtype.h"

#define SAFETENSORS_MAX_HEADER ((size_t)100000000)    /* what the reference implementation allows */
#define SAFETENSORS_SHARD      ((uint64_t)5000000000) /* bytes of one shard, as transformers cuts */
enum { HF_MAX_DIMS = 8 };

/* One tensor, row-major: the last dimension is contiguous. */
struct hf_tensor {
    const char *name;
    enum dtype dtype;
    int ndim; /* 0: a scalar */
    uint64_t dim[HF_MAX_DIMS];
    uint64_t count, bytes;     /* elements, and their size; filled by reader and writer */
    const unsigned char *data; /* in the mapping; any alignment. Not read by the writer */
    const char *file;          /* the path it came from */
};
/* "[576, 1536]" into out, for messages and listings. */
void hf_tensor_shape(const struct hf_tensor *t, char *out, size_t n);
/* Sets count and bytes from shape and type; -1 when a product overflows. */
int hf_tensor_size(struct hf_tensor *t);

/* ---- reading ---- */
struct safetensors;
/* path: a .safetensors file, or a folder with model.safetensors or model.safetensors.index.json.
 * The whole layout is checked: a header that lies about sizes, unknown types, duplicate names,
 * overlaps, holes and bytes at the end are ERR_DATA with file and tensor named. The bytes of the
 * tensors are mapped, not read. */
struct safetensors *safetensors_open(const char *path, struct err *e);
/* One file (stem ".safetensors") or its shards with index in a folder, by another stem than
 * "model". */
struct safetensors *safetensors_open_stem(const char *dir, const char *stem, struct err *e);
/* A file's content in memory, which must outlive the result; name is for messages. */
struct safetensors *safetensors_parse(const void *p, size_t n, const char *name, struct err *e);
size_t safetensors_count(const struct safetensors *s);
const struct hf_tensor *safetensors_at(const struct safetensors *s, size_t i); /* in file order */
const struct hf_tensor *safetensors_find(const struct safetensors *s, const char *name);
/* As find, but absence and another shape are ERR_DATA. ndim < 0: any shape. */
const struct hf_tensor *safetensors_need(const struct safetensors *s, const char *name, int ndim,
                                         const uint64_t *dim, struct err *e);
/* The n bytes at offset `from` of a tensor's data are not needed for now: pages that were read of a
 * file do not count as this process's memory any more. */
void safetensors_forget(const struct safetensors *s, const struct hf_tensor *t, uint64_t from,
                        uint64_t n);
void safetensors_close(struct safetensors *s); /* NULL is fine */

/* ---- writing ---- */
struct safetensors_writer;
/* Starts dir/stem.safetensors for the n tensors of `list` (name, dtype, ndim, dim; copied). When
 * they are more than shard_bytes (0: no bound), files stem-00001-of-0000N.safetensors and
 * stem.safetensors.index.json instead. */
struct safetensors_writer *safetensors_create(const char *dir, const char *stem,
                                              const struct hf_tensor *list, size_t n,
                                              uint64_t shard_bytes, struct err *e);
/* The next n bytes of tensor data, in the order of the list; calls may be cut anywhere. */
int safetensors_write(struct safetensors_writer *w, const void *p, size_t n, struct err *e);
/* done is told each file, header included, when it is complete: its name in dir, its size and
 * XXH3-128, computed while it was written. A failure of done is one of safetensors_write or
 * _commit. */
typedef int safetensors_done(void *arg, const char *file, uint64_t size, const char *xxh128,
                             struct err *e);
void safetensors_watch(struct safetensors_writer *w, safetensors_done *done, void *arg);
/* Finishes; -1 when bytes are missing. Frees w in either case; on failure no file that was not
 * already complete appears. */
int safetensors_commit(struct safetensors_writer *w, struct err *e);
void safetensors_abort(struct safetensors_writer *w); /* NULL is fine */

#endif
