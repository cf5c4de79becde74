/* SPDX-License-Identifier: Apache-2.0 */
/* Loads tokenizer_config.json and special_tokens_map.json. */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "text/tokenizer_impl.h"

enum { MAX_NAMED = 1000 }; /* "NAME_token" keys */

/* Returns the text of a token, a string or {"content": ...}; p NULL: it is neither. */
static struct str token_text(const struct json *v)
{
    const struct json *c = v && v->kind == JSON_OBJECT ? json_get(v, "content") : v;
    return c && c->kind == JSON_STRING ? c->s : (struct str){NULL, 0};
}

static bool is_token_name(struct str key)
{
    return key.n > 6 && memcmp(key.p + key.n - 6, "_token", 6) == 0 && !memchr(key.p, '\0', key.n);
}

static int add_named(struct tokenizer *t, struct str name, struct str text, struct err *e)
{
    for (size_t i = 0; i < t->nnamed; i++)
        if (str_is(name, t->named[i].name)) return 0;
    if (t->nnamed == MAX_NAMED) return err_set(e, ERR_DATA, "more than %d named tokens", MAX_NAMED);
    if (mem_grow(&t->named, &t->named_cap, t->nnamed + 1, sizeof *t->named, e)) return -1;
    if (named_text_make(&t->named[t->nnamed], name, text, e)) return -1;
    t->nnamed++;
    return 0;
}

/* Refuses a token that is neither text nor absent, under a name that transformers knows. Under
 * other names "..._token" may stand for anything. */
static int check_named(struct str key, const struct json *v, struct err *e)
{
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    if (v->kind == JSON_NULL || token_text(v).p) return 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is(key, names[i]))
            return err_set(e, ERR_DATA, "\"%s\": must be a string, or an object with \"content\"",
                           names[i]);
    return 0;
}

static int read_named(struct tokenizer *t, const struct json *doc, struct err *e)
{
    for (size_t i = 0; i < doc->count; i++) {
        struct str text = token_text(&doc->items[i]);
        if (check_named(doc->keys[i], &doc->items[i], e)) return -1;
        if (is_token_name(doc->keys[i]) && text.p && add_named(t, doc->keys[i], text, e)) return -1;
    }
    return 0;
}

static bool flag(const struct json *o, const char *key, bool absent)
{
    const struct json *v = json_get(o, key);
    return v && v->kind == JSON_BOOL ? v->truth : absent;
}

static bool is_named(const struct tokenizer *t, struct str text)
{
    for (size_t i = 0; i < t->nnamed; i++)
        if (str_eq(text, (struct str){t->named[i].text, t->named[i].text_n})) return true;
    return false;
}

/* An entry of "added_tokens_decoder". */
struct entry {
    int64_t id;
    size_t index; /* in the object */
};

static int by_id(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->id != y->id) return x->id < y->id ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Sets list[map->count] to the entries by ascending id. */
static int sort_entries(const struct json *map, struct entry *list, struct err *e)
{
    for (size_t i = 0; i < map->count; i++) {
        struct json key = {.kind = JSON_NUMBER, .s = map->keys[i]};
        list[i].index = i;
        if (json_int(&key, &list[i].id) || list[i].id < 0)
            return err_set(e, ERR_DATA, "added_tokens_decoder: \"%.*s\" is not an id",
                           STR_FMT(map->keys[i]));
    }
    qsort(list, map->count, sizeof *list, by_id);
    return 0;
}

static int add_entry(struct tokenizer *t, const struct json *v, uint32_t *next, struct err *e)
{
    struct added_token k = {.content = token_text(v)};
    if (!k.content.p) return 0;
    k.special = flag(v, "special", false) || is_named(t, k.content);
    k.single_word = flag(v, "single_word", false);
    k.lstrip = flag(v, "lstrip", false);
    k.rstrip = flag(v, "rstrip", false);
    k.normalized = flag(v, "normalized", !k.special);
    return added_add(&t->added, bpe_vocab(t->bpe), t->normalizer, k, next, e);
}

/* Reads "added_tokens_decoder", {"<id>": {...}}, by ascending id as transformers does: it adds
 * tokens that tokenizer.json does not have and replaces the flags of the others. */
static int read_added(struct tokenizer *t, const struct json *map, struct err *e)
{
    uint32_t next = VOCAB_NONE;
    if (!map || map->kind != JSON_OBJECT || map->count == 0) return 0;
    struct entry *list = mem_alloc(map->count, sizeof *list, e);
    int rc = list ? sort_entries(map, list, e) : -1;
    for (size_t i = 0; i < map->count && !rc; i++)
        if (i == 0 || list[i].id != list[i - 1].id) /* "1" and "01" are one id */
            rc = add_entry(t, &map->items[list[i].index], &next, e);
    mem_free(list);
    return rc;
}

/* Adds the named tokens that are not added tokens yet, as special ones. */
static int add_named_tokens(struct tokenizer *t, struct err *e)
{
    uint32_t next = VOCAB_NONE;
    for (size_t i = 0; i < t->nnamed; i++) {
        struct added_token k = {.content = {t->named[i].text, t->named[i].text_n}, .special = true};
        if (!added_find(&t->added, k.content) &&
            added_add(&t->added, bpe_vocab(t->bpe), t->normalizer, k, &next, e))
            return -1;
    }
    return 0;
}

/* Reads one of the files, if it exists. */
static int read_file(struct tokenizer *t, const char *dir, const char *name, bool config,
                     struct err *e)
{
    struct arena arena = {0};
    struct io_map map;
    const struct json *doc;
    char *path = io_path(dir, name, e);
    const int there = path ? io_exists(path, e) : -1;
    int rc = -1;
    if (there <= 0 || io_map(path, &map, e)) return mem_free(path), there == 0 ? 0 : -1;
    doc = json_parse((const char *)map.p, map.n, &arena, e);
    if (doc && doc->kind != JSON_OBJECT)
        err_set(e, ERR_DATA, "is not a JSON object");
    else if (doc)
        rc = read_named(t, doc, e);
    if (!rc && config) rc = tokenizer_config_templates(t, json_get(doc, "chat_template"), e);
    if (!rc && config) rc = read_added(t, json_get(doc, "added_tokens_decoder"), e);
    if (rc) err_prefix(e, "%s", path);
    arena_free(&arena);
    io_unmap(&map);
    mem_free(path);
    return rc;
}

int tokenizer_load_config(struct tokenizer *t, const char *dir,
                          const struct tokenizer_defaults *defaults, struct err *e)
{
    if (tokenizer_file_templates(t, dir, e) ||
        read_file(t, dir, "tokenizer_config.json", true, e) ||
        read_file(t, dir, "special_tokens_map.json", false, e))
        return -1;
    for (size_t i = 0; i < defaults->n; i++)
        if (add_named(t, str_z(defaults->v[i][0]), str_z(defaults->v[i][1]), e)) return -1;
    return add_named_tokens(t, e);
}
