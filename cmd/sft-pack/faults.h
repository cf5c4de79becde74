/* SPDX-License-Identifier: Apache-2.0 */
/* Counts samples that the plan shortens or omits, or that have no trained token. */
#ifndef SFT_CMD_PACK_FAULTS_H
#define SFT_CMD_PACK_FAULTS_H

#include "stream/stream.h"

enum fault_sort {
    FAULT_OVER,      /* over length */
    FAULT_UNTRAINED, /* without a trained token in the input */
    FAULT_ANSWER,    /* cut: no trained token is left */
    FAULT_STOP,      /* cut: the last trained token, which ends the answer, is gone */
    FAULTS
};
struct faults {
    uint64_t samples, count[FAULTS];
    struct buf names[FAULTS]; /* file:row of the first of each sort: "0:17, 0:21" */
};
/* Counts s; -v logs it. */
void faults_note(struct faults *f, enum fault_sort sort, const struct stream_sample *s);
/* Appends the names, and ", ..." if there are more. */
void faults_names(const struct faults *f, enum fault_sort sort, struct buf *b);
/* Logs a warning for each sort that occurred, except FAULT_OVER. */
int faults_warn(const struct faults *f, struct err *e);
void faults_summary(const struct faults *f); /* logs all counts in a line */
/* Adds the counts of lost answers and stops to the trailer of the plan. */
int faults_notes(const struct faults *f, struct stream_writer *out, struct err *e);
void faults_free(struct faults *f);

#endif
