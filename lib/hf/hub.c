/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the folder of a model: a path, or a hub id in the caches that `hf download` and `modelscope
 * download` fill. Layouts: huggingface_hub has "models--ORG--NAME/snapshots/REVISION", and
 * refs/main contains the revision; modelscope has "ORG/NAME" below hub/ or hub/models/, with "___"
 * for dots. */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "hf/folder.h"

bool hf_is_hub_id(const char *name)
{
    size_t slashes = 0, part = 0;
    for (const char *p = name; *p; p++) {
        if (*p == '/') {
            if (!part || slashes++) return false;
            part = 0;
            continue;
        }
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *p))
            return false;
        if (*p == '.' && !part) return false;
        part++;
    }
    return part && strlen(name) < 200;
}

static const char *env(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

/* Appends the expanded path and `below`. A ~ that cannot be expanded stays, so that no model is
 * found.
 */
static void put_below(struct buf *b, const char *path, const char *below)
{
    struct err why;
    if (io_expand_home(path, b, &why)) {
        if (why.code == ERR_MEMORY) b->failed = true;
        buf_puts(b, path);
    }
    buf_puts(b, below);
}

/* Appends the cache folder of huggingface_hub, which expands ~ in these variables too. */
static void hf_cache(struct buf *b)
{
    const char *v;
    if ((v = env("HF_HUB_CACHE")) || (v = env("HUGGINGFACE_HUB_CACHE")))
        put_below(b, v, "");
    else if ((v = env("HF_HOME")))
        put_below(b, v, "/hub");
    else if ((v = env("XDG_CACHE_HOME")))
        put_below(b, v, "/huggingface/hub");
    else
        put_below(b, "~/.cache/huggingface/hub", "");
}

static void modelscope_cache(struct buf *b)
{
    const char *v = env("MODELSCOPE_CACHE");
    put_below(b, v ? v : "~/.cache/modelscope/hub", "");
}

/* Appends text with every `from` replaced by `to`. */
static void put_replaced(struct buf *b, const char *text, char from, const char *to)
{
    for (; *text; text++)
        if (*text == from)
            buf_puts(b, to);
        else
            buf_putc(b, *text);
}

/* Returns 1 when b is the path of a folder, else 0; -1 on failure. */
static int is_folder(const struct buf *b, struct err *e)
{
    return buf_check(b, e) ? -1 : io_is_dir(b->data, e);
}

/* Reads the commit in refs/main, without white space. Returns 1, 0 when there is none, or -1. */
static int read_ref(const struct buf *path, struct buf *ref, struct err *e)
{
    const int there = buf_check(path, e) ? -1 : io_exists(path->data, e);
    if (there <= 0) return there;
    if (io_slurp(path->data, 256, ref, e)) return -1;
    if (!ref->data) return 0;
    ref->data[ref->len = strcspn(ref->data, " \t\r\n")] = 0;
    return ref->len && !strchr(ref->data, '/') && ref->data[0] != '.';
}

/* Returns 1 with the folder in b, 0 when it is missing or the cache cannot be read, or -1. */
static int in_hf_cache(const char *name, struct buf *b, struct err *e)
{
    struct buf ref = {0};
    hf_cache(b);
    buf_puts(b, "/models--");
    put_replaced(b, name, '/', "--");
    size_t base = b->len;
    buf_puts(b, "/refs/main");
    int found = read_ref(b, &ref, e);
    if (found > 0) {
        b->len = base;
        buf_printf(b, "/snapshots/%s", ref.data);
        found = is_folder(b, e);
    }
    buf_free(&ref);
    return found < 0 && e->code != ERR_MEMORY ? 0 : found;
}

static int in_modelscope_cache(const char *name, struct buf *b, struct err *e)
{
    static const char *const below[] = {"/models/", "/", "/hub/models/", "/hub/"};
    int found = 0;
    for (size_t i = 0; strchr(name, '/') && !found && i < sizeof below / sizeof *below; i++) {
        buf_reset(b);
        modelscope_cache(b);
        buf_puts(b, below[i]);
        put_replaced(b, name, '.', "___");
        found = is_folder(b, e);
    }
    return found;
}

static int missing(const char *name, struct err *e)
{
    struct buf b = {0};
    hf_cache(&b);
    err_set(
        e, ERR_NOINPUT,
        "%s: neither a folder nor a model in %s; a hub id is downloaded with: hf download %s%s%s",
        name, b.data ? b.data : "the cache", name,
        strchr(name, '/') ? "   or: modelscope download --model " : "",
        strchr(name, '/') ? name : "");
    buf_free(&b);
    return -1;
}

int hf_folder_find(const char *name, char **path, struct err *e)
{
    struct buf b = {.max = 65536};
    const int folder = io_is_dir(name, e), there = folder ? folder : io_exists(name, e);
    if (there < 0) return -1;
    if (folder) return (*path = mem_strndup(name, strlen(name), e)) ? 0 : -1;
    if (there) return err_set(e, ERR_NOINPUT, "%s: is a file, not a model folder", name);
    if (!hf_is_hub_id(name)) return err_set(e, ERR_NOINPUT, "%s: there is no such folder", name);
    int found = in_hf_cache(name, &b, e);
    if (found == 0) found = in_modelscope_cache(name, &b, e);
    if (found > 0) *path = mem_strndup(b.data, b.len, e);
    const int rc = found == 0 ? missing(name, e) : found > 0 && *path ? 0 : -1;
    buf_free(&b);
    return rc;
}
