/* SPDX-License-Identifier: Apache-2.0 */
/* Counts the members with data that are not used, by name, and reports them at the end. */
#ifndef SFT_TOKENIZE_UNUSED_H
#define SFT_TOKENIZE_UNUSED_H

#include "rows/rows.h"

enum { UNUSED_NAMES = 64, UNUSED_NAME = 200 };
struct unused { /* zero-initialise; the size does not grow with the data */
    struct unused_name {
        char name[UNUSED_NAME + 1];
        uint64_t count;
        unsigned forms; /* 1 << enum row_format of the rows that have it */
    } names[UNUSED_NAMES];
    size_t n;
    uint64_t others; /* members whose names did not fit into the table */
};
/* Counts a member with data that rows of this format do not use. */
void unused_count(struct unused *u, struct str name, enum row_format format);

/* A name that often has data for training, so that it gets its own warning. */
struct unused_watched {
    const char *name;
    const char *option; /* the option that uses such a column, or NULL */
    const char *hint;   /* what to do without an option, or NULL */
    unsigned forms;     /* the formats for which this is true, as in unused_name; 0: all */
};
/* Reports the counts: a warning for each watched name, one line for all others. what: "columns";
 * of: "rows"; total: the number of rows. */
int unused_report(const struct unused *u, const char *what, const char *of, uint64_t total,
                  const struct unused_watched *watched, size_t nwatched, struct err *e);

#endif
