/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of cos and sin on the device. Row p is that of position p. Documents whose frequencies
 * are their own have rows of their own, behind those of positions: `tokens` rows for each pass. */
#include "model/model_impl.h"

enum { PART = 1 << 16 }; /* values of a table that are made at a time; staging has room for four */

static bool own(const struct stage *s) { return rope_is_own(&s->w->m, s->w->length); }

int64_t rotary_rows(const struct stage *s)
{
    return s->w->length + (own(s) ? s->o.passes * s->o.tokens : 0);
}

static void upload_part(struct weights *w, void *table, int64_t at, int64_t count,
                        const float *values)
{
    weights_put(w, table, w->accum, (size_t)at, (size_t)count, values);
}

/* Rows [at, at + count) = positions from 0 on of a document of `doc` tokens. */
static void put_rows(struct weights *w, int64_t at, int64_t count, int64_t doc)
{
    static const int64_t most = PART;
    const int64_t half = w->m.head_dim / 2, rows = most / half;
    float *cosines = (float *)((double *)w->staging + 2 * PART), *sines = cosines + PART;
    for (int64_t p = 0; p < count; p += rows) {
        const int64_t c = count - p < rows ? count - p : rows;
        rope_table(&w->m, doc, p, c, cosines, sines);
        upload_part(w, w->cosines, (at + p) * half, c * half, cosines);
        upload_part(w, w->sines, (at + p) * half, c * half, sines);
    }
}

void weights_fill_rotary(struct weights *w) { put_rows(w, 0, w->length, 1); }

/* The tokens [t, t + count) turn by rows from `row` on. */
static void point(struct stage *s, struct pass *p, int64_t t, int64_t count, int64_t row)
{
    struct device *d = s->w->device;
    int32_t rows[256];
    for (int64_t i = 0; i < count; i += 256) {
        const int64_t c = count - i < 256 ? count - i : 256;
        for (int64_t j = 0; j < c; j++) rows[j] = (int32_t)(row + i + j);
        d->ops->upload(d, (int32_t *)p->pos + t + i, rows, (size_t)c * sizeof *rows);
    }
}

void rotary_upload(struct stage *s, struct pass *p, const struct micro_batch *b)
{
    const int64_t begin = s->w->length + (p - s->pass) * s->o.tokens;
    if (!own(s)) return;
    for (int32_t d = 0; d < b->docs; d++) {
        const int64_t first = b->cu[d], count = b->cu[d + 1] - first;
        if (!rope_is_own(&s->w->m, count)) continue;
        put_rows(s->w, begin + first, count, count);
        point(s, p, first, count, begin + first);
    }
}
