/* SPDX-License-Identifier: Apache-2.0 */
/* The tensors of a checkpoint in the order in which a saver reads them. layout.h makes the list. */
#ifndef SFT_SAVE_LIST_H
#define SFT_SAVE_LIST_H

#include <stdbool.h>

#include "hf/safetensors.h"

/* Tensors are read in pieces of so many elements, counted from each tensor's start. */
enum { SAVER_PIECE = 1 << 20 };

/* Puts the elements at positions [at, at + n) of the canonical order, which are of one tensor, at
 * `out` in the type `as`. out has room for n times saver_room while it runs. */
typedef int saver_read(void *arg, size_t at, size_t n, enum dtype as, void *out, struct err *e);

struct saver_tensor {
    const char *name;
    enum dtype dtype; /* in the file */
    int rank;
    uint64_t shape[3];
    size_t n;  /* elements */
    int file;  /* index of saver_list.files */
    size_t at; /* the position of its first element, for read */
    saver_read *read;
    void *arg;
    size_t room; /* bytes of an element as `read` gets it, before it has the file's type; 0: none */
    size_t passed; /* updates of positions below it may begin once this tensor is read; 0: no more
                      than before */
};
struct saver_file {
    const char *stem; /* "model": model.safetensors, or its shards */
    bool state;       /* in state/ */
};
/* All tensors in the order of reading. The strings belong to the owner, who keeps the list while
 * the saver is open. */
struct saver_list {
    const struct saver_tensor *tensors;
    size_t ntensors;
    struct saver_file files[2];
    int nfiles;
    /* The reader calls it after the last tensor; rc, and e when rc is not 0, are the result of
     * reading. Returns rc, or -1 with e: the save fails. NULL: not called. */
    int (*finish)(void *arg, int rc, struct err *e);
    void *arg;
};
/* Returns the bytes that an element takes while it is read: as it comes, or in the file. */
static inline size_t saver_room(const struct saver_tensor *t)
{
    const size_t size = dtype_size(t->dtype);
    return t->room > size ? t->room : size;
}
/* Returns the useful size of staging memory: that of all tensors, but at most `limit` and at least
 * one piece. */
size_t saver_staging(const struct saver_list *l, size_t limit);
/* Returns the most bytes that a save allocates. */
size_t saver_reserve(const struct saver_list *l);

#endif
