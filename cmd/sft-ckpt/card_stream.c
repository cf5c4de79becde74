/* SPDX-License-Identifier: Apache-2.0 */
/* The data of a run, as the stream that it was trained on tells it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "card.h"
#include "stream/stream.h"

/* The checksum that sft-train keeps of the rows: of each row all ids, then all weights. */
struct rows {
    struct buf ids, weights;
    uint64_t checksum;
};

static void add_sample(struct rows *r, const struct stream_sample *s)
{
    const size_t at = r->weights.len;
    buf_add(&r->ids, s->ids, s->n * sizeof *s->ids);
    for (uint32_t i = 0; i < s->nruns; i++)
        for (uint32_t n = s->runs[i].n; n > 0; n--)
            buf_add(&r->weights, &s->runs[i].weight, sizeof s->runs[i].weight);
    if (!r->weights.failed && s->n) memset(r->weights.data + at, 0, sizeof(float));
}

static int add_row(struct rows *r, const struct stream_record *rec, struct err *e)
{
    buf_reset(&r->ids);
    buf_reset(&r->weights);
    for (uint32_t i = 0; i < rec->nsamples; i++) add_sample(r, &rec->samples[i]);
    if (buf_check(&r->ids, e) || buf_check(&r->weights, e)) return -1;
    r->checksum = hash64(r->ids.data, r->ids.len, r->checksum);
    r->checksum = hash64(r->weights.data, r->weights.len, r->checksum);
    return 0;
}

static int read_rows(struct stream_reader *s, const struct card_point *p, struct rows *r,
                     struct err *e)
{
    const struct stream_record *rec;
    int rc;
    while ((rc = stream_next(s, &rec, e)) > 0)
        if (rec->step < (uint64_t)p->step && add_row(r, rec, e)) return -1;
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
    struct rows r = {0};
    struct stream_reader *s = stream_open(c->stream, STREAM_PACKED, e);
    int rc = s ? read_rows(s, p, &r, e) : -1;
    snprintf(sum, sizeof sum, "%016" PRIx64, r.checksum);
    if (rc == 0 && strcmp(sum, p->rows) != 0)
        rc = err_set(e, ERR_DATA, "%s: its first %" PRId64 " steps are not those of %s", c->stream,
                     p->step, c->model->path);
    if (rc == 0) put_facts(s, data);
    buf_free(&r.ids);
    buf_free(&r.weights);
    stream_close(s);
    return rc;
}
