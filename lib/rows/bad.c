/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that a command skips, counted and named. */
#include "rows/bad.h"

#include <inttypes.h>

bool bad_rows_skips(const struct bad_rows *b, const struct err *e)
{
    return b->skip && e->code == ERR_DATA;
}

bool bad_rows_add(struct bad_rows *b, struct stream_source at, const struct err *e)
{
    if (b->count == 0) b->first = *e;
    if (b->count++ >= BAD_ROWS_NAMED) return false;
    buf_printf(&b->names, "%s%" PRIu32 ":%" PRIu64, b->names.len ? ", " : "", at.file, at.row);
    return true;
}

int bad_rows_end(const struct bad_rows *b, uint64_t rows, struct stream_writer *out,
                 struct buf *text, struct err *e)
{
    if (b->count == 0) return 0;
    if (rows == 0)
        return err_set(e, ERR_DATA, "all %" PRIu64 " rows are bad; the first: %s", b->count,
                       b->first.msg);
    if (buf_check(&b->names, e)) return -1;
    buf_printf(text, "%" PRIu64 " of %" PRIu64 " rows are bad and were skipped: file:row %s%s",
               b->count, rows + b->count, b->names.data,
               b->count > BAD_ROWS_NAMED ? ", ...; -v names all" : "");
    return buf_check(text, e) ? -1 : stream_add_note(out, "skipped_rows", b->count, e);
}

void bad_rows_free(struct bad_rows *b) { buf_free(&b->names); }
