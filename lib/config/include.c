/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the files that the list `defaults` names, as Hydra does for ROLL: `../config/X@_here_` is
 * X.yaml there, seen from the file's own folder. A file replaces values of those before it in the
 * list; the file with the list is where `_self_` stands, or last. */
#include <string.h>

#include "base/io.h"
#include "config/load.h"

enum { MOST = 16 };
static const char here[] = "@_here_", yaml[] = ".yaml";

static bool ends_with(const char *s, size_t n, const char *end)
{
    const size_t len = strlen(end);
    return n >= len && memcmp(s + n - len, end, len) == 0;
}

/* Returns the path of an entry's file, in the arena. */
static char *path_of(struct loaded *l, const struct node *entry, struct err *e)
{
    const char *name = entry->text, *slash = strrchr(l->c.path, '/');
    size_t n = strlen(name);
    struct buf b = {.max = 4096};
    if (ends_with(name, n, here)) n -= sizeof here - 1;
    if (n == 0 || memchr(name, '@', n)) {
        node_fail(entry, "defaults", e,
                  "'%.100s': only a file whose keys are merged here is read, such as "
                  "../config/deepspeed_zero3@_here_",
                  name);
        return NULL;
    }
    if (slash && *name != '/') buf_printf(&b, "%.*s/", (int)(slash - l->c.path), l->c.path);
    buf_printf(&b, "%.*s%s", (int)n, name, ends_with(name, n, yaml) ? "" : yaml);
    char *path = buf_check(&b, e) ? NULL : arena_copy(&l->tree.arena, b.data, b.len, e);
    buf_free(&b);
    return path;
}

static int read_text(const struct node *entry, const char *path, struct buf *text, struct err *e)
{
    if (io_slurp_any(path, TREE_MAX_FILE, text, e) == 0) return 0;
    if (e && e->code == ERR_NOINPUT)
        return node_fail(entry, "defaults", e, "%s: there is no such file", path);
    if (e && e->code == ERR_DATA) e->code = ERR_CONFIG;
    return err_prefix(e, "defaults");
}

static struct node *read_entry(struct loaded *l, const struct node *entry, struct err *e)
{
    struct buf text = {0};
    struct node *n = NULL;
    char *path = path_of(l, entry, e);
    if (path && read_text(entry, path, &text, e) == 0)
        n = yaml_read(&l->tree, text.data ? text.data : "", text.len, path, true, e);
    buf_free(&text);
    if (n && (n->kind != NODE_MAP || node_member(n, "defaults"))) {
        node_fail(n, NULL, e, "a file of `defaults` has to be a mapping without such a list");
        return NULL;
    }
    return n;
}

/* Merges the file of an entry, or the file with the list, into the new root. */
static int merge_entry(struct loaded *l, struct node *root, const struct node *entry, bool *self,
                       struct err *e)
{
    if (entry->kind != NODE_SCALAR)
        return node_fail(entry, "defaults", e, "an entry has to be the name of a file");
    const bool own = strcmp(entry->text, "_self_") == 0;
    struct node *n = own ? l->tree.root : read_entry(l, entry, e);
    *self |= own;
    return n ? node_merge(&l->tree, root, n, e) : -1;
}

static int merge_all(struct loaded *l, struct node *root, const struct node *list, struct err *e)
{
    bool self = false;
    if (list->kind != NODE_LIST || list->count > MOST)
        return node_fail(list, "defaults", e, "has to be a list of up to %d files", MOST);
    for (size_t i = 0; i < list->count; i++)
        if (merge_entry(l, root, list->items[i], &self, e)) return -1;
    return self ? 0 : node_merge(&l->tree, root, l->tree.root, e);
}

int include_defaults(struct loaded *l, struct err *e)
{
    const struct node *list = node_member(l->tree.root, "defaults");
    if (!list) return 0;
    struct node *root = node_new(&l->tree, NODE_MAP, l->tree.root, e);
    if (!root || (!node_is_null(list) && merge_all(l, root, list, e))) return -1;
    if (node_is_null(list)) root = l->tree.root;
    node_remove(root, "defaults");
    l->tree.root = root;
    return 0;
}

bool is_included(const struct loaded *l, const struct node *n)
{
    return n->line > 0 && n->origin != l->c.path;
}
