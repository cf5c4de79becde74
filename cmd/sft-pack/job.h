/* SPDX-License-Identifier: Apache-2.0 */
/* The state of one sft-pack. */
#ifndef SFT_CMD_PACK_JOB_H
#define SFT_CMD_PACK_JOB_H

#include "base/opt.h"
#include "faults.h"
#include "pack/pack.h"
#include "spool.h"

enum over { OVER_ERROR, OVER_DROP, OVER_CUT };

struct job {
    const char *output;
    int64_t length, global_batch, seed;
    int mode, over; /* enum pack_mode, enum over */
    double epochs;
    bool in_order;
    struct opt_common common;
    struct stream_set *in;
    struct spool *spool;
    struct pack_options plan;
    struct stream_header header;
    struct stream_writer *out;
    struct faults faults;      /* in the samples of the input */
    struct stream_sample *row; /* the row to write */
    size_t row_cap;
    uint64_t part, part_tokens; /* the current step (dense: epoch), and its tokens */
    uint64_t bound;             /* the fewest possible rows */
};

/* input.c: spools all samples and applies --over-length. -1 with ERR_DATA when samples are over
 * length and that is not allowed, or when there are none. */
int input_read(struct job *j, struct err *e);

#endif
