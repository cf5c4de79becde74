/* SPDX-License-Identifier: Apache-2.0 */
/* The spool: an unnamed file of samples and an unnamed file of their offsets. */
#include "spool.h"

#include "base/scratch.h"

/* The head of a sample in its file. The runs, the ids, and zeros up to a multiple of 8 bytes
 * follow.
 */
struct entry {
    uint64_t row;
    uint32_t file, n, nruns, labels;
};

struct spool {
    struct scratch *samples, *index; /* index: the offset of each sample, 8 bytes */
    const char *at;
    const uint64_t *offsets;
    uint32_t *lengths;
    size_t count, cap;
};

struct spool *spool_new(struct err *e)
{
    struct spool *s = mem_alloc(1, sizeof *s, e);
    if (!s) return NULL;
    s->samples = scratch_new(e);
    s->index = s->samples ? scratch_new(e) : NULL;
    if (s->index) return s;
    spool_free(s);
    return NULL;
}

int spool_add(struct spool *s, const struct stream_sample *x, struct err *e)
{
    const struct entry head = {x->source.row, x->source.file, x->n, x->nruns, stream_labels(x).n};
    const uint64_t offset = scratch_size(s->samples), zeros = 0;
    if (s->count >= UINT32_MAX - 1) return err_set(e, ERR_DATA, "more than 4294967294 samples");
    if (mem_grow(&s->lengths, &s->cap, s->count + 1, sizeof *s->lengths, e)) return -1;
    s->lengths[s->count++] = x->n;
    if (scratch_add(s->index, &offset, sizeof offset, e) ||
        scratch_add(s->samples, &head, sizeof head, e) ||
        scratch_add(s->samples, x->runs, x->nruns * sizeof *x->runs, e) ||
        scratch_add(s->samples, x->ids, x->n * sizeof *x->ids, e))
        return -1;
    return x->n % 2 ? scratch_add(s->samples, &zeros, 4, e) : 0;
}

uint32_t spool_count(const struct spool *s) { return (uint32_t)s->count; }

const uint32_t *spool_lengths(const struct spool *s) { return s->lengths; }

int spool_close(struct spool *s, struct err *e)
{
    s->at = scratch_map(s->samples, e);
    s->offsets = s->at ? scratch_map(s->index, e) : NULL;
    return s->offsets ? 0 : -1;
}

static const struct entry *entry_at(const struct spool *s, uint32_t i)
{
    return (const void *)(s->at + s->offsets[i]);
}

struct stream_sample spool_get(const struct spool *s, uint32_t i)
{
    const struct entry *h = entry_at(s, i);
    const struct stream_run *runs = (const void *)(h + 1);
    return (struct stream_sample){
        {h->file, h->row}, h->n, (const void *)(runs + h->nruns), runs, h->nruns};
}

uint32_t spool_labels(const struct spool *s, uint32_t i) { return entry_at(s, i)->labels; }

void spool_free(struct spool *s)
{
    if (!s) return;
    scratch_free(s->samples);
    scratch_free(s->index);
    mem_free(s->lengths);
    mem_free(s);
}
