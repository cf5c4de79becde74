/* SPDX-License-Identifier: Apache-2.0 */
/* Resolves ${key}, ${a.b}, ${.sibling}, ${..uncle}, ${list[0]} and ${oc.env:NAME,default}, as
 * OmegaConf does. Nothing else is evaluated. \${ is a literal ${. */
#include <stdlib.h>
#include <string.h>

#include "config/node.h"

enum { MAX_NESTED = 3 * TREE_MAX_DEPTH };

struct interp {
    struct tree *tree;
    int depth; /* nested values and references, at most MAX_NESTED */
};

static int resolve(struct interp *in, struct node *n, struct err *e);

/* Replaces the value of n by a copy of `from`; n keeps its parent and its place in the file. */
static int replace_value(struct interp *in, struct node *n, const struct node *from, struct err *e)
{
    const struct node *copy = node_copy(in->tree, from, 0, e);
    if (!copy) return -1;
    struct node old = *n;
    *n = *copy;
    n->parent = old.parent;
    n->origin = old.origin;
    n->line = old.line;
    for (size_t i = 0; i < n->count; i++) n->items[i]->parent = n;
    return 0;
}

/* Returns the node that `ref`, the text in the braces, names. Resolves its ancestors as needed. */
static struct node *lookup(struct interp *in, struct node *at, const char *ref, struct err *e)
{
    struct node *n = in->tree->root;
    const char *p = ref;
    if (*p == '.')
        for (n = at; *p == '.' && n; p++) n = n->parent;
    while (n && *p) {
        size_t len = strcspn(p, ".[]");
        if (n->kind == NODE_SCALAR && resolve(in, n, e)) return NULL;
        n = node_member_n(n, p, len);
        for (p += len; *p == '.' || *p == '[' || *p == ']';) p++;
    }
    if (!n || !*ref)
        node_fail(at, NULL, e, "${%.100s}: there is no such key in the configuration", ref);
    return *ref ? n : NULL;
}

/* Returns the value of ${oc.env:NAME} or ${oc.env:NAME,default} as a scalar. */
static struct node *env_value(struct interp *in, const struct node *at, char *args, struct err *e)
{
    char *fallback = strchr(args, ',');
    if (fallback) *fallback++ = 0;
    args += strspn(args, " ");
    for (size_t n = strlen(args); n && args[n - 1] == ' ';) args[--n] = 0;
    const char *value = getenv(args);
    if (value && !text_is_utf8(value)) {
        node_fail(at, NULL, e, "${oc.env:%.100s}: the variable is not UTF-8", args);
        return NULL;
    }
    /* An empty variable is a quoted empty string, as in OmegaConf, not null. */
    if (value) return node_scalar(in->tree, value, !*value, at, e);
    if (!fallback) {
        node_fail(at, NULL, e,
                  "${oc.env:%.100s}: the variable is not set; export it or write "
                  "${oc.env:%.100s,DEFAULT}",
                  args, args);
        return NULL;
    }
    fallback += strspn(fallback, " ");
    size_t n = strlen(fallback);
    while (n && fallback[n - 1] == ' ') n--;
    bool quoted = n >= 2 && (*fallback == '"' || *fallback == '\'') && fallback[n - 1] == *fallback;
    fallback[quoted ? n - 1 : n] = 0;
    return node_scalar(in->tree, fallback + quoted, quoted, at, e);
}

static char *trimmed(struct interp *in, const char *s, size_t n, struct err *e)
{
    while (n && *s == ' ') s++, n--;
    while (n && s[n - 1] == ' ') n--;
    return arena_copy(&in->tree->arena, s, n, e);
}

/* Returns the resolved value of the text between ${ and }. */
static struct node *evaluate(struct interp *in, struct node *at, const char *text, size_t len,
                             struct err *e)
{
    char *ref = trimmed(in, text, len, e);
    if (!ref) return NULL;
    char *colon = strchr(ref, ':');
    if (colon) {
        if (!strncmp(ref, "oc.env:", 7)) return env_value(in, at, colon + 1, e);
        node_fail(at, NULL, e, "${%.100s}: only ${key} and ${oc.env:NAME,default} are resolved",
                  ref);
        return NULL;
    }
    struct node *n = lookup(in, at, ref, e);
    if (!n) return NULL;
    if (n->state == NODE_BUSY) {
        node_fail(at, NULL, e, "${%.100s} refers to itself", ref);
        return NULL;
    }
    return resolve(in, n, e) ? NULL : n;
}

/* Returns the '}' that closes the "${" before s, or NULL. */
static const char *closing(const char *s)
{
    for (int open = 1; *s; s++) {
        if (s[0] == '$' && s[1] == '{')
            open++, s++;
        else if (*s == '}' && --open == 0)
            return s;
    }
    return NULL;
}

/* Copies the backslashes at *s. Before "${", each pair is one backslash, and an odd one makes the
 * "${" literal. Returns true in that case. */
static bool escaped(struct buf *out, const char **s)
{
    size_t n = strspn(*s, "\\");
    if (strncmp(*s + n, "${", 2)) {
        buf_add(out, *s, n);
        *s += n;
        return false;
    }
    buf_add(out, *s, n / 2);
    *s += n;
    if (n % 2) buf_puts(out, "${"), *s += 2;
    return n % 2;
}

static int expand(struct interp *in, struct node *at, const char *s, struct buf *out,
                  struct err *e);

/* Evaluates the expression at *s, which begins with "${" and may contain others; advances *s past
 * it.
 */
static struct node *reference(struct interp *in, struct node *at, const char **s, struct err *e)
{
    const char *end = closing(*s + 2);
    if (!end) {
        node_fail(at, NULL, e, "${ without }; write \\${ for the characters themselves");
        return NULL;
    }
    struct buf inner = {.max = TREE_MAX_STRING};
    struct node *value = NULL;
    char *body = arena_copy(&in->tree->arena, *s + 2, (size_t)(end - *s - 2), e);
    if (body && !expand(in, at, body, &inner, e))
        value = evaluate(in, at, inner.data ? inner.data : "", inner.len, e);
    buf_free(&inner);
    *s = end + 1;
    return value;
}

/* Appends s to out, with every reference replaced by its text. */
static int expand(struct interp *in, struct node *at, const char *s, struct buf *out, struct err *e)
{
    if (++in->depth > MAX_NESTED)
        return node_fail(at, NULL, e, "${...} nested deeper than %d", MAX_NESTED);
    while (*s && !out->failed) {
        if (*s == '\\' && escaped(out, &s)) continue;
        if (strncmp(s, "${", 2)) {
            if (*s && *s != '\\') buf_putc(out, *s++);
            continue;
        }
        const struct node *value = reference(in, at, &s, e);
        if (!value) return -1;
        if (value->kind != NODE_SCALAR)
            return node_fail(at, NULL, e, "a list or mapping cannot be put into a string");
        buf_puts(out, node_is_null(value) ? "None" : value->text);
    }
    in->depth--;
    if (out->over)
        return node_fail(at, NULL, e, "${...} makes a string longer than %d bytes",
                         TREE_MAX_STRING);
    return buf_check(out, e);
}

static int resolve_scalar(struct interp *in, struct node *n, struct err *e)
{
    const char *s = n->text, *first = strstr(s, "${");
    if (!first) return 0;
    const char *end = first == s ? closing(s + 2) : NULL;
    if (end && !end[1]) { /* a single reference keeps the kind of its value */
        const struct node *value = reference(in, n, &s, e);
        return value ? replace_value(in, n, value, e) : -1;
    }
    struct buf out = {.max = TREE_MAX_STRING};
    int rc = expand(in, n, s, &out, e);
    if (!rc) {
        n->text = arena_copy(&in->tree->arena, out.data, out.len, e);
        n->quoted = true;
        rc = n->text ? 0 : -1;
    }
    buf_free(&out);
    return rc;
}

static int resolve(struct interp *in, struct node *n, struct err *e)
{
    if (n->state == NODE_DONE) return 0;
    if (n->state == NODE_BUSY) return node_fail(n, NULL, e, "${...} refers to itself");
    if (++in->depth > MAX_NESTED)
        return node_fail(n, NULL, e, "${...} nested deeper than %d", MAX_NESTED);
    n->state = NODE_BUSY;
    int rc = n->kind == NODE_SCALAR ? resolve_scalar(in, n, e) : 0;
    for (size_t i = 0; !rc && n->kind != NODE_SCALAR && i < n->count; i++)
        rc = resolve(in, n->items[i], e);
    n->state = NODE_DONE;
    in->depth--;
    return rc;
}

int tree_interpolate(struct tree *t, struct err *e)
{
    struct interp in = {.tree = t};
    struct node *root = t->root;
    /* The block `hydra` uses other resolvers (${now:...}) and has no effect here. */
    for (size_t i = 0; i < root->count; i++)
        if (strcmp(root->keys[i], "hydra") && resolve(&in, root->items[i], e)) return -1;
    return 0;
}
