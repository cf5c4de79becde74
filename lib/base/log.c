/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on standard error: each line is one write. */
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bar_impl.h"
#include "base/io.h"

static struct {
    char prog[64];
    enum log_level level;
    int tee;
} state = {.prog = "sft", .level = LOG_INFO, .tee = -1};

void log_init(const char *prog, enum log_level level)
{
    snprintf(state.prog, sizeof state.prog, "%s", prog);
    state.level = level;
}

enum log_level log_level(void) { return state.level; }

void log_tee(int fd) { state.tee = fd; }

double log_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    char line[BAR_LINE];
    if (level > state.level) return;
    int n = snprintf(line, sizeof line - 1, "%s: ", state.prog);
    char *text = line + n;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof line - (size_t)n - 1, fmt, ap); /* one byte is kept for the newline */
    va_end(ap);
    err_clean(text);
    size_t len = (size_t)n + strlen(text);
    line[len++] = '\n';
    bar_write(line, len);
    if (state.tee >= 0) bar_put(state.tee, line, len);
}

int log_fail(const struct err *e)
{
    struct err lost = {0};
    if (io_intact(&lost)) e = &lost; /* what was read is the cause of e */
    enum err_code code = e->code == ERR_OK ? ERR_INTERNAL : e->code;
    log_line(LOG_ERROR, "%s", e->msg[0] ? e->msg : "failed without a reason");
    return (int)code;
}

bool log_color(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    if (no && *no) return false;
    if (!term || strcmp(term, "dumb") == 0) return false;
    return isatty(STDOUT_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
}
