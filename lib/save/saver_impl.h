/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the saver: a reader that puts pieces of tensors into a ring, a writer that takes them out,
 * and their owner. saver_read.c, saver_write.c and saver.c have one of them each. */
#ifndef SFT_SAVE_SAVER_IMPL_H
#define SFT_SAVE_SAVER_IMPL_H

#include <pthread.h>

#include "save/ring.h"
#include "save/saver.h"

enum { SAVER_FILES = 2 };
struct saver {
    struct saver_options o;
    struct ring *ring;                    /* NULL: nothing is written here */
    struct hf_tensor *lists[SAVER_FILES]; /* for the writers of the files */
    size_t count[SAVER_FILES];
    uint64_t bytes; /* of all tensors */
    pthread_t reader, writer;
    bool has_reader, has_writer; /* no reader: the owner reads */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t change;
    struct saver_job job;
    double began, stalled;
    bool reading; /* until the last piece is in the ring */
    bool writing; /* until the checkpoint is there, or the last piece was dropped */
    bool failed, quit, news;
    size_t passed; /* elements below it have been read */
    struct err why;
    struct saver_report report;
};

/* The first failure of a save counts; why, if not NULL, gets it. */
void saver_fail(struct saver *s, const struct err *e);
bool saver_failed(struct saver *s, struct err *why);

void saver_pass(struct saver *s); /* one pass over the tensors */
void *saver_reader(void *saver);  /* the thread that makes it when `reading` is set */
void *saver_writer(void *saver);  /* the thread that makes a checkpoint when `writing` is set */
int saver_list_files(struct saver *s, struct err *e); /* before the first */

#endif
