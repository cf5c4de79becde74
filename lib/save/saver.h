/* SPDX-License-Identifier: Apache-2.0 */
/* Writes checkpoints while training goes on. The tensors are read from the device, in the order of
 * their allocation, into a staging buffer of fixed size (by a thread, or by the caller where the
 * device wants that), and from there written to files by another thread. An update of a tensor
 * waits, through saver_gate, until the tensor has been read; nothing else waits. */
#ifndef SFT_SAVE_SAVER_H
#define SFT_SAVE_SAVER_H

#include "hf/safetensors.h"
#include "save/ckpt.h"

/* Tensors are read in pieces of so many elements, counted from each tensor's start. */
enum { SAVER_PIECE = 1 << 20 };

/* Puts elements [at, at + n) of something, in the type `as`, at `out`. */
typedef int saver_read(void *arg, size_t at, size_t n, enum hf_dtype as, void *out, struct err *e);

struct saver_tensor {
    const char *name;
    enum hf_dtype dtype; /* in the file */
    int rank;
    uint64_t shape[2];
    size_t n;  /* elements */
    int file;  /* index of saver_content.files */
    size_t at; /* its first element, for read */
    saver_read *read;
    void *arg;
    size_t passed; /* when it is read, elements below this one may be updated; 0: it says nothing */
};
struct saver_file {
    const char *stem; /* "model": model.safetensors, or its shards */
    bool state;       /* in state/ */
};
/* What every checkpoint of a run contains, in the order of reading. The strings belong to the
 * owner, who keeps all of it while the saver is open. */
struct saver_content {
    const struct saver_tensor *tensors;
    size_t ntensors;
    struct saver_file files[2];
    int nfiles;
    /* After the last tensor, by whoever reads: rc, and e when it is not 0, are what came of
     * reading. Returns rc, or -1 with e: then there is no checkpoint. NULL: nothing to do. */
    int (*over)(void *arg, int rc, struct err *e);
    void *arg;
};
/* The bytes of staging memory that are of use: all tensors, at most `limit` (but one piece). */
size_t saver_staging(const struct saver_content *c, size_t limit);

struct saver_options {
    struct saver_content content;
    void *staging; /* of staging_bytes; the owner's */
    size_t staging_bytes;
    bool gives;       /* nothing is written here: `read` gives what it read to whoever does, from
                         staging memory of one piece */
    bool async;       /* saver_save does not wait for the disk */
    bool read_beside; /* `read` may be called from another thread while the caller trains */
};
struct saver;
struct saver *saver_open(const struct saver_options *o, struct err *e);
void saver_close(struct saver *s); /* waits for a save under way; NULL is fine */

/* One save. What the pointers show is the owner's until the save is over. */
struct saver_job {
    const char *root;
    uint64_t step, keep; /* afterwards the newest `keep` checkpoints remain; 0: all */
    /* Puts the small files into the folder; on the saver's thread. */
    int (*files)(void *arg, const struct ckpt *k, struct err *e);
    void *arg;
};
/* Waits until no save is under way; -1 when one failed. */
int saver_settle(struct saver *s, struct err *e);
/* Begins a save, when the one before has settled. -1: it failed already. */
int saver_save(struct saver *s, const struct saver_job *job, struct err *e);

struct saver_report {
    uint64_t step, bytes; /* of tensors */
    double seconds;       /* from saver_save until it was durable */
    char *path;           /* ROOT/checkpoint-STEP; mem_free() */
};
/* 1: a save has ended well since the last call that said so, and *r tells of it; 0: none has;
 * -1: one failed. */
int saver_poll(struct saver *s, struct saver_report *r, struct err *e);
int saver_wait(struct saver *s, struct saver_report *r, struct err *e); /* when none is under way */

/* The first element after `at`, a multiple of 64, that must not be updated yet; waits until it is
 * not `at` itself. SIZE_MAX when nothing is being read. */
size_t saver_gate(void *s, size_t at);
/* Seconds that all of these but saver_poll have taken since the last call. */
double saver_stalled(struct saver *s);

#endif
