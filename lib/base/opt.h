/* SPDX-License-Identifier: Apache-2.0 */
/* One option table gives the parser, --help, the SYNOPSIS of the man page and the completion. */
#ifndef SFT_BASE_OPT_H
#define SFT_BASE_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
    const char *v[OPT_LIST_MAX];
    int n;
};
struct opt {
    char letter;      /* 0: none */
    const char *name; /* long name */
    enum opt_kind kind;
    void *to;
    const char *arg;  /* "FILE"; for OPT_ENUM "a|b|c" */
    const char *help; /* one line */
    int64_t min, max; /* OPT_INT; both 0: any */
    bool hidden;      /* reached by the parser only */
};
struct opt_cmd {
    const char *name;       /* "sft-pack" */
    const char *synopsis;   /* "[options] [FILE...]": what follows the options */
    const char *about;      /* one sentence */
    const struct opt *opts; /* ended by name == NULL */
    const char *examples;   /* printed at the end of --help; may be NULL */
};

/* The options every command shares: -o is given by the command where it applies. */
struct opt_common {
    int64_t threads; /* -@, 0: what affinity and cgroup allow */
    bool quiet;
    int verbose;
};

/* Parses argv; handles -h/--help, -V/--version (printed on stdout; returns 1: the caller exits 0)
 * and the hidden --help-man and --help-complete=bash|zsh|fish outputs that the build uses.
 * Operands are gathered at the front of argv[1..], *nargs their number; "--" ends options; letters
 * may be bundled; --name=value and --name value both work; an unknown name suggests the nearest.
 * What every command begins with: io_standard and log_init. 0 to go on, 1 to exit with success, -1
 * with ERR_USAGE. */
int opt_parse(const struct opt_cmd *cmd, struct opt_common *common, int argc, char **argv,
              int *nargs, struct err *e);

/* Workers to use: n when > 0, else the CPUs that affinity and the cgroup allow. */
int opt_threads(int64_t n);
#define SFT_VERSION "0.1.0"

/* Distance for "did you mean": the nearest of `words` (NULL-ended), NULL if none is near. */
const char *opt_nearest(const char *s, const char *const *words);

#endif
