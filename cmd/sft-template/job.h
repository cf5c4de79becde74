/* SPDX-License-Identifier: Apache-2.0 */
/* The state of one sft-template. */
#ifndef SFT_CMD_TEMPLATE_JOB_H
#define SFT_CMD_TEMPLATE_JOB_H

#include "base/log.h"
#include "base/opt.h"
#include "base/pool.h"
#include "chat/chat.h"
#include "faults.h"
#include "rows/bad.h"

enum { CHUNK_TURNS = 32, CHUNK_BYTES = 256 << 10 };

struct chunk {
    struct arena arena; /* owns the conversations and the samples */
    int n;
    struct stream_record turns[CHUNK_TURNS];
    struct chat_facts facts[CHUNK_TURNS];
    const struct err *bad[CHUNK_TURNS]; /* why the row is skipped; NULL: it is not */
    struct stream_sample samples[CHUNK_TURNS];
};

struct worker {
    struct chat_scratch *scratch;
    struct chat_sample sample;
};

struct job {
    const char *model, *output, *template, *allow;
    bool check;    /* stop before any input is read */
    char *dir;     /* the resolved folder of the model */
    int mask;      /* enum chat_mask */
    int arguments; /* 0: decoded, 1: kept as text */
    struct opt_list vars;
    const char *vars_object;
    struct arena arena; /* owns the variables */
    const struct json *variables;
    struct opt_common common;
    int threads;
    struct stream_set *in;
    struct tokenizer *tokenizer;
    struct chat *chat;
    struct worker *workers;
    struct pool *pool;
    struct stream_writer *out;
    struct chunk *chunk; /* the chunk that conversations are added to */
    struct faults faults;
    struct bad_rows bad;
    struct progress progress;
};

/* chunk.c: makes the pool whose jobs are chunks. NULL with ERR_MEMORY. */
struct pool *chunk_pool(struct job *j, struct err *e);
void chunk_free(struct chunk *c); /* NULL is fine */

#endif
