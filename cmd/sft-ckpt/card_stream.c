/* SPDX-License-Identifier: Apache-2.0 */
/* The data of a run, as the stream that it was trained on tells it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "card.h"
#include "stream/stream.h"

static int read_rows(struct stream_reader *s, const struct card_point *p, struct stream_rows *r,
                     struct err *e)
{
    const struct stream_record *rec;
    int rc;
    while ((rc = stream_next(s, &rec, e)) > 0)
        if (rec->step < (uint64_t)p->step && stream_rows_add(r, rec, e)) return -1;
    return rc;
}

static void put_count(struct buf *b, const char *label, uint64_t n)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, n);
    card_item(b, label, str_z(text));
}

static void put_facts(const struct stream_reader *s, struct buf *data)
{
    const struct stream_header *h = stream_header(s);
    put_count(data, "samples, each epoch counted", h->samples);
    put_count(data, "their tokens", h->tokens);
    put_count(data, "their trained tokens", h->label_tokens);
    for (size_t i = 0; i < stream_inputs(s); i++)
        card_item(data, "XXH3-128 of a data file", str_z(stream_input(s, i)));
}

int card_stream(const struct card *c, const struct card_point *p, struct buf *data, struct err *e)
{
    char sum[sizeof p->rows];
    struct stream_rows r = {0};
    struct stream_reader *s = stream_open(c->stream, STREAM_PACKED, e);
    int rc = s ? read_rows(s, p, &r, e) : -1;
    snprintf(sum, sizeof sum, "%016" PRIx64, r.checksum);
    if (rc == 0 && strcmp(sum, p->rows) != 0)
        rc = err_set(e, ERR_DATA, "%s: its first %" PRId64 " steps are not those of %s", c->stream,
                     p->step, c->model->path);
    if (rc == 0) put_facts(s, data);
    stream_rows_free(&r);
    stream_close(s);
    return rc;
}
