/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the resolved configuration as YAML or JSON, or one value of it. */
#include <stddef.h>
#include <string.h>

#include "config/load.h"
#include "hf/folder.h"

int config_write_yaml(const struct config *c, struct buf *b, struct err *e)
{
    return emit_yaml(((const struct loaded *)c)->shown, b, e);
}

int config_write_json(const struct config *c, struct buf *b, struct err *e)
{
    return emit_json(((const struct loaded *)c)->shown, b, e);
}

/* The output: values are appended to b, each followed by the byte `end`. */
struct sink {
    struct buf *b;
    char end;
};
static void put_text(const struct sink *to, const char *s)
{
    buf_puts(to->b, s);
    buf_putc(to->b, to->end);
}

static int put_files(const struct config *c, const struct config_strings *s, const char *key,
                     const struct sink *to, struct err *e)
{
    for (size_t i = 0; i < s->n; i++) {
        if (strchr(s->v[i], '\n') && to->end == '\n')
            return err_set(e, ERR_CONFIG, "%s: %s: a file name with a line break; --null prints it",
                           c->path, key);
        put_text(to, s->v[i]);
    }
    return 0;
}

static int get_model_path(const struct config *c, const struct sink *to, struct err *e)
{
    char *path;
    if (hf_folder_find(c->run.model, &path, e)) return -1;
    put_text(to, path);
    mem_free(path);
    return 0;
}
static int get_train_files(const struct config *c, const struct sink *to, struct err *e)
{
    return put_files(c, &c->sft_train.data_args.file_name, "sft_train.data_args.file_name", to, e);
}
static int get_validation_files(const struct config *c, const struct sink *to, struct err *e)
{
    return put_files(c, &c->validation.data_args.file_name, "validation.data_args.file_name", to,
                     e);
}

/* A value of struct config is a string, an element type, or a number; or a function writes it. */
struct derived {
    const char *name;
    enum { TEXT, DTYPE, NUMBER, CALL } kind;
    size_t at;
    int (*get)(const struct config *, const struct sink *, struct err *);
};
#define AT(field) offsetof(struct config, field)
static const struct derived derived[] = {
    {"model", TEXT, AT(run.model), NULL},
    {"model_path", CALL, 0, get_model_path},
    {"template", TEXT, AT(run.template), NULL},
    {"dtype", DTYPE, AT(run.dtype), NULL},
    {"pack_mode", TEXT, AT(run.pack_mode), NULL},
    {"recompute", TEXT, AT(run.recompute), NULL},
    {"world_size", NUMBER, AT(run.world_size), NULL},
    {"data_parallel_size", NUMBER, AT(run.data_parallel_size), NULL},
    {"tensor_parallel_size", NUMBER, AT(run.tensor_parallel_size), NULL},
    {"pipeline_parallel_size", NUMBER, AT(run.pipeline_parallel_size), NULL},
    {"context_parallel_size", NUMBER, AT(run.context_parallel_size), NULL},
    {"expert_parallel_size", NUMBER, AT(run.expert_parallel_size), NULL},
    {"zero_stage", NUMBER, AT(run.zero_stage), NULL},
    {"shard_size", NUMBER, AT(run.shard_size), NULL},
    {"global_batch_size", NUMBER, AT(run.global_batch_size), NULL},
    {"train_files", CALL, 0, get_train_files},
    {"validation_files", CALL, 0, get_validation_files},
};

static int put_derived(const struct config *c, const struct derived *d, const struct sink *to,
                       struct err *e)
{
    const char *field = (const char *)c + d->at, *text;
    int64_t number;
    enum dtype dtype;
    switch (d->kind) {
    case TEXT:
        memcpy(&text, field, sizeof text), put_text(to, text);
        break;
    case DTYPE:
        memcpy(&dtype, field, sizeof dtype), put_text(to, dtype_name(dtype));
        break;
    case NUMBER:
        memcpy(&number, field, sizeof number);
        buf_printf(to->b, "%lld%c", (long long)number, to->end);
        break;
    case CALL:
        return d->get(c, to, e);
    }
    return 0;
}

/* Writes a node as one line of JSON, or as YAML. */
static int put_part(const struct node *n, const struct sink *to, bool json, struct err *e)
{
    if (json ? emit_json(n, to->b, e) : emit_yaml(n, to->b, e)) return -1;
    if (to->end != '\n') buf_putc(to->b, to->end);
    return 0;
}

/* Writes the text of a scalar, the items of a list, or a map as YAML. */
static int put_node(const struct node *n, const struct sink *to, struct err *e)
{
    if (n->kind == NODE_MAP) return put_part(n, to, false, e);
    if (n->kind == NODE_SCALAR) return put_text(to, node_is_null(n) ? "" : n->text), 0;
    for (size_t i = 0; i < n->count; i++)
        if (n->items[i]->kind == NODE_SCALAR)
            put_text(to, n->items[i]->text);
        else if (put_part(n->items[i], to, true, e))
            return -1;
    return 0;
}

int config_get(const struct config *c, const char *key, char end, struct buf *b, struct err *e)
{
    const struct sink to = {b, end};
    const struct loaded *l = (const struct loaded *)c;
    const struct node *n = l->shown;
    for (size_t i = 0; i < sizeof derived / sizeof *derived; i++)
        if (!strcmp(key, derived[i].name))
            return put_derived(c, &derived[i], &to, e) ? -1 : buf_check(b, e);
    for (const char *p = key; n;) {
        size_t len = strcspn(p, ".");
        n = node_member_n(n, p, len);
        p += len;
        if (!*p++) break;
    }
    if (n) return put_node(n, &to, e) ? -1 : buf_check(b, e);
    const struct config_key *k = config_key_find(key, KEY_ALWAYS);
    if (config_key_is_group(key)) return 0;
    if (k) { /* not set: an empty line for a scalar, no line for a list */
        if (k->type != KEY_STRS && k->type != KEY_PATHS && k->type != KEY_ANY) buf_putc(b, end);
        return buf_check(b, e);
    }
    char near[300];
    if (config_key_nearest(key, config_scope(c), near, sizeof near) == CONFIG_NEAR_KEY)
        return err_set(e, ERR_CONFIG, "%s: unknown key; did you mean %s?", key, near);
    return err_set(e, ERR_CONFIG, "%s: unknown key; sft-config --help lists the derived ones", key);
}
