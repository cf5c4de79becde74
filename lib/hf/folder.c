/* SPDX-License-Identifier: Apache-2.0 */
/* Model folders. */
#include "hf/folder.h"

#include <string.h>

#include "base/io.h"

static const char *const config_files[] = {"config.json", "generation_config.json", NULL};
/* The settings with which multimodal models read images, video and sound. */
static const char *const processor_files[] = {"processor_config.json", "preprocessor_config.json",
                                              "video_preprocessor_config.json", NULL};
/* The files of the various kinds of tokenizers. */
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
                                              "tekken.json",
                                              NULL};
/* A folder of further chat templates, NAME.jinja, which belong to the tokenizer too. */
#define TEMPLATES       "additional_chat_templates"
#define TEMPLATE_SUFFIX ".jinja"

int hf_folder_has_tokenizer(const char *dir, struct err *e)
{
    static const char *const names[] = {"tokenizer.json", "vocab.json", "tokenizer.model"};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof names / sizeof *names; i++)
        rc = io_has(dir, names[i], e);
    return rc;
}

static int is_model(const char *dir, struct err *e)
{
    const int config = io_has(dir, "config.json", e);
    return config ? config : hf_folder_has_tokenizer(dir, e);
}

/* Resolves a folder. Sets *out to it or to its sft_train/. */
static int resolve(char *folder, char **out, struct err *e)
{
    int found = is_model(folder, e);
    char *inner = found == 0 ? io_path(folder, "sft_train", e) : NULL;
    if (found == 0) found = inner ? is_model(inner, e) : -1;
    if (found > 0) *out = mem_strndup(inner ? inner : folder, strlen(inner ? inner : folder), e);
    mem_free(inner);
    if (found) return *out ? 0 : -1;
    return err_set(e, ERR_NOINPUT,
                   "%s: contains no config.json or tokenizer.json, so it is neither a Hugging Face "
                   "model folder nor a checkpoint-N folder",
                   folder);
}

int hf_folder_resolve(const char *path, char **out, struct err *e)
{
    char *folder = NULL;
    *out = NULL;
    int rc = hf_folder_find(path, &folder, e);
    if (rc == 0) rc = resolve(folder, out, e);
    mem_free(folder);
    return rc;
}

static int copy_file(const char *from, const char *to, struct err *e)
{
    struct io_map m;
    if (io_map(from, &m, e)) return -1;
    int rc = io_put(to, m.p, m.n, e);
    io_unmap(&m);
    return rc;
}

/* ---- the files beside the weights ---- */
/* Visits a file; name is relative to the folder of the model. */
typedef int file_fn(void *arg, const char *name, struct err *e);

static int each_listed(const char *dir, const char *const *names, file_fn *f, void *arg,
                       struct err *e)
{
    int rc = 0;
    for (; rc == 0 && *names; names++) {
        rc = io_has(dir, *names, e);
        if (rc > 0) rc = f(arg, *names, e);
    }
    return rc;
}

struct templates {
    file_fn *f;
    void *arg;
};

static int visit_template(void *arg, const char *name, struct err *e)
{
    const struct templates *t = arg;
    size_t n = strlen(name), suffix = strlen(TEMPLATE_SUFFIX);
    if (n < suffix || strcmp(name + n - suffix, TEMPLATE_SUFFIX) != 0) return 0;
    char *path = io_path(TEMPLATES, name, e);
    int rc = path ? t->f(t->arg, path, e) : -1;
    mem_free(path);
    return rc;
}

static int each_tokenizer_file(const char *dir, file_fn *f, void *arg, struct err *e)
{
    char *path = io_path(dir, TEMPLATES, e);
    int rc = path ? each_listed(dir, tokenizer_files, f, arg, e) : -1;
    if (rc == 0) rc = io_is_dir(path, e);
    if (rc > 0) rc = io_list(path, visit_template, &(struct templates){f, arg}, e);
    mem_free(path);
    return rc;
}

/* Creates the folder of `path` if it is missing. */
static int make_parent(const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    char *parent = mem_strndup(path, slash ? (size_t)(slash - path) : 0, e);
    int rc = !parent ? -1 : parent[0] ? io_mkdirs(parent, e) : 0;
    mem_free(parent);
    return rc;
}

struct copying {
    const char *from, *to;
};

static int copy_one(void *arg, const char *name, struct err *e)
{
    const struct copying *c = arg;
    char *a = io_path(c->from, name, e), *b = io_path(c->to, name, e);
    int rc = a && b && make_parent(b, e) == 0 ? copy_file(a, b, e) : -1;
    mem_free(a);
    mem_free(b);
    return rc;
}

static int each_config(const char *dir, file_fn *f, void *arg, struct err *e)
{
    const int rc = each_listed(dir, config_files, f, arg, e);
    return rc ? rc : each_listed(dir, processor_files, f, arg, e);
}

int hf_folder_copy_config(const char *from, const char *to, struct err *e)
{
    return each_config(from, copy_one, &(struct copying){from, to}, e);
}

int hf_folder_copy(const char *from, const char *to, struct err *e)
{
    if (hf_folder_copy_config(from, to, e)) return -1;
    return each_tokenizer_file(from, copy_one, &(struct copying){from, to}, e);
}

int hf_folder_copy_adapter(const char *from, const char *to, struct err *e)
{
    static const char *const names[] = {"adapter_config.json", "base_weights.json", NULL};
    struct copying c = {from, to};
    const int rc = each_listed(from, names, copy_one, &c, e);
    return rc ? rc : each_tokenizer_file(from, copy_one, &c, e);
}

int hf_folder_copy_tokenizer(const char *from, const char *to, struct err *e)
{
    char *dir;
    if (hf_folder_resolve(from, &dir, e)) return -1;
    const int there = hf_folder_has_tokenizer(dir, e);
    int rc = there < 0 ? -1 : 0;
    if (there == 0) rc = err_set(e, ERR_NOINPUT, "%s: contains no tokenizer.json", from);
    if (rc == 0) rc = each_tokenizer_file(dir, copy_one, &(struct copying){dir, to}, e);
    mem_free(dir);
    return rc;
}

struct sizes {
    const char *dir;
    uint64_t bytes;
};

static int add_size(void *arg, const char *name, struct err *e)
{
    struct sizes *s = arg;
    struct stat st;
    char *path = io_path(s->dir, name, e);
    int rc = path ? io_stat(path, &st, e) : -1;
    if (rc == 0) s->bytes += (uint64_t)st.st_size;
    mem_free(path);
    return rc;
}

int hf_folder_bytes(const char *from, bool config, uint64_t *bytes, struct err *e)
{
    struct sizes s = {.dir = from};
    int rc = each_tokenizer_file(from, add_size, &s, e);
    if (rc == 0 && config) rc = each_config(from, add_size, &s, e);
    *bytes = s.bytes;
    return rc;
}
