/* SPDX-License-Identifier: Apache-2.0 */
/* Finds, checks and removes checkpoints. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/num.h"
#include "save/ckpt_impl.h"
#include "save/manifest_impl.h"

int ckpt_step_of(const char *name, uint64_t *step)
{
    static const char prefix[] = "checkpoint-";
    size_t n = sizeof prefix - 1;
    if (strncmp(name, prefix, n) != 0) return -1;
    name += n;
    if (name[0] < '0' || name[0] > '9' || (name[0] == '0' && name[1])) return -1;
    return num_u64(name, step);
}

/* Tells whether every file of the manifest has its size: 1, 0, or -1 with ERR_MEMORY. */
static int has_files(const char *dir, const struct manifest *m, struct err *e)
{
    int ok = 1;
    for (size_t i = 0; ok > 0 && i < m->count; i++) {
        struct stat st;
        char *file = io_path(dir, m->files[i].path, e);
        if (!file) return -1;
        ok = io_stat(file, &st, NULL) == 0 && S_ISREG(st.st_mode) &&
             (uint64_t)st.st_size == m->files[i].size;
        mem_free(file);
    }
    return ok;
}

/* Sets complete and bytes by the sizes of files; an item that cannot be read is not complete. 0, or
 * -1 with ERR_MEMORY. */
static int check_complete(struct ckpt_item *item, struct err *e)
{
    struct manifest m = {0};
    struct err why = {0};
    char *dir = io_path(item->path, CKPT_INNER, &why);
    int ok = dir && manifest_read(dir, &m, &why) == 0 && m.step == item->step;
    if (ok) ok = has_files(dir, &m, &why);
    item->complete = ok > 0;
    for (size_t i = 0; item->complete && i < m.count; i++) item->bytes += m.files[i].size;
    manifest_free(&m);
    mem_free(dir);
    return why.code == ERR_MEMORY ? err_set(e, why.code, "%s", why.msg) : 0;
}

struct listing {
    const char *root;
    struct ckpt_list *l;
};

static int visit(void *arg, const char *name, struct err *e)
{
    const struct listing *w = arg;
    struct ckpt_item item = {0};
    if (ckpt_step_of(name, &item.step)) return 0;
    if (!(item.path = io_path(w->root, name, e))) return -1;
    struct ckpt_list *l = w->l;
    if (mem_grow(&l->items, &l->cap, l->count + 1, sizeof *l->items, e) ||
        check_complete(&item, e)) {
        mem_free(item.path);
        return -1;
    }
    l->items[l->count++] = item;
    return 0;
}

static int by_step(const void *a, const void *b)
{
    uint64_t x = ((const struct ckpt_item *)a)->step, y = ((const struct ckpt_item *)b)->step;
    return x < y ? -1 : x > y;
}

int ckpt_list_read(const char *root, struct ckpt_list *l, struct err *e)
{
    struct listing w = {root, l};
    memset(l, 0, sizeof *l);
    const int there = io_exists(root, e);
    if (there <= 0) return there;
    if (io_list(root, visit, &w, e)) {
        ckpt_list_free(l);
        return -1;
    }
    if (l->count > 1) qsort(l->items, l->count, sizeof *l->items, by_step);
    return 0;
}

void ckpt_list_free(struct ckpt_list *l)
{
    for (size_t i = 0; i < l->count; i++) mem_free(l->items[i].path);
    mem_free(l->items);
    memset(l, 0, sizeof *l);
}

int ckpt_latest(const char *root, uint64_t before, uint64_t *step, char **path, struct err *e)
{
    struct ckpt_list l;
    *path = NULL;
    if (ckpt_list_read(root, &l, e)) return -1;
    for (size_t i = l.count; i-- > 0 && !*path;) {
        if (!l.items[i].complete || l.items[i].step >= before) continue;
        *step = l.items[i].step;
        *path = l.items[i].path;
        l.items[i].path = NULL;
    }
    ckpt_list_free(&l);
    return *path != NULL;
}

/* Compares one file of the folder with its entry of the manifest: its size, or its hash too. */
static int verify_file(const char *dir, const struct manifest_file *want, bool hash, struct err *e)
{
    struct manifest_file have = {.path = want->path};
    if (manifest_measure(dir, &have, hash, e)) {
        if (e && e->code == ERR_NOINPUT) e->code = ERR_DATA; /* the manifest promised it */
        return -1;
    }
    if (have.size != want->size)
        return err_set(e, ERR_DATA, "%s/%s: has %" PRIu64 " bytes, the manifest says %" PRIu64, dir,
                       want->path, have.size, want->size);
    if (hash && strcmp(have.hash, want->hash) != 0)
        return err_set(e, ERR_DATA, "%s/%s: damaged: its hash is not the manifest's", dir,
                       want->path);
    return 0;
}

static int verify_names(const char *dir, const struct manifest *m, struct err *e)
{
    struct manifest found;
    if (manifest_scan(dir, &found, e)) return -1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < found.count; i++)
        if (!manifest_find(m, found.files[i].path))
            rc = err_set(e, ERR_DATA, "%s/%s: is not in the manifest", dir, found.files[i].path);
    manifest_free(&found);
    return rc;
}

/* The sizes and names of all files come first: a wrong one is found without reading terabytes. */
static int verify_dir(const char *dir, struct err *e)
{
    struct manifest m;
    if (manifest_read(dir, &m, e)) return -1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < m.count; i++) rc = verify_file(dir, &m.files[i], false, e);
    if (rc == 0) rc = verify_names(dir, &m, e);
    for (size_t i = 0; rc == 0 && i < m.count; i++) rc = verify_file(dir, &m.files[i], true, e);
    manifest_free(&m);
    return rc;
}

int ckpt_verify(const char *path, struct err *e)
{
    char *inner = io_path(path, CKPT_INNER, e);
    if (!inner) return -1;
    const int nested = io_is_dir(inner, e);
    int rc = nested < 0 ? -1 : verify_dir(nested ? inner : path, e);
    mem_free(inner);
    return rc;
}

/* Renames the folder first, so that a half-removed one is never taken for a checkpoint. */
static int remove_one(const char *root, const struct ckpt_item *item, struct err *e)
{
    char *tmp = ckpt_name(root, item->step, true, e);
    int rc = tmp ? io_rename_dir(item->path, tmp, e) : -1;
    if (rc == 0)
        rc = io_remove_tree(tmp, e);
    else if (tmp && io_exists(tmp, NULL) > 0) /* renamed, but not synced */
        io_remove_tree(tmp, NULL);
    mem_free(tmp);
    return rc;
}

static const struct ckpt_item *find_complete(const struct ckpt_list *l, uint64_t step)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->items[i].complete && l->items[i].step == step) return &l->items[i];
    return NULL;
}

int ckpt_has(const char *root, uint64_t step, struct err *e)
{
    struct ckpt_list l;
    if (ckpt_list_read(root, &l, e)) return -1;
    const int there = find_complete(&l, step) != NULL;
    ckpt_list_free(&l);
    return there;
}

/* The number of complete checkpoints that remain beside the best. As in transformers, the best is
 * one of `keep`, but never the only one: a run goes on from the newest. */
static uint64_t others_of(const struct ckpt_list *l, uint64_t keep, const struct ckpt_item *best)
{
    size_t last = l->count;
    while (last > 0 && !l->items[last - 1].complete) last--;
    if (!best) return keep;
    return keep == 1 && best != &l->items[last - 1] ? 1 : keep - 1;
}

int ckpt_prune(const char *root, uint64_t keep, uint64_t best, struct err *e)
{
    struct ckpt_list l;
    uint64_t seen = 0;
    int rc = 0;
    if (keep == 0) return 0;
    if (ckpt_list_read(root, &l, e)) return -1;
    const struct ckpt_item *kept = find_complete(&l, best);
    const uint64_t others = others_of(&l, keep, kept);
    for (size_t i = l.count; i-- > 0 && rc == 0;) {
        const struct ckpt_item *x = &l.items[i];
        if (x->complete && x != kept && ++seen > others) rc = remove_one(root, x, e);
    }
    ckpt_list_free(&l);
    return rc;
}
