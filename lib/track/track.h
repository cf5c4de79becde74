/* SPDX-License-Identifier: Apache-2.0 */
/* Records the metrics of a run: metrics.jsonl, TensorBoard event files, standard output. */
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
    const char *json; /* NULL, or JSON to write instead of value, only to metrics.jsonl */
};
struct track_options {
    const char *metrics;     /* path of metrics.jsonl */
    const char *samples;     /* path of samples.jsonl; NULL: none */
    bool answers;            /* track_sample will be called; else the file is only cut back */
    const char *tensorboard; /* folder of event files; NULL: none */
    struct io_out *lines;    /* NULL, or an output of the caller that gets the objects too */
    bool resume;             /* the run continues after step `from`; later steps are removed */
    uint64_t from;
    bool again; /* the run starts again after an attempt that left event files */
};
struct track;
/* Opens the trackers. Without `resume`, a metrics.jsonl that is not empty is ERR_CREATE. Each call
 * creates a new event file; it tells TensorBoard to drop the steps after `from` of the earlier
 * files
 * (`resume`), or all their steps (`again`). NULL on failure. */
struct track *track_open(const struct track_options *o, struct err *e);
/* True for a new run whose folder had event files: TensorBoard shows them as one run. */
bool track_beside_others(const struct track *t);
/* Writes one object to metrics.jsonl: {"system/step":step,...}; a value that is not finite becomes
 * null. shown: also writes it to TensorBoard and to `lines`. */
int track_put(struct track *t, uint64_t step, const struct track_value *v, size_t n, bool shown,
              struct err *e);
/* Writes an answer of this step to samples.jsonl, a line with its line break, and to TensorBoard,
 * where `tag` has a text per step in Markdown. */
int track_sample(struct track *t, uint64_t step, struct str line, const char *tag, struct str text,
                 struct err *e);
int track_sync(struct track *t, struct err *e);  /* fsync of metrics.jsonl and samples.jsonl */
int track_close(struct track *t, struct err *e); /* syncs and frees t; NULL is fine */

/* ---- TensorBoard's files, for this module and its tests ---- */
/* Appends a TFRecord with an Event of all values that are numbers. wall: seconds since 1970. A
 * value that is not finite is written unchanged, because TensorBoard marks it in the curve. */
void tfevents_scalars(struct buf *b, double wall, uint64_t step, const struct track_value *v,
                      size_t n);
/* Appends a TFRecord with an Event of one text, for the plugin "text". */
void tfevents_text(struct buf *b, double wall, uint64_t step, const char *tag, struct str text);
/* Appends the first record of a file. */
void tfevents_version(struct buf *b, double wall);
/* Appends the second record of a resumed run: TensorBoard drops the steps >= `step` of earlier
 * files.
 */
void tfevents_restart(struct buf *b, double wall, uint64_t step);
/* Writes the name of an event file, unique on all machines:
 * "events.out.tfevents.TIME.HOST.PROCESS.N" with the time in seconds. */
void tfevents_name(char *out, size_t size, int64_t time, unsigned n);
/* Returns the time in such a name, or -1. */
int64_t tfevents_time(const char *name);
uint32_t tfevents_crc(const void *p, size_t n); /* CRC-32C, not masked */

#endif
