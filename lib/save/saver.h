/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a run's checkpoints while training goes on. A checkpoint is a Hugging Face folder of the
 * weights, with state/ for all else that the next step depends on; restore.h reads it.
 *
 * The tensors are read from the device, in canonical order, into a staging buffer of
 * fixed size (by a thread, or by the caller where the device requires that), and another thread
 * writes them to files from there. An update of a tensor waits, through saver_gate, until the
 * tensor has been read; nothing else waits. */
#ifndef SFT_SAVE_SAVER_H
#define SFT_SAVE_SAVER_H

#include "base/buf.h"
#include "hf/peft.h"
#include "model/kept.h"
#include "parallel/mesh.h"
#include "save/list.h"

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
    const char *base; /* of an adapter: the identity of the base's weights, from peft_base_id() */
    const struct kept *kept; /* follows the tensors of the model's file; NULL: none */
    uint64_t keep;           /* so many checkpoints remain, see ckpt_prune; 0: all */
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
    const struct device_card *card; /* the GPU of rank 0; NULL: none */
    const struct buf *guard;        /* JSON texts, which restore.h reads again */
    const struct buf *best;         /* NULL: the run has no best checkpoint */
    const char *settings;
    uint64_t best_step; /* its checkpoint remains; 0: none */
};
/* Begins to write checkpoint-<step>, once the save before it has ended. All ranks of the mesh call
 * it together, and succeed or fail together; the ranks that do not write need only the step. -1:
 * this save, or the one before it, failed; what it left is removed, and earlier checkpoints are
 * untouched. */
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

/* Returns the first position after `at`, a multiple of 64, that must not be updated yet; waits
 * until it is not `at` itself. SIZE_MAX when nothing is being read. s is a struct saver. */
size_t saver_gate(void *s, size_t at);
/* Returns the seconds that the caller waited in these functions since the last call. */
double saver_stalled(struct saver *s);

#endif
