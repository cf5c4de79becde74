/* SPDX-License-Identifier: Apache-2.0 */
/* Shows the progress of a long job: a bar on a terminal, a line every ten seconds elsewhere. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/log_impl.h"

#define LINE_EVERY 10.0 /* seconds between lines */
#define DRAW_EVERY 0.1  /* seconds between drawings of the bar */
#define DRAW_FIRST 0.5  /* seconds before the first drawing */

/* A command that writes to a pipe draws no bar, because others draw on the same terminal. */
static bool can_draw(void)
{
    struct stat st;
    const char *term = getenv("TERM");
    if (isatty(STDERR_FILENO) != 1 || !term || strcmp(term, "dumb") == 0) return false;
    return fstat(STDOUT_FILENO, &st) != 0 || !S_ISFIFO(st.st_mode);
}

void progress_start(struct progress *p, const char *what, uint64_t total)
{
    double now = log_clock();
    *p = (struct progress){.what = what, .total = total, .started = now, .tty = can_draw()};
    p->shown = now;
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

/* 0:07, 12:34, 3:04:05 */
static void duration(char *out, size_t n, double seconds)
{
    unsigned long s = seconds > 0 && seconds < 1e9 ? (unsigned long)(seconds + 0.5) : 0;
    if (s >= 3600)
        snprintf(out, n, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, n, "%lu:%02lu", s / 60, s % 60);
}

/* Writes "tokenize: 45% 900/2.00k 0:07 ETA 0:09, note", with a bar of `width` columns after the
 * percentage (0: no bar). */
static void describe(const struct progress *p, const char *note, int width, char *out, size_t n)
{
    char done[16], total[16], time[24], eta[24], bar[64] = "", left[40] = "";
    double elapsed = log_clock() - p->started;
    double part = p->total ? (double)p->done / (double)p->total : 0;
    if (part > 1) part = 1;
    human(done, sizeof done, p->done);
    human(total, sizeof total, p->total);
    duration(time, sizeof time, elapsed);
    if (width > 0 && p->total) {
        int full = (int)(part * width);
        bar[0] = ' ';
        bar[1] = '[';
        for (int i = 0; i < width; i++) bar[2 + i] = i < full ? '=' : i == full ? '>' : ' ';
        bar[2 + width] = ']';
    }
    if (part > 0 && part < 1) {
        duration(eta, sizeof eta, elapsed * (1 - part) / part);
        snprintf(left, sizeof left, " ETA %s", eta);
    }
    const char *comma = note && *note ? ", " : "", *text = note ? note : "";
    if (p->total)
        snprintf(out, n, "%s: %3.0f%%%s %s/%s %s%s%s%s", p->what, floor(100 * part), bar, done,
                 total, time, left, comma, text);
    else
        snprintf(out, n, "%s: %s %s%s%s", p->what, done, time, comma, text);
}

static void draw(const struct progress *p, const char *note)
{
    struct winsize w = {0};
    char text[400];
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0) w.ws_col = 80;
    describe(p, note, w.ws_col >= 70 ? 24 : 0, text, sizeof text);
    err_clean(text);
    if (strlen(text) >= w.ws_col) text[w.ws_col - 1] = 0; /* a wrapped bar cannot be erased */
    log_bar(text);
}

void progress_step(struct progress *p, uint64_t done, const char *note)
{
    p->done = done;
    if (log_level() < LOG_INFO) return;
    double now = log_clock(), wait = p->tty ? DRAW_EVERY : LINE_EVERY;
    if (p->tty && p->shown == p->started) wait = DRAW_FIRST;
    if (now - p->shown < wait) return;
    p->shown = now;
    if (p->tty) {
        draw(p, note);
        return;
    }
    char text[400];
    describe(p, note, 0, text, sizeof text);
    log_line(LOG_INFO, "%s", text);
}

/* Leaves the last state on the screen or in the log if anything was shown before. */
void progress_end(struct progress *p)
{
    if (log_level() < LOG_INFO || p->shown == p->started) return;
    char text[400];
    if (p->tty) log_bar(NULL);
    describe(p, NULL, 0, text, sizeof text);
    log_line(LOG_INFO, "%s", text);
}
