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
    for (int i = 0; i < c->n; i++)
        if (make_sample(j, c, i, &j->workers[worker], e))
            return err_prefix(e, "file %" PRIu32 " row %" PRIu64, c->turns[i].source.file,
                              c->turns[i].source.row);
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

static int done(void *arg, void *job, struct err *e)
{
    struct job *j = arg;
    struct chunk *c = job;
    int rc = 0;
    for (int i = 0; rc == 0 && i < c->n; i++) {
        const struct stream_record rec = {
            .kind = STREAM_SAMPLES, .samples = &c->samples[i], .nsamples = 1};
        faults_count(&j->faults, &c->facts[i], c->samples[i].source);
        rc = stream_put(j->out, &rec, e);
    }
    chunk_free(c);
    return rc;
}

struct pool *chunk_pool(struct job *j, struct err *e)
{
    const struct pool_ops ops = {.work = work, .done = done, .drop = drop, .arg = j};
    return pool_new(j->threads, 2 * j->threads + 1, &ops, e);
}
