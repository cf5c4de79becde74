/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of a YAML document: nodes in one arena, bounded in number and depth. */
#include "config/node.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct node *node_new(struct tree *t, enum node_kind kind, const struct node *place, struct err *e)
{
    if (t->nodes >= TREE_MAX_NODES) {
        err_set(e, ERR_CONFIG, "%s: more than %d values after anchors and references are expanded",
                place->origin, TREE_MAX_NODES);
        return NULL;
    }
    struct node *n = arena_alloc(&t->arena, sizeof *n, e);
    if (!n) return NULL;
    t->nodes++;
    n->kind = kind;
    n->origin = place->origin;
    n->line = place->line;
    return n;
}

struct node *node_scalar(struct tree *t, const char *text, bool quoted, const struct node *place,
                         struct err *e)
{
    struct node *n = node_new(t, NODE_SCALAR, place, e);
    if (!n) return NULL;
    n->quoted = quoted;
    n->text = arena_copy(&t->arena, text, strlen(text), e);
    return n->text ? n : NULL;
}

/* Doubles the capacity of a container. The old arrays stay in the arena. */
static int grow(struct tree *t, struct node *n, struct err *e)
{
    size_t cap = n->cap ? n->cap * 2 : 4;
    struct node **items = arena_alloc(&t->arena, cap * sizeof *items, e);
    const char **keys = items ? arena_alloc(&t->arena, cap * sizeof *keys, e) : NULL;
    if (!keys) return -1;
    if (n->count) {
        memcpy(items, n->items, n->count * sizeof *items);
        memcpy(keys, n->keys, n->count * sizeof *keys);
    }
    n->items = items;
    n->keys = keys;
    n->cap = cap;
    return 0;
}

int node_add(struct tree *t, struct node *to, const char *key, struct node *item, struct err *e)
{
    if (to->count == to->cap && grow(t, to, e)) return -1;
    if (key) {
        to->keys[to->count] = arena_copy(&t->arena, key, strlen(key), e);
        if (!to->keys[to->count]) return -1;
    }
    item->parent = to;
    to->items[to->count++] = item;
    return 0;
}

struct node *node_copy(struct tree *t, const struct node *from, int depth, struct err *e)
{
    if (depth > TREE_MAX_DEPTH) {
        node_fail(from, NULL, e, "nested deeper than %d", TREE_MAX_DEPTH);
        return NULL;
    }
    if (from->kind == NODE_SCALAR) {
        struct node *s = node_new(t, NODE_SCALAR, from, e);
        if (!s) return NULL;
        s->text = from->text;
        s->quoted = from->quoted;
        s->state = from->state;
        return s;
    }
    struct node *n = node_new(t, from->kind, from, e);
    if (!n) return NULL;
    n->state = from->state;
    for (size_t i = 0; i < from->count; i++) {
        struct node *item = node_copy(t, from->items[i], depth + 1, e);
        const char *key = from->kind == NODE_MAP ? from->keys[i] : NULL;
        if (!item || node_add(t, n, key, item, e)) return NULL;
    }
    return n;
}

struct node *node_member_n(const struct node *n, const char *key, size_t len)
{
    if (n->kind == NODE_MAP)
        for (size_t i = 0; i < n->count; i++)
            if (strlen(n->keys[i]) == len && !memcmp(n->keys[i], key, len)) return n->items[i];
    if (n->kind != NODE_LIST || len == 0 || len > 6) return NULL;
    size_t index = 0;
    for (size_t i = 0; i < len; i++) {
        if (key[i] < '0' || key[i] > '9') return NULL;
        index = index * 10 + (size_t)(key[i] - '0');
    }
    return index < n->count ? n->items[index] : NULL;
}

struct node *node_member(const struct node *map, const char *key)
{
    return map->kind == NODE_MAP ? node_member_n(map, key, strlen(key)) : NULL;
}

static int replace(struct node *map, const char *key, size_t len, struct node *value)
{
    for (size_t i = 0; i < map->count; i++) {
        if (strlen(map->keys[i]) != len || memcmp(map->keys[i], key, len)) continue;
        map->items[i] = value;
        value->parent = map;
        return 0;
    }
    return -1;
}

/* Merges the members of `from` into `to`. A map merges into a map; other values replace. */
static int merge(struct tree *t, struct node *to, struct node *from, int depth, struct err *e)
{
    if (depth > TREE_MAX_DEPTH)
        return node_fail(from, NULL, e, "nested deeper than %d", TREE_MAX_DEPTH);
    for (size_t i = 0; i < from->count; i++) {
        struct node *old = node_member(to, from->keys[i]), *new = from->items[i];
        if (old && old->kind == NODE_MAP && new->kind == NODE_MAP) {
            if (merge(t, old, new, depth + 1, e)) return -1;
        } else if (old) {
            replace(to, from->keys[i], strlen(from->keys[i]), new);
        } else if (node_add(t, to, from->keys[i], new, e)) {
            return -1;
        }
    }
    return 0;
}

int node_merge(struct tree *t, struct node *to, struct node *from, struct err *e)
{
    return merge(t, to, from, 0, e);
}

void node_remove(struct node *map, const char *key)
{
    for (size_t i = 0; i < map->count; i++) {
        if (strcmp(map->keys[i], key)) continue;
        map->count--;
        memmove(map->keys + i, map->keys + i + 1, (map->count - i) * sizeof *map->keys);
        memmove(map->items + i, map->items + i + 1, (map->count - i) * sizeof *map->items);
        return;
    }
}

/* Returns the map below `at` with the first len bytes of key as its name. Creates it when it is
 * missing or null. */
static struct node *enter(struct tree *t, struct node *at, const char *key, size_t len,
                          const struct node *place, struct err *e)
{
    struct node *next = node_member_n(at, key, len);
    if (next && next->kind == NODE_MAP) return next;
    if (next && !node_is_null(next)) {
        node_fail(place, NULL, e, "%.*s is not a mapping", (int)len, key);
        return NULL;
    }
    struct node *map = node_new(t, NODE_MAP, place, e);
    if (!map) return NULL;
    if (next) return replace(at, key, len, map) ? NULL : map;
    char *name = arena_copy(&t->arena, key, len, e);
    return name && !node_add(t, at, name, map, e) ? map : NULL;
}

int node_put(struct tree *t, struct node *root, const char *path, struct node *value, struct err *e)
{
    struct node *at = root;
    const char *dot;
    int depth = 0;
    for (; (dot = strchr(path, '.')); path = dot + 1) {
        if (++depth > TREE_MAX_DEPTH)
            return node_fail(value, NULL, e, "nested deeper than %d", TREE_MAX_DEPTH);
        at = enter(t, at, path, (size_t)(dot - path), value, e);
        if (!at) return -1;
    }
    struct node *old = node_member(at, path);
    if (old && old->kind == NODE_MAP && value->kind == NODE_MAP)
        return merge(t, old, value, depth, e);
    if (old) return replace(at, path, strlen(path), value);
    return node_add(t, at, path, value, e);
}

int node_fail(const struct node *n, const char *key, struct err *e, const char *fmt, ...)
{
    char text[1200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t len = key ? strlen(key) : 0;
    if (!n->line && len && !strncmp(n->origin, key, len)) key = NULL; /* 'key=value' has it */
    const char *sep = key ? ": " : "";
    if (!key) key = "";
    if (!n->line) return err_set(e, ERR_CONFIG, "'%.300s': %s%s%s", n->origin, key, sep, text);
    return err_set(e, ERR_CONFIG, "%s:%u: %s%s%s", n->origin, n->line, key, sep, text);
}
