/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of samples' losses, and groups of them for --by. */
#include "sums.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void sums_add(struct sums *to, const struct sums *from)
{
    to->loss += from->loss;
    to->weight += from->weight;
    to->label_tokens += from->label_tokens;
    to->samples += from->samples;
    to->tokens += from->tokens;
    if (from->bad == 0 || to->bad++ > 0) return;
    to->source = from->source;
    to->token = from->token;
}

void sums_put(const struct sums *s, struct buf *b)
{
    const double loss = s->weight > 0 ? s->loss / s->weight : NAN;
    buf_puts(b, "\"loss\":");
    buf_json_number(b, loss, 17);
    buf_puts(b, ",\"perplexity\":");
    buf_json_number(b, exp(loss), 9);
    buf_printf(b, ",\"label_tokens\":%llu,\"samples\":%llu", (unsigned long long)s->label_tokens,
               (unsigned long long)s->samples);
}

/* ---- groups ---- */
/* Lengths are grouped by powers of two: the value is the least of its group. */
static uint64_t value_of(enum eval_by by, const struct feed_sample *x)
{
    uint64_t least = 1;
    if (by == EVAL_BY_FILE) return x->source.file;
    if (by == EVAL_BY_MESSAGES) return x->messages;
    while (2 * least <= x->n) least *= 2;
    return least;
}

/* Returns the index of the first group with at least this value. */
static size_t find(const struct groups *g, uint64_t value)
{
    size_t low = 0, high = g->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (g->v[middle].value < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int groups_add(struct groups *g, const struct feed_sample *x, const struct sums *one, struct err *e)
{
    if (g->by == EVAL_BY_NONE) return 0;
    const uint64_t value = value_of(g->by, x);
    const size_t i = find(g, value);
    if (i == g->n || g->v[i].value != value) {
        if (mem_grow(&g->v, &g->cap, g->n + 1, sizeof *g->v, e)) return -1;
        memmove(&g->v[i + 1], &g->v[i], (g->n++ - i) * sizeof *g->v);
        g->v[i] = (struct group){.value = value};
    }
    sums_add(&g->v[i].sums, one);
    return 0;
}

void groups_put(const struct groups *g, struct buf *b)
{
    static const char *const names[] = {"", "file", "length", "messages"};
    for (size_t i = 0; i < g->n; i++) {
        const unsigned long long x = g->v[i].value;
        buf_printf(b, "{\"key\":\"%s\",\"value\":", names[g->by]);
        if (g->by == EVAL_BY_LENGTH)
            buf_printf(b, "\"%llu-%llu\",", x, 2 * x - 1);
        else
            buf_printf(b, "%llu,", x);
        sums_put(&g->v[i].sums, b);
        buf_puts(b, "}\n");
    }
}
