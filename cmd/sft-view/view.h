/* SPDX-License-Identifier: Apache-2.0 */
/* What the views of a stream share. */
#ifndef SFT_VIEW_H
#define SFT_VIEW_H

#include "base/buf.h"
#include "stream/stream.h"
#include "text/tokenizer.h"

/* A record as a line of JSON. */
void view_json(const struct stream_record *rec, struct buf *b);

/* Statistics of one stream, as a line of JSON. */
struct view_stats;
struct view_stats *view_stats_new(struct err *e);
int view_stats_add(struct view_stats *s, const struct stream_record *rec, struct err *e);
/* After the end of r. name: NULL, or what to call the stream. */
int view_stats_json(struct view_stats *s, const struct stream_reader *r, const char *name,
                    struct buf *b, struct err *e);
void view_stats_free(struct view_stats *s); /* NULL is fine */

/* A record for people: trained text in colour, or between brackets; samples ruled off. */
int view_paint(const struct stream_record *rec, uint64_t number, const struct tokenizer *t,
               bool color, struct buf *b, struct err *e);

#endif
