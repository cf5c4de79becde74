/* SPDX-License-Identifier: Apache-2.0 */
#include "base/trace.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"

enum { LINE = 400 };
static struct {
    struct io_log *file;
    int process, threads; /* threads that have recorded */
    double start;
    char room[1 << 16]; /* a sealed program allocates nothing */
    size_t used;
    bool failed;
    struct err why;
    pthread_mutex_t lock;
} trace = {.lock = PTHREAD_MUTEX_INITIALIZER};
static _Thread_local int own; /* this thread's number, from 1 on */

static void flush(void)
{
    if (!trace.failed && io_append(trace.file, trace.room, trace.used, &trace.why))
        trace.failed = true;
    trace.used = 0;
}

static void put(const char *line, size_t n)
{
    if (trace.used + n > sizeof trace.room) flush();
    memcpy(trace.room + trace.used, line, n);
    trace.used += n;
}

int trace_open(const char *path, int process, struct err *e)
{
    char line[LINE];
    trace.file = io_log_open(path, 0, e);
    if (!trace.file) return -1;
    trace.process = process;
    trace.start = log_clock();
    trace.used = 0;
    trace.failed = false;
    const int n = snprintf(line, sizeof line,
                           "[\n{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%d,"
                           "\"args\":{\"name\":\"rank %d\"}}",
                           process, process);
    put(line, (size_t)n);
    return 0;
}

int trace_close(struct err *e)
{
    pthread_mutex_lock(&trace.lock);
    struct io_log *file = trace.file;
    if (file) {
        put("\n]\n", 3);
        flush();
    }
    trace.file = NULL;
    pthread_mutex_unlock(&trace.lock);
    if (!file) return 0;
    const int rc = io_log_close(file, trace.failed ? NULL : e);
    if (trace.failed && e) *e = trace.why;
    return rc || trace.failed ? -1 : 0;
}

double trace_begin(void) { return trace.file ? log_clock() : 0; }

static long long microseconds(double t) { return (long long)((t - trace.start) * 1e6); }

/* Writes ',"args":{...}', or nothing, and the end of the event. Returns its length. */
static int write_args(char *text, size_t room, const char *of, int64_t n)
{
    if (of && n >= 0)
        return snprintf(text, room, ",\"args\":{\"of\":\"%s\",\"n\":%lld}}", of, (long long)n);
    if (of) return snprintf(text, room, ",\"args\":{\"of\":\"%s\"}}", of);
    if (n >= 0) return snprintf(text, room, ",\"args\":{\"n\":%lld}}", (long long)n);
    return snprintf(text, room, "}");
}

void trace_end(double began, const char *kind, const char *what, const char *of, int64_t n)
{
    char line[LINE];
    if (began <= 0) return;
    const long long from = microseconds(began), to = microseconds(log_clock());
    pthread_mutex_lock(&trace.lock);
    if (!own) own = ++trace.threads;
    const int head =
        snprintf(line, sizeof line,
                 ",\n{\"ph\":\"X\",\"cat\":\"%s\",\"name\":\"%s\",\"pid\":%d,\"tid\":%d,"
                 "\"ts\":%lld,\"dur\":%lld",
                 kind, what, trace.process, own, from, to - from);
    /* A failed run closes the file while a collective still waits on its thread. */
    if (trace.file)
        put(line, (size_t)(head + write_args(line + head, sizeof line - (size_t)head, of, n)));
    pthread_mutex_unlock(&trace.lock);
}
