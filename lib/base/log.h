/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on standard error, and the progress line. */
#ifndef SFT_BASE_LOG_H
#define SFT_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG }; /* -q: ERROR; default INFO; -v DEBUG */

/* Only commands call these. Library code reports through struct err or callbacks. */
void log_init(const char *prog, enum log_level level);
enum log_level log_level(void);
void log_tee(int fd); /* copies every line to this descriptor (the log file of a run); -1: none */
void log_line(enum log_level level, const char *fmt, ...) ERR_PRINTF(2, 3); /* "prog: text\n" */
/* Prints e and returns its code as an exit status. A mapped file that became shorter while it was
 * read is told in place of e. */
int log_fail(const struct err *e);

/* Progress: a bar on a terminal, a line every ten seconds elsewhere, nothing with -q. */
struct progress {
    const char *what;     /* "tokenize", "train"; the caller's */
    uint64_t done, total; /* total 0: unknown */
    double started, shown;
    bool tty;
};
void progress_start(struct progress *p, const char *what, uint64_t total);
void progress_step(struct progress *p, uint64_t done, const char *note); /* note may be NULL */
void progress_end(struct progress *p);
/* True when output may have colour: stdout and stderr are terminals, NO_COLOR is empty or unset,
 * and TERM is set and not "dumb". */
bool log_color(void);
double log_clock(void); /* seconds of a monotonic clock */

#endif
