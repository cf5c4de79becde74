/* SPDX-License-Identifier: Apache-2.0 */
/* The reader: one pass over the tensors, piece by piece into the ring; and the gate, which holds
 * back updates of elements that are not read yet. A pass goes on to its end after a failure, since
 * other ranks make the same pass. */
#include "base/log.h"
#include "save/saver_impl.h"

enum { GATE = 64 }; /* updates begin at a multiple of so many elements */

static size_t piece(const struct saver_tensor *t, size_t at)
{
    return t->n - at < SAVER_PIECE ? t->n - at : SAVER_PIECE;
}

/* Reads on after a failure; e gets the first one. */
static int read_tensor(struct saver *s, const struct saver_tensor *t, struct err *e)
{
    int rc = 0;
    for (size_t at = 0; at < t->n; at += SAVER_PIECE) {
        const size_t n = piece(t, at);
        void *to = s->o.staging;
        if (s->ring) to = ring_reserve(s->ring, n * saver_room(t));
        if (t->read(t->arg, t->at + at, n, t->dtype, to, rc ? NULL : e)) rc = -1;
        if (s->ring) ring_publish(s->ring, n * dtype_size(t->dtype), t->file);
    }
    return rc;
}

static void passed(struct saver *s, size_t to)
{
    pthread_mutex_lock(&s->lock);
    if (to > s->passed) s->passed = to;
    pthread_cond_broadcast(&s->change);
    pthread_mutex_unlock(&s->lock);
}

void saver_pass(struct saver *s)
{
    const struct saver_list *l = &s->o.list;
    struct err e = {0};
    int rc = 0;
    for (size_t i = 0; i < l->ntensors; i++) {
        if (read_tensor(s, &l->tensors[i], rc ? NULL : &e)) rc = -1;
        if (l->tensors[i].passed) passed(s, l->tensors[i].passed);
    }
    if (l->finish) rc = l->finish(l->arg, rc, &e);
    if (rc) saver_fail(s, &e);
    if (s->ring) ring_end(s->ring);
    pthread_mutex_lock(&s->lock);
    s->reading = false;
    pthread_cond_broadcast(&s->change);
    pthread_mutex_unlock(&s->lock);
}

void *saver_reader(void *arg)
{
    struct saver *s = arg;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->reading && !s->quit) pthread_cond_wait(&s->change, &s->lock);
        if (!s->reading) break;
        pthread_mutex_unlock(&s->lock);
        saver_pass(s);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

size_t saver_gate(void *arg, size_t at)
{
    struct saver *s = arg;
    const double start = log_clock();
    pthread_mutex_lock(&s->lock);
    while (s->reading && s->passed / GATE * GATE <= at) pthread_cond_wait(&s->change, &s->lock);
    const size_t to = s->reading ? s->passed / GATE * GATE : SIZE_MAX;
    s->stalled += log_clock() - start;
    pthread_mutex_unlock(&s->lock);
    return to;
}
