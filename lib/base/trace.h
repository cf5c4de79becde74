/* SPDX-License-Identifier: Apache-2.0 */
/* A trace of what a process does and when, for Perfetto and chrome://tracing: one file a process,
 * in the JSON array form of Google's Trace Event Format, an event a line. A file whose process was
 * killed lacks the closing bracket, which these readers allow.
 *
 * Without trace_open nothing is recorded, and a span costs a comparison. Any thread may record. On
 * a GPU a span is the host's: how long it took to queue the work. */
#ifndef SFT_BASE_TRACE_H
#define SFT_BASE_TRACE_H

#include <stdint.h>

#include "base/err.h"

/* Opens the file; `process` is the number of the process in it, as of a rank. */
int trace_open(const char *path, int process, struct err *e);
/* Ends the file; a failed write is told here. Nothing open: 0. */
int trace_close(struct err *e);

/* Returns the time at which a span begins; 0: nothing is recorded. */
double trace_begin(void);
/* Records the span from `began` until now. what: "forward"; of: what it belongs to, as a group of
 * ranks, or NULL. n: a number told with it, as the bytes that were sent; below 0: none. Texts need
 * no escapes and have at most 60 bytes. */
void trace_end(double began, const char *kind, const char *what, const char *of, int64_t n);

#endif
