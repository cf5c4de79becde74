/* SPDX-License-Identifier: Apache-2.0 */
/* Loads a configuration from a file and overrides. */
#include "config/load.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"

/* Puts the path with another ending into `other`, if there is such a file. */
static bool other_ending(const char *path, size_t stem, const char *end, struct buf *other)
{
    buf_reset(other);
    buf_printf(other, "%.*s%s", (int)stem, path, end);
    return !buf_check(other, NULL) && strcmp(other->data, path) != 0 &&
           io_exists(other->data, NULL) > 0 && io_is_dir(other->data, NULL) == 0;
}

/* Lets the message about a missing file name one with the ending that was meant. */
static void name_other(const char *path, struct err *e)
{
    static const char *const ends[] = {".yaml", ".yml", ""};
    enum { ENDS = sizeof ends / sizeof *ends };
    struct buf other = {0};
    const char *dot = strrchr(path, '.');
    const bool known = dot && (!strcmp(dot, ends[0]) || !strcmp(dot, ends[1]));
    const size_t stem = known ? (size_t)(dot - path) : strlen(path);
    bool found = false;
    for (size_t i = 0; i < ENDS && !found; i++) found = other_ending(path, stem, ends[i], &other);
    if (found)
        err_set(e, ERR_NOINPUT, "%s: there is no such file, but there is %s", path, other.data);
    buf_free(&other);
}

static int read_text(const char *path, struct buf *text, struct err *e)
{
    if (io_slurp_any(path, TREE_MAX_FILE, text, e) == 0) return 0;
    if (e && e->code == ERR_DATA) e->code = ERR_CONFIG;
    if (e && e->code == ERR_NOINPUT && io_exists(path, NULL) == 0) name_other(path, e);
    return -1;
}

/* Editors on Windows save UTF-8 with a byte order mark, which PyYAML skips too. */
static int skip_mark(const char *path, struct str *text, struct err *e)
{
    if (text->n >= 2 && (!memcmp(text->p, "\xff\xfe", 2) || !memcmp(text->p, "\xfe\xff", 2)))
        return err_set(e, ERR_CONFIG,
                       "%s: is UTF-16; convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)", path);
    if (text->n >= 3 && !memcmp(text->p, "\xef\xbb\xbf", 3))
        *text = (struct str){text->p + 3, text->n - 3};
    return 0;
}

static int parse(struct loaded *l, struct str text, struct err *e)
{
    struct tree *t = &l->tree;
    if (skip_mark(l->c.path, &text, e)) return -1;
    t->root = yaml_read(t, text.p, text.n, l->c.path, true, e);
    if (!t->root) return -1;
    if (node_is_null(t->root)) return err_set(e, ERR_CONFIG, "%s: the file is empty", l->c.path);
    if (t->root->kind == NODE_MAP) return 0;
    return node_fail(t->root, NULL, e, "the file has to be a mapping of keys to values");
}

static int read_file(struct loaded *l, struct err *e)
{
    struct buf text = {0};
    int rc = read_text(l->c.path, &text, e);
    if (rc == 0) rc = parse(l, (struct str){text.data ? text.data : "", text.len}, e);
    buf_free(&text);
    return rc;
}

/* Stores the default of a key as if the file contained it. */
static int store_default(struct loaded *l, const struct config_key *k, struct err *e)
{
    struct tree *t = &l->tree;
    struct node *n = yaml_read(t, k->dflt, strlen(k->dflt), k->path, false, e);
    struct node *shown = n ? value_store(l, k, k->path, n, e) : NULL;
    if (!shown) return -1;
    const bool other = k->scope != KEY_ALWAYS && k->scope != config_scope(&l->c);
    return other ? 0 : node_put(t, l->shown, k->path, shown, e);
}

static int show(struct loaded *l, const struct setting *s, struct err *e)
{
    const char *at = s->key->as && !s->idle ? s->key->as : s->path;
    return node_put(&l->tree, l->shown, at, s->shown, e);
}

/* Checks the value of a key; stores it unless the key has no effect. */
static int store_setting(struct loaded *l, struct setting *s, struct err *e)
{
    struct config_key k = *s->key;
    if (s->idle) k.to = 0;
    s->shown = value_store(l, &k, s->path, s->node, e);
    return s->shown ? 0 : -1;
}

/* Stores in the order of the table, so that strategy_config overrides training_args, and that the
 * resolved configuration always has the same order. */
static int store_all(struct loaded *l, struct err *e)
{
    const struct config_key *k;
    for (size_t i = 0; (k = config_key_at(i)); i++) {
        if (k->dflt && k->to && store_default(l, k, e)) return -1;
        for (size_t s = 0; s < l->count; s++)
            if (l->settings[s].key == k && !l->settings[s].idle &&
                (store_setting(l, &l->settings[s], e) || show(l, &l->settings[s], e)))
                return -1;
    }
    for (size_t s = 0; s < l->count; s++) {
        if (!l->settings[s].idle) continue;
        if (store_setting(l, &l->settings[s], e)) return -1;
        if (!l->settings[s].key->unshown && show(l, &l->settings[s], e)) return -1;
    }
    return 0;
}

/* Writes into the resolved configuration that no adapter is wanted, where the file names no target:
 * beside a rank, which has a default, a missing one is a mistake (config_lora_unused). */
static int show_no_target(struct loaded *l, struct err *e)
{
    static const char key[] = "sft_train.model_args.lora_target";
    if (setting_of(l, key)) return 0;
    struct node *none = node_scalar(&l->tree, "null", false, l->tree.root, e);
    return none ? node_put(&l->tree, l->shown, key, none, e) : -1;
}

/* Sets exp_name, if it is missing, to the name of the file without .yaml. */
static int name_run(struct loaded *l, struct err *e)
{
    struct tree *t = &l->tree;
    const struct node *given = node_member(t->root, "exp_name");
    if (given && !node_is_null(given)) return 0;
    const char *slash = strrchr(l->c.path, '/'), *base = slash ? slash + 1 : l->c.path;
    size_t n = strlen(base);
    if (n > 5 && !strcmp(base + n - 5, ".yaml"))
        n -= 5;
    else if (n > 4 && !strcmp(base + n - 4, ".yml"))
        n -= 4;
    char *name = arena_copy(&t->arena, base, n, e);
    struct node *value = name ? node_scalar(t, name, true, t->root, e) : NULL;
    return value ? node_put(t, t->root, "exp_name", value, e) : -1;
}

static int load(struct loaded *l, const char *path, char *const *overrides, size_t n, struct err *e)
{
    struct config *c = &l->c;
    l->tree.arena.max = TREE_MAX_BYTES;
    schedule_unset(&c->sft_train.training_args.lr_scheduler_kwargs);
    c->sft_train.model_args.moe_aux_loss_coef = NAN;
    c->path = arena_copy(&l->tree.arena, path, strlen(path), e);
    if (!c->path || read_file(l, e) || include_defaults(l, e)) return -1;
    for (size_t i = 0; i < n; i++)
        if (override_apply(l, overrides[i], e)) return -1;
    l->shown = node_new(&l->tree, NODE_MAP, l->tree.root, e);
    if (!l->shown || name_run(l, e) || tree_interpolate(&l->tree, e) || bind_settings(l, e))
        return -1;
    return store_all(l, e) || show_no_target(l, e) ? -1 : derive_run(l, e);
}

int config_load(const char *path, char *const *overrides, size_t n, struct config **out,
                struct err *e)
{
    struct loaded *l = mem_alloc(1, sizeof *l, e);
    if (!l) return -1;
    if (load(l, path, overrides, n, e)) {
        config_free(&l->c);
        return -1;
    }
    *out = &l->c;
    return 0;
}

void config_free(struct config *c)
{
    struct loaded *l = (struct loaded *)c;
    if (!l) return;
    mem_free(l->settings);
    arena_free(&l->tree.arena);
    mem_free(l);
}

const char *config_lora_unused(const struct config *c)
{
    static const char *const keys[] = {"lora_rank", "lora_alpha", "lora_dropout"};
    const struct loaded *l = (const struct loaded *)c;
    const struct node *n = node_member(l->tree.root, "sft_train");
    if (n && n->kind == NODE_MAP) n = node_member(n, "model_args");
    if (!n || n->kind != NODE_MAP || c->sft_train.model_args.adapter_name_or_path) return NULL;
    if (node_member(n, "lora_target")) return NULL; /* null is a decision, too */
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct node *v = node_member(n, keys[i]);
        if (v && !node_is_null(v)) return keys[i];
    }
    return NULL;
}

size_t config_no_effect(const struct config *c, void (*f)(void *arg, const struct config_idle *k),
                        void *arg)
{
    const struct loaded *l = (const struct loaded *)c;
    size_t n = 0;
    for (size_t i = 0; i < l->count; i++) {
        const struct setting *s = &l->settings[i];
        if (!s->idle) continue;
        n++;
        if (f) f(arg, &(struct config_idle){s->path, s->node->origin, s->idle, s->node->line});
    }
    return n;
}
