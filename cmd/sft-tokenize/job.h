/* SPDX-License-Identifier: Apache-2.0 */
/* The state of one sft-tokenize. */
#ifndef SFT_CMD_TOKENIZE_JOB_H
#define SFT_CMD_TOKENIZE_JOB_H

#include "base/log.h"
#include "base/opt.h"
#include "base/pool.h"
#include "columns.h"
#include "rows/bad.h"
#include "text/tokenizer.h"

enum { CHUNK_ROWS = 64, CHUNK_BYTES = 256 << 10 };

struct chunk {
    struct arena arena; /* owns the conversations */
    struct stream_record recs[CHUNK_ROWS];
    int n;
};

struct job {
    const char *model, *output, *tags;
    char *dir; /* the resolved folder of the model */
    struct row_keys keys;
    int format; /* enum row_format */
    bool ids, check;
    struct opt_common common;
    int threads;
    struct tokenizer *tokenizer;
    struct tokenizer_scratch **scratch; /* [threads] */
    struct token_list *tokens;          /* [threads] */
    struct pool *pool;
    struct stream_writer *out;
    struct chunk *chunk; /* the chunk that rows are added to */
    struct columns columns;
    struct bad_rows bad;
    uint64_t rows, empty, count; /* count: tokens */
    struct progress progress;
};

/* chunk.c: makes the pool whose jobs are chunks. NULL with ERR_MEMORY. */
struct pool *chunk_pool(struct job *j, struct err *e);
void chunk_free(struct chunk *c); /* NULL is fine */

#endif
