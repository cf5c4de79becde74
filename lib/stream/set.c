/* SPDX-License-Identifier: Apache-2.0 */
/* Reads several streams one after the other, as one. */
#include <string.h>

#include "stream/stream.h"

struct stream_set {
    struct stream_reader **readers;
    int n, at;
    uint32_t file_base; /* added to the source files of readers[at] */
    struct stream_header header;
};

static int differ(const struct stream_reader *a, const struct stream_reader *b, const char *what,
                  struct err *e)
{
    return err_set(e, ERR_DATA, "%s: is for another %s than %s", stream_name(b), what,
                   stream_name(a));
}

static int check_alike(const struct stream_set *s, int i, struct err *e)
{
    const struct stream_reader *first = s->readers[0], *r = s->readers[i];
    const struct stream_header *a = stream_header(first), *b = stream_header(r);
    if (strcmp(a->tokenizer, b->tokenizer) != 0 || a->vocab_size != b->vocab_size)
        return differ(first, r, "tokenizer", e);
    if (strcmp(a->template_id, b->template_id) != 0) return differ(first, r, "template", e);
    return 0;
}

/* Appends the stages of reader i, unless an earlier reader has the same. */
static int add_stages(struct stream_set *s, int i, struct err *e)
{
    const struct buf *mine = &stream_header(s->readers[i])->stages;
    for (int k = 0; k < i; k++) {
        const struct buf *b = &stream_header(s->readers[k])->stages;
        if (b->len == mine->len && (!b->len || memcmp(b->data, mine->data, b->len) == 0)) return 0;
    }
    if (s->header.stages.len && mine->len) buf_putc(&s->header.stages, ',');
    if (mine->len) buf_add(&s->header.stages, mine->data, mine->len);
    return buf_check(&s->header.stages, e);
}

static int open_one(struct stream_set *s, int i, const char *path, enum stream_kind kind,
                    struct err *e)
{
    s->readers[i] = stream_open(path, kind, e);
    if (!s->readers[i]) return -1;
    if (i == 0) {
        s->header = *stream_header(s->readers[0]);
        s->header.stages = (struct buf){0};
    }
    return check_alike(s, i, e) ? -1 : add_stages(s, i, e);
}

struct stream_set *stream_set_open(char *const *paths, int n, enum stream_kind kind, struct err *e)
{
    struct stream_set *s = mem_alloc(1, sizeof *s, e);
    if (!s) return NULL;
    s->n = n > 0 ? n : 1;
    s->readers = mem_alloc((size_t)s->n, sizeof *s->readers, e);
    for (int i = 0; s->readers && i < s->n; i++)
        if (open_one(s, i, n > 0 ? paths[i] : "-", kind, e)) {
            stream_set_close(s);
            return NULL;
        }
    if (s->readers) return s;
    mem_free(s);
    return NULL;
}

const struct stream_header *stream_set_header(const struct stream_set *s) { return &s->header; }

const char *stream_set_name(const struct stream_set *s)
{
    return stream_name(s->readers[s->at < s->n ? s->at : s->n - 1]);
}

static void rebase_sources(struct stream_set *s, const struct stream_record *rec)
{
    struct stream_record *r = (struct stream_record *)(uintptr_t)rec; /* in the reader's memory */
    r->source.file += s->file_base;
    for (uint32_t i = 0; i < r->nsamples; i++) r->samples[i].source.file += s->file_base;
}

/* Moves on at the end of readers[at]. Its number of inputs is the offset of the next source files.
 */
static int next_reader(struct stream_set *s, struct err *e)
{
    size_t inputs = stream_inputs(s->readers[s->at]);
    if (s->n > 1 && inputs == 0)
        return err_set(e, ERR_DATA, "%s: lists no inputs, so it cannot be joined with others",
                       stream_set_name(s));
    if (inputs > UINT32_MAX - s->file_base)
        return err_set(e, ERR_DATA, "%s: too many inputs", stream_set_name(s));
    s->file_base += (uint32_t)inputs;
    s->at++;
    return 0;
}

int stream_set_next(struct stream_set *s, const struct stream_record **rec, struct err *e)
{
    while (s->at < s->n) {
        int rc = stream_next(s->readers[s->at], rec, e);
        if (rc < 0) return -1;
        if (rc > 0) {
            rebase_sources(s, *rec);
            return 1;
        }
        if (next_reader(s, e)) return -1;
    }
    return 0;
}

int stream_set_origins(const struct stream_set *s, struct stream_writer *w, struct err *e)
{
    for (int i = 0; i < s->n; i++) {
        const struct stream_reader *r = s->readers[i];
        for (size_t k = 0; k < stream_inputs(r); k++)
            if (stream_add_input(w, stream_input(r, k), e)) return -1;
        for (size_t k = 0; k < stream_notes(r); k++)
            if (stream_add_note(w, stream_note(r, k)->name, stream_note(r, k)->n, e)) return -1;
    }
    return 0;
}

void stream_set_close(struct stream_set *s)
{
    if (!s) return;
    for (int i = 0; i < s->n; i++) stream_close(s->readers[i]);
    mem_free(s->readers);
    stream_header_free(&s->header);
    mem_free(s);
}
