/* SPDX-License-Identifier: Apache-2.0 */
/* The mapping sft.run, which identifies the run that wrote a config.yaml. */
#include <stddef.h>
#include <string.h>

#include "base/io.h"
#include "config/load.h"

#define MAPPING "sft.run"

static const struct field {
    const char *key;
    size_t at;
} fields[] = {
    {"id", offsetof(struct config_run, id)},     {"output", offsetof(struct config_run, output)},
    {"logs", offsetof(struct config_run, logs)}, {"process", offsetof(struct config_run, process)},
    {"host", offsetof(struct config_run, host)}, {"started", offsetof(struct config_run, started)},
};
enum { FIELDS = sizeof fields / sizeof *fields };

static const char **field_of(struct config_run *r, const struct field *f)
{
    return (const char **)(void *)((char *)r + f->at);
}

int config_run_put(struct config *c, const struct config_run *r, struct err *e)
{
    struct loaded *l = (struct loaded *)c;
    struct config_run all = *r;
    struct node *map = node_new(&l->tree, NODE_MAP, l->tree.root, e);
    for (size_t i = 0; i < FIELDS && map; i++) {
        const char *text = *field_of(&all, &fields[i]);
        if (!text) continue;
        struct node *n = node_scalar(&l->tree, text, true, l->tree.root, e);
        if (!n || node_add(&l->tree, map, fields[i].key, n, e)) return -1;
    }
    return map ? node_put(&l->tree, l->shown, MAPPING, map, e) : -1;
}

static const char *text_of(const struct node *n)
{
    return n && n->kind == NODE_SCALAR && !node_is_null(n) ? n->text : NULL;
}

static void read_fields(const struct node *root, struct config_run *r)
{
    const struct node *sft = node_member(root, "sft"), *map = sft ? node_member(sft, "run") : NULL;
    for (size_t i = 0; i < FIELDS && map; i++)
        *field_of(r, &fields[i]) = text_of(node_member(map, fields[i].key));
    r->output_dir = text_of(node_member(root, "output_dir"));
}

int config_run_read(const char *path, struct config_run *r, struct err *e)
{
    struct tree t = {.arena = {.max = TREE_MAX_BYTES}};
    struct buf text = {0};
    struct err why = {0};
    *r = (struct config_run){0};
    int rc = io_slurp(path, TREE_MAX_FILE, &text, &why);
    if (rc == 0) t.root = yaml_read(&t, text.data ? text.data : "", text.len, path, true, &why);
    if (t.root && t.root->kind == NODE_MAP && tree_interpolate(&t, &why) == 0)
        read_fields(t.root, r);
    r->memory = t.arena;
    buf_free(&text);
    if (!why.code || why.code == ERR_CONFIG || why.code == ERR_DATA) return 0;
    if (e) *e = why;
    config_run_free(r);
    return -1;
}

void config_run_free(struct config_run *r)
{
    arena_free(&r->memory);
    *r = (struct config_run){0};
}
