/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a saver. saver_read.c puts pieces of tensors into a ring, saver_write.c takes them
 * out and writes them, saver.c starts both, and saver_fail.c keeps the first failure. */
#ifndef SFT_SAVE_SAVER_IMPL_H
#define SFT_SAVE_SAVER_IMPL_H

#include <pthread.h>

#include "save/ckpt_impl.h"
#include "save/ring_impl.h"
#include "save/saver.h"

enum { SAVER_FILES = 2 };
struct saver {
    struct saver_options o;
    struct ring *ring;                    /* NULL: this rank writes nothing */
    struct hf_tensor *lists[SAVER_FILES]; /* of each file's tensors, for its writer */
    size_t count[SAVER_FILES];
    uint64_t bytes; /* of all tensors */
    pthread_t reader, writer;
    bool has_reader, has_writer; /* without a reader saver_save reads */
    struct buf run;              /* text of run.json of the save under way */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t change;
    uint64_t step; /* of the save under way */
    uint64_t best; /* step of the best checkpoint by then; 0: none */
    double began, stalled;
    bool reading; /* until the last piece is in the ring */
    bool writing; /* until the checkpoint is in place, or the last piece was dropped */
    bool failed, quit, news;
    size_t passed; /* elements below it have been read */
    struct err why;
    struct saver_report report;
};

/* saver_fail.c: only the first failure of a save is kept; why, if not NULL, gets it. */
void saver_fail(struct saver *s, const struct err *e);
bool saver_failed(struct saver *s, struct err *why);
int saver_result(const struct saver *s, struct err *why); /* -1 when failed; with the lock held */

/* saver_read.c */
void saver_pass(struct saver *s); /* reads all tensors once */
void *saver_reader(void *saver);  /* the thread that does so when `reading` is set */

/* saver_write.c */
int saver_list_files(struct saver *s, struct err *e); /* once, before the writer starts */
void *saver_writer(void *saver); /* the thread that makes a checkpoint when `writing` is set */

/* saver_files.c: writes into k the files beside the tensors: the model's folder, or the adapter's,
 * and state/run.json. */
int saver_put_files(const struct saver *s, const struct ckpt *k, struct err *e);

#endif
