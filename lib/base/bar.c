/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps a bar at the end of the terminal: each write goes before it, and it is drawn again. */
#include "base/bar_impl.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* lines come from several threads */
static char shown[512];                                  /* the bar; "": none */

/* Carriage return and "erase line": removes the bar before another line. */
static const char erase[] = "\r\033[K";
enum { ERASE = sizeof erase - 1 };

void bar_put(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return;
        p += k;
        n -= (size_t)k;
    }
}

static void put(const char *p, size_t n) { bar_put(STDERR_FILENO, p, n); }

static void draw(void)
{
    char line[ERASE + sizeof shown];
    const int n = snprintf(line, sizeof line, "%s%s", erase, shown);
    if (n > 0) put(line, (size_t)n);
}

void bar_set(const char *text)
{
    pthread_mutex_lock(&lock);
    if (text || *shown) {
        snprintf(shown, sizeof shown, "%s", text ? text : "");
        draw();
    }
    pthread_mutex_unlock(&lock);
}

void bar_write(const char *line, size_t n)
{
    char all[ERASE + BAR_LINE + sizeof shown];
    pthread_mutex_lock(&lock);
    const size_t head = *shown ? ERASE : 0, tail = strlen(shown);
    memcpy(all, erase, head);
    memcpy(all + head, line, n);
    memcpy(all + head + n, shown, tail);
    put(all, head + n + tail);
    pthread_mutex_unlock(&lock);
}

void bar_hide(void)
{
    pthread_mutex_lock(&lock);
    if (*shown && isatty(STDOUT_FILENO) == 1) put(erase, ERASE);
}

void bar_show(void)
{
    if (*shown && isatty(STDOUT_FILENO) == 1) draw();
    pthread_mutex_unlock(&lock);
}
