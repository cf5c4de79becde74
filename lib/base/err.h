/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: a code, which is also the exit status of a command, and one line of text. */
#ifndef SFT_BASE_ERR_H
#define SFT_BASE_ERR_H

#include <stdarg.h>

/* Exit statuses of every command. The numbers come from <sysexits.h> where it has a fitting one. */
enum err_code {
    ERR_OK = 0,
    ERR_DIFFER = 1,     /* a comparison found a difference */
    ERR_USAGE = 64,     /* the command line is wrong */
    ERR_DATA = 65,      /* the input data is bad */
    ERR_NOINPUT = 66,   /* an input is missing */
    ERR_DEVICE = 69,    /* device, driver, launcher or a lost rank */
    ERR_INTERNAL = 70,  /* a defect of this program */
    ERR_MEMORY = 71,    /* out of memory, or the job does not fit into it */
    ERR_CREATE = 73,    /* an output cannot be created, or exists already */
    ERR_IO = 74,        /* read or write failed */
    ERR_STOPPED = 75,   /* stopped on request, resumable */
    ERR_NONFINITE = 76, /* a loss, a gradient or logits are not finite */
    ERR_CONFIG = 78     /* the configuration is wrong */
};

/* The function that fails fills it. The text has no newline and no command name:
 * "FILE: where: what is wrong; what to do". The caller owns the struct. */
struct err {
    enum err_code code;
    char msg[2000];
};

#define ERR_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Sets code and text; e may be NULL. Always returns -1, so that a failing function can end with
 * `return err_set(...)`. A function that returns a pointer returns NULL on failure. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...) ERR_PRINTF(3, 4);

/* Does the same and appends ": strerror(errno)". ENOMEM turns the code into ERR_MEMORY; EIO, ENOSPC
 * and EDQUOT turn ERR_CREATE and ERR_NOINPUT into ERR_IO. */
int err_errno(struct err *e, enum err_code code, const char *fmt, ...) ERR_PRINTF(3, 4);

/* Puts "text: ", the place of the error, before the current message. Returns -1. */
int err_prefix(struct err *e, const char *fmt, ...) ERR_PRINTF(2, 3);

/* Replaces the control characters in s by '?', so that text from a file can neither break a line
 * nor control a terminal. The functions above already do this. */
void err_clean(char *s);

#endif
