/* SPDX-License-Identifier: Apache-2.0 */
/* One option table drives the parser, --help, the OPTIONS of the man page and the completions. */
#ifndef SFT_BASE_OPT_H
#define SFT_BASE_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/num.h"

enum opt_kind {
    OPT_FLAG,  /* bool *      --name sets true, --no-name sets false */
    OPT_STR,   /* const char ** */
    OPT_INT,   /* int64_t *   bounded by min, max */
    OPT_SIZE,  /* uint64_t *  with K M G Ki Mi Gi suffixes */
    OPT_REAL,  /* double * */
    OPT_ENUM,  /* int *       index into the '|'-separated words of `arg` */
    OPT_COUNT, /* int *       each use adds one (-v -v) */
    OPT_LIST,  /* struct opt_list *  each use adds a value */
};
enum { OPT_LIST_MAX = 64 };
struct opt_list {
    const char *v[OPT_LIST_MAX]; /* point into argv */
    int n;
};
/* One option. A table has designated initialisers and ends with {0}. */
struct opt {
    char letter;      /* 0: none */
    const char *name; /* long name */
    enum opt_kind kind;
    void *to;         /* where the value goes, of the type that kind names */
    const char *arg;  /* "FILE"; for OPT_ENUM "a|b|c" */
    const char *help; /* one line */
    int64_t min, max; /* OPT_INT; both 0: any */
    bool hidden;      /* parsed, but not shown in any text */
};
struct opt_cmd {
    const char *name;            /* "sft-pack" */
    const char *synopsis;        /* "[options] [FILE...]" */
    const char *about;           /* one sentence */
    const struct opt *opts;      /* ends with {0} */
    const char *examples;        /* printed at the end of --help; may be NULL */
    const char *verbs;           /* "ls|show": a completion's first words; may be NULL */
    void (*built)(struct buf *); /* appends lines to --version: what is built in; may be NULL */
    /* Returns the i-th key that an operand key=value may have, for completions, and NULL after the
     * last. May be NULL. */
    const char *(*key)(size_t i);
};

/* The values of the options that every command has. */
struct opt_common {
    int64_t threads; /* -@; 0: the CPUs that affinity and the cgroup allow */
    bool quiet;
    int verbose;
};

/* Parses argv. Every command calls this first: it also calls io_standard and log_init. It moves the
 * operands to the front, argv[1, *nargs]. "--" ends the options; letters may be bundled;
 * --name=value and --name value both work; the message about an unknown name suggests the nearest.
 * -h/--help, -V/--version and the hidden --help-man and --help-complete=bash|zsh|fish, which the
 * build uses, print on stdout. Returns 0 to go on, 1 when the caller must exit with success, or -1
 * with ERR_USAGE. */
int opt_parse(const struct opt_cmd *cmd, struct opt_common *common, int argc, char **argv,
              int *nargs, struct err *e);

/* Returns the number of workers to use: n if n > 0, else the CPUs that affinity and the cgroup
 * allow; at most 4096. */
int opt_threads(int64_t n);

/* Returns the nearest of `words` (ends with NULL) for "did you mean", or NULL if none is near. */
const char *opt_nearest(const char *s, const char *const *words);

#endif
