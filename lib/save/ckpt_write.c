/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a checkpoint under a temporary name, then renames it once. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "save/ckpt_impl.h"
#include "save/manifest_impl.h"

struct ckpt {
    uint64_t step;
    char *root, *tmp, *final;
    char *dir, *state;     /* tmp/sft_train, tmp/sft_train/state */
    struct manifest known; /* files whose hashes were noted */
};

char *ckpt_name(const char *root, uint64_t step, bool tmp, struct err *e)
{
    char name[64];
    snprintf(name, sizeof name, tmp ? ".checkpoint-%" PRIu64 ".tmp" : "checkpoint-%" PRIu64, step);
    return io_path(root, name, e);
}

static void ckpt_free(struct ckpt *c)
{
    manifest_free(&c->known);
    mem_free(c->root);
    mem_free(c->tmp);
    mem_free(c->final);
    mem_free(c->dir);
    mem_free(c->state);
    mem_free(c);
}

void ckpt_abort(struct ckpt *c)
{
    if (!c) return;
    if (c->tmp) io_remove_tree(c->tmp, NULL);
    ckpt_free(c);
}

/* Removes ".checkpoint-12.tmp", which a run leaves that is killed while it saves, or removes an old
 * checkpoint. */
static int remove_leftover(void *root, const char *name, struct err *e)
{
    size_t n = strlen(name);
    if (n < 5 || strncmp(name, ".checkpoint-", 12) != 0 || strcmp(name + n - 4, ".tmp") != 0)
        return 0;
    char *path = io_path(*(const char **)root, name, e);
    int rc = path ? io_remove_tree(path, e) : -1;
    mem_free(path);
    return rc;
}

int ckpt_clear(const char *root, struct err *e) { return io_list(root, remove_leftover, &root, e); }

/* This process made the folders and files: an absent one was removed since, and is no missing
 * input. */
static int removed(int rc, struct err *e)
{
    if (rc && e && e->code == ERR_NOINPUT) e->code = ERR_CREATE;
    return rc;
}

/* Level by level: a root that was removed is not made anew, see check_root in saver.c. */
static int make_folders(const struct ckpt *c, struct err *e)
{
    if (removed(ckpt_clear(c->root, e), e) || io_mkdir(c->tmp, e)) return -1;
    return io_mkdir(c->dir, e) || io_mkdir(c->state, e) ? -1 : 0;
}

struct ckpt *ckpt_begin(const char *root, uint64_t step, struct err *e)
{
    struct ckpt *c = mem_alloc(1, sizeof *c, e);
    if (!c) return NULL;
    c->step = step;
    c->root = mem_strndup(root, strlen(root), e);
    c->tmp = ckpt_name(root, step, true, e);
    c->final = ckpt_name(root, step, false, e);
    if (c->tmp) c->dir = io_path(c->tmp, CKPT_INNER, e);
    if (c->dir) c->state = io_path(c->dir, "state", e);
    if (!c->root || !c->final || !c->state) goto fail;
    const int there = io_exists(c->final, e);
    if (there > 0) err_set(e, ERR_CREATE, "%s: exists already", c->final);
    if (there) goto fail;
    if (make_folders(c, e)) goto fail;
    return c;
fail:
    ckpt_abort(c);
    return NULL;
}

const char *ckpt_dir(const struct ckpt *c) { return c->dir; }
const char *ckpt_state_dir(const struct ckpt *c) { return c->state; }

int ckpt_note(struct ckpt *c, const char *path, uint64_t size, const char *xxh128, struct err *e)
{
    return manifest_add(&c->known, path, size, xxh128, e);
}

/* Makes the manifest of the folder; it reads only files that were not noted with their size. */
static int describe(struct ckpt *c, struct manifest *m, struct err *e)
{
    int rc = manifest_scan(c->dir, m, e);
    if (rc) return -1;
    manifest_sort(&c->known);
    for (size_t i = 0; i < m->count && rc == 0; i++) {
        const struct manifest_file *k = manifest_find(&c->known, m->files[i].path);
        if (k && k->size == m->files[i].size)
            memcpy(m->files[i].hash, k->hash, sizeof k->hash);
        else
            rc = manifest_measure(c->dir, &m->files[i], true, e);
    }
    if (rc) manifest_free(m);
    return rc;
}

/* Each file was fsynced when it was committed, and so was its folder; each folder when it was made;
 * the rename makes the name of the checkpoint durable. */
int ckpt_commit(struct ckpt *c, char **path, struct err *e)
{
    struct manifest m;
    if (path) *path = NULL;
    int rc = removed(describe(c, &m, e), e);
    if (rc == 0) {
        m.step = c->step;
        rc = manifest_write(c->dir, &m, e);
        manifest_free(&m);
    }
    if (rc == 0) rc = io_rename_dir(c->tmp, c->final, e);
    if (rc == 0 && path) {
        *path = c->final;
        c->final = NULL;
    }
    ckpt_abort(c);
    return rc;
}
