/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a stream a step at a time, with one record of look-ahead. */
#include "data/feed.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "data/broadcast_impl.h"
#include "data/prefetch_impl.h"

enum { LOOSE_ROWS = 64 };

struct feed {
    struct stream_reader *reader;
    char *name;
    const struct stream_record *next; /* read, and not yet part of a step */
    bool ended, loose, parts;
    struct model_vocab vocab;
    struct { /* the id outside the vocabulary that ended reading */
        bool found;
        uint32_t id;
        struct stream_source source;
    } unknown;
    uint64_t length;
    uint64_t steps, rows, checksum; /* of all that was read */
    uint64_t given;                 /* checksum of the steps handed out */
    struct prefetch *prefetch;      /* NULL: steps are read into the caller's arrays */
    void *memory;                   /* of prefetch, if it is ours */
    struct feed_step received;      /* the steps that rank 0 broadcasts come here */
    const struct mesh *mesh;        /* the ranks that rank 0 broadcasts to; NULL: none */
    struct stream_header header;    /* of rank 0's stream, where this rank has no reader */
};

struct feed *feed_open(const char *path, bool loose, const struct model_vocab *v, struct err *e)
{
    struct feed *f = mem_alloc(1, sizeof *f, e);
    if (!f) return NULL;
    f->vocab = *v;
    f->name = mem_strndup(path, strlen(path), e);
    f->reader = loose ? stream_open_any(path, e) : stream_open(path, STREAM_PACKED, e);
    if (!f->name || !f->reader) goto fail;
    struct stat st; /* a pipe cannot be read twice */
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && stream_whole(path, e)) goto fail;
    f->length = stream_header(f->reader)->length;
    f->loose = stream_header(f->reader)->kind == STREAM_SAMPLES;
    if (stream_header(f->reader)->kind == STREAM_TURNS) {
        err_set(e, ERR_DATA, "%s: a stream of conversations; sft-template makes samples of it",
                path);
        goto fail;
    }
    if (strcmp(path, "-") == 0) memcpy(f->name, "-", 2);
    return f;
fail:
    feed_close(f);
    return NULL;
}

static bool is_file(const char *path)
{
    struct stat st;
    return strcmp(path, "-") != 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

struct feed *feed_open_broadcast(const char *path, bool loose, const struct model_vocab *v,
                                 const struct mesh *m, struct err *e)
{
    struct feed *f = NULL;
    int32_t file = is_file(path);
    if (mesh_ranks(m) == 1) return feed_open(path, loose, v, e);
    if (mesh_broadcast(m, &file, sizeof file, e)) return NULL;
    if (file) return feed_open(path, loose, v, e);
    if (mesh_writes(m))
        f = feed_open(path, loose, v, e);
    else if ((f = mem_alloc(1, sizeof *f, e)))
        f->name = mem_strndup(path, strlen(path), e);
    /* A broadcast waits until the pipe begins; an agreement has a time limit. */
    int rc = mesh_broadcast(m, &file, sizeof file, e);
    if (mesh_agree(m, rc || !f || !f->name ? -1 : 0, e)) rc = -1;
    if (rc == 0 && f->reader) f->header = *stream_header(f->reader);
    if (rc == 0) rc = broadcast_header(m, &f->header, e);
    if (rc == 0) {
        f->mesh = m;
        return f;
    }
    feed_close(f);
    return NULL;
}

const struct stream_header *feed_header(const struct feed *f)
{
    return f->reader ? stream_header(f->reader) : &f->header;
}
void feed_limit(struct feed *f, uint64_t length) { f->length = length; }
uint64_t feed_checksum(const struct feed *f) { return f->given; }

void feed_close(struct feed *f)
{
    if (!f) return;
    prefetch_free(f->prefetch);
    mem_free(f->memory);
    stream_close(f->reader);
    mem_free(f->name);
    mem_free(f);
}

void feed_step_free(struct feed_step *s)
{
    if (!s->fixed) {
        mem_free(s->ids);
        mem_free(s->weights);
        mem_free(s->samples);
        mem_free(s->rows);
    }
    *s = (struct feed_step){0};
}

const char *feed_name(const struct feed *f) { return strcmp(f->name, "-") ? f->name : "<stdin>"; }

static int bad(const struct feed *f, struct err *e, const char *what)
{
    return err_set(e, ERR_DATA, "%s: row %llu: %s", feed_name(f), (unsigned long long)f->rows,
                   what);
}

/* Grows an array of s, as mem_grow; the arrays of a fixed step must be large enough. */
static int grow(const struct feed *f, const struct feed_step *s, void *array, size_t *cap,
                size_t need, size_t size, struct err *e)
{
    if (!s->fixed) return mem_grow(array, cap, need, size, e);
    return need <= *cap ? 0 : bad(f, e, "its step is larger than the global batch");
}

/* Puts the weights of a sample's tokens from its runs; the first token is no target. */
static int put_weights(const struct feed *f, struct feed_step *s, const struct stream_sample *x,
                       struct err *e)
{
    float *w = s->weights + s->tokens;
    uint32_t at = 0;
    for (uint32_t r = 0; r < x->nruns; r++) {
        const struct stream_run *run = &x->runs[r];
        if (run->n > x->n - at || !(run->weight >= 0 && run->weight <= 1e6F))
            return bad(f, e, "runs do not fit the tokens, or a weight is out of range");
        for (uint32_t i = 0; i < run->n; i++) w[at++] = run->weight;
    }
    if (at != x->n) return bad(f, e, "runs do not cover the tokens");
    if (at) w[0] = 0;
    for (uint32_t i = 0; i < at; i++) {
        if (w[i] <= 0) continue;
        s->weight += (double)w[i];
        s->label_tokens++;
    }
    return 0;
}

/* The prefetch thread may call this, so the id is not decoded here: name_unknown does it. */
static int refuse_id(struct feed *f, const struct stream_sample *x, uint32_t id, struct err *e)
{
    f->unknown.found = true;
    f->unknown.id = id;
    f->unknown.source = x->source;
    return bad(f, e, "a token that the model's vocabulary does not have");
}

static int name_unknown(const struct feed *f, struct err *e)
{
    model_check_id(&f->vocab, f->unknown.id, e);
    return err_prefix(e, "%s: row %llu (file %u row %llu)", feed_name(f),
                      (unsigned long long)f->rows, f->unknown.source.file,
                      (unsigned long long)f->unknown.source.row);
}

static uint32_t messages_of(const struct stream_sample *x)
{
    int32_t last = -1;
    for (uint32_t r = 0; r < x->nruns; r++)
        if (x->runs[r].message > last) last = x->runs[r].message;
    return (uint32_t)(last + 1);
}

static int put_sample(struct feed *f, struct feed_step *s, const struct stream_sample *x,
                      struct err *e)
{
    if (grow(f, s, &s->ids, &s->ids_cap, s->tokens + x->n, sizeof *s->ids, e) ||
        grow(f, s, &s->weights, &s->weights_cap, s->tokens + x->n, sizeof *s->weights, e) ||
        grow(f, s, &s->samples, &s->samples_cap, s->nsamples + 1, sizeof *s->samples, e))
        return -1;
    for (uint32_t i = 0; i < x->n; i++) {
        if (x->ids[i] >= (uint64_t)f->vocab.size) return refuse_id(f, x, x->ids[i], e);
        s->ids[s->tokens + i] = x->ids[i];
    }
    if (put_weights(f, s, x, e)) return -1;
    s->samples[s->nsamples++] = (struct feed_sample){
        .source = x->source, .first = s->tokens, .n = x->n, .messages = messages_of(x)};
    s->tokens += x->n;
    s->squares += (double)x->n * x->n;
    return 0;
}

static int put_row(struct feed *f, struct feed_step *s, const struct stream_record *r,
                   struct err *e)
{
    if (grow(f, s, &s->rows, &s->rows_cap, s->nrows + 1, sizeof *s->rows, e)) return -1;
    struct feed_row row = {.first = s->nsamples, .samples = r->nsamples};
    const size_t at = s->tokens;
    for (uint32_t i = 0; i < r->nsamples; i++) {
        row.tokens += r->samples[i].n;
        if (f->length && row.tokens > f->length) return bad(f, e, "longer than it may be");
        if (put_sample(f, s, &r->samples[i], e)) return -1;
    }
    s->rows[s->nrows++] = row;
    f->rows++;
    f->checksum = hash64(s->ids + at, (s->tokens - at) * sizeof *s->ids, f->checksum);
    f->checksum = hash64(s->weights + at, (s->tokens - at) * sizeof *s->weights, f->checksum);
    return 0;
}

/* True if the row can be added to a fixed step. */
static bool fits(const struct feed_step *s, const struct stream_record *r)
{
    uint64_t tokens = 0;
    for (uint32_t i = 0; i < r->nsamples; i++) tokens += r->samples[i].n;
    return s->tokens + tokens <= s->ids_cap && s->nsamples + r->nsamples <= s->samples_cap &&
           s->nrows < s->rows_cap;
}

/* Sets f->next: 1; 0 at the end; -1. */
static int look(struct feed *f, struct err *e)
{
    if (f->next) return 1;
    if (f->ended) return 0;
    int rc = stream_next(f->reader, &f->next, e);
    if (rc == 0) f->ended = true;
    if (rc <= 0) f->next = NULL;
    return rc;
}

static int read_step(void *arg, struct feed_step *s, struct err *e)
{
    struct feed *f = arg;
    s->tokens = s->nsamples = s->nrows = 0;
    s->weight = s->squares = 0;
    s->label_tokens = 0;
    s->step = f->steps;
    bool full = false;
    int rc;
    while ((rc = look(f, e)) == 1) {
        if (f->loose ? s->nrows == LOOSE_ROWS : f->next->step != f->steps) break;
        if ((full = f->parts && s->nrows && !fits(s, f->next))) break;
        if (put_row(f, s, f->next, e)) return -1;
        f->next = NULL;
    }
    if (rc < 0) return -1;
    if (s->nrows == 0) {
        if (rc == 1) return bad(f, e, "its step does not follow the step before");
        return 0;
    }
    f->steps += !full;
    s->checksum = f->checksum;
    return 1;
}

int feed_prefetch(struct feed *f, const struct feed_room *r, unsigned depth, void *memory,
                  struct err *e)
{
    f->parts = r->parts;
    if (!memory && !(memory = f->memory = mem_alloc(feed_room_bytes(r, depth), 1, e))) return -1;
    if (!f->reader) { /* rank 0 reads */
        f->received = prefetch_step(r, memory);
        return 0;
    }
    f->prefetch = prefetch_new(r, depth, memory, read_step, f, e);
    return f->prefetch ? 0 : -1;
}

int feed_next(struct feed *f, struct feed_step *s, struct err *e)
{
    if (f->received.fixed) *s = f->received;
    int rc = !f->reader ? 0 : f->prefetch ? prefetch_next(f->prefetch, s, e) : read_step(f, s, e);
    if (rc == 1) f->given = s->checksum;
    if (rc < 0 && f->unknown.found) name_unknown(f, e);
    return f->mesh ? broadcast_step(f->mesh, rc, s, &f->given, e) : rc;
}

int feed_seek(struct feed *f, uint64_t step, uint64_t checksum, struct err *e)
{
    struct feed_step s = {0};
    int rc = 1;
    for (uint64_t k = 0; k < step && rc == 1; k++) rc = feed_next(f, &s, e);
    feed_step_free(&s);
    if (rc < 0) return -1;
    if (rc == 0 || feed_checksum(f) != checksum)
        return err_set(
            e, ERR_CONFIG,
            "%s: its first %llu steps are not those that the checkpoint was trained on: the data, "
            "their order or the chat template is another; resume with the same stream, or begin "
            "another run with output_dir=OTHER",
            feed_name(f), (unsigned long long)step);
    return 0;
}
