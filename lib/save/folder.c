/* SPDX-License-Identifier: Apache-2.0 */
/* Makes and locks the folders of a run. */
#include "save/folder.h"

#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "save/ckpt_impl.h"
#include "save/record_impl.h"

/* Returns a/b/c, or a/b without c; mem_free(). */
static char *join(const char *a, const char *b, const char *c, struct err *e)
{
    char *ab = io_path(a, b, e), *abc = ab && c ? io_path(ab, c, e) : NULL;
    if (!c) return ab;
    mem_free(ab);
    return abc;
}

static int make_names(struct run_folder *f, const struct run_names *n, struct err *e)
{
    f->output = mem_strndup(n->output_dir, strlen(n->output_dir), e);
    f->root = join(n->output_dir, "sft_train", NULL, e);
    f->logs = join(n->logging_dir, n->exp_name, NULL, e);
    if (!f->output || !f->root || !f->logs) return -1;
    f->metrics = join(f->logs, "metrics.jsonl", NULL, e);
    f->samples = join(f->logs, "samples.jsonl", NULL, e);
    f->log = join(f->logs, "log", NULL, e);
    if (!f->metrics || !f->samples || !f->log) return -1;
    if (!n->tensorboard) return 0;
    f->tensorboard = n->events ? join(n->events, n->exp_name, NULL, e)
                               : join(n->logging_dir, "tensorboard", n->exp_name, e);
    return f->tensorboard ? 0 : -1;
}

/* Refuses checkpoints of an earlier run: they must not be mixed with this run's. */
static int check_empty(const struct run_folder *f, const struct run_names *n, struct err *e)
{
    struct ckpt_list l = {0};
    int rc = ckpt_list_read(f->root, &l, e);
    if (rc == 0 && l.count > 0)
        rc = err_set(e, ERR_CREATE,
                     "%s: exists already; add resume_from_checkpoint=auto (--resume auto) to "
                     "continue that run, or output_dir=OTHER logging_dir=OTHER/logs to begin "
                     "another beside it (now %s)",
                     l.items[l.count - 1].path, n->output_dir);
    ckpt_list_free(&l);
    return rc;
}

/* Copies path without the slashes that completion puts after a folder's name; mem_free(). */
static char *bare(const char *path, struct err *e)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    return mem_strndup(path, n, e);
}

static int find_named(struct run_folder *f, const char *path, struct err *e)
{
    struct ckpt_list l = {0};
    if (!(f->resume = bare(path, e))) return -1;
    const char *name = strrchr(f->resume, '/');
    const int there = io_is_dir(f->resume, e);
    if (there < 0) return -1;
    if (there == 0) return err_set(e, ERR_NOINPUT, "%s: no such checkpoint", path);
    if (ckpt_step_of(name ? name + 1 : f->resume, &f->step))
        return err_set(e, ERR_CONFIG,
                       "%s: not a checkpoint-N folder (resume_from_checkpoint, --resume)", path);
    int rc = ckpt_list_read(f->root, &l, e);
    if (rc == 0 && l.count > 0 && l.items[l.count - 1].step > f->step)
        rc = err_set(e, ERR_CREATE,
                     "%s: exists already and is newer than the checkpoint to resume from; add "
                     "output_dir=OTHER, or resume from auto",
                     l.items[l.count - 1].path);
    ckpt_list_free(&l);
    return rc;
}

static int set_aside(struct run_folder *f, const char *path, uint64_t step, struct err *e)
{
    char name[64];
    snprintf(name, sizeof name, "damaged-checkpoint-%llu", (unsigned long long)step);
    char *aside = io_path(f->root, name, e);
    const int there = aside ? io_exists(aside, e) : -1;
    int rc = there > 0 ? io_remove_tree(aside, e) : there;
    if (rc == 0) rc = io_rename_dir(path, aside, e);
    mem_free(aside);
    return rc;
}

/* Sets aside the entries newer than the checkpoint to resume from: they are not complete, and have
 * the names of checkpoints that the run will write. */
static int clear_way(struct run_folder *f, struct err *e)
{
    struct ckpt_list l = {0};
    int rc = ckpt_list_read(f->root, &l, e);
    for (size_t i = 0; i < l.count && rc == 0; i++) {
        if (l.items[i].step <= f->step) continue;
        rc = set_aside(f, l.items[i].path, l.items[i].step, e);
        buf_printf(&f->aside, "%scheckpoint-%llu", f->aside.len ? ", " : "",
                   (unsigned long long)l.items[i].step);
    }
    ckpt_list_free(&l);
    return rc ? -1 : buf_check(&f->aside, e);
}

static int find_latest(struct run_folder *f, uint64_t before, struct err *e)
{
    mem_free(f->resume);
    f->resume = NULL;
    f->step = 0;
    return ckpt_latest(f->root, before, &f->step, &f->resume, e) < 0 ? -1 : 0;
}

/* Chooses the checkpoint to go on from; changes nothing on the disk. */
static int find(struct run_folder *f, const struct run_names *n, const char *resume, struct err *e)
{
    if (!resume) return check_empty(f, n, e);
    f->automatic = strcmp(resume, "auto") == 0;
    return f->automatic ? find_latest(f, UINT64_MAX, e) : find_named(f, resume, e);
}

int run_folder_fall_back(struct run_folder *f, const struct run_names *n, struct err *e)
{
    int rc = set_aside(f, f->resume, f->step, e);
    if (rc == 0) rc = find_latest(f, f->step, e);
    if (rc == 0) rc = clear_way(f, e);
    return rc || f->resume ? rc : record_write(f, n, e);
}

/* Makes root, and locks it for as long as f->lock is open. */
static int own_root(struct run_folder *f, const char *lent, struct err *e)
{
    char *path = NULL;
    int rc = io_mkdirs(f->root, e);
    if (rc == 0) rc = (path = io_path(f->root, ".lock", e)) ? 0 : -1;
    if (rc == 0) rc = io_lock_named(path, lent, &f->lock, e);
    mem_free(path);
    return rc ? -1 : 0;
}

/* Locks the file `log`, not its folder: logs and checkpoints may share one folder. */
static int lock_logs(struct run_folder *f, const struct run_names *n, struct err *e)
{
    int rc = io_lock(f->log, &f->logs_lock, e);
    if (rc == 1) record_busy(f, n, e);
    return rc ? -1 : 0;
}

static int own_logs(struct run_folder *f, const struct run_names *n, struct err *e)
{
    return io_mkdirs(f->logs, e) ? -1 : lock_logs(f, n, e);
}

int run_folder_open(struct run_folder *f, const struct run_names *n, const char *resume,
                    const char *lent, struct err *e)
{
    *f = RUN_FOLDER_NONE;
    int rc = make_names(f, n, e);
    if (rc == 0) rc = own_root(f, lent, e);
    if (rc == 0) rc = find(f, n, resume, e);
    if (rc == 0) rc = own_logs(f, n, e);
    if (rc == 0) rc = record_check(f, n, e);
    if (rc == 0) rc = ckpt_clear(f->root, e);
    if (rc == 0 && f->automatic) rc = clear_way(f, e);
    if (rc == 0) rc = record_write(f, n, e);
    if (rc) run_folder_close(f);
    return rc;
}

static int check_logs(struct run_folder *f, const struct run_names *n, struct err *e)
{
    const int logs = io_is_dir(f->logs, e), log = logs > 0 ? io_exists(f->log, e) : logs;
    if (logs <= 0 || log < 0) return logs < 0 || log < 0 ? -1 : 0;
    if (log && lock_logs(f, n, e)) return -1;
    return record_check(f, n, e);
}

int run_folder_check(const struct run_names *n, const char *resume, const char *lent, bool *resumes,
                     struct err *e)
{
    struct run_folder f = RUN_FOLDER_NONE;
    int rc = make_names(&f, n, e);
    if (rc == 0) rc = own_root(&f, lent, e);
    if (rc == 0) rc = find(&f, n, resume, e);
    if (rc == 0) rc = check_logs(&f, n, e);
    *resumes = f.resume;
    run_folder_close(&f);
    return rc;
}

void run_folder_close(struct run_folder *f)
{
    io_unlock_named(f->lock);
    io_unlock(f->logs_lock);
    buf_free(&f->aside);
    buf_free(&f->kept);
    mem_free(f->id);
    mem_free(f->output);
    mem_free(f->root);
    mem_free(f->logs);
    mem_free(f->metrics);
    mem_free(f->samples);
    mem_free(f->log);
    mem_free(f->tensorboard);
    mem_free(f->resume);
    *f = RUN_FOLDER_NONE;
}
