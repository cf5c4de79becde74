/* SPDX-License-Identifier: Apache-2.0 */
/* Which columns the rows fill and nobody reads, and which are asked for and never there. */
#ifndef SFT_TOKENIZE_COLUMNS_H
#define SFT_TOKENIZE_COLUMNS_H

#include "rows.h"

enum { COLUMNS = 6 };
struct columns {
    uint64_t rows, filled[COLUMNS];
    uint64_t with_query, with_system; /* rows that have the mapped columns */
    struct buf keys;                  /* of the first row, for the message */
};
void columns_see(struct columns *c, enum row_format format, const struct row_keys *keys,
                 const struct json *row);
/* Warns of what is filled and not used; ERR_DATA when a mapped column was in no alpaca row. */
int columns_report(const struct columns *c, const struct row_keys *keys, struct err *e);

#endif
