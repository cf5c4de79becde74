/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of a file of prompts, which the ranks take in turn. */
#ifndef SFT_CMD_EVAL_DEALT_H
#define SFT_CMD_EVAL_DEALT_H

#include "base/buf.h"
#include "base/json.h"

struct eval;
struct dealt {
    struct eval *v;
    struct buf lines, row; /* of this rank's rows, in order; the last row that was read */
    uint64_t rows, hash;   /* rows that were read; of all of them */
};

/* Counts a row that was read, which every rank does with all rows. Returns true if it is one of
 * this rank's. */
bool dealt_takes(struct dealt *d, const struct json *row);
/* Writes a row's line, if there is one rank; else keeps it. The lines come in the order of the
 * rows. */
int dealt_put(struct dealt *d, const struct buf *line, struct err *e);
/* Writes the lines of all ranks, which call it together. rc: this rank's result; if that is -1, row
 * is the one that failed, and e its error. Returns 0, or -1 with one error on all ranks, that of
 * the first row that failed. */
int dealt_write(struct dealt *d, int rc, uint64_t row, struct err *e);
void dealt_free(struct dealt *d);

#endif
