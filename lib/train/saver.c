/* SPDX-License-Identifier: Apache-2.0 */
/* Two threads and a ring of staging memory between them: one reads tensors, the other writes. */
#include "train/saver.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"

enum { LINE = 64, CHUNKS = 4096, FILES = 2 }; /* LINE: bytes of the ring, elements of the gate */

/* A piece that waits in the ring to be written. */
struct chunk {
    const char *p;
    size_t bytes;
    int file;
    uint64_t end; /* what the ring's tail becomes when it is written */
};
struct saver {
    struct saver_options o;
    struct hf_tensor *lists[FILES]; /* for the writers of the files */
    size_t count[FILES];
    uint64_t bytes; /* of all tensors */
    pthread_t reader, writer;
    bool has_reader, has_writer;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t change;
    struct saver_job job;
    double began, stalled;
    bool busy;    /* from saver_save until the writer is through */
    bool reading; /* until the last piece is in the ring */
    bool failed, quit, news;
    size_t passed;
    uint64_t head, tail; /* of the ring, counted from the save's begin */
    uint64_t put, taken; /* chunks */
    struct chunk chunks[CHUNKS];
    struct err why;
    struct saver_report report;
};

static size_t tensor_bytes(const struct saver_tensor *t) { return t->n * hf_dtype_size(t->dtype); }
static size_t lines(size_t n) { return (n + LINE - 1) / LINE * LINE; }

/* Pieces begin on cache lines, so that their elements are aligned. */
static size_t piece_bytes(const struct saver_tensor *t)
{
    size_t n = t->n < SAVER_PIECE ? t->n : SAVER_PIECE;
    return lines(n * hf_dtype_size(t->dtype));
}

size_t saver_staging(const struct saver_content *c, size_t limit)
{
    size_t all = 0, largest = 0;
    for (size_t i = 0; i < c->ntensors; i++) {
        const size_t piece = piece_bytes(&c->tensors[i]);
        if (mem_add(all, lines(tensor_bytes(&c->tensors[i])), &all)) all = SIZE_MAX / 2;
        if (piece > largest) largest = piece;
    }
    limit = limit / LINE * LINE;
    if (limit < largest) limit = largest;
    return all < limit ? all : limit;
}

static void fail(struct saver *s, const struct err *e)
{
    pthread_mutex_lock(&s->lock);
    if (!s->failed) {
        s->why = *e;
        err_prefix(&s->why, "checkpoint-%llu", (unsigned long long)s->job.step);
    }
    s->failed = true;
    pthread_cond_broadcast(&s->change);
    pthread_mutex_unlock(&s->lock);
}

/* ---- reading ---- */
/* Room for `bytes` in one piece; NULL when the save has failed. */
static char *reserve(struct saver *s, size_t bytes)
{
    const uint64_t size = s->o.staging_bytes, room = lines(bytes);
    char *to = NULL;
    pthread_mutex_lock(&s->lock);
    uint64_t begin = s->head;
    if (begin % size + room > size) begin += size - begin % size; /* it must not wrap */
    while (!s->failed) {
        if (s->tail == s->head) s->tail = begin; /* nothing is in the ring */
        if (begin + room - s->tail <= size && s->put - s->taken < CHUNKS) break;
        pthread_cond_wait(&s->change, &s->lock);
    }
    if (!s->failed) {
        to = (char *)s->o.staging + begin % size;
        s->head = begin + room;
    }
    pthread_mutex_unlock(&s->lock);
    return to;
}

static void publish(struct saver *s, const struct saver_tensor *t, const char *p, size_t bytes)
{
    pthread_mutex_lock(&s->lock);
    s->chunks[s->put++ % CHUNKS] = (struct chunk){p, bytes, t->file, s->head};
    pthread_cond_broadcast(&s->change);
    pthread_mutex_unlock(&s->lock);
}

static int read_tensor(struct saver *s, const struct saver_tensor *t, struct err *e)
{
    for (size_t at = 0; at < t->n; at += SAVER_PIECE) {
        const size_t n = t->n - at < SAVER_PIECE ? t->n - at : SAVER_PIECE;
        const size_t bytes = n * hf_dtype_size(t->dtype);
        char *to = reserve(s, bytes);
        if (!to) return 1;
        if (t->read(t->arg, t->at + at, n, t->dtype, to, e)) return -1;
        publish(s, t, to, bytes);
    }
    return 0;
}

static void read_all(struct saver *s)
{
    struct err e;
    int rc = 0;
    for (size_t i = 0; i < s->o.content.ntensors && rc == 0; i++) {
        const struct saver_tensor *t = &s->o.content.tensors[i];
        rc = read_tensor(s, t, &e);
        if (rc < 0) fail(s, &e);
        pthread_mutex_lock(&s->lock);
        if (t->passed > s->passed) s->passed = t->passed;
        pthread_cond_broadcast(&s->change);
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_lock(&s->lock);
    s->reading = false;
    pthread_cond_broadcast(&s->change);
    pthread_mutex_unlock(&s->lock);
}

static void *reader_main(void *arg)
{
    struct saver *s = arg;
    pthread_mutex_lock(&s->lock);
    while (!s->quit) {
        if (s->reading) {
            pthread_mutex_unlock(&s->lock);
            read_all(s);
            pthread_mutex_lock(&s->lock);
        } else {
            pthread_cond_wait(&s->change, &s->lock);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- writing ---- */
/* 1 and the oldest piece; 0 after the last one; -1 when reading has failed. */
static int take(struct saver *s, struct chunk *c, struct err *e)
{
    int rc;
    pthread_mutex_lock(&s->lock);
    while (s->reading && s->put == s->taken && !s->failed) pthread_cond_wait(&s->change, &s->lock);
    if (s->failed) {
        *e = s->why;
        rc = -1;
    } else {
        rc = s->put != s->taken;
        *c = s->chunks[s->taken % CHUNKS];
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static void give_back(struct saver *s, const struct chunk *c)
{
    pthread_mutex_lock(&s->lock);
    s->taken++;
    s->tail = c->end;
    pthread_cond_broadcast(&s->change);
    pthread_mutex_unlock(&s->lock);
}

/* The files of one save. */
struct files {
    struct ckpt *k;
    struct note {
        struct ckpt *k;
        bool state;
    } note[FILES];
    struct safetensors_writer *w[FILES];
};

static int note_file(void *arg, const char *file, uint64_t size, const char *xxh128, struct err *e)
{
    const struct note *n = arg;
    char path[200];
    snprintf(path, sizeof path, "%s%s", n->state ? "state/" : "", file);
    return ckpt_note(n->k, path, size, xxh128, e);
}

static int begin(struct saver *s, struct files *f, struct err *e)
{
    const struct saver_job *j = &s->job;
    if (!(f->k = ckpt_begin(j->root, j->step, e)) || j->files(j->arg, f->k, e)) return -1;
    for (int i = 0; i < s->o.content.nfiles; i++) {
        const struct saver_file *x = &s->o.content.files[i];
        f->note[i] = (struct note){f->k, x->state};
        f->w[i] = safetensors_create(x->state ? ckpt_state_dir(f->k) : ckpt_dir(f->k), x->stem,
                                     s->lists[i], s->count[i], SAFETENSORS_SHARD, e);
        if (!f->w[i]) return -1;
        safetensors_watch(f->w[i], note_file, &f->note[i]);
    }
    return 0;
}

static int stream(struct saver *s, struct files *f, struct err *e)
{
    struct chunk c;
    int rc;
    while ((rc = take(s, &c, e)) == 1) {
        if (safetensors_write(f->w[c.file], c.p, c.bytes, e)) return -1;
        give_back(s, &c);
    }
    return rc;
}

static int finish(struct saver *s, struct files *f, char **path, struct err *e)
{
    for (int i = 0; i < s->o.content.nfiles; i++) {
        struct safetensors_writer *w = f->w[i];
        f->w[i] = NULL;
        if (safetensors_commit(w, e)) return -1;
    }
    struct ckpt *k = f->k;
    f->k = NULL;
    return ckpt_commit(k, path, e) || ckpt_prune(s->job.root, s->job.keep, e) ? -1 : 0;
}

static int write_all(struct saver *s, char **path, struct err *e)
{
    struct files f = {0};
    int rc = begin(s, &f, e) || stream(s, &f, e) || finish(s, &f, path, e) ? -1 : 0;
    for (int i = 0; i < FILES; i++) safetensors_abort(f.w[i]);
    ckpt_abort(f.k);
    return rc;
}

static void *writer_main(void *arg)
{
    struct saver *s = arg;
    struct err e;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->busy && !s->quit) pthread_cond_wait(&s->change, &s->lock);
        if (!s->busy) break;
        pthread_mutex_unlock(&s->lock);
        char *path = NULL;
        if (write_all(s, &path, &e)) fail(s, &e);
        pthread_mutex_lock(&s->lock);
        while (s->reading) pthread_cond_wait(&s->change, &s->lock);
        s->busy = false;
        s->news = !s->failed;
        mem_free(s->report.path);
        s->report = (struct saver_report){s->job.step, s->bytes, log_clock() - s->began, path};
        pthread_cond_broadcast(&s->change);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- the owner's side ---- */
/* With the lock held: what poll and wait return. */
static int outcome(struct saver *s, struct saver_report *r, struct err *e)
{
    if (s->failed) {
        if (e) *e = s->why;
        return -1;
    }
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

static void wait_idle(struct saver *s)
{
    while (s->busy) pthread_cond_wait(&s->change, &s->lock);
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

/* With the lock held: the end of a call that began at `start`. */
static int stalled(struct saver *s, double start, struct err *e)
{
    int rc = s->failed ? -1 : 0;
    if (rc && e) *e = s->why;
    s->stalled += log_clock() - start;
    return rc;
}

int saver_settle(struct saver *s, struct err *e)
{
    const double start = log_clock();
    pthread_mutex_lock(&s->lock);
    wait_idle(s);
    int rc = stalled(s, start, e);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int saver_save(struct saver *s, const struct saver_job *job, struct err *e)
{
    const double start = log_clock();
    pthread_mutex_lock(&s->lock);
    s->job = *job;
    s->began = start;
    s->head = s->tail = s->put = s->taken = 0;
    s->passed = 0;
    s->busy = s->reading = true;
    pthread_cond_broadcast(&s->change);
    if (!s->has_reader) {
        pthread_mutex_unlock(&s->lock);
        read_all(s);
        pthread_mutex_lock(&s->lock);
    }
    if (!s->o.async) wait_idle(s);
    int rc = stalled(s, start, e);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

size_t saver_gate(void *arg, size_t at)
{
    struct saver *s = arg;
    const double start = log_clock();
    pthread_mutex_lock(&s->lock);
    while (s->reading && s->passed / LINE * LINE <= at) pthread_cond_wait(&s->change, &s->lock);
    const size_t to = s->reading ? s->passed / LINE * LINE : SIZE_MAX;
    s->stalled += log_clock() - start;
    pthread_mutex_unlock(&s->lock);
    return to;
}

double saver_stalled(struct saver *s)
{
    pthread_mutex_lock(&s->lock);
    double seconds = s->stalled;
    s->stalled = 0;
    pthread_mutex_unlock(&s->lock);
    return seconds;
}

/* ---- opening and closing ---- */
static int list_files(struct saver *s, struct err *e)
{
    const struct saver_content *c = &s->o.content;
    for (int f = 0; f < c->nfiles; f++) {
        s->lists[f] = mem_alloc(c->ntensors, sizeof **s->lists, e);
        if (!s->lists[f]) return -1;
    }
    for (size_t i = 0; i < c->ntensors; i++) {
        const struct saver_tensor *t = &c->tensors[i];
        s->lists[t->file][s->count[t->file]++] = (struct hf_tensor){
            .name = t->name, .dtype = t->dtype, .ndim = t->rank, .dim = {t->shape[0], t->shape[1]}};
        s->bytes += tensor_bytes(t);
    }
    return 0;
}

/* Signals are for the thread that trains. */
static int start(struct saver *s, struct err *e)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    const bool want_reader = s->o.async && s->o.read_beside;
    s->has_writer = pthread_create(&s->writer, NULL, writer_main, s) == 0;
    if (want_reader) s->has_reader = pthread_create(&s->reader, NULL, reader_main, s) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (s->has_writer && s->has_reader == want_reader) return 0;
    return err_set(e, ERR_MEMORY, "cannot start a thread to write checkpoints");
}

struct saver *saver_open(const struct saver_options *o, struct err *e)
{
    struct saver *s = mem_alloc(1, sizeof *s, e);
    if (!s) return NULL;
    s->o = *o;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->change, NULL);
    if (list_files(s, e) == 0 && start(s, e) == 0) return s;
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
    for (int f = 0; f < FILES; f++) mem_free(s->lists[f]);
    mem_free(s->report.path);
    mem_free(s);
}
