/* SPDX-License-Identifier: Apache-2.0 */
/* Members that rows fill and nobody reads: counted by name, told at the end. */
#ifndef SFT_TOKENIZE_UNUSED_H
#define SFT_TOKENIZE_UNUSED_H

#include "rows/rows.h"

enum { UNUSED_NAMES = 64, UNUSED_NAME = 200 };
struct unused { /* zero-initialise; memory does not grow with the data */
    struct unused_name {
        char name[UNUSED_NAME + 1];
        uint64_t count;
        unsigned forms; /* 1 << enum row_format of the rows that fill it */
    } names[UNUSED_NAMES];
    size_t n;
    uint64_t others; /* members with a name that there was no place for */
};
/* A filled member that no part of a row of this form reads. */
void unused_see(struct unused *u, struct str name, enum row_format format);

/* A name that often holds what is to be learnt: it gets a warning of its own. */
struct unused_watched {
    const char *name;
    const char *option; /* that takes such a column, or NULL */
    const char *hint;   /* what to do where no option does, or NULL */
    unsigned forms;     /* in which this is true; 0: in all */
};
/* what: "columns"; of: "rows"; total: how many there are of those. Watched names are warnings, all
 * others one line of information. */
int unused_report(const struct unused *u, const char *what, const char *of, uint64_t total,
                  const struct unused_watched *watched, size_t nwatched, struct err *e);

#endif
