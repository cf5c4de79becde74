/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on standard error: each line is one write. */
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log_impl.h"

static struct {
    char prog[64];
    enum log_level level;
    int tee;
    bool bar; /* the current line of the terminal shows a bar */
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

/* Ignores a failed write, because there is no other place for a message. */
static void write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return;
        p += k;
        n -= (size_t)k;
    }
}

/* Carriage return and "erase line": removes the bar before another line. */
static const char erase[] = "\r\033[K";

void log_bar(const char *text)
{
    char line[512];
    int n = snprintf(line, sizeof line, "%s%s", erase, text ? text : "");
    if (!text && !state.bar) return;
    if (n > 0)
        write_all(STDERR_FILENO, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
    state.bar = text;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    enum { SKIP = sizeof erase - 1 };
    char line[4096];
    if (level > state.level) return;
    memcpy(line, erase, SKIP);
    int n = snprintf(line + SKIP, sizeof line - SKIP - 1, "%s: ", state.prog);
    char *text = line + SKIP + n;
    size_t room = sizeof line - SKIP - (size_t)n - 1; /* one byte is kept for the newline */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, room, fmt, ap);
    va_end(ap);
    err_clean(text);
    size_t len = SKIP + (size_t)n + strlen(text);
    line[len++] = '\n';
    size_t from = state.bar ? 0 : SKIP;
    write_all(STDERR_FILENO, line + from, len - from);
    if (state.tee >= 0) write_all(state.tee, line + SKIP, len - SKIP);
    state.bar = false;
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
