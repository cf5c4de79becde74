/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's side of a saver: begins saves, waits for them, and takes their results. */
#include "save/saver.h"

#include "base/io.h"
#include "base/log.h"
#include "base/thread.h"
#include "save/run_json_impl.h"
#include "save/saver_impl.h"

/* The result of saver_poll and saver_wait; with the lock held. */
static int outcome(struct saver *s, struct saver_report *r, struct err *e)
{
    if (saver_result(s, e)) return -1;
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

/* Waits until no save is under way; -1 when one failed. */
static int settle(struct saver *s, struct err *e)
{
    const double start = log_clock();
    pthread_mutex_lock(&s->lock);
    wait_idle(s);
    s->stalled += log_clock() - start;
    int rc = saver_result(s, e);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* Starts the threads; without a reader, reads here. */
static int begin(struct saver *s, const struct saver_point *p, struct err *e)
{
    const double start = log_clock();
    if (s->ring) ring_begin(s->ring);
    pthread_mutex_lock(&s->lock);
    s->step = p->step;
    s->best = p->best_step;
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
    int rc = saver_result(s, e);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* The folder is not made anew: it would be empty, not locked, and perhaps on another disk. */
static int check_root(const struct saver *s, uint64_t step, struct err *e)
{
    const int there = io_is_dir(s->o.root, e);
    if (there) return there < 0 ? -1 : 0;
    return err_set(e, ERR_IO,
                   "%s: the folder is gone: it was removed, or its file system is no longer there; "
                   "checkpoint-%llu is not saved",
                   s->o.root, (unsigned long long)step);
}

/* Everything that may fail before a rank waits for another. */
static int prepare(struct saver *s, const struct saver_point *p, struct err *e)
{
    if (settle(s, e)) return -1;
    if (!s->ring) return 0;
    return run_json_write(p, &s->run, e) || check_root(s, p->step, e) ? -1 : 0;
}

int saver_save(struct saver *s, const struct saver_point *p, struct err *e)
{
    if (mesh_agree(s->o.mesh, prepare(s, p, e), e)) return -1;
    return mesh_agree(s->o.mesh, begin(s, p, e), e);
}

double saver_stalled(struct saver *s)
{
    pthread_mutex_lock(&s->lock);
    double seconds = s->stalled;
    s->stalled = 0;
    pthread_mutex_unlock(&s->lock);
    return seconds;
}

static int start(struct saver *s, struct err *e)
{
    const bool want_reader = s->o.async && s->o.read_beside;
    if (s->ring) s->has_writer = thread_start(&s->writer, saver_writer, s);
    if (want_reader) s->has_reader = thread_start(&s->reader, saver_reader, s);
    if (s->has_writer == (s->ring != NULL) && s->has_reader == want_reader) return 0;
    return err_set(e, ERR_MEMORY, "cannot start a thread to write checkpoints");
}

static int open_ring(struct saver *s, struct err *e)
{
    if (!mesh_writes(s->o.mesh)) return 0;
    s->ring = ring_open(s->o.staging, s->o.staging_bytes, e);
    return s->ring ? saver_list_files(s, e) : -1;
}

struct saver *saver_open(const struct saver_options *o, struct err *e)
{
    struct saver *s = mem_alloc(1, sizeof *s, e);
    if (!s) return NULL;
    s->o = *o;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->change, NULL);
    if (open_ring(s, e) == 0 && start(s, e) == 0) return s;
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
    buf_free(&s->run);
    mem_free(s->report.path);
    mem_free(s);
}
