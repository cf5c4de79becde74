/* SPDX-License-Identifier: Apache-2.0 */
/* The named chat templates of a model folder, as transformers' from_pretrained finds them. */
#include <string.h>

#include "base/io.h"
#include "text/tokenizer_impl.h"
#include "unicode/utf8.h"

enum { MAX_TEMPLATES = 64, MAX_TEMPLATE = 4 << 20, MAX_NAME = 200 };
#define FOLDER "additional_chat_templates"
#define SUFFIX ".jinja"

/* Checks a name, which may become a file name and is printed in messages. */
static bool name_ok(struct str name)
{
    if (name.n == 0 || name.n > MAX_NAME) return false;
    for (size_t i = 0; i < name.n; i++)
        if ((unsigned char)name.p[i] < 0x20 || name.p[i] == 0x7f || name.p[i] == '/') return false;
    return utf8_valid(name.p, name.n, NULL) == name.n;
}

/* Returns the index of name in the sorted list, or the index to insert it at. */
static size_t place(const struct tokenizer *t, struct str name, bool *found)
{
    size_t i = 0;
    int order = 1;
    for (; i < t->ntemplates; i++) {
        const char *have = t->templates[i].name;
        size_t n = strlen(have), least = n < name.n ? n : name.n;
        order = memcmp(have, name.p, least);
        if (order == 0) order = n < name.n ? -1 : n > name.n;
        if (order >= 0) break;
    }
    *found = i < t->ntemplates && order == 0;
    return i;
}

/* Adds a template; it replaces an earlier one of the same name. */
static int set_template(struct tokenizer *t, struct str name, struct str text, struct err *e)
{
    bool found;
    if (!name_ok(name))
        return err_set(e, ERR_DATA,
                       "a chat template's name must be 1 to %d bytes of UTF-8, without '/' and "
                       "control characters",
                       MAX_NAME);
    if (text.n > MAX_TEMPLATE)
        return err_set(e, ERR_DATA, "chat template \"%.*s\": %zu bytes; %d are allowed",
                       STR_FMT(name), text.n, MAX_TEMPLATE);
    size_t at = place(t, name, &found);
    if (!found && t->ntemplates == MAX_TEMPLATES)
        return err_set(e, ERR_DATA, "more than %d chat templates", MAX_TEMPLATES);
    if (mem_grow(&t->templates, &t->templates_cap, t->ntemplates + 1, sizeof *t->templates, e))
        return -1;
    struct named_text k;
    if (named_text_make(&k, name, text, e)) return -1;
    struct named_text *slot = &t->templates[at];
    if (found)
        named_text_free(slot);
    else
        memmove(slot + 1, slot, (t->ntemplates++ - at) * sizeof *slot);
    *slot = k;
    return 0;
}

/* ---- tokenizer_config.json ---- */
/* Reads [{"name": .., "template": ..}, ...]. */
static int read_list(struct tokenizer *t, const struct json *v, struct err *e)
{
    for (size_t i = 0; i < v->count; i++) {
        const struct json *o = &v->items[i];
        const struct json *name = o->kind == JSON_OBJECT ? json_get(o, "name") : NULL;
        const struct json *text = o->kind == JSON_OBJECT ? json_get(o, "template") : NULL;
        if (!name || !text || name->kind != JSON_STRING || text->kind != JSON_STRING)
            return err_set(e, ERR_DATA, "entry %zu needs \"name\" and \"template\"", i);
        if (set_template(t, name->s, text->s, e)) return err_prefix(e, "entry %zu", i);
    }
    return 0;
}

/* Reads {"NAME": TEMPLATE, ...}. */
static int read_object(struct tokenizer *t, const struct json *v, struct err *e)
{
    for (size_t i = 0; i < v->count; i++) {
        if (v->items[i].kind != JSON_STRING)
            return err_set(e, ERR_DATA, "\"%.*s\" must be a string", STR_FMT(v->keys[i]));
        if (set_template(t, v->keys[i], v->items[i].s, e)) return -1;
    }
    return 0;
}

int tokenizer_config_templates(struct tokenizer *t, const struct json *v, struct err *e)
{
    if (!v || v->kind == JSON_NULL || t->ntemplates) return 0;
    int rc = v->kind == JSON_STRING   ? set_template(t, STR("default"), v->s, e)
             : v->kind == JSON_ARRAY  ? read_list(t, v, e)
             : v->kind == JSON_OBJECT ? read_object(t, v, e)
                                      : err_set(e, ERR_DATA, "must be a string or a list");
    return rc ? err_prefix(e, "\"chat_template\"") : 0;
}

/* ---- files ---- */
/* Reads DIR/FILE as the template `name`. */
static int read_file(struct tokenizer *t, const char *dir, const char *file, struct str name,
                     struct err *e)
{
    struct buf b = {0};
    char *path = io_path(dir, file, e);
    int rc = path ? io_slurp(path, MAX_TEMPLATE, &b, e) : -1;
    if (!rc && set_template(t, name, (struct str){b.data ? b.data : "", b.len}, e))
        rc = err_prefix(e, "%s", path);
    buf_free(&b);
    mem_free(path);
    return rc;
}

struct folder {
    struct tokenizer *t;
    const char *path;
};

static int visit(void *arg, const char *file, struct err *e)
{
    const struct folder *f = arg;
    size_t n = strlen(file), suffix = strlen(SUFFIX);
    if (n < suffix || strcmp(file + n - suffix, SUFFIX) != 0) return 0;
    return read_file(f->t, f->path, file, (struct str){file, n - suffix}, e);
}

int tokenizer_file_templates(struct tokenizer *t, const char *dir, struct err *e)
{
    int rc = io_has(dir, "chat_template.jinja", e);
    if (rc > 0) rc = read_file(t, dir, "chat_template.jinja", STR("default"), e);
    char *path = rc ? NULL : io_path(dir, FOLDER, e);
    rc = path ? io_is_dir(path, e) : -1;
    if (rc > 0) rc = io_list(path, visit, &(struct folder){t, path}, e);
    mem_free(path);
    return rc;
}

/* ---- look-ups ---- */
size_t tokenizer_template_count(const struct tokenizer *t) { return t->ntemplates; }

void tokenizer_template_at(const struct tokenizer *t, size_t i, const char **name, struct str *text)
{
    *name = t->templates[i].name;
    *text = (struct str){t->templates[i].text, t->templates[i].text_n};
}

struct str tokenizer_template(const struct tokenizer *t, const char *name)
{
    bool found;
    size_t i = place(t, str_z(name), &found);
    if (!found) return (struct str){NULL, 0};
    return (struct str){t->templates[i].text, t->templates[i].text_n};
}
