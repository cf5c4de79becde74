/* SPDX-License-Identifier: Apache-2.0 */
/* Fills struct err with bounded text on one line that is safe to show on a terminal. */
#include "base/err.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { MSG_MAX = sizeof(((struct err *)0)->msg) };

void err_clean(char *s)
{
    unsigned char *p = (unsigned char *)s;
    for (; *p; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            *p = '?';
        } else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) { /* U+0080..U+009F: C1 controls */
            p[0] = p[1] = '?';
        }
    }
}

/* Ends a truncated message with "...", after its last complete UTF-8 sequence. */
static void mark_cut(char *msg)
{
    size_t n = MSG_MAX - 4;
    while (n > 0 && ((unsigned char)msg[n] & 0xc0) == 0x80) n--;
    memcpy(msg + n, "...", 4);
}

/* Formats into a local buffer first, because an argument may be the current message. */
static void ERR_PRINTF(3, 0)
    fill(struct err *e, enum err_code code, const char *fmt, va_list ap, const char *tail)
{
    char text[MSG_MAX];
    int n = vsnprintf(text, sizeof text, fmt, ap);
    if (n < 0) n = snprintf(text, sizeof text, "message that cannot be formatted");
    bool cut = (size_t)n >= sizeof text;
    if (tail && !cut) {
        int m = snprintf(text + n, sizeof text - (size_t)n, "%s", tail);
        cut = m < 0 || (size_t)m >= sizeof text - (size_t)n;
    }
    if (cut) mark_cut(text);
    err_clean(text);
    e->code = code;
    memcpy(e->msg, text, strlen(text) + 1);
}

int err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
    if (!e) return -1;
    va_list ap;
    va_start(ap, fmt);
    fill(e, code, fmt, ap, NULL);
    va_end(ap);
    return -1;
}

/* A disk that is full or broken has one code, whichever system call meets it. */
static enum err_code code_of(int why, enum err_code code)
{
    if (why == ENOMEM) return ERR_MEMORY;
    const bool disk = why == EIO || why == ENOSPC || why == EDQUOT;
    return disk && (code == ERR_CREATE || code == ERR_NOINPUT) ? ERR_IO : code;
}

int err_errno(struct err *e, enum err_code code, const char *fmt, ...)
{
    int saved = errno;
    if (!e) return -1;
    code = code_of(saved, code);
    char tail[160] = ": ", why[128];
    strncat(tail, strerror_r(saved, why, sizeof why), sizeof tail - 3);
    va_list ap;
    va_start(ap, fmt);
    fill(e, code, fmt, ap, tail);
    va_end(ap);
    errno = saved;
    return -1;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
    if (!e) return -1;
    char tail[MSG_MAX + 2] = ": ";
    memcpy(tail + 2, e->msg, strlen(e->msg) + 1);
    va_list ap;
    va_start(ap, fmt);
    fill(e, e->code, fmt, ap, tail);
    va_end(ap);
    return -1;
}
