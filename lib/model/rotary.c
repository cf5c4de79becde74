/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of cos and sin on the device. Row p is that of position p. Documents whose frequencies
 * are their own have rows of their own: that of token t of the micro-batch is row length + t. */
#include "model/net.h"

enum { PART = 1 << 16 }; /* values of a table that are made at a time; net.staging holds four */

static bool own(const struct net *n) { return rope_is_own(&n->m, n->o.length); }

int64_t net_rope_rows(const struct net *n) { return n->o.length + (own(n) ? n->o.tokens : 0); }

static void upload_part(struct net *n, void *table, int64_t at, int64_t count, const float *values)
{
    net_put(n, table, n->real, (size_t)at, (size_t)count, values);
}

/* Rows [at, at + count) = positions from 0 on of a document of `doc` tokens. */
static void put_rows(struct net *n, int64_t at, int64_t count, int64_t doc)
{
    static const int64_t most = PART;
    const int64_t half = n->m.head_dim / 2, rows = most / half;
    float *cosines = (float *)((double *)n->staging + 2 * PART), *sines = cosines + PART;
    for (int64_t p = 0; p < count; p += rows) {
        const int64_t c = count - p < rows ? count - p : rows;
        rope_table(&n->m, doc, p, c, cosines, sines);
        upload_part(n, n->cosines, (at + p) * half, c * half, cosines);
        upload_part(n, n->sines, (at + p) * half, c * half, sines);
    }
}

void net_rope_fill(struct net *n) { put_rows(n, 0, n->o.length, 1); }

/* The tokens [t, t + count) turn by the rows of the same number after those of positions. */
static void point(struct net *n, int64_t t, int64_t count)
{
    int32_t rows[256];
    for (int64_t i = 0; i < count; i += 256) {
        const int64_t c = count - i < 256 ? count - i : 256;
        for (int64_t j = 0; j < c; j++) rows[j] = (int32_t)(n->o.length + t + i + j);
        n->device->ops->upload(n->device, (int32_t *)n->pos + t + i, rows,
                               (size_t)c * sizeof *rows);
    }
}

void net_rope_upload(struct net *n, const struct net_batch *b)
{
    if (!own(n)) return;
    for (int32_t d = 0; d < b->docs; d++) {
        const int64_t first = b->cu[d], count = b->cu[d + 1] - first;
        if (!rope_is_own(&n->m, count)) continue;
        put_rows(n, n->o.length + first, count, count);
        point(n, first, count);
    }
}
