/* SPDX-License-Identifier: Apache-2.0 */
/* Where a run's numbers go: metrics.jsonl, TensorBoard event files, standard output. */
#ifndef SFT_TRACK_TRACK_H
#define SFT_TRACK_TRACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"

struct track_value {
    const char *name; /* "sft_train/loss" */
    double value;
    const char *json; /* instead of value, where that is no number: for metrics.jsonl alone */
};
struct track_options {
    const char *metrics;     /* path of metrics.jsonl */
    const char *tensorboard; /* folder of event files; NULL: none */
    struct io_out *lines;    /* objects are also written there; NULL: not. The caller's */
    bool resume;             /* keep what earlier runs wrote up to and with step `from` */
    uint64_t from;
};
struct track;
struct track *track_open(const struct track_options *o, struct err *e);
/* One object of metrics.jsonl: {"system/step":step,...}; a value that is not finite becomes null.
 * shown: it goes to TensorBoard and to lines too. */
int track_put(struct track *t, uint64_t step, const struct track_value *v, size_t n, bool shown,
              struct err *e);
/* What was put into metrics.jsonl so far is on the disk. */
int track_sync(struct track *t, struct err *e);
int track_close(struct track *t, struct err *e); /* NULL is fine */

/* ---- TensorBoard's files, for this module and its tests ---- */
/* Appends one TFRecord with an Event of n scalars; wall: seconds since 1970. */
void tfevents_scalars(struct buf *b, double wall, uint64_t step, const struct track_value *v,
                      size_t n);
/* The first record of a file. */
void tfevents_version(struct buf *b, double wall);
/* Bytes of the leading records that are whole and not after `step`. */
size_t tfevents_keep(const void *file, size_t n, uint64_t step);
uint32_t tfevents_crc(const void *p, size_t n); /* CRC-32C, not masked */

#endif
