/* SPDX-License-Identifier: Apache-2.0 */
/* The resolved configuration as YAML, as JSON, or one value of it. */
#include <stddef.h>
#include <string.h>

#include "config/load.h"

int config_write_yaml(const struct config *c, struct buf *b, struct err *e)
{
    return emit_yaml(((const struct loaded *)c)->shown, b, e);
}

int config_write_json(const struct config *c, struct buf *b, struct err *e)
{
    return emit_json(((const struct loaded *)c)->shown, b, e);
}

static void put_word(struct buf *b, const char *words, int index)
{
    for (; index > 0; index--) words += strcspn(words, "|") + 1;
    buf_add(b, words, strcspn(words, "|"));
    buf_putc(b, '\n');
}
static void put_line(struct buf *b, const char *s) { buf_puts(b, s), buf_putc(b, '\n'); }

static int put_files(const struct config *c, const struct config_strings *s, const char *key,
                     struct buf *b, struct err *e)
{
    for (size_t i = 0; i < s->n; i++) {
        if (strchr(s->v[i], '\n'))
            return err_set(e, ERR_CONFIG, "%s: %s: a file name with a line break", c->path, key);
        put_line(b, s->v[i]);
    }
    return 0;
}

static int get_model_path(const struct config *c, struct buf *b, struct err *e)
{
    char *path;
    if (config_find_model(c->run.model, &path, e)) return -1;
    put_line(b, path);
    mem_free(path);
    return 0;
}
static int get_train_files(const struct config *c, struct buf *b, struct err *e)
{
    return put_files(c, &c->sft_train.data_args.file_name, "sft_train.data_args.file_name", b, e);
}
static int get_validation_files(const struct config *c, struct buf *b, struct err *e)
{
    return put_files(c, &c->validation.data_args.file_name, "validation.data_args.file_name", b, e);
}

/* A value of struct config is a string, an index into words, or a number; or a function writes it.
 */
struct derived {
    const char *name;
    enum { TEXT, WORD, NUMBER, CALL } kind;
    size_t at;
    const char *words;
    int (*get)(const struct config *, struct buf *, struct err *);
};
#define AT(field) offsetof(struct config, field)
static const struct derived derived[] = {
    {"model", TEXT, AT(run.model), NULL, NULL},
    {"model_path", CALL, 0, NULL, get_model_path},
    {"template", TEXT, AT(run.template), NULL, NULL},
    {"dtype", WORD, AT(run.dtype), CONFIG_DTYPE_WORDS, NULL},
    {"pack_mode", WORD, AT(run.pack_mode), CONFIG_PACK_WORDS, NULL},
    {"recompute", WORD, AT(run.recompute), CONFIG_RECOMPUTE_WORDS, NULL},
    {"world_size", NUMBER, AT(run.world_size), NULL, NULL},
    {"data_parallel_size", NUMBER, AT(run.data_parallel_size), NULL, NULL},
    {"tensor_parallel_size", NUMBER, AT(run.tensor_parallel_size), NULL, NULL},
    {"pipeline_parallel_size", NUMBER, AT(run.pipeline_parallel_size), NULL, NULL},
    {"context_parallel_size", NUMBER, AT(run.context_parallel_size), NULL, NULL},
    {"global_batch_size", NUMBER, AT(run.global_batch_size), NULL, NULL},
    {"train_files", CALL, 0, NULL, get_train_files},
    {"validation_files", CALL, 0, NULL, get_validation_files},
};

const char *config_derived_name(size_t i)
{
    return i < sizeof derived / sizeof *derived ? derived[i].name : NULL;
}

static int put_derived(const struct config *c, const struct derived *d, struct buf *b,
                       struct err *e)
{
    const char *field = (const char *)c + d->at, *text;
    int64_t number;
    int index;
    switch (d->kind) {
    case TEXT:
        memcpy(&text, field, sizeof text), put_line(b, text);
        break;
    case WORD:
        memcpy(&index, field, sizeof index), put_word(b, d->words, index);
        break;
    case NUMBER:
        memcpy(&number, field, sizeof number);
        buf_printf(b, "%lld\n", (long long)number);
        break;
    case CALL:
        return d->get(c, b, e);
    }
    return 0;
}

/* A scalar's text, a list's items, or a part of the configuration as YAML. */
static int put_node(const struct node *n, struct buf *b, struct err *e)
{
    if (n->kind == NODE_MAP) return emit_yaml(n, b, e);
    if (n->kind == NODE_SCALAR) return put_line(b, n->text), 0;
    for (size_t i = 0; i < n->count; i++)
        if (n->items[i]->kind == NODE_SCALAR)
            put_line(b, n->items[i]->text);
        else if (emit_json(n->items[i], b, e))
            return -1;
    return 0;
}

int config_get(const struct config *c, const char *key, struct buf *b, struct err *e)
{
    const struct loaded *l = (const struct loaded *)c;
    const struct node *n = l->shown;
    for (size_t i = 0; i < sizeof derived / sizeof *derived; i++)
        if (!strcmp(key, derived[i].name))
            return put_derived(c, &derived[i], b, e) ? -1 : buf_check(b, e);
    for (const char *p = key; n;) {
        size_t len = strcspn(p, ".");
        n = node_member_n(n, p, len);
        p += len;
        if (!*p++) break;
    }
    if (n) return put_node(n, b, e) ? -1 : buf_check(b, e);
    const struct config_key *k = config_key_find(key, KEY_ALWAYS);
    if (config_key_is_group(key)) return 0;
    if (k) { /* not set: a scalar's line is empty, a list has no line */
        if (k->type != KEY_STRS && k->type != KEY_ANY) buf_putc(b, '\n');
        return buf_check(b, e);
    }
    char near[300];
    if (config_key_nearest(key, near, sizeof near))
        return err_set(e, ERR_CONFIG, "%s: unknown key; did you mean %s?", key, near);
    return err_set(e, ERR_CONFIG, "%s: unknown key; sft-config --help lists the derived ones", key);
}
