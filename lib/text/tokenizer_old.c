/* SPDX-License-Identifier: Apache-2.0 */
/* Tokenizers in files older than tokenizer.json: vocab.json and merges.txt become the document that
 * tokenizer.json would be, by the class that tokenizer_config.json names. */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "text/tokenizer_impl.h"

enum { MAX_VOCAB = 256 << 20, MAX_MERGES = 64 << 20, MAX_CONFIG = 16 << 20 };

/* The tokenizer that transformers makes of the two files, for each class that it has for them.
 * Nothing in the files tells how text is split: the class is the name of their format. */
static const struct form {
    const char *class, *model_type;
    const char *document;          /* tokenizer.json without its vocabulary, merges and tokens */
    const char *const defaults[9]; /* names and texts of special tokens; the last is NULL */
} forms[] = {
    {"GPT2Tokenizer",
     "gpt2",
     "{\"version\":\"1.0\",\"added_tokens\":null,\"normalizer\":null,"
     "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,"
     "\"use_regex\":true},\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\"},"
     "\"model\":{\"type\":\"BPE\",\"vocab\":null,\"merges\":null}}",
     {"bos_token", "<|endoftext|>", "eos_token", "<|endoftext|>", "unk_token", "<|endoftext|>"}},
    {"Qwen2Tokenizer",
     "qwen2",
     "{\"version\":\"1.0\",\"added_tokens\":null,\"normalizer\":{\"type\":\"NFC\"},"
     "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":"
     "{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| ?"
     "[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},"
     "\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\","
     "\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":false}]},"
     "\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\"},"
     "\"model\":{\"type\":\"BPE\",\"vocab\":null,\"merges\":null}}",
     {"eos_token", "<|endoftext|>", "unk_token", "<|endoftext|>", "pad_token", "<|endoftext|>"}},
};

static const struct json *member(const struct json *o, const char *key)
{
    return o && o->kind == JSON_OBJECT ? json_get(o, key) : NULL;
}

/* Sets a member of an object of the document. */
static void set(struct json *o, const char *key, struct json v)
{
    for (size_t i = 0; i < o->count; i++)
        if (str_is(o->keys[i], key)) o->items[i] = v;
}

/* ---- the files ---- */
/* Reads DIR/NAME into the arena. p NULL: an error, or, where it may be absent, no file. */
static int read_text(const char *dir, const char *name, size_t max, bool optional, struct arena *a,
                     struct str *text, struct err *e)
{
    struct buf b = {0};
    char *path = io_path(dir, name, e);
    int rc = !path ? -1 : optional ? io_exists(path, e) : 1;
    *text = (struct str){NULL, 0};
    if (rc > 0) rc = io_slurp(path, max, &b, e) ? -1 : 1;
    if (rc > 0) *text = (struct str){arena_copy(a, b.len ? b.data : "", b.len, e), b.len};
    buf_free(&b);
    mem_free(path);
    return rc < 0 || (rc > 0 && !text->p) ? -1 : 0;
}

static int read_json(const char *dir, const char *name, size_t max, bool optional, struct arena *a,
                     struct json **v, struct err *e)
{
    struct str text;
    *v = NULL;
    if (read_text(dir, name, max, optional, a, &text, e)) return -1;
    if (!text.p) return 0;
    *v = json_parse(text.p, text.n, a, e);
    return *v ? 0 : err_prefix(e, "%s/%s", dir, name);
}

/* Makes the list of the lines "a b" of merges.txt. */
static int read_merges(const char *dir, struct arena *a, struct json *list, struct err *e)
{
    struct str text;
    size_t lines = 1;
    if (read_text(dir, "merges.txt", MAX_MERGES, false, a, &text, e)) return -1;
    for (size_t i = 0; i < text.n; i++) lines += text.p[i] == '\n';
    *list = (struct json){.kind = JSON_ARRAY, .items = arena_alloc(a, lines * sizeof *list, e)};
    if (!list->items) return -1;
    for (const char *p = text.p, *end = p + text.n, *nl; p < end; p = nl + 1) {
        nl = memchr(p, '\n', (size_t)(end - p));
        if (!nl) nl = end;
        struct str line = {p, (size_t)(nl - p)};
        if (line.n && line.p[line.n - 1] == '\r') line.n--;
        if (line.n) list->items[list->count++] = (struct json){.kind = JSON_STRING, .s = line};
    }
    return 0;
}

/* ---- tokens of added_tokens.json, {"<|x|>": 7, ...} ---- */
/* True when the configuration gives the token a name, or lists it as special. */
static bool is_special(const struct json *config, struct str text)
{
    const struct json *more = member(config, "additional_special_tokens");
    for (size_t i = 0; more && more->kind == JSON_ARRAY && i < more->count; i++)
        if (more->items[i].kind == JSON_STRING && str_eq(more->items[i].s, text)) return true;
    for (size_t i = 0; config && config->kind == JSON_OBJECT && i < config->count; i++) {
        const struct json *v = &config->items[i];
        const struct json *c = v->kind == JSON_OBJECT ? json_get(v, "content") : v;
        size_t n = config->keys[i].n;
        bool token = n > 6 && memcmp(config->keys[i].p + n - 6, "_token", 6) == 0;
        if (token && c && c->kind == JSON_STRING && str_eq(c->s, text)) return true;
    }
    return false;
}

struct token {
    struct str text;
    int64_t id;
};

static int by_id(const void *a, const void *b)
{
    const struct token *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static void put_token(struct buf *b, const struct token *t, bool special)
{
    buf_printf(b, "%s{\"id\":%lld,\"content\":", b->len > 1 ? "," : "", (long long)t->id);
    buf_json(b, t->text);
    buf_printf(b,
               ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":%s,"
               "\"special\":%s}",
               special ? "false" : "true", special ? "true" : "false");
}

/* Appends the tokens by ascending id, as transformers adds them. */
static int put_tokens(struct buf *b, const struct json *map, const struct json *config,
                      struct arena *a, struct err *e)
{
    const size_t n = map && map->kind == JSON_OBJECT ? map->count : 0;
    struct token *list = arena_alloc(a, (n + 1) * sizeof *list, e);
    if (!list) return -1;
    for (size_t i = 0; i < n; i++) {
        list[i].text = map->keys[i];
        if (json_int(&map->items[i], &list[i].id) || list[i].id < 0)
            return err_set(e, ERR_DATA, "added_tokens.json: \"%.*s\": the id is no number",
                           STR_FMT(map->keys[i]));
    }
    qsort(list, n, sizeof *list, by_id);
    for (size_t i = 0; i < n; i++) put_token(b, &list[i], is_special(config, list[i].text));
    return 0;
}

static int read_tokens(const char *dir, const struct json *config, struct arena *a,
                       struct json *list, struct err *e)
{
    struct json *map, *v;
    struct buf b = {0};
    if (read_json(dir, "added_tokens.json", MAX_CONFIG, true, a, &map, e)) return -1;
    buf_putc(&b, '[');
    int rc = put_tokens(&b, map, config, a, e);
    buf_putc(&b, ']');
    if (!rc) rc = buf_check(&b, e);
    const char *text = rc ? NULL : arena_copy(a, b.data, b.len, e);
    v = text ? json_parse(text, b.len, a, e) : NULL;
    buf_free(&b);
    if (!v) return -1;
    *list = *v;
    return 0;
}

/* ---- the class ---- */
static bool class_is(struct str name, const char *class)
{
    size_t n = strlen(class);
    bool fast = name.n == n + 4 && memcmp(name.p + n, "Fast", 4) == 0;
    return (name.n == n || fast) && memcmp(name.p, class, n) == 0;
}

static int no_class(const char *dir, struct str class, struct err *e)
{
    return err_set(e, ERR_NOINPUT,
                   "%s: has vocab.json and merges.txt but no tokenizer.json, and its "
                   "tokenizer_class is %.*s; only GPT2Tokenizer and Qwen2Tokenizer can be read so; "
                   "make tokenizer.json: " TOKENIZER_CONVERT,
                   dir, (int)(class.n < 60 ? class.n : 60), class.n ? class.p : "", dir, dir);
}

/* Finds the class by tokenizer_config.json or, as transformers does, by the model's type. */
static const struct form *find_form(const char *dir, const struct json *config, struct arena *a,
                                    struct err *e)
{
    const struct json *class = member(config, "tokenizer_class"), *type = NULL;
    struct json *model = NULL;
    bool named = class && class->kind == JSON_STRING;
    if (!named && read_json(dir, "config.json", MAX_CONFIG, true, a, &model, e)) return NULL;
    type = member(model, "model_type");
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (named ? class_is(class->s, forms[i].class)
                  : type && type->kind == JSON_STRING && str_is(type->s, forms[i].model_type))
            return &forms[i];
    no_class(dir, named ? class->s : STR("not set"), e);
    return NULL;
}

/* Sets add_prefix_space of the last ByteLevel to what the configuration says. */
static void set_prefix_space(struct json *doc, const struct json *config)
{
    const struct json *v = member(config, "add_prefix_space");
    struct json *pre = (struct json *)json_get(doc, "pre_tokenizer");
    const struct json *list = json_get(pre, "pretokenizers");
    if (list) pre = &list->items[list->count - 1];
    if (v && v->kind == JSON_BOOL) set(pre, "add_prefix_space", *v);
}

int tokenizer_old_document(const char *dir, struct arena *a, struct json **doc,
                           struct tokenizer_defaults *defaults, struct err *e)
{
    struct json *config, *vocab, merges, tokens;
    if (read_json(dir, "tokenizer_config.json", MAX_CONFIG, true, a, &config, e)) return -1;
    const struct form *f = find_form(dir, config, a, e);
    if (!f || read_json(dir, "vocab.json", MAX_VOCAB, false, a, &vocab, e) ||
        read_merges(dir, a, &merges, e) || read_tokens(dir, config, a, &tokens, e))
        return -1;
    *doc = json_parse(f->document, strlen(f->document), a, e);
    if (!*doc) return -1;
    struct json *model = (struct json *)json_get(*doc, "model");
    set(model, "vocab", *vocab);
    set(model, "merges", merges);
    set(*doc, "added_tokens", tokens);
    set_prefix_space(*doc, config);
    for (const char *const *d = f->defaults; *d; d += 2)
        if (!member(config, d[0])) defaults->v[defaults->n++] = d;
    return 0;
}

/* ---- which files there are ---- */
int tokenizer_old_find(const char *dir, struct err *e)
{
    int vocab = io_has(dir, "vocab.json", e), merges = vocab > 0 ? io_has(dir, "merges.txt", e) : 0;
    if (vocab < 0 || merges < 0) return -1;
    if (merges) return 1;
    const int model = io_has(dir, "tokenizer.model", e);
    if (model <= 0) return model;
    return err_set(e, ERR_NOINPUT,
                   "%s: has tokenizer.model (SentencePiece) but no tokenizer.json; make it "
                   "once: " TOKENIZER_CONVERT,
                   dir, dir, dir);
}
