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
    bool resume;             /* the run goes on after step `from`: metrics.jsonl loses later ones */
    uint64_t from;
    bool again; /* or it begins anew, where an earlier attempt left event files */
};
struct track;
/* Without `resume`, a metrics.jsonl that is not empty is ERR_CREATE. Each call creates an event
 * file. With `resume` it tells TensorBoard to drop the steps after `from` of the files before it,
 * with `again` to drop all of them. */
struct track *track_open(const struct track_options *o, struct err *e);
/* True for a new run whose folder had event files: TensorBoard shows them as one run. */
bool track_beside_others(const struct track *t);
/* One object of metrics.jsonl: {"system/step":step,...}; a value that is not finite becomes null.
 * shown: it goes to TensorBoard and to lines too. */
int track_put(struct track *t, uint64_t step, const struct track_value *v, size_t n, bool shown,
              struct err *e);
/* What was put into metrics.jsonl so far is on the disk. */
int track_sync(struct track *t, struct err *e);
int track_close(struct track *t, struct err *e); /* NULL is fine */

/* ---- TensorBoard's files, for this module and its tests ---- */
/* Appends one TFRecord with an Event of those of the n values that are numbers; wall: seconds since
 * 1970. One that is not finite is written as it is, for TensorBoard marks it in the curve. */
void tfevents_scalars(struct buf *b, double wall, uint64_t step, const struct track_value *v,
                      size_t n);
/* The first record of a file. */
void tfevents_version(struct buf *b, double wall);
/* The second record of a run that goes on: TensorBoard drops steps >= `step` of the files before.
 */
void tfevents_restart(struct buf *b, double wall, uint64_t step);
/* The name of an event file, unique on all machines: "events.out.tfevents.TIME.HOST.PROCESS.N" with
 * the time in seconds. */
void tfevents_name(char *out, size_t size, int64_t time, unsigned n);
/* The time in such a name, -1 in another. */
int64_t tfevents_time(const char *name);
uint32_t tfevents_crc(const void *p, size_t n); /* CRC-32C, not masked */

#endif
