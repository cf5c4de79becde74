/* SPDX-License-Identifier: Apache-2.0 */
/* Stores a node in the typed field of its key and makes its normal form. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "config/load.h"

struct target {
    struct loaded *l;
    const struct config_key *key;
    const char *path;
    const struct node *n;
};

const char *value_quote(const struct node *n, char out[80])
{
    if (n->kind == NODE_SCALAR)
        snprintf(out, 80, "'%.60s'", n->text);
    else
        snprintf(out, 80, "%s", n->kind == NODE_LIST ? "a list" : "a mapping");
    return out;
}

static struct node *wrong(const struct target *t, struct err *e, const char *wanted)
{
    char shown[80];
    node_fail(t->n, t->path, e, "%s is not %s", value_quote(t->n, shown), wanted);
    return NULL;
}

static void put(const struct target *t, const void *value, size_t size)
{
    if (t->key->to) memcpy((char *)&t->l->c + t->key->to - 1, value, size);
}

static struct node *normal(const struct target *t, const char *text, bool quoted, struct err *e)
{
    return node_scalar(&t->l->tree, text, quoted, t->n, e);
}

static struct node *store_bool(const struct target *t, const struct scalar *s, struct err *e)
{
    if (s->kind != SCALAR_BOOL) return wrong(t, e, "true or false");
    put(t, &s->truth, sizeof s->truth);
    return normal(t, s->truth ? "true" : "false", false, e);
}

static int check_range(const struct target *t, double v, struct err *e)
{
    const struct config_key *k = t->key;
    char lo[40], hi[40];
    if ((k->lo == 0 && k->hi == 0) || (v >= k->lo && v <= k->hi)) return 0;
    snprintf(lo, sizeof lo, "%.9g", k->lo);
    snprintf(hi, sizeof hi, "%.9g", k->hi);
    if (v < k->lo) return node_fail(t->n, t->path, e, "%s is below %s", t->n->text, lo);
    return node_fail(t->n, t->path, e, "%s is above %s", t->n->text, hi);
}

static struct node *store_int(const struct target *t, const struct scalar *s, struct err *e)
{
    char text[40];
    if (s->kind != SCALAR_INT) return wrong(t, e, "an integer");
    if (check_range(t, s->r, e)) return NULL;
    put(t, &s->i, sizeof s->i);
    snprintf(text, sizeof text, "%lld", (long long)s->i);
    return normal(t, text, false, e);
}

static struct node *store_real(const struct target *t, const struct scalar *s, struct err *e)
{
    char text[40];
    if ((s->kind != SCALAR_INT && s->kind != SCALAR_REAL) || !isfinite(s->r))
        return wrong(t, e, "a number");
    if (check_range(t, s->r, e)) return NULL;
    put(t, &s->r, sizeof s->r);
    scalar_real(s->r, text);
    return normal(t, text, false, e);
}

/* Accepts a number as its text; refuses booleans and lists. */
static struct node *store_string(const struct target *t, const struct scalar *s, struct err *e)
{
    if (t->n->kind != NODE_SCALAR) return wrong(t, e, "a string");
    if (s->kind == SCALAR_BOOL) return wrong(t, e, "a string; put it in quotes if it is meant");
    struct node *n = normal(t, t->n->text, true, e);
    if (n) put(t, &n->text, sizeof n->text);
    return n;
}

/* Expands a path. An empty one stays empty: for some keys it means none. */
static struct node *normal_path(const struct target *t, struct err *e)
{
    struct buf full = {0};
    struct err why = {0};
    struct node *n = NULL;
    char shown[80];
    if (io_expand_home(t->n->text, &full, &why) == 0)
        n = normal(t, full.data ? full.data : "", true, e);
    else if (why.code == ERR_CONFIG)
        node_fail(t->n, t->path, e, "%s: %s", value_quote(t->n, shown), why.msg);
    else if (e)
        *e = why;
    buf_free(&full);
    return n;
}

static struct node *store_path(const struct target *t, const struct scalar *s, struct err *e)
{
    if (t->n->kind != NODE_SCALAR || s->kind == SCALAR_BOOL) return store_string(t, s, e);
    struct node *n = normal_path(t, e);
    if (n) put(t, &n->text, sizeof n->text);
    return n;
}

/* Lists the words that sft-train takes: of those that ROLL has, some are refused. */
static struct node *no_word(const struct target *t, struct err *e)
{
    const char *p = t->key->only && *t->key->only ? t->key->only : t->key->words;
    char shown[80], words[400];
    size_t len = 0;
    for (; *p && len + 3 < sizeof words; p++) {
        if (*p == '|')
            words[len++] = ',', words[len++] = ' ';
        else
            words[len++] = *p;
    }
    words[len] = 0;
    node_fail(t->n, t->path, e, "%s is none of: %s", value_quote(t->n, shown), words);
    return NULL;
}

static struct node *store_word(const struct target *t, struct err *e)
{
    const struct config_key *k = t->key;
    if (t->n->kind != NODE_SCALAR || strchr(t->n->text, '|') ||
        !config_word_in(t->n->text, k->words))
        return no_word(t, e);
    struct node *n = normal(t, t->n->text, true, e);
    if (!n) return NULL;
    enum dtype dtype;
    if (k->type == KEY_WORD)
        put(t, &n->text, sizeof n->text);
    else if (dtype_find(n->text, &dtype))
        return node_fail(t->n, t->path, e, "%s is no element type", n->text), NULL;
    else
        put(t, &dtype, sizeof dtype);
    return n;
}

static struct node *store_strings(const struct target *t, struct err *e)
{
    const struct node *n = t->n;
    size_t count = n->kind == NODE_LIST ? n->count : 1;
    struct node *list = node_new(&t->l->tree, NODE_LIST, n, e);
    struct config_strings s = {.n = count};
    s.v = arena_alloc(&t->l->tree.arena, count * sizeof *s.v + 1, e);
    if (!list || !s.v) return NULL;
    for (size_t i = 0; i < count; i++) {
        struct target one = {t->l, t->key, t->path, n->kind == NODE_LIST ? n->items[i] : n};
        if (one.n->kind != NODE_SCALAR || node_is_null(one.n) || !*one.n->text)
            return wrong(&one, e, "a string");
        struct node *item =
            t->key->type == KEY_PATHS ? normal_path(&one, e) : normal(&one, one.n->text, true, e);
        if (!item || node_add(&t->l->tree, list, NULL, item, e)) return NULL;
        s.v[i] = item->text;
    }
    put(t, &s, sizeof s);
    return list;
}

/* Reads the numbers of a YAML list. */
static int list_devices(const struct target *t, struct config_ints *d, struct err *e)
{
    d->n = t->n->count;
    d->v = arena_alloc(&t->l->tree.arena, d->n * sizeof *d->v + 1, e);
    if (!d->v) return -1;
    for (size_t i = 0; i < d->n; i++) {
        struct target one = {t->l, t->key, t->path, t->n->items[i]};
        struct scalar s;
        scalar_read(one.n, &s);
        if (s.kind != SCALAR_INT) return wrong(&one, e, "a device number"), -1;
        d->v[i] = s.i;
    }
    return 0;
}

static struct node *store_devices(const struct target *t, struct err *e)
{
    struct tree *tree = &t->l->tree;
    struct config_ints d = {0};
    const char *problem = NULL;
    char shown[80], text[40];
    if (t->n->kind == NODE_MAP) return wrong(t, e, "a list such as [0, 1] or list(range(0,8))");
    if (t->n->kind == NODE_LIST) {
        if (list_devices(t, &d, e)) return NULL;
    } else if (devices_parse(tree, t->n->text, &d, &problem, e) && !problem) {
        return NULL; /* out of memory */
    }
    if (problem || devices_check(&d, &problem)) {
        node_fail(t->n, t->path, e, "%s %s", value_quote(t->n, shown), problem);
        return NULL;
    }
    struct node *list = node_new(tree, NODE_LIST, t->n, e);
    for (size_t i = 0; list && i < d.n; i++) {
        snprintf(text, sizeof text, "%lld", (long long)d.v[i]);
        struct node *item = normal(t, text, false, e);
        if (!item || node_add(tree, list, NULL, item, e)) return NULL;
    }
    put(t, &d, sizeof d);
    return list;
}

static struct node *store_resume(const struct target *t, const struct scalar *s, struct err *e)
{
    static const char *const automatic = "auto", *const none;
    if (s->kind == SCALAR_BOOL) {
        put(t, s->truth ? &automatic : &none, sizeof automatic);
        return normal(t, s->truth ? "true" : "false", false, e);
    }
    return store_path(t, s, e);
}

struct node *value_store(struct loaded *l, const struct config_key *k, const char *path,
                         const struct node *n, struct err *e)
{
    struct target t = {l, k, path, n};
    struct scalar s;
    scalar_read(n, &s);
    switch (k->type) {
    case KEY_BOOL:
        return store_bool(&t, &s, e);
    case KEY_INT:
        return store_int(&t, &s, e);
    case KEY_REAL:
        return store_real(&t, &s, e);
    case KEY_STR:
        return store_string(&t, &s, e);
    case KEY_WORD:
    case KEY_DTYPE:
        return store_word(&t, e);
    case KEY_PATH:
        return store_path(&t, &s, e);
    case KEY_STRS:
    case KEY_PATHS:
        return store_strings(&t, e);
    case KEY_DEVICES:
        return store_devices(&t, e);
    case KEY_RESUME:
        return store_resume(&t, &s, e);
    case KEY_ANY:
        break;
    }
    return node_copy(&l->tree, n, 0, e);
}
