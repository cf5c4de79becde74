/* SPDX-License-Identifier: Apache-2.0 */
/* Reads safetensors files through a mapping, one file or the shards of a folder; writes them in
 * order. Format: https://github.com/huggingface/safetensors#format */
#ifndef SFT_HF_SAFETENSORS_H
#define SFT_HF_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "hf/dtype.h"

#define SAFETENSORS_MAX_HEADER ((size_t)100000000)    /* bytes; limit of the reference code */
#define SAFETENSORS_SHARD      ((uint64_t)5000000000) /* bytes of a shard, as in transformers */
enum { HF_MAX_DIMS = 8 };

/* One tensor, row-major: the last dimension is contiguous. */
struct hf_tensor {
    const char *name;
    enum dtype dtype;
    int ndim; /* 0: a scalar */
    uint64_t dim[HF_MAX_DIMS];
    uint64_t count, bytes;     /* elements, and their size; the reader and the writer set them */
    const unsigned char *data; /* in the mapping, any alignment; the writer ignores it */
    const char *file;          /* the path of its file */
};
/* Writes "[576, 1536]" to out, for messages and listings. */
void hf_tensor_shape(const struct hf_tensor *t, char *out, size_t n);
/* Sets count and bytes from shape and type; -1 when a product overflows. */
int hf_tensor_size(struct hf_tensor *t);

/* ---- reading ---- */
struct safetensors;
/* Opens a .safetensors file, or a folder with model.safetensors or model.safetensors.index.json.
 * Maps the tensors without reading them. Checks the whole layout: wrong sizes, unknown types,
 * duplicate names, overlaps, holes and trailing bytes are ERR_DATA, with file and tensor in the
 * message. */
struct safetensors *safetensors_open(const char *path, struct err *e);
/* Opens STEM.safetensors, or the shards of STEM.safetensors.index.json, in a folder. */
struct safetensors *safetensors_open_stem(const char *dir, const char *stem, struct err *e);
/* Parses the n bytes of a file in memory, which must outlive the result; name is for messages. */
struct safetensors *safetensors_parse(const void *p, size_t n, const char *name, struct err *e);
size_t safetensors_count(const struct safetensors *s);
const struct hf_tensor *safetensors_at(const struct safetensors *s, size_t i); /* in file order */
const struct hf_tensor *safetensors_find(const struct safetensors *s, const char *name);
/* Finds a tensor; a missing one or another shape is ERR_DATA. ndim < 0: any shape. */
const struct hf_tensor *safetensors_need(const struct safetensors *s, const char *name, int ndim,
                                         const uint64_t *dim, struct err *e);
/* True for two tensors of one type, size and content. */
bool safetensors_same(const struct safetensors *s, const struct hf_tensor *a,
                      const struct hf_tensor *b);
/* Tells the kernel that n bytes of the data of a tensor, from offset `from` on, are not needed for
 * now; see io_forget. */
void safetensors_forget(const struct safetensors *s, const struct hf_tensor *t, uint64_t from,
                        uint64_t n);
void safetensors_close(struct safetensors *s); /* NULL is fine */

/* ---- writing ---- */
struct safetensors_writer;
/* Starts dir/STEM.safetensors for the n tensors of `list` (name, dtype, ndim, dim; copied). If they
 * have more than shard_bytes bytes (0: no bound), writes STEM-00001-of-0000N.safetensors and
 * STEM.safetensors.index.json instead. */
struct safetensors_writer *safetensors_create(const char *dir, const char *stem,
                                              const struct hf_tensor *list, size_t n,
                                              uint64_t shard_bytes, struct err *e);
/* Writes the next n bytes of tensor data, in the order of the list. A call may end inside a tensor.
 */
int safetensors_write(struct safetensors_writer *w, const void *p, size_t n, struct err *e);
/* Called when a file is complete, with its name in dir, its size with the header, and its XXH3-128.
 * A failure makes safetensors_write or safetensors_commit fail. */
typedef int safetensors_done(void *arg, const char *file, uint64_t size, const char *xxh128,
                             struct err *e);
void safetensors_watch(struct safetensors_writer *w, safetensors_done *done, void *arg);
/* Finishes the last file; -1 when bytes are missing. Frees w in either case. A failure leaves no
 * incomplete file. */
int safetensors_commit(struct safetensors_writer *w, struct err *e);
void safetensors_abort(struct safetensors_writer *w); /* removes the current file; NULL is fine */

#endif
