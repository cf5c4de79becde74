/* SPDX-License-Identifier: Apache-2.0 */
/* Counts faulty samples and keeps the file:row of the first of each sort; -v logs every one. */
#include "faults.h"

#include <inttypes.h>

#include "base/log.h"

enum { NAMED = 5 };

/* The notes in the trailer. The header has the number over length, and sft-template notes its
 * samples without a trained token. */
static const char *const notes[FAULTS] = {
    [FAULT_ANSWER] = "lost_answers", [FAULT_STOP] = "lost_stops"};
static const char *const one[FAULTS] = {"over length", "no trained token",
                                        "cut: no trained token is left, its answer is lost",
                                        "cut: its last trained token is lost, the stop"};
static const char *const many[FAULTS] = {
    "are over length", "have no trained token",
    "have lost their answer: no trained token is left of them after the cut",
    "have lost their stop: their last trained token is cut off"};

void faults_note(struct faults *f, enum fault_sort sort, const struct stream_sample *s)
{
    struct buf *b = &f->names[sort];
    if (f->count[sort]++ < NAMED) {
        buf_printf(b, "%s%" PRIu32 ":%" PRIu64, b->len ? ", " : "", s->source.file, s->source.row);
        if (sort == FAULT_OVER) buf_printf(b, " (%" PRIu32 ")", s->n);
    }
    log_line(LOG_DEBUG, "file %" PRIu32 " row %" PRIu64 ": %" PRIu32 " tokens, %s", s->source.file,
             s->source.row, s->n, one[sort]);
}

void faults_names(const struct faults *f, enum fault_sort sort, struct buf *b)
{
    buf_add(b, f->names[sort].data, f->names[sort].len);
    b->failed |= f->names[sort].failed;
    if (f->count[sort] > NAMED) buf_puts(b, ", ...");
}

int faults_warn(const struct faults *f, struct err *e)
{
    struct buf names = {0};
    int rc = 0;
    for (int i = FAULT_OVER + 1; i < FAULTS && rc == 0; i++) {
        if (f->count[i] == 0) continue;
        buf_reset(&names);
        faults_names(f, (enum fault_sort)i, &names);
        if ((rc = buf_check(&names, e)) == 0)
            log_line(LOG_WARN, "%" PRIu64 " of %" PRIu64 " samples %s: file:row %s", f->count[i],
                     f->samples, many[i], names.data);
    }
    buf_free(&names);
    return rc;
}

void faults_summary(const struct faults *f)
{
    uint64_t any = 0;
    for (int i = 0; i < FAULTS; i++) any += f->count[i];
    if (any == 0) return;
    log_line(LOG_INFO,
             "samples: %" PRIu64 " over length, %" PRIu64 " without a trained token, %" PRIu64
             " that lost their answer, %" PRIu64 " that lost their stop",
             f->count[FAULT_OVER], f->count[FAULT_UNTRAINED], f->count[FAULT_ANSWER],
             f->count[FAULT_STOP]);
}

int faults_notes(const struct faults *f, struct stream_writer *out, struct err *e)
{
    for (int i = 0; i < FAULTS; i++)
        if (notes[i] && stream_add_note(out, notes[i], f->count[i], e)) return -1;
    return 0;
}

void faults_free(struct faults *f)
{
    for (int i = 0; i < FAULTS; i++) buf_free(&f->names[i]);
}
