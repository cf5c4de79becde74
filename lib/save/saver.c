/* SPDX-License-Identifier: Apache-2.0 */
/* The owner's side: begins saves, waits for them, and hears what came of them. */
#include "save/saver.h"

#include <signal.h>

#include "base/log.h"
#include "base/mem.h"
#include "save/saver_impl.h"

void saver_fail(struct saver *s, const struct err *e)
{
    pthread_mutex_lock(&s->lock);
    if (!s->failed) {
        s->why = *e;
        err_prefix(&s->why, "checkpoint-%llu", (unsigned long long)s->job.step);
    }
    s->failed = true;
    pthread_mutex_unlock(&s->lock);
}

/* With the lock held. */
static int failed(const struct saver *s, struct err *why)
{
    if (s->failed && why) *why = s->why;
    return s->failed ? -1 : 0;
}

bool saver_failed(struct saver *s, struct err *why)
{
    pthread_mutex_lock(&s->lock);
    const int rc = failed(s, why);
    pthread_mutex_unlock(&s->lock);
    return rc != 0;
}

/* With the lock held: what poll and wait return. */
static int outcome(struct saver *s, struct saver_report *r, struct err *e)
{
    if (failed(s, e)) return -1;
    if (!s->news) return 0;
    s->news = false;
    *r = s->report;
    s->report.path = NULL;
    return 1;
}

int saver_poll(struct saver *s, struct saver_report *r, struct err *e)
{
    pthread_mutex_lock(&s->lock);
    int rc = outcome(s, r, e);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* With the lock held. */
static void wait_idle(struct saver *s)
{
    while (s->reading || s->writing) pthread_cond_wait(&s->change, &s->lock);
}

int saver_wait(struct saver *s, struct saver_report *r, struct err *e)
{
    const double start = log_clock();
    pthread_mutex_lock(&s->lock);
    wait_idle(s);
    s->stalled += log_clock() - start;
    int rc = outcome(s, r, e);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int saver_settle(struct saver *s, struct err *e)
{
    const double start = log_clock();
    pthread_mutex_lock(&s->lock);
    wait_idle(s);
    s->stalled += log_clock() - start;
    int rc = failed(s, e);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int saver_save(struct saver *s, const struct saver_job *job, struct err *e)
{
    const double start = log_clock();
    if (s->ring) ring_begin(s->ring);
    pthread_mutex_lock(&s->lock);
    s->job = *job;
    s->began = start;
    s->passed = 0;
    s->reading = true;
    s->writing = s->has_writer;
    pthread_cond_broadcast(&s->change);
    if (!s->has_reader) {
        pthread_mutex_unlock(&s->lock);
        saver_pass(s);
        pthread_mutex_lock(&s->lock);
    }
    if (!s->o.async) wait_idle(s);
    s->stalled += log_clock() - start;
    int rc = failed(s, e);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

double saver_stalled(struct saver *s)
{
    pthread_mutex_lock(&s->lock);
    double seconds = s->stalled;
    s->stalled = 0;
    pthread_mutex_unlock(&s->lock);
    return seconds;
}

/* Signals are for the thread that trains. */
static int start(struct saver *s, struct err *e)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    const bool want_reader = s->o.async && s->o.read_beside;
    if (s->ring) s->has_writer = pthread_create(&s->writer, NULL, saver_writer, s) == 0;
    if (want_reader) s->has_reader = pthread_create(&s->reader, NULL, saver_reader, s) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (s->has_writer == (s->ring != NULL) && s->has_reader == want_reader) return 0;
    return err_set(e, ERR_MEMORY, "cannot start a thread to write checkpoints");
}

struct saver *saver_open(const struct saver_options *o, struct err *e)
{
    struct saver *s = mem_alloc(1, sizeof *s, e);
    if (!s) return NULL;
    s->o = *o;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->change, NULL);
    if (!o->gives) s->ring = ring_open(o->staging, o->staging_bytes, e);
    if ((o->gives || (s->ring && saver_list_files(s, e) == 0)) && start(s, e) == 0) return s;
    saver_close(s);
    return NULL;
}

void saver_close(struct saver *s)
{
    if (!s) return;
    pthread_mutex_lock(&s->lock);
    wait_idle(s);
    s->quit = true;
    pthread_cond_broadcast(&s->change);
    pthread_mutex_unlock(&s->lock);
    if (s->has_writer) pthread_join(s->writer, NULL);
    if (s->has_reader) pthread_join(s->reader, NULL);
    pthread_cond_destroy(&s->change);
    pthread_mutex_destroy(&s->lock);
    ring_close(s->ring);
    for (int f = 0; f < SAVER_FILES; f++) mem_free(s->lists[f]);
    mem_free(s->report.path);
    mem_free(s);
}
