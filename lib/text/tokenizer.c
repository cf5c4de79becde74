/* SPDX-License-Identifier: Apache-2.0 */
/* Loads a tokenizer; look-ups and decoding. */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "text/fields.h"
#include "text/tokenizer_impl.h"

static int by_key(const void *a, const void *b)
{
    const struct str *x = *(const struct str *const *)a, *y = *(const struct str *const *)b;
    int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

static int describe(const struct json *v, struct buf *b, struct err *e);

static int describe_object(const struct json *v, struct buf *b, struct err *e)
{
    const struct str **key = mem_alloc(v->count, sizeof *key, e);
    int rc = key ? 0 : -1;
    for (size_t i = 0; key && i < v->count; i++) key[i] = &v->keys[i];
    if (key && v->count > 1) qsort(key, v->count, sizeof *key, by_key);
    buf_putc(b, '{');
    for (size_t i = 0; i < v->count && !rc; i++) {
        const struct json *item = &v->items[key[i] - v->keys];
        if (item->kind == JSON_NULL || str_is(*key[i], "trim_offsets")) continue;
        buf_json(b, *key[i]);
        buf_putc(b, ':');
        rc = describe(item, b, e);
        buf_putc(b, ',');
    }
    buf_putc(b, '}');
    mem_free(key);
    return rc;
}

/* Appends v in canonical form: members sorted by key, without null and "trim_offsets", which do not
 * influence ids or text. */
static int describe(const struct json *v, struct buf *b, struct err *e)
{
    int rc = 0;
    if (v->kind == JSON_OBJECT) return describe_object(v, b, e);
    if (v->kind != JSON_ARRAY) return json_write(v, b), 0;
    buf_putc(b, '[');
    for (size_t i = 0; i < v->count && !rc; i++) {
        if (i > 0) buf_putc(b, ',');
        rc = describe(&v->items[i], b, e);
    }
    buf_putc(b, ']');
    return rc;
}

static int describe_part(struct tokenizer *t, const struct json *doc, const char *key,
                         struct err *e)
{
    const struct json *v = json_get(doc, key);
    buf_puts(&t->description, key);
    buf_putc(&t->description, ' ');
    if (v && describe(v, &t->description, e)) return -1;
    buf_putc(&t->description, '\n');
    return buf_check(&t->description, e);
}

/* Returns the type of the model. In a file from before models had one it follows from the members,
 * as in `tokenizers`. */
static struct str model_type(const struct json *m, struct str type)
{
    const struct json *vocab = json_get(m, "vocab");
    if (type.p) return type;
    if (json_get(m, "merges")) return STR("BPE");
    if (vocab && vocab->kind == JSON_ARRAY) return STR("Unigram");
    if (json_get(m, "max_input_chars_per_word") || json_get(m, "continuing_subword_prefix"))
        return STR("WordPiece");
    return vocab ? STR("WordLevel") : STR("");
}

static int load_model(struct tokenizer *t, const struct json *doc, struct err *e)
{
    const struct json *m = json_get(doc, "model");
    struct str type;
    if (!m || m->kind != JSON_OBJECT) return err_set(e, ERR_DATA, "there is no \"model\"");
    if (field_str(m, "type", &type, e)) return -1;
    type = model_type(m, type);
    if (type.n == 0)
        return err_set(e, ERR_DATA,
                       "\"model\" has neither a type nor a vocabulary; a BPE model is "
                       "supported");
    if (!str_is(type, "BPE"))
        return err_set(e, ERR_DATA, "model \"%.*s\" is not supported; only BPE is", STR_FMT(type));
    t->bpe = bpe_load(m, e);
    return t->bpe ? 0 : err_prefix(e, "model");
}

/* Loads all components but the added tokens. */
static int load_parts(struct tokenizer *t, const struct json *doc, struct err *e)
{
    const struct json *version = json_get(doc, "version");
    if (version && (version->kind != JSON_STRING || !str_is(version->s, "1.0")))
        return err_set(e, ERR_DATA, "the version is not \"1.0\"");
    if (load_model(t, doc, e) ||
        !(t->normalizer = normalizer_load(json_get(doc, "normalizer"), e)) ||
        !(t->pretok = pretok_load(json_get(doc, "pre_tokenizer"), e)) ||
        !(t->decoder = decoder_load(json_get(doc, "decoder"), e)) ||
        prefix_load(&t->prefix, json_get(doc, "post_processor"), e))
        return -1;
    if (pretok_ends_in_bytes(t->pretok) && bpe_has_bytes(t->bpe)) {
        pretok_drop_bytes(t->pretok);
        if (bpe_set_bytes(t->bpe, e)) return -1;
    }
    return describe_part(t, doc, "normalizer", e) || describe_part(t, doc, "pre_tokenizer", e) ||
                   describe_part(t, doc, "decoder", e)
               ? -1
               : 0;
}

static int load_added(struct tokenizer *t, const struct json *doc, struct err *e)
{
    if (doc->kind != JSON_OBJECT) return err_set(e, ERR_DATA, "is not a JSON object");
    if (load_parts(t, doc, e)) return -1;
    return added_load(&t->added, json_get(doc, "added_tokens"), bpe_vocab(t->bpe), t->normalizer,
                      e);
}

static int load_new(struct tokenizer *t, const char *path, struct err *e)
{
    struct arena arena = {0};
    struct io_map map;
    if (io_map(path, &map, e)) return -1;
    const struct json *doc = json_parse((const char *)map.p, map.n, &arena, e);
    int rc = doc ? load_added(t, doc, e) : -1;
    if (rc) err_prefix(e, "%s", path);
    arena_free(&arena);
    io_unmap(&map);
    return rc;
}

static int load_old(struct tokenizer *t, const char *dir, struct tokenizer_defaults *defaults,
                    struct err *e)
{
    struct arena arena = {0};
    struct json *doc;
    int rc = tokenizer_old_document(dir, &arena, &doc, defaults, e);
    if (!rc && (rc = load_added(t, doc, e))) err_prefix(e, "%s/vocab.json and merges.txt", dir);
    arena_free(&arena);
    return rc;
}

static int load(struct tokenizer *t, const char *dir, const char *path, struct err *e)
{
    struct tokenizer_defaults defaults = {.n = 0};
    const int there = io_exists(path, e), old = there ? 0 : tokenizer_old_find(dir, e);
    if (there < 0 || old < 0) return -1;
    if (old ? load_old(t, dir, &defaults, e) : load_new(t, path, e)) return -1;
    if (tokenizer_load_config(t, dir, &defaults, e)) return -1;
    return added_finish(&t->added, e) ? err_prefix(e, "%s: added tokens", path) : 0;
}

struct tokenizer *tokenizer_load(const char *dir, struct err *e)
{
    struct tokenizer *t = mem_alloc(1, sizeof *t, e);
    char *path = t ? io_path(dir, "tokenizer.json", e) : NULL;
    int rc = path ? load(t, dir, path, e) : -1;
    mem_free(path);
    if (!rc) return t;
    tokenizer_free(t);
    return NULL;
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t) return;
    added_free(&t->added);
    normalizer_free(t->normalizer);
    pretok_free(t->pretok);
    bpe_free(t->bpe);
    decoder_free(t->decoder);
    buf_free(&t->description);
    for (size_t i = 0; i < t->nnamed; i++) named_text_free(&t->named[i]);
    for (size_t i = 0; i < t->ntemplates; i++) named_text_free(&t->templates[i]);
    mem_free(t->named);
    mem_free(t->templates);
    mem_free(t);
}

size_t tokenizer_prefix(const struct tokenizer *t, const uint32_t **ids)
{
    *ids = t->prefix.ids;
    return t->prefix.n;
}

uint32_t tokenizer_vocab_size(const struct tokenizer *t)
{
    uint32_t n = bpe_vocab(t->bpe)->n;
    for (size_t i = 0; i < t->added.n; i++)
        if (t->added.v[i].id >= n) n = t->added.v[i].id + 1;
    return n;
}

bool tokenizer_id(const struct tokenizer *t, struct str token, uint32_t *id)
{
    const struct added_token *k = added_find(&t->added, token);
    *id = k ? k->id : vocab_find(bpe_vocab(t->bpe), token);
    return *id != VOCAB_NONE;
}

bool tokenizer_is_added(const struct tokenizer *t, uint32_t id) { return added_get(&t->added, id); }

bool tokenizer_is_special(const struct tokenizer *t, uint32_t id)
{
    const struct added_token *k = added_get(&t->added, id);
    return k && k->special;
}

/* Returns the string of a token that the decoder is given; p NULL: there is no such id. */
static struct str token_string(const struct tokenizer *t, uint32_t id)
{
    const struct added_token *k = added_get(&t->added, id);
    return k ? k->pattern : vocab_token(bpe_vocab(t->bpe), id);
}

int tokenizer_decode(const struct tokenizer *t, const uint32_t *ids, size_t n, bool skip_special,
                     struct buf *b, struct err *e)
{
    struct decoder_list list = {0};
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        struct str s = token_string(t, ids[i]);
        if (!s.p || (skip_special && tokenizer_is_special(t, ids[i]))) continue;
        buf_str(&list.text, s);
        rc = decoder_list_end(&list, e);
    }
    if (!rc) rc = decoder_apply(t->decoder, &list, b, e);
    decoder_list_free(&list);
    return rc;
}

int tokenizer_token_bytes(const struct tokenizer *t, uint32_t id, struct buf *b, struct err *e)
{
    struct str s = token_string(t, id);
    if (!s.p)
        return err_set(e, ERR_DATA, "token %u is not in the tokenizer's vocabulary of %u", id,
                       tokenizer_vocab_size(t));
    return decoder_token_bytes(t->decoder, s, b, e);
}

struct str tokenizer_named(const struct tokenizer *t, const char *name)
{
    for (size_t i = 0; i < t->nnamed; i++)
        if (strcmp(t->named[i].name, name) == 0)
            return (struct str){t->named[i].text, t->named[i].text_n};
    return (struct str){NULL, 0};
}

size_t tokenizer_named_count(const struct tokenizer *t) { return t->nnamed; }

void tokenizer_named_at(const struct tokenizer *t, size_t i, const char **name, struct str *text)
{
    *name = t->named[i].name;
    *text = (struct str){t->named[i].text, t->named[i].text_n};
}
