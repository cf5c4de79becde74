/* SPDX-License-Identifier: Apache-2.0 */
/* Shows the progress of a long job: a bar on a terminal, a line every ten seconds elsewhere. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/bar_impl.h"
#include "base/log.h"
#include "base/thread.h"

#define LINE_EVERY 10.0 /* seconds between lines */
#define DRAW_EVERY 0.1  /* seconds between drawings of the bar */
#define DRAW_FIRST 0.5  /* seconds before the first drawing */

/* A thread draws the bar once a second, so that its clock goes on during a long step. */
static struct {
    pthread_mutex_t lock; /* also of the progress that is shown */
    pthread_cond_t end;
    pthread_t thread;
    struct progress *of; /* NULL: the thread ends */
    bool started;
} clock_of = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void lock(void) { pthread_mutex_lock(&clock_of.lock); }
static void unlock(void) { pthread_mutex_unlock(&clock_of.lock); }

/* A command that writes to a pipe draws no bar, because others draw on the same terminal. */
static bool can_draw(void)
{
    struct stat st;
    const char *term = getenv("TERM");
    if (isatty(STDERR_FILENO) != 1 || !term || strcmp(term, "dumb") == 0) return false;
    return fstat(STDOUT_FILENO, &st) != 0 || !S_ISFIFO(st.st_mode);
}

/* 9500, 12.3k, 4.56M, 7.89G */
static void human(char *out, size_t n, uint64_t v)
{
    static const char units[] = "kMGTPE";
    double x = (double)v;
    int u = -1;
    while (v >= 10000 && x >= 999.5 && u < 5) {
        x /= 1000;
        u++;
    }
    if (u < 0)
        snprintf(out, n, "%llu", (unsigned long long)v);
    else
        snprintf(out, n, "%.*f%c", x < 9.995 ? 2 : x < 99.95 ? 1 : 0, x, units[u]);
}

void progress_time(char *out, size_t n, double seconds)
{
    unsigned long s = seconds > 0 && seconds < 1e9 ? (unsigned long)(seconds + 0.5) : 0;
    if (s >= 3600)
        snprintf(out, n, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, n, "%lu:%02lu", s / 60, s % 60);
}

/* " 45%", with a bar of `width` columns behind it (0: no bar). */
static void put_part(char *out, size_t n, double part, int width)
{
    char bar[64] = "";
    if (width > 0) {
        const int full = (int)(part * width);
        bar[0] = ' ';
        bar[1] = '[';
        for (int i = 0; i < width; i++) bar[2 + i] = i < full ? '=' : i == full ? '>' : ' ';
        bar[2 + width] = ']';
    }
    snprintf(out, n, "%3.0f%%%s", floor(100 * part), bar);
}

/* " ETA 0:09", or nothing where the time that is left is not known. */
static void put_eta(char *out, size_t n, const struct progress *p, double part)
{
    char eta[24];
    const double now = log_clock(), elapsed = now - p->started;
    double left = part > 0 ? elapsed * (1 - part) / part : -1;
    if (p->told > 0) left = fmax(p->left - (now - p->told), 0);
    *out = 0;
    if (left < 0 || (part >= 1 && p->told <= 0)) return;
    progress_time(eta, sizeof eta, left);
    snprintf(out, n, " ETA %s", eta);
}

/* "validating 3/10", or the note. */
static void put_note(char *out, size_t n, const struct progress *p)
{
    if (!*p->doing)
        snprintf(out, n, "%s%s", *p->note ? ", " : "", p->note);
    else if (p->all)
        snprintf(out, n, ", %s %llu/%llu", p->doing, (unsigned long long)p->some,
                 (unsigned long long)p->all);
    else
        snprintf(out, n, ", %s", p->doing);
}

/* Writes "tokenize: 45% 900/2.00k 0:07 ETA 0:09, note", with a bar of `width` columns after the
 * percentage (0: no bar). */
static void describe(const struct progress *p, int width, char *out, size_t n)
{
    char done[16], total[16], time[24], part[80], eta[40], note[240];
    const double x = p->total ? fmin((double)p->done / (double)p->total, 1) : 0;
    human(done, sizeof done, p->done);
    human(total, sizeof total, p->total);
    progress_time(time, sizeof time, log_clock() - p->started);
    put_part(part, sizeof part, x, width);
    put_eta(eta, sizeof eta, p, x);
    put_note(note, sizeof note, p);
    if (p->total)
        snprintf(out, n, "%s: %s %s/%s %s%s%s", p->what, part, done, total, time, eta, note);
    else if (p->done || !*p->doing)
        snprintf(out, n, "%s: %s %s%s", p->what, done, time, note);
    else
        snprintf(out, n, "%s: %s%s", p->what, time, note);
}

static void draw(struct progress *p)
{
    struct winsize w = {0};
    char text[400];
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0) w.ws_col = 80;
    describe(p, w.ws_col >= 100 ? 24 : w.ws_col >= 70 ? 12 : 0, text, sizeof text);
    err_clean(text);
    if (strlen(text) >= w.ws_col) text[w.ws_col - 1] = 0; /* a wrapped bar cannot be erased */
    bar_set(text);
    p->shown = log_clock();
    p->drawn = true;
}

/* ---- the clock ---- */
static struct timespec a_second_from_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec++;
    return t;
}

static void *tick(void *unused)
{
    lock();
    while (clock_of.of) {
        const struct timespec until = a_second_from_now();
        pthread_cond_timedwait(&clock_of.end, &clock_of.lock, &until);
        if (clock_of.of && log_clock() - clock_of.of->shown > 0.9) draw(clock_of.of);
    }
    unlock();
    return unused;
}

/* Without the thread, the bar is drawn when there is progress. */
static void start_clock(struct progress *p)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&clock_of.end, &monotonic);
    pthread_condattr_destroy(&monotonic);
    clock_of.of = p;
    clock_of.started = thread_start(&clock_of.thread, tick, NULL);
}

static void stop_clock(void)
{
    lock();
    clock_of.of = NULL;
    if (clock_of.started) pthread_cond_signal(&clock_of.end);
    unlock();
    if (clock_of.started) pthread_join(clock_of.thread, NULL);
    clock_of.started = false;
}

/* ---- what callers say ---- */
void progress_start(struct progress *p, const char *what, uint64_t total)
{
    const double now = log_clock();
    *p = (struct progress){.what = what, .total = total, .started = now, .shown = now};
    p->tty = can_draw() && log_level() >= LOG_INFO;
    if (p->tty) start_clock(p);
}

/* Draws the bar, or logs a line, unless the last one is not `wait` seconds old. */
static void show(struct progress *p)
{
    const bool last = p->drawn && p->total && p->done >= p->total;
    const double wait = !p->tty ? LINE_EVERY : last ? 0 : p->drawn ? DRAW_EVERY : DRAW_FIRST;
    if (log_level() < LOG_INFO || log_clock() - p->shown < wait) return;
    if (p->tty) {
        draw(p);
        return;
    }
    char text[400];
    p->shown = log_clock();
    p->drawn = true;
    describe(p, 0, text, sizeof text);
    log_line(LOG_INFO, "%s", text);
}

void progress_total(struct progress *p, uint64_t total)
{
    lock();
    p->total = total;
    unlock();
}

void progress_step(struct progress *p, uint64_t done, const char *note)
{
    lock();
    p->done = done;
    *p->doing = 0;
    snprintf(p->note, sizeof p->note, "%s", note ? note : "");
    show(p);
    unlock();
}

void progress_left(struct progress *p, double seconds)
{
    lock();
    p->left = seconds;
    p->told = log_clock();
    unlock();
}

void progress_doing(struct progress *p, const char *doing, uint64_t done, uint64_t all)
{
    if (!p->tty) return;
    lock();
    const bool other = strcmp(p->doing, doing) != 0;
    snprintf(p->doing, sizeof p->doing, "%s", doing);
    p->some = done;
    p->all = all;
    if (other || (all && done == all))
        draw(p);
    else
        show(p);
    unlock();
}

void progress_erase(struct progress *p)
{
    if (!p->tty) return;
    stop_clock();
    bar_set(NULL);
    p->tty = false;
}

/* Leaves the last state on the screen or in the log if anything was shown before. */
void progress_end(struct progress *p)
{
    char text[400];
    progress_erase(p);
    if (!p->drawn) return;
    *p->note = *p->doing = 0;
    describe(p, 0, text, sizeof text);
    log_line(LOG_INFO, "%s", text);
}
