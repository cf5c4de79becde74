/* SPDX-License-Identifier: Apache-2.0 */
/* The rules for records and the counts of a stream. The reader and the writer share them. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "stream/format.h"

static int check_ids(const uint32_t *ids, uint32_t n, uint32_t vocab, struct err *e)
{
    uint32_t largest = 0;
    for (uint32_t i = 0; i < n; i++) largest = ids[i] > largest ? ids[i] : largest;
    if (n && largest >= vocab)
        return err_set(e, ERR_DATA, "token id %" PRIu32 " in a vocabulary of %" PRIu32, largest,
                       vocab);
    return 0;
}

struct stream_labels stream_labels(const struct stream_sample *s)
{
    struct stream_labels l = {0};
    uint32_t at = 0;
    for (uint32_t i = 0; i < s->nruns; i++) {
        const struct stream_run *r = &s->runs[i];
        const uint32_t n = r->weight > 0 ? r->n - (at == 0) : 0;
        at += r->n;
        l.n += n;
        if (n) l.end = at;
    }
    return l;
}

/* Checks a sample and adds its trained tokens to *labels. */
static int check_sample(const struct stream_sample *s, uint32_t vocab, uint64_t *labels,
                        struct err *e)
{
    uint64_t sum = 0;
    if (s->n == 0) return err_set(e, ERR_DATA, "a sample without tokens");
    for (uint32_t i = 0; i < s->nruns; i++) {
        const struct stream_run *r = &s->runs[i];
        if (r->n == 0 || !isfinite(r->weight) || r->weight < 0)
            return err_set(e, ERR_DATA, "a run without tokens or with an invalid weight");
        sum += r->n;
    }
    if (sum != s->n)
        return err_set(e, ERR_DATA, "the runs cover %" PRIu64 " of %" PRIu32 " tokens", sum, s->n);
    *labels += stream_labels(s).n;
    return check_ids(s->ids, s->n, vocab, e);
}

static void count_file(struct stream_tally *t, const struct stream_source *s)
{
    if (s->file >= t->files) t->files = s->file + 1;
}

/* Checks that steps count up from 0 by one, that a step has at most its batch, and a row at most
 * its length. */
static int check_row(struct stream_tally *t, const struct stream_header *h,
                     const struct stream_record *rec, uint64_t tokens, struct err *e)
{
    bool new_step = t->records == 0 || rec->step != t->step;
    if (rec->step != (t->records == 0 ? 0 : t->step + new_step))
        return err_set(e, ERR_DATA, "step %" PRIu64 " follows step %" PRIu64, rec->step, t->step);
    t->step = rec->step;
    t->step_rows = (new_step ? 0 : t->step_rows) + 1;
    t->step_samples = (new_step ? 0 : t->step_samples) + rec->nsamples;
    if (rec->nsamples == 0 || (h->mode == PACK_NONE && rec->nsamples > 1))
        return err_set(e, ERR_DATA, "a row of %" PRIu32 " samples", rec->nsamples);
    if (tokens > h->length)
        return err_set(e, ERR_DATA, "a row of %" PRIu64 " tokens; the length is %" PRIu64, tokens,
                       h->length);
    uint64_t batch = h->mode == PACK_DENSE ? t->step_rows : t->step_samples;
    if (batch > h->global_batch)
        return err_set(e, ERR_DATA, "step %" PRIu64 " is larger than the global batch", t->step);
    return 0;
}

static int count_turns(struct stream_tally *t, const struct stream_header *h,
                       const struct stream_record *rec, struct err *e)
{
    for (uint32_t i = 0; i < rec->nmessages; i++) {
        const struct stream_text *c = &rec->messages[i].content;
        if (check_ids(c->ids, c->nids, h->vocab_size, e)) return -1;
        t->tokens += c->nids;
    }
    count_file(t, &rec->source);
    return 0;
}

int tally_record(struct stream_tally *t, const struct stream_header *h,
                 const struct stream_record *rec, struct err *e)
{
    if (h->kind == STREAM_TURNS && count_turns(t, h, rec, e)) return -1;
    uint64_t tokens = 0;
    for (uint32_t i = 0; i < rec->nsamples; i++) {
        if (check_sample(&rec->samples[i], h->vocab_size, &t->label_tokens, e)) return -1;
        tokens += rec->samples[i].n;
        count_file(t, &rec->samples[i].source);
    }
    if (h->kind == STREAM_PACKED && check_row(t, h, rec, tokens, e)) return -1;
    t->tokens += tokens;
    t->samples += rec->nsamples;
    t->records++;
    return 0;
}

int tally_frame(struct stream_tally *t, const struct stream_frame *f, struct err *e)
{
    if (mem_grow(&t->frames, &t->frames_cap, t->nframes + 1, sizeof *t->frames, e)) return -1;
    t->frames[t->nframes++] = *f;
    return 0;
}

int tally_input(struct stream_tally *t, const char digest[HASH128_HEX], struct err *e)
{
    if (mem_grow(&t->inputs, &t->inputs_cap, t->ninputs + 1, sizeof *t->inputs, e)) return -1;
    memcpy(t->inputs[t->ninputs], digest, HASH128_HEX - 1);
    t->inputs[t->ninputs++][HASH128_HEX - 1] = 0;
    return 0;
}

static bool is_note_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '_' && (s.p[i] < 'a' || s.p[i] > 'z')) return false;
    return s.n > 0 && s.n < STREAM_NOTE_NAME;
}

int tally_note(struct stream_tally *t, struct str name, uint64_t n, struct err *e)
{
    struct stream_note note = {.n = n};
    size_t at = 0;
    if (n == 0) return 0;
    if (!is_note_name(name)) return err_set(e, ERR_DATA, "a note with an invalid name");
    memcpy(note.name, name.p, name.n);
    while (at < t->nnotes && strcmp(t->notes[at].name, note.name) < 0) at++;
    if (at < t->nnotes && strcmp(t->notes[at].name, note.name) == 0) {
        if (__builtin_add_overflow(t->notes[at].n, n, &t->notes[at].n))
            return err_set(e, ERR_DATA, "note %s: is larger than any count", t->notes[at].name);
        return 0;
    }
    if (t->nnotes == STREAM_NOTES_MAX) return err_set(e, ERR_DATA, "too many notes");
    if (mem_grow(&t->notes, &t->notes_cap, t->nnotes + 1, sizeof *t->notes, e)) return -1;
    memmove(&t->notes[at + 1], &t->notes[at], (t->nnotes++ - at) * sizeof *t->notes);
    t->notes[at] = note;
    return 0;
}

int tally_end(const struct stream_tally *t, const struct stream_header *h, struct err *e)
{
    if (t->ninputs && t->files > t->ninputs)
        return err_set(e, ERR_DATA, "records of file %" PRIu32 ", but only %zu inputs are listed",
                       t->files - 1, t->ninputs);
    if (h->kind != STREAM_PACKED) return 0;
    const struct {
        const char *what;
        uint64_t counted, stored;
    } sums[] = {{"rows", t->records, h->rows},
                {"steps", t->records ? t->step + 1 : 0, h->steps},
                {"samples", t->samples, h->samples},
                {"tokens", t->tokens, h->tokens},
                {"label_tokens", t->label_tokens, h->label_tokens}};
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++)
        if (sums[i].counted != sums[i].stored)
            return err_set(e, ERR_DATA, "the header states %s: %" PRIu64 ", but there are %" PRIu64,
                           sums[i].what, sums[i].stored, sums[i].counted);
    return 0;
}

void tally_free(struct stream_tally *t)
{
    mem_free(t->frames);
    mem_free(t->inputs);
    mem_free(t->notes);
    *t = (struct stream_tally){0};
}
