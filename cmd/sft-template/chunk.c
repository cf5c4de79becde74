/* SPDX-License-Identifier: Apache-2.0 */
/* Renders chunks of conversations in the pool and writes their samples. */
#include <inttypes.h>

#include "job.h"
#include "rows/turns.h"

static int make_sample(struct job *j, struct chunk *c, int i, struct worker *w, struct err *e)
{
    const struct stream_record *t = &c->turns[i];
    struct chat_conversation conv;
    struct stream_sample *out = &c->samples[i];
    if (turns_chat(t, &c->arena, &conv, e)) return -1;
    if (chat_sample(j->chat, w->scratch, &conv, &w->sample, e)) return -1;
    size_t n = w->sample.tokens.n;
    if (n == 0) return err_set(e, ERR_DATA, "the template renders it to nothing");
    out->source = t->source;
    out->n = (uint32_t)n;
    out->nruns = (uint32_t)w->sample.nruns;
    out->ids = arena_copy(&c->arena, w->sample.tokens.ids, n * sizeof *out->ids, e);
    out->runs = arena_copy(&c->arena, w->sample.runs, out->nruns * sizeof *out->runs, e);
    if (!out->ids || !out->runs) return -1;
    c->facts[i] = w->sample.facts;
    return 0;
}

static int work(void *arg, void *job, int worker, struct err *e)
{
    struct job *j = arg;
    struct chunk *c = job;
    for (int i = 0; i < c->n; i++) {
        if (make_sample(j, c, i, &j->workers[worker], e) == 0) continue;
        err_prefix(e, "file %" PRIu32 " row %" PRIu64, c->turns[i].source.file,
                   c->turns[i].source.row);
        if (!bad_rows_skips(&j->bad, e)) return -1;
        c->bad[i] = arena_copy(&c->arena, e, sizeof *e, e);
        if (!c->bad[i]) return -1;
        *e = (struct err){0};
    }
    return 0;
}

void chunk_free(struct chunk *c)
{
    if (c) arena_free(&c->arena);
    mem_free(c);
}

static void drop(void *arg, void *job)
{
    (void)arg;
    chunk_free(job);
}

static int skip(struct job *j, struct stream_source at, const struct err *why)
{
    bool shown = bad_rows_add(&j->bad, at, why);
    log_line(shown ? LOG_WARN : LOG_DEBUG, "skipped: %s", why->msg);
    return 0;
}

static int put(struct job *j, const struct chunk *c, int i, struct err *e)
{
    struct stream_sample sample = c->samples[i];
    const struct stream_record rec = {.kind = STREAM_SAMPLES, .samples = &sample, .nsamples = 1};
    faults_count(&j->faults, &c->facts[i], sample.source);
    return stream_put(j->out, &rec, e);
}

static int done(void *arg, void *job, struct err *e)
{
    struct job *j = arg;
    struct chunk *c = job;
    int rc = 0;
    for (int i = 0; rc == 0 && i < c->n; i++)
        rc = c->bad[i] ? skip(j, c->turns[i].source, c->bad[i]) : put(j, c, i, e);
    chunk_free(c);
    return rc;
}

struct pool *chunk_pool(struct job *j, struct err *e)
{
    const struct pool_ops ops = {.work = work, .done = done, .drop = drop, .arg = j};
    return pool_new(j->threads, 2 * j->threads + 1, &ops, e);
}
