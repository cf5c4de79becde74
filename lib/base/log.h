/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on standard error, and the progress line. */
#ifndef SFT_BASE_LOG_H
#define SFT_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
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

/* Progress: a bar on a terminal, a line every ten seconds elsewhere, nothing with -q. The bar stays
 * below all lines that are logged or written to standard output meanwhile, and a thread draws it
 * every second. A process shows one at a time. */
struct progress {
    const char *what;     /* "tokenize", "train"; the caller's */
    uint64_t done, total; /* total 0: unknown */
    double started, shown;
    double left, told; /* seconds that were left when that was told; told 0: never */
    char note[160], doing[48];
    uint64_t some, all; /* of what is being done; all 0: unknown */
    bool tty, drawn;
};
/* p must stay where it is until its end. */
void progress_start(struct progress *p, const char *what, uint64_t total);
/* Sets a total that was not known at the start. */
void progress_total(struct progress *p, uint64_t total);
void progress_step(struct progress *p, uint64_t done, const char *note); /* note may be NULL */
/* Sets the time that is left; otherwise it follows from the part that is done. */
void progress_left(struct progress *p, double seconds);
/* Names what goes on beside the steps ("validating"), until the next step: drawn at once on a
 * terminal, and nowhere else. done of `all` of it is done; all 0: that is not known. */
void progress_doing(struct progress *p, const char *doing, uint64_t done, uint64_t all);
void progress_erase(struct progress *p); /* the end, which leaves nothing on the screen */
void progress_end(struct progress *p);   /* the end, which leaves the last state as a line */
/* Writes 0:07, 12:34 or 3:04:05. */
void progress_time(char *out, size_t n, double seconds);
/* True when output may have colour: stdout and stderr are terminals, NO_COLOR is empty or unset,
 * and TERM is set and not "dumb". */
bool log_color(void);
double log_clock(void); /* seconds of a monotonic clock */

#endif
