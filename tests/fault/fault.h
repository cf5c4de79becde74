/* SPDX-License-Identifier: Apache-2.0 */
/* A tracer that counts the system calls by which a command touches files below a folder, and makes
 * one of them fail. */
#ifndef FAULT_H
#define FAULT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/user.h>

enum { PATH_ROOM = PATH_MAX + 64 };

enum call_kind {
    CALL_OPEN,
    CALL_READ,
    CALL_WRITE, /* write: at the descriptor's offset */
    CALL_PWRITE,
    CALL_SYNC,
    CALL_CLOSE,
    CALL_RENAME,
    CALL_LINK,
    CALL_UNLINK,
    CALL_MKDIR,
    CALL_TRUNCATE,
    CALL_OTHER /* counted and made to fail, but a recording that has one is refused */
};

/* A row of the table of system calls. Arguments count from 0; -1: there is none. */
struct call {
    long number;
    const char *name;
    enum call_kind kind;
    int fd;        /* the argument that is a descriptor */
    int dir, path; /* those of the first path; dir -1: the current folder */
    int to_dir, to_path;
    int n; /* that of the number of bytes */
};
extern const struct call call_table[];
extern const size_t call_count;

/* A counted call of a thread that has stopped before it. */
struct stop {
    pid_t tid;
    const struct call *call;
    struct user_regs_struct regs;
    char path[PATH_ROOM], to[PATH_ROOM]; /* absolute; "" when there is none */
    bool writes;                         /* it changes files; false: it reads */
};

struct plan {
    const char *folder; /* absolute, links resolved */
    bool standard;      /* writes to standard output count too */
    bool reads;         /* only calls that read count; else only those that change something */
    long at;            /* the call that fails, from 1; 0: none */
    bool on;            /* all that change something fail from there on, except removals */
    int error;          /* its errno; 0 with one of the next two */
    bool shortened;     /* half of the bytes are written, or read */
    bool kill;          /* SIGKILL; every other time half of a write is done first */
    FILE *list, *record;
};

uint64_t call_arg(const struct stop *s, int i);
/* Fills the stop and tells whether the call counts. */
bool call_counts(const struct plan *p, struct stop *s);
/* Writes what the call, which returned `result`, did: a line, and the bytes behind it. */
void call_record(const struct plan *p, const struct stop *s, long result);

#endif
