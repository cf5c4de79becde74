/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the key of every value in the tree; an unknown key is an error that names the nearest. */
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "config/load.h"

#define STRATEGY_CONFIG "sft_train.strategy_args.strategy_config"

static const char not_this_strategy[] = "fsdp2_train does not read it";
static const char not_validated[] = "of validation only data_args.file_name is read";

/* Reads strategy_name first, because it decides which keys strategy_config has. */
static enum key_scope scope_of(const struct node *root)
{
    const struct node *n = node_member(root, "sft_train");
    n = n ? node_member(n, "strategy_args") : NULL;
    n = n ? node_member(n, "strategy_name") : NULL;
    if (!n || n->kind != NODE_SCALAR || node_is_null(n)) return KEY_FSDP2;
    return config_scope_of(n->text);
}

struct binder {
    struct loaded *l;
    enum key_scope scope;
};

static int unknown(const struct binder *b, const struct node *n, const char *path, struct err *e)
{
    char near[300];
    if (!n->line && io_exists(n->origin, NULL) > 0)
        return node_fail(n, path, e,
                         "unknown key; if the file of that name is meant, write ./%.300s",
                         n->origin);
    const enum config_near found = config_key_nearest(path, b->scope, near, sizeof near);
    if (found == CONFIG_NEAR_KEY)
        return node_fail(n, path, e, "unknown key; did you mean %s?", near);
    if (found == CONFIG_NEAR_USELESS)
        return node_fail(n, path, e, "unknown key; leave it out: %s", near);
    return node_fail(n, path, e, "unknown key; docs/config.md lists all");
}

static int add(struct loaded *l, struct setting s, struct err *e)
{
    if (mem_grow(&l->settings, &l->cap, l->count + 1, sizeof s, e)) return -1;
    l->settings[l->count++] = s;
    return 0;
}

/* Maps "validation.x" to "sft_train.x": validation has the keys of sft_train. */
static bool as_training(const char *path, char *out, size_t size)
{
    static const char prefix[] = "validation.";
    if (strncmp(path, prefix, sizeof prefix - 1)) return false;
    int n = snprintf(out, size, "sft_train.%s", path + sizeof prefix - 1);
    return n > 0 && (size_t)n < size;
}

static const struct config_key *find(const struct binder *b, const char *path, const char **idle)
{
    const struct config_key *k = config_key_find(path, b->scope);
    char other[400];
    if (!k && as_training(path, other, sizeof other)) {
        *idle = not_validated;
        return config_key_find(other, KEY_ALWAYS);
    }
    if (k && k->scope != KEY_ALWAYS && k->scope != b->scope) *idle = not_this_strategy;
    if (k && !*idle && k->effect == KEY_IDLE) *idle = k->doc;
    return k;
}

static bool is_group(const char *path)
{
    char other[400];
    return config_key_is_group(path) ||
           (as_training(path, other, sizeof other) && config_key_is_group(other));
}

static int bind_value(struct binder *b, const char *path, const struct node *n, struct err *e)
{
    struct setting s = {.path = path, .node = n};
    s.key = find(b, path, &s.idle);
    if (!s.key) return unknown(b, n, path, e);
    if (s.idle == not_this_strategy && b->scope != KEY_FSDP2)
        return node_fail(n, path, e, "is a key of %s, not of %s", config_scope_name(s.key->scope),
                         config_scope_name(b->scope));
    return add(b->l, s, e);
}

static int bind_map(struct binder *b, const char *path, const struct node *map, struct err *e);

/* Returns true for a section that is no key. In a file of `defaults` it is there for references,
 * such as strategy_config: ${deepspeed_zero3}. */
static bool is_foreign(const struct binder *b, const char *path)
{
    return !strchr(path, '.') && !is_group(path) && !config_key_find(path, b->scope);
}

static int bind_member(struct binder *b, const char *path, const struct node *n, struct err *e)
{
    static const struct config_key other_engine = {.path = STRATEGY_CONFIG, .type = KEY_ANY};
    char shown[80];
    if ((b->scope == KEY_ALWAYS && !strcmp(path, STRATEGY_CONFIG)) ||
        !strcmp(path, "validation.strategy_args.strategy_config"))
        return add(b->l, (struct setting){&other_engine, path, n, NULL, "not for training"}, e);
    if (node_is_null(n) && (is_group(path) || config_key_find(path, b->scope))) return 0;
    if (is_included(b->l, n) && is_foreign(b, path)) return 0;
    /* a word of one strategy may be a group of another, such as optimizer */
    const bool word = n->kind != NODE_MAP && config_key_find(path, b->scope);
    if (word || !is_group(path)) return bind_value(b, path, n, e);
    if (n->kind == NODE_MAP) return bind_map(b, path, n, e);
    return node_fail(n, path, e, "%s is not a mapping", value_quote(n, shown));
}

static int bind_map(struct binder *b, const char *path, const struct node *map, struct err *e)
{
    struct buf at = {.max = 4096};
    int rc = 0;
    for (size_t i = 0; !rc && i < map->count; i++) {
        if (strchr(map->keys[i], '.')) {
            rc = node_fail(map->items[i], map->keys[i], e,
                           "a key with a dot; in the file, write nested mappings");
            break;
        }
        buf_reset(&at);
        if (*path) buf_puts(&at, path), buf_putc(&at, '.');
        buf_puts(&at, map->keys[i]);
        if (at.over) {
            rc = node_fail(map->items[i], NULL, e, "a key longer than 4096 bytes");
            break;
        }
        char *own = buf_check(&at, e) ? NULL : arena_copy(&b->l->tree.arena, at.data, at.len, e);
        rc = own ? bind_member(b, own, map->items[i], e) : -1;
    }
    buf_free(&at);
    return rc;
}

int bind_settings(struct loaded *l, struct err *e)
{
    struct binder b = {l, scope_of(l->tree.root)};
    return bind_map(&b, "", l->tree.root, e);
}

const struct setting *setting_of(const struct loaded *l, const char *path)
{
    for (size_t i = 0; i < l->count; i++)
        if (!strcmp(l->settings[i].path, path)) return &l->settings[i];
    return NULL;
}

void setting_idle(struct loaded *l, const char *path, const char *why)
{
    for (size_t i = 0; i < l->count; i++)
        if (!l->settings[i].idle && !strcmp(l->settings[i].path, path)) l->settings[i].idle = why;
}
