/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a run's checkpoints while training goes on. A checkpoint is a Hugging Face folder of the
 * weights, with state/ for all else that the next step depends on; restore.h reads it.
 *
 * The tensors are read from the device, in the order of their allocation, into a staging buffer of
 * fixed size (by a thread, or by the caller where the device requires that), and another thread
 * writes them to files from there. An update of a tensor waits, through saver_gate, until the
 * tensor has been read; nothing else waits. */
#ifndef SFT_SAVE_SAVER_H
#define SFT_SAVE_SAVER_H

#include "base/buf.h"
#include "hf/peft.h"
#include "hf/safetensors.h"
#include "parallel/mesh.h"

/* Tensors are read in pieces of so many elements, counted from each tensor's start. */
enum { SAVER_PIECE = 1 << 20 };

/* ---- the tensors of a checkpoint: layout.h makes this list ---- */
/* Puts elements [at, at + n) of something, in the type `as`, at `out`. */
typedef int saver_read(void *arg, size_t at, size_t n, enum hf_dtype as, void *out, struct err *e);

struct saver_tensor {
    const char *name;
    enum hf_dtype dtype; /* in the file */
    int rank;
    uint64_t shape[2];
    size_t n;  /* elements */
    int file;  /* index of saver_list.files */
    size_t at; /* its first element, for read */
    saver_read *read;
    void *arg;
    size_t passed; /* updates of elements below it may begin once this tensor is read; 0: no more
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
/* The useful size of staging memory: all tensors, but at most `limit` and at least one piece. */
size_t saver_staging(const struct saver_list *l, size_t limit);
/* The bytes that a save allocates at most. */
size_t saver_reserve(const struct saver_list *l);

/* ---- the saver of a run ---- */
struct saver_options {
    struct saver_list list;
    const struct mesh *mesh; /* all its ranks save together; mesh_writes tells which one writes */
    void *staging;           /* staging_bytes, the owner's; one piece on a rank that only sends */
    size_t staging_bytes;
    bool async;       /* saver_save does not wait for the disk */
    bool read_beside; /* `read` may be called from another thread while the caller trains */
    /* of the rank that writes; the strings belong to the owner */
    const char *root;                  /* <output_dir>/sft_train */
    const char *source;                /* model folder; its config.json and tokenizer are copied */
    const struct peft_config *adapter; /* not NULL: checkpoints are folders of this adapter */
    uint64_t keep;                     /* the newest `keep` checkpoints remain; 0: all */
};
struct saver;
struct saver *saver_open(const struct saver_options *o, struct err *e);
void saver_close(struct saver *s); /* waits for the save under way; NULL is fine */

/* The place of a checkpoint in the run: state/run.json has it. */
struct saver_point {
    uint64_t step;
    uint64_t checksum;     /* of the stream's rows up to this step */
    const char *tokenizer; /* of the stream, as are length, global_batch and seed */
    uint64_t length, global_batch, seed;
    const struct buf *guard; /* JSON texts, which restore.h reads again */
    const char *settings;
};
/* Begins to write checkpoint-<step>, once the save before it has ended. All ranks of the mesh call
 * it together, and succeed or fail together; only the one that writes reads *p. -1: this save, or
 * the one before it, failed; what it left is removed, and earlier checkpoints are untouched. */
int saver_save(struct saver *s, const struct saver_point *p, struct err *e);

struct saver_report {
    uint64_t step, bytes; /* of tensors */
    double seconds;       /* from saver_save until it was durable */
    char *path;           /* ROOT/checkpoint-STEP; mem_free() */
};
/* 1 and *r: a save has ended well since the last call that returned 1; 0: none has; -1: one failed.
 * Reports come to the rank that writes. */
int saver_poll(struct saver *s, struct saver_report *r, struct err *e);
int saver_wait(struct saver *s, struct saver_report *r, struct err *e); /* for the save under way */

/* The first element after `at`, a multiple of 64, that must not be updated yet; waits until it is
 * not `at` itself. SIZE_MAX when nothing is being read. */
size_t saver_gate(void *s, size_t at);
/* The seconds that the caller waited in these functions since the last call. */
double saver_stalled(struct saver *s);

#endif
