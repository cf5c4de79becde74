/* SPDX-License-Identifier: Apache-2.0 */
/* Model folders. */
#include "hf/folder.h"

#include <stdio.h>
#include <string.h>

#include "base/io.h"

static const char *const config_files[] = {"config.json", "generation_config.json", NULL};
/* What tokenizers of all kinds keep beside the weights. */
static const char *const tokenizer_files[] = {"tokenizer.json",
                                              "tokenizer_config.json",
                                              "special_tokens_map.json",
                                              "added_tokens.json",
                                              "chat_template.jinja",
                                              "chat_template.json",
                                              "vocab.json",
                                              "merges.txt",
                                              "vocab.txt",
                                              "tokenizer.model",
                                              NULL};

static bool holds(const char *dir, const char *name)
{
    char *path = io_path(dir, name, NULL);
    bool yes = path && io_exists(path);
    mem_free(path);
    return yes;
}

static bool is_model(const char *dir)
{
    return holds(dir, "config.json") || holds(dir, "tokenizer.json");
}

int hf_folder_resolve(const char *path, char **out, struct err *e)
{
    *out = NULL;
    if (!io_exists(path))
        return err_set(e, ERR_NOINPUT, "%s: no such folder; a model is a folder on disk", path);
    if (!io_is_dir(path)) return err_set(e, ERR_NOINPUT, "%s: not a folder", path);
    if (is_model(path)) return (*out = mem_strndup(path, strlen(path), e)) ? 0 : -1;
    char *inner = io_path(path, "sft_train", e);
    if (!inner) return -1;
    if (is_model(inner)) {
        *out = inner;
        return 0;
    }
    mem_free(inner);
    return err_set(e, ERR_NOINPUT,
                   "%s: holds no config.json or tokenizer.json, so it is neither a Hugging Face "
                   "model folder nor a checkpoint-N folder",
                   path);
}

static int copy_file(const char *from, const char *to, struct err *e)
{
    struct io_map m;
    if (io_map(from, &m, e) != 0) return -1;
    int rc = io_put(to, m.p, m.n, e);
    io_unmap(&m);
    return rc;
}

static int copy_listed(const char *from, const char *to, const char *const *names, struct err *e)
{
    for (; *names; names++) {
        if (!holds(from, *names)) continue;
        char *a = io_path(from, *names, e), *b = io_path(to, *names, e);
        int rc = a && b ? copy_file(a, b, e) : -1;
        mem_free(a);
        mem_free(b);
        if (rc != 0) return -1;
    }
    return 0;
}

static uint64_t listed_bytes(const char *dir, const char *const *names)
{
    uint64_t bytes = 0;
    for (; *names; names++) {
        struct stat st;
        char *path = io_path(dir, *names, NULL);
        if (path && io_exists(path) && io_stat(path, &st, NULL) == 0) bytes += (uint64_t)st.st_size;
        mem_free(path);
    }
    return bytes;
}

uint64_t hf_folder_bytes(const char *from, bool config)
{
    return listed_bytes(from, tokenizer_files) + (config ? listed_bytes(from, config_files) : 0);
}

int hf_folder_copy(const char *from, const char *to, struct err *e)
{
    if (copy_listed(from, to, config_files, e) != 0) return -1;
    return copy_listed(from, to, tokenizer_files, e);
}

int hf_folder_copy_tokenizer(const char *from, const char *to, struct err *e)
{
    if (!holds(from, "tokenizer.json"))
        return err_set(e, ERR_NOINPUT, "%s: holds no tokenizer.json", from);
    return copy_listed(from, to, tokenizer_files, e);
}

/* Length of path without slashes at its end. */
static size_t trimmed(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    return n;
}

int hf_folder_begin(const char *path, char **tmp, struct err *e)
{
    size_t n = trimmed(path), base = n;
    *tmp = NULL;
    if (io_exists(path))
        return err_set(e, ERR_CREATE, "%s: exists already; choose another name or remove it", path);
    while (base > 0 && path[base - 1] != '/') base--;
    struct buf b = {0};
    buf_add(&b, path, base);
    buf_putc(&b, '.');
    buf_add(&b, path + base, n - base);
    buf_puts(&b, ".tmp");
    if (buf_check(&b, e) != 0 || (io_exists(b.data) && io_remove_tree(b.data, e) != 0) ||
        io_mkdirs(b.data, e) != 0) {
        buf_free(&b);
        return -1;
    }
    *tmp = b.data;
    return 0;
}

int hf_folder_commit(const char *tmp, const char *path, struct err *e)
{
    int rc = io_exists(path) ? err_set(e, ERR_CREATE, "%s: exists already", path)
                             : io_rename_dir(tmp, path, e);
    if (rc != 0) hf_folder_abort(tmp);
    return rc;
}

void hf_folder_abort(const char *tmp)
{
    if (tmp) io_remove_tree(tmp, NULL);
}
