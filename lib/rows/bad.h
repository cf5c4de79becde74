/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that a command skips, counted and named. */
#ifndef SFT_ROWS_BAD_H
#define SFT_ROWS_BAD_H

#include "base/buf.h"
#include "stream/stream.h"

struct bad_rows { /* zero-initialise; bad_rows_free() releases it */
    bool skip;    /* the caller's: bad rows are skipped */
    uint64_t count;
    struct buf names; /* file:row of the first few */
    struct err first; /* the first of them */
};
enum { BAD_ROWS_NAMED = 5 };

/* True when the failure *e concerns one row and such rows are skipped. */
bool bad_rows_skips(const struct bad_rows *b, const struct err *e);
/* Counts a row whose failure is e. Returns true for the first few, which are worth a line each. */
bool bad_rows_add(struct bad_rows *b, struct stream_source at, const struct err *e);
/* Adds the count to the trailer and appends to *text a line that tells it; nothing where it is 0.
 * ERR_DATA when no other row is left. */
int bad_rows_end(const struct bad_rows *b, uint64_t rows, struct stream_writer *out,
                 struct buf *text, struct err *e);
void bad_rows_free(struct bad_rows *b);

#endif
