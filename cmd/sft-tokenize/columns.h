/* SPDX-License-Identifier: Apache-2.0 */
/* Finds columns with data that are not used, and columns that an option names but no row has. */
#ifndef SFT_TOKENIZE_COLUMNS_H
#define SFT_TOKENIZE_COLUMNS_H

#include "unused.h"

struct columns {           /* zero-initialise */
    struct columns_asked { /* a column that an option names */
        uint64_t rows, with;
        struct buf keys; /* keys of the first row without it, for the message */
    } query, system, history;
    uint64_t rows, turns;
    struct unused row, turn; /* turn: members of ShareGPT turns */
};
void columns_count(struct columns *c, enum row_format format, const struct row_keys *keys,
                   const struct json *row);
/* Reports the columns with data that are not used, and the query and the history that no row has.
 * ERR_DATA when no row has the system prompt that an option names. */
int columns_report(const struct columns *c, const struct row_keys *keys, struct err *e);
void columns_free(struct columns *c);

#endif
