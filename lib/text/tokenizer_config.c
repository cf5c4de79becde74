/* SPDX-License-Identifier: Apache-2.0 */
/* Loads tokenizer_config.json and special_tokens_map.json. */
#include <string.h>

#include "base/io.h"
#include "text/tokenizer_impl.h"

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
    if (mem_grow(&t->named, &t->named_cap, t->nnamed + 1, sizeof *t->named, e)) return -1;
    if (named_text_make(&t->named[t->nnamed], name, text, e)) return -1;
    t->nnamed++;
    return 0;
}

static int read_named(struct tokenizer *t, const struct json *doc, struct err *e)
{
    for (size_t i = 0; i < doc->count; i++) {
        struct str text = token_text(&doc->items[i]);
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

/* Reads "added_tokens_decoder", {"<id>": {...}}, by ascending id as transformers does: it adds
 * tokens that tokenizer.json does not have and replaces the flags of the others. */
static int read_added(struct tokenizer *t, const struct json *map, struct err *e)
{
    uint32_t next = VOCAB_NONE;
    int64_t last = -1;
    if (!map || map->kind != JSON_OBJECT) return 0;
    for (size_t done = 0; done < map->count; done++) {
        const struct json *best = NULL;
        int64_t best_id = INT64_MAX;
        for (size_t i = 0; i < map->count; i++) {
            struct json key = {.kind = JSON_NUMBER, .s = map->keys[i]};
            int64_t id;
            if (json_int(&key, &id))
                return err_set(e, ERR_DATA, "added_tokens_decoder: \"%.*s\" is not an id",
                               STR_FMT(map->keys[i]));
            if (id > last && id < best_id) best = &map->items[i], best_id = id;
        }
        if (!best) break;
        last = best_id;
        struct added_token k = {.content = token_text(best)};
        if (!k.content.p) continue;
        k.special = flag(best, "special", false) || is_named(t, k.content);
        k.single_word = flag(best, "single_word", false);
        k.lstrip = flag(best, "lstrip", false);
        k.rstrip = flag(best, "rstrip", false);
        k.normalized = flag(best, "normalized", !k.special);
        if (added_add(&t->added, bpe_vocab(t->bpe), t->normalizer, k, &next, e)) return -1;
    }
    return 0;
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

int tokenizer_load_config(struct tokenizer *t, const char *dir, struct err *e)
{
    if (tokenizer_file_templates(t, dir, e) ||
        read_file(t, dir, "tokenizer_config.json", true, e) ||
        read_file(t, dir, "special_tokens_map.json", false, e))
        return -1;
    return add_named_tokens(t, e);
}
