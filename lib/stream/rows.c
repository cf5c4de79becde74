/* SPDX-License-Identifier: Apache-2.0 */
/* The checksum of rows, by which a checkpoint knows the stream that it was trained on. */
#include <string.h>

#include "base/hash.h"
#include "stream/stream.h"

static void add_sample(struct stream_rows *r, const struct stream_sample *s)
{
    const size_t at = r->weights.len;
    buf_add(&r->ids, s->ids, s->n * sizeof *s->ids);
    for (uint32_t i = 0; i < s->nruns; i++)
        for (uint32_t n = s->runs[i].n; n > 0; n--)
            buf_add(&r->weights, &s->runs[i].weight, sizeof s->runs[i].weight);
    if (!r->weights.failed && s->n) memset(r->weights.data + at, 0, sizeof(float));
}

int stream_rows_add(struct stream_rows *r, const struct stream_record *rec, struct err *e)
{
    buf_reset(&r->ids);
    buf_reset(&r->weights);
    for (uint32_t i = 0; i < rec->nsamples; i++) add_sample(r, &rec->samples[i]);
    if (buf_check(&r->ids, e) || buf_check(&r->weights, e)) return -1;
    r->checksum = hash64(r->ids.data, r->ids.len, r->checksum);
    r->checksum = hash64(r->weights.data, r->weights.len, r->checksum);
    return 0;
}

void stream_rows_free(struct stream_rows *r)
{
    buf_free(&r->ids);
    buf_free(&r->weights);
}
