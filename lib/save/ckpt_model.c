/* SPDX-License-Identifier: Apache-2.0 */
/* A folder with the model of a checkpoint alone, for tools that read one folder. */
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "save/ckpt_impl.h"
#include "save/manifest_impl.h"

static bool of_state(const char *path) { return strncmp(path, "state/", 6) == 0; }

/* Makes the folders above dir/name. */
static int make_parents(const char *dir, const char *name, struct err *e)
{
    const char *slash = strrchr(name, '/');
    char *sub = slash ? mem_strndup(name, (size_t)(slash - name), e) : NULL;
    char *path = sub ? io_path(dir, sub, e) : NULL;
    int rc = !slash ? 0 : path ? io_mkdirs(path, e) : -1;
    mem_free(sub);
    mem_free(path);
    return rc;
}

static int take_file(const char *from, const char *to, const char *name, struct err *e)
{
    char *a = io_path(from, name, e), *b = a ? io_path(to, name, e) : NULL;
    int rc = b && make_parents(to, name, e) == 0 ? io_duplicate(a, b, e) : -1;
    mem_free(a);
    mem_free(b);
    return rc;
}

/* Fills the folder `to` from the model's folder of a checkpoint. */
static int fill(const char *from, const char *to, struct err *e)
{
    struct manifest all, mine = {0};
    if (manifest_read(from, &all, e)) return -1;
    mine.step = all.step;
    int rc = io_mkdirs(to, e);
    for (size_t i = 0; i < all.count && rc == 0; i++) {
        const struct manifest_file *f = &all.files[i];
        if (of_state(f->path)) continue;
        rc = take_file(from, to, f->path, e);
        if (rc == 0) rc = manifest_add(&mine, f->path, f->size, f->hash, e);
    }
    if (rc == 0) rc = manifest_write(to, &mine, e);
    manifest_free(&mine);
    manifest_free(&all);
    return rc;
}

static int remove_if_there(const char *path, struct err *e)
{
    const int there = io_exists(path, e);
    return there > 0 ? io_remove_tree(path, e) : there;
}

/* ckpt_begin removes a folder of this name that an interrupted run left. */
static char *temporary(const char *root, const char *name, struct err *e)
{
    char text[64];
    snprintf(text, sizeof text, ".checkpoint-%s.tmp", name);
    return io_path(root, text, e);
}

int ckpt_model(const char *root, uint64_t step, const char *name, char **path, struct err *e)
{
    char *checkpoint = ckpt_name(root, step, false, e), *tmp = temporary(root, name, e);
    char *from = checkpoint ? io_path(checkpoint, CKPT_INNER, e) : NULL;
    *path = io_path(root, name, e);
    int rc = from && tmp && *path ? remove_if_there(tmp, e) : -1;
    if (rc == 0) rc = fill(from, tmp, e);
    if (rc == 0) rc = remove_if_there(*path, e);
    if (rc == 0) rc = io_rename_dir(tmp, *path, e);
    if (rc && tmp && io_exists(tmp, NULL) > 0) io_remove_tree(tmp, NULL);
    if (rc) {
        mem_free(*path);
        *path = NULL;
    }
    mem_free(checkpoint);
    mem_free(from);
    mem_free(tmp);
    return rc;
}
