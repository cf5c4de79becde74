/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on standard error, and the progress line. */
#ifndef SFT_BASE_LOG_H
#define SFT_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG }; /* -q: ERROR; default INFO; -v DEBUG */

/* Called by commands only: library code reports through struct err or callbacks. */
void log_init(const char *prog, enum log_level level);
enum log_level log_level(void);
void log_tee(int fd); /* every line also goes to this descriptor (the run's log file); -1: none */
void log_line(enum log_level level, const char *fmt, ...) ERR_PRINTF(2, 3); /* "prog: text\n" */
/* Prints e and returns its code as an exit status. */
int log_fail(const struct err *e);

/* Progress: a bar redrawn on a terminal, a line every few seconds elsewhere, nothing with -q. */
struct progress {
    const char *what;     /* "tokenize", "train" */
    uint64_t done, total; /* total 0: unknown */
    double started, shown;
    bool tty;
};
void progress_start(struct progress *p, const char *what, uint64_t total);
void progress_step(struct progress *p, uint64_t done, const char *note); /* note may be NULL */
void progress_end(struct progress *p);
bool log_color(void); /* stderr/stdout colour allowed: a terminal, NO_COLOR unset, TERM not dumb */
double log_clock(void); /* seconds, monotonic */

#endif
