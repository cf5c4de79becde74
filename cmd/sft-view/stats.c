/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics: counts, lengths and the density of rows. */
#include <inttypes.h>
#include <stdlib.h>

#include "view.h"

struct view_stats {
    uint32_t *lengths; /* [n] tokens of each sample, or of the texts of each conversation */
    size_t n, cap;
    uint64_t untrained; /* samples without a trained token */
    uint64_t trained;   /* steps of a plan with a trained token */
    uint64_t counted;   /* 1 + the last of these steps */
};

struct view_stats *view_stats_new(struct err *e)
{
    return mem_alloc(1, sizeof(struct view_stats), e);
}

void view_stats_free(struct view_stats *s)
{
    if (s) mem_free(s->lengths);
    mem_free(s);
}

static int add(struct view_stats *s, uint32_t length, struct err *e)
{
    if (mem_grow(&s->lengths, &s->cap, s->n + 1, sizeof *s->lengths, e)) return -1;
    s->lengths[s->n++] = length;
    return 0;
}

static void count_sample(struct view_stats *s, const struct stream_sample *x, uint64_t step)
{
    if (stream_labels(x).n == 0) {
        s->untrained++;
    } else if (s->counted != step + 1) {
        s->counted = step + 1;
        s->trained++;
    }
}

int view_stats_add(struct view_stats *s, const struct stream_record *rec, struct err *e)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < rec->nsamples; i++) {
        count_sample(s, &rec->samples[i], rec->step);
        if (add(s, rec->samples[i].n, e)) return -1;
    }
    for (uint32_t i = 0; i < rec->nmessages; i++) sum += rec->messages[i].content.nids;
    return rec->kind == STREAM_TURNS ? add(s, sum, e) : 0;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void put_lengths(struct view_stats *s, uint64_t tokens, struct buf *b)
{
    static const int percents[] = {50, 90, 99};
    if (s->n == 0) return;
    qsort(s->lengths, s->n, sizeof *s->lengths, by_value);
    buf_printf(b, ",\"length\":{\"min\":%" PRIu32 ",\"mean\":", s->lengths[0]);
    buf_json_fixed(b, (double)tokens / (double)s->n, 1);
    for (int i = 0; i < 3; i++) { /* nearest rank */
        size_t rank =
            s->n / 100 * (size_t)percents[i] + (s->n % 100 * (size_t)percents[i] + 99) / 100;
        buf_printf(b, ",\"p%d\":%" PRIu32, percents[i], s->lengths[rank - 1]);
    }
    buf_printf(b, ",\"max\":%" PRIu32 "}", s->lengths[s->n - 1]);
}

static void put_labels(const struct view_stats *s, const struct stream_counts *c, struct buf *b)
{
    buf_printf(b, ",\"label_tokens\":%" PRIu64 ",\"label_fraction\":", c->label_tokens);
    buf_json_fixed(b, c->tokens ? (double)c->label_tokens / (double)c->tokens : 0, 4);
    buf_printf(b, ",\"untrained_samples\":%" PRIu64, s->untrained);
}

static void put_plan(const struct view_stats *s, const struct stream_header *h,
                     const struct stream_counts *c, struct buf *b)
{
    buf_printf(b, ",\"steps\":%" PRIu64 ",\"untrained_steps\":%" PRIu64 ",\"samples_a_step\":",
               h->steps, h->steps - s->trained);
    buf_json_fixed(b, (double)c->samples / (double)h->steps, 1);
    buf_puts(b, ",\"density\":");
    buf_json_fixed(b, (double)c->tokens / ((double)c->records * (double)h->length), 4);
}

int view_stats_json(struct view_stats *s, const struct stream_reader *r, const char *name,
                    struct buf *b, struct err *e)
{
    const struct stream_header *h = stream_header(r);
    struct stream_counts c = stream_counts(r);
    buf_putc(b, '{');
    if (name) {
        buf_puts(b, "\"file\":");
        buf_json(b, str_z(name));
        buf_putc(b, ',');
    }
    buf_printf(b, "\"kind\":\"%s\",\"records\":%" PRIu64, stream_kind_name(h->kind), c.records);
    if (h->kind != STREAM_TURNS) buf_printf(b, ",\"samples\":%" PRIu64, c.samples);
    buf_printf(b, ",\"tokens\":%" PRIu64, c.tokens);
    if (h->kind != STREAM_TURNS) put_labels(s, &c, b);
    put_lengths(s, c.tokens, b);
    if (h->kind == STREAM_PACKED && c.records) put_plan(s, h, &c, b);
    for (size_t i = 0; i < stream_notes(r); i++)
        buf_printf(b, "%s\"%s\":%" PRIu64, i ? "," : ",\"notes\":{", stream_note(r, i)->name,
                   stream_note(r, i)->n);
    buf_puts(b, stream_notes(r) ? "}}\n" : "}\n");
    return buf_check(b, e);
}
