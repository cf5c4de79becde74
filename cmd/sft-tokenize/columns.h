/* SPDX-License-Identifier: Apache-2.0 */
/* Which columns the rows fill and nobody reads, and which are asked for and never there. */
#ifndef SFT_TOKENIZE_COLUMNS_H
#define SFT_TOKENIZE_COLUMNS_H

#include "unused.h"

struct columns {           /* zero-initialise */
    struct columns_asked { /* a column that an option names */
        uint64_t rows, with;
        struct buf keys; /* of the first row without it, for the message */
    } query, system;
    uint64_t rows, turns;
    struct unused row, turn; /* turn: of ShareGPT */
};
void columns_see(struct columns *c, enum row_format format, const struct row_keys *keys,
                 const struct json *row);
/* Tells what is filled and not used; ERR_DATA when a column that an option names was in no row. */
int columns_report(const struct columns *c, const struct row_keys *keys, struct err *e);
void columns_free(struct columns *c);

#endif
