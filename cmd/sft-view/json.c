/* SPDX-License-Identifier: Apache-2.0 */
/* Records as JSON Lines. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "view.h"

static void put_number(struct buf *b, uint32_t v)
{
    char t[10], *p = t + sizeof t;
    do *--p = (char)('0' + v % 10);
    while (v /= 10);
    buf_add(b, p, (size_t)(t + sizeof t - p));
}

static void comma(struct buf *b, size_t *n)
{
    if ((*n)++) buf_putc(b, ',');
}

static void put_ids(const struct stream_record *rec, struct buf *b)
{
    size_t k = 0;
    buf_puts(b, "{\"ids\":[");
    for (uint32_t i = 0; i < rec->nsamples; i++)
        for (uint32_t t = 0; t < rec->samples[i].n; t++) {
            comma(b, &k);
            put_number(b, rec->samples[i].ids[t]);
        }
}

/* -100 where there is no loss, as in transformers; not shifted. */
static void put_labels(const struct stream_record *rec, struct buf *b)
{
    size_t k = 0;
    buf_puts(b, "],\"labels\":[");
    for (uint32_t i = 0; i < rec->nsamples; i++) {
        const struct stream_sample *s = &rec->samples[i];
        for (uint32_t r = 0, at = 0; r < s->nruns; at += s->runs[r++].n)
            for (uint32_t t = at; t < at + s->runs[r].n; t++) {
                comma(b, &k);
                if (s->runs[r].weight > 0)
                    put_number(b, s->ids[t]);
                else
                    buf_puts(b, "-100");
            }
    }
}

static bool has_weights(const struct stream_record *rec)
{
    for (uint32_t i = 0; i < rec->nsamples; i++)
        for (uint32_t r = 0; r < rec->samples[i].nruns; r++) {
            float w = rec->samples[i].runs[r].weight;
            if (w != 0 && w != 1) return true;
        }
    return false;
}

/* The shortest decimal that reads back as the same float. */
static void put_weight(struct buf *b, float w)
{
    char t[32];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(t, sizeof t, "%.*g", digits, (double)w);
        if (strtof(t, NULL) == w) break;
    }
    buf_puts(b, t);
}

static void put_weights(const struct stream_record *rec, struct buf *b)
{
    size_t k = 0;
    buf_puts(b, "],\"weights\":[");
    for (uint32_t i = 0; i < rec->nsamples; i++) {
        const struct stream_sample *s = &rec->samples[i];
        for (uint32_t r = 0; r < s->nruns; r++)
            for (uint32_t t = 0; t < s->runs[r].n; t++) {
                comma(b, &k);
                put_weight(b, s->runs[r].weight);
            }
    }
}

static void put_samples(const struct stream_record *rec, struct buf *b)
{
    size_t k = 0;
    put_ids(rec, b);
    put_labels(rec, b);
    if (has_weights(rec)) put_weights(rec, b);
    buf_puts(b, "],\"source\":[");
    for (uint32_t i = 0; i < rec->nsamples; i++) {
        comma(b, &k);
        buf_printf(b, "[%" PRIu32 ",%" PRIu64 "]", rec->samples[i].source.file,
                   rec->samples[i].source.row);
    }
    buf_putc(b, ']');
    if (rec->kind != STREAM_PACKED) return;
    buf_puts(b, ",\"starts\":[");
    for (uint32_t i = 0, at = 0; i < rec->nsamples; at += rec->samples[i++].n)
        buf_printf(b, "%s%" PRIu32, i ? "," : "", at);
    buf_printf(b, "],\"step\":%" PRIu64, rec->step);
}

/* extra is a JSON object: its members follow role and content. */
static void put_message(const struct stream_message *m, struct buf *b)
{
    buf_puts(b, "{\"role\":");
    buf_json(b, m->role.text);
    if (m->content.text.p) {
        buf_puts(b, ",\"content\":");
        buf_json(b, m->content.text);
    }
    if (m->extra.n > 2) {
        buf_putc(b, ',');
        buf_add(b, m->extra.p + 1, m->extra.n - 1);
    } else {
        buf_putc(b, '}');
    }
}

static void put_turns(const struct stream_record *rec, struct buf *b)
{
    buf_puts(b, "{\"messages\":[");
    for (uint32_t i = 0; i < rec->nmessages; i++) {
        if (i) buf_putc(b, ',');
        put_message(&rec->messages[i], b);
    }
    buf_putc(b, ']');
    if (rec->tools.n) {
        buf_puts(b, ",\"tools\":");
        buf_str(b, rec->tools);
    }
    buf_printf(b, ",\"source\":[[%" PRIu32 ",%" PRIu64 "]]", rec->source.file, rec->source.row);
}

void view_json(const struct stream_record *rec, struct buf *b)
{
    if (rec->kind == STREAM_TURNS)
        put_turns(rec, b);
    else
        put_samples(rec, b);
    buf_puts(b, "}\n");
}
