/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.json: the size and XXH3-128 of every file of a checkpoint, and of itself. */
#ifndef SFT_SAVE_MANIFEST_IMPL_H
#define SFT_SAVE_MANIFEST_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"

enum { MANIFEST_VERSION = 1 };

struct manifest_file {
    char *path; /* below the folder of the manifest, parts joined by '/' */
    uint64_t size;
    char hash[HASH128_HEX]; /* as xxh128sum prints it */
};
struct manifest {
    uint64_t step;
    struct manifest_file *files; /* in byte order of the paths */
    size_t count, cap;
};

/* Lists every file below dir but manifest.json, with its size. */
int manifest_scan(const char *dir, struct manifest *m, struct err *e);
/* Measures the file that f names below dir: its size and, if asked for, its hash. ERR_DATA when it
 * is not a regular file. */
int manifest_measure(const char *dir, struct manifest_file *f, bool hash, struct err *e);
/* Appends a file; m->files is out of order until manifest_sort. */
int manifest_add(struct manifest *m, const char *path, uint64_t size, const char *hash,
                 struct err *e);
void manifest_sort(struct manifest *m);
const struct manifest_file *manifest_find(const struct manifest *m, const char *path);

int manifest_format(const struct manifest *m, struct buf *b, struct err *e);
int manifest_parse(const char *text, size_t n, const char *name, struct manifest *m, struct err *e);
int manifest_read(const char *dir, struct manifest *m, struct err *e); /* ERR_NOINPUT: absent */
int manifest_write(const char *dir, const struct manifest *m, struct err *e);
void manifest_free(struct manifest *m);

#endif
