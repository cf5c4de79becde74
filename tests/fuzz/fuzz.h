/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of the fuzz targets: checks, a folder in memory, and inputs that edit a valid file. */
#ifndef SFT_TEST_FUZZ_H
#define SFT_TEST_FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"

#define FUZZ static __attribute__((unused)) /* a target uses what it needs */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Kills the process when a condition that every input must meet is not met. */
FUZZ void need(bool good)
{
    if (!good) __builtin_trap();
}
/* A refusal has one line that is not empty, and is no internal error. */
FUZZ void need_refusal(const struct err *e)
{
    if (e->code != ERR_OK && e->code != ERR_INTERNAL && e->msg[0] && !strchr(e->msg, '\n')) return;
    fprintf(stderr, "code %d: \"%s\"\n", (int)e->code, e->msg);
    abort();
}

/* ---- files ---- */
static char fuzz_root[32];
FUZZ void fuzz_clean(void)
{
    struct err e;
    io_remove_tree(fuzz_root, &e);
}
/* The target's folder, which goes when it exits; in memory where the system has such a place. */
FUZZ const char *fuzz_folder(void)
{
    if (fuzz_root[0]) return fuzz_root;
    snprintf(fuzz_root, sizeof fuzz_root, "/dev/shm/sft-fuzz.XXXXXX");
    if (!mkdtemp(fuzz_root)) {
        snprintf(fuzz_root, sizeof fuzz_root, "/tmp/sft-fuzz.XXXXXX");
        need(mkdtemp(fuzz_root) != NULL);
    }
    atexit(fuzz_clean);
    return fuzz_root;
}
/* The path of a name in it; of the last four calls. */
FUZZ const char *fuzz_path(const char *name)
{
    static char path[4][256];
    static unsigned next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", fuzz_folder(), name);
    return p;
}
/* Replaces a file. */
FUZZ void fuzz_put(const char *path, const void *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    need(f && fwrite(p, 1, n, f) == n && fclose(f) == 0);
}
FUZZ void fuzz_get(const char *path, struct buf *b)
{
    struct err e;
    buf_reset(b);
    need(io_slurp(path, 64 << 20, b, &e) == 0);
}

/* ---- inputs ---- */
/* Cuts what is before the first NUL byte off the input. */
FUZZ struct str fuzz_part(const uint8_t **data, size_t *n)
{
    const char *p = (const char *)*data, *nul = *n ? memchr(p, 0, *n) : NULL;
    const size_t len = nul ? (size_t)(nul - p) : *n, used = len + (nul != NULL);
    *data += used;
    *n -= used;
    return (struct str){p, len};
}
/* Appends the base to b with the edits of the input: each has two bytes for the place, one for what
 * is done there (overwrite, insert, remove, cut off) and its length, and then its bytes. A fuzzer
 * does not guess a whole file of a binary format. */
FUZZ void fuzz_edit(struct buf *b, const void *base, size_t n, const uint8_t *data, size_t size)
{
    buf_reset(b);
    buf_add(b, base, n);
    while (size >= 3 && !b->failed) {
        const size_t at = b->len ? (size_t)(data[0] | data[1] << 8) % (b->len + 1) : 0;
        const unsigned how = data[2] & 3;
        size_t len = data[2] >> 2, left = b->len - at;
        data += 3;
        size -= 3;
        if (how < 2 && len > size) len = size;
        if (how != 1 && len > left) len = left;
        if (how == 0) memcpy(b->data + at, data, len);
        if (how == 1 && buf_room(b, len)) {
            memmove(b->data + at + len, b->data + at, left);
            memcpy(b->data + at, data, len);
        }
        if (how == 2) memmove(b->data + at, b->data + at + len, left - len);
        if (how == 2) b->len -= len;
        if (how == 3) b->len = len < 8 ? at : b->len;
        if (how < 2) data += len, size -= len;
    }
    need(!b->failed);
}

#endif
