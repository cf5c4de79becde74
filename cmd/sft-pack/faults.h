/* SPDX-License-Identifier: Apache-2.0 */
/* Samples of which a plan has less than was given, or nothing to learn: counted and named. */
#ifndef SFT_CMD_PACK_FAULTS_H
#define SFT_CMD_PACK_FAULTS_H

#include "stream/stream.h"

enum fault_sort {
    FAULT_OVER,      /* over length */
    FAULT_UNTRAINED, /* given without a trained token */
    FAULT_ANSWER,    /* cut: no trained token is left */
    FAULT_STOP,      /* cut: the last trained token, which ends the answer, is gone */
    FAULTS
};
struct faults {
    uint64_t samples, count[FAULTS];
    struct buf names[FAULTS]; /* of the first of each sort: "0:17, 0:21" */
};
/* Counts s, whose tokens are all there still, and names it at -v. */
void faults_note(struct faults *f, enum fault_sort sort, const struct stream_sample *s);
/* Appends the names, and that there are more. */
void faults_names(const struct faults *f, enum fault_sort sort, struct buf *b);
/* A warning for each sort that occurred, but FAULT_OVER; and all counts in a line. */
int faults_warn(const struct faults *f, struct err *e);
void faults_summary(const struct faults *f);
/* Writes the counts of answers and stops that the cut removed into the trailer of the plan. */
int faults_notes(const struct faults *f, struct stream_writer *out, struct err *e);
void faults_free(struct faults *f);

#endif
