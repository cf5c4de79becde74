/* SPDX-License-Identifier: Apache-2.0 */
/* The writer: takes pieces out of the ring and makes a checkpoint of them. After a failure it drops
 * all that follow, so that the reader never waits for it. */
#include <stdio.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/trace.h"
#include "save/saver_impl.h"

enum { KEPT_FILE = 0 }; /* the model's */

/* The files of one save. */
struct files {
    struct ckpt *k;
    struct note {
        struct ckpt *k;
        bool state;
    } note[SAVER_FILES];
    struct safetensors_writer *w[SAVER_FILES];
};

int saver_list_files(struct saver *s, struct err *e)
{
    const struct saver_list *l = &s->o.list;
    const struct kept *k = s->o.kept;
    for (int f = 0; f < l->nfiles; f++) {
        const size_t more = k && f == KEPT_FILE ? k->count : 0;
        s->lists[f] = mem_alloc(l->ntensors + more, sizeof **s->lists, e);
        if (!s->lists[f]) return -1;
    }
    for (size_t i = 0; i < l->ntensors; i++) {
        const struct saver_tensor *t = &l->tensors[i];
        s->lists[t->file][s->count[t->file]++] =
            (struct hf_tensor){.name = t->name,
                               .dtype = t->dtype,
                               .ndim = t->rank,
                               .dim = {t->shape[0], t->shape[1], t->shape[2]}};
        s->bytes += t->n * dtype_size(t->dtype);
    }
    for (size_t i = 0; k && i < k->count; i++)
        s->lists[KEPT_FILE][s->count[KEPT_FILE]++] = k->list[i];
    if (k) s->bytes += k->bytes;
    return 0;
}

static int note_file(void *arg, const char *file, uint64_t size, const char *xxh128, struct err *e)
{
    const struct note *n = arg;
    char path[200];
    snprintf(path, sizeof path, "%s%s", n->state ? "state/" : "", file);
    return ckpt_note(n->k, path, size, xxh128, e);
}

static int begin(struct saver *s, struct files *f, struct err *e)
{
    f->k = ckpt_begin(s->o.root, s->step, e);
    if (!f->k || saver_put_files(s, f->k, e)) return -1;
    for (int i = 0; i < s->o.list.nfiles; i++) {
        const struct saver_file *x = &s->o.list.files[i];
        f->note[i] = (struct note){f->k, x->state};
        f->w[i] = safetensors_create(x->state ? ckpt_state_dir(f->k) : ckpt_dir(f->k), x->stem,
                                     s->lists[i], s->count[i], SAFETENSORS_SHARD, e);
        if (!f->w[i]) return -1;
        safetensors_watch(f->w[i], note_file, &f->note[i]);
    }
    return 0;
}

/* Takes all pieces, and writes them until something fails: rc is the result of begin, and the
 * reader's failure is known at the end. */
static int stream(struct saver *s, struct files *f, int rc, struct err *e)
{
    struct ring_piece p;
    while (ring_take(s->ring, &p)) {
        if (rc == 0) rc = safetensors_write(f->w[p.tag], p.p, p.bytes, e);
        ring_give_back(s->ring);
    }
    return rc || saver_failed(s, e) ? -1 : 0;
}

/* Writes the tensors that are kept as the model's files have them. They are the last of their file,
 * and so no piece in the ring comes after them. */
static int put_kept(const struct saver *s, struct files *f, struct err *e)
{
    const struct kept *k = s->o.kept;
    for (size_t i = 0; k && i < k->count; i++) {
        const struct hf_tensor *t = &k->list[i];
        if (safetensors_write(f->w[KEPT_FILE], t->data, (size_t)t->bytes, e)) return -1;
        safetensors_forget(k->files, t, 0, t->bytes);
    }
    return k ? io_intact(e) : 0;
}

static int finish(struct saver *s, struct files *f, char **path, struct err *e)
{
    for (int i = 0; i < s->o.list.nfiles; i++) {
        struct safetensors_writer *w = f->w[i];
        f->w[i] = NULL;
        if (safetensors_commit(w, e)) return -1;
    }
    struct ckpt *k = f->k;
    f->k = NULL;
    return ckpt_commit(k, path, e) || ckpt_prune(s->o.root, s->o.keep, s->best, e) ? -1 : 0;
}

static int write_all(struct saver *s, char **path, struct err *e)
{
    struct files f = {0};
    int rc = stream(s, &f, begin(s, &f, e), e);
    if (rc == 0) rc = put_kept(s, &f, e);
    if (rc == 0) rc = finish(s, &f, path, e);
    for (int i = 0; i < SAVER_FILES; i++) safetensors_abort(f.w[i]);
    ckpt_abort(f.k);
    return rc;
}

/* Ends the save; with the lock held. */
static void report(struct saver *s, char *path)
{
    mem_free(s->report.path);
    s->report = (struct saver_report){s->step, s->bytes, log_clock() - s->began, path};
    s->news = !s->failed;
    s->writing = false;
    pthread_cond_broadcast(&s->change);
}

void *saver_writer(void *arg)
{
    struct saver *s = arg;
    struct err e;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->writing && !s->quit) pthread_cond_wait(&s->change, &s->lock);
        if (!s->writing) break;
        pthread_mutex_unlock(&s->lock);
        char *path = NULL;
        const double began = trace_begin();
        if (write_all(s, &path, &e)) saver_fail(s, &e);
        trace_end(began, "run", "save", NULL, (int64_t)s->step);
        pthread_mutex_lock(&s->lock);
        report(s, path);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}
