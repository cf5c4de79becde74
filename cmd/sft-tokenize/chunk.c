/* SPDX-License-Identifier: Apache-2.0 */
/* Tokenizes chunks of conversations in the pool and writes them. */
#include <inttypes.h>

#include "job.h"

static int encode(struct job *j, struct arena *a, struct stream_text *x, int worker, struct err *e)
{
    struct token_list *l = &j->tokens[worker];
    if (tokenizer_encode(j->tokenizer, j->scratch[worker], x->text, l, e)) return -1;
    x->ids = arena_copy(a, l->n ? (const void *)l->ids : "", l->n * sizeof *l->ids, e);
    x->nids = (uint32_t)l->n;
    return x->ids ? 0 : -1;
}

static int work(void *arg, void *job, int worker, struct err *e)
{
    struct chunk *c = job;
    for (int i = 0; i < c->n; i++)
        for (uint32_t m = 0; m < c->recs[i].nmessages; m++) {
            struct stream_text *x = &c->recs[i].messages[m].content;
            if (x->text.p && encode(arg, &c->arena, x, worker, e))
                return err_prefix(e, "file %" PRIu32 ": row %" PRIu64, c->recs[i].source.file,
                                  c->recs[i].source.row);
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

static int done(void *arg, void *job, struct err *e)
{
    struct job *j = arg;
    struct chunk *c = job;
    int rc = 0;
    for (int i = 0; rc == 0 && i < c->n; i++) {
        rc = stream_put(j->out, &c->recs[i], e);
        for (uint32_t m = 0; m < c->recs[i].nmessages; m++)
            j->count += c->recs[i].messages[m].content.nids;
    }
    chunk_free(c);
    return rc;
}

struct pool *chunk_pool(struct job *j, struct err *e)
{
    const struct pool_ops ops = {.work = work, .done = done, .drop = drop, .arg = j};
    return pool_new(j->threads, 2 * j->threads + 1, &ops, e);
}
