/* SPDX-License-Identifier: Apache-2.0 */
/* The views of a stream. */
#ifndef SFT_VIEW_H
#define SFT_VIEW_H

#include "base/buf.h"
#include "stream/stream.h"
#include "text/tokenizer.h"

/* Appends a record as a line of JSON. */
void view_json(const struct stream_record *rec, struct buf *b);

/* The statistics of one stream. */
struct view_stats;
struct view_stats *view_stats_new(struct err *e);
int view_stats_add(struct view_stats *s, const struct stream_record *rec, struct err *e);
/* Appends the statistics as a line of JSON. Must follow the end of r. name: of the stream, or NULL.
 */
int view_stats_json(struct view_stats *s, const struct stream_reader *r, const char *name,
                    struct buf *b, struct err *e);
void view_stats_free(struct view_stats *s); /* NULL is fine */

/* Appends a record as text: trained text in colour, or between brackets; a heading for each sample.
 */
int view_paint(const struct stream_record *rec, uint64_t number, const struct tokenizer *t,
               bool color, struct buf *b, struct err *e);

#endif
