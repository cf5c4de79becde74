/* SPDX-License-Identifier: Apache-2.0 */
/* Tokenizers in vocab.json and merges.txt, against transformers with the same files; and what is
 * said of folders that cannot be read. */
#include <unistd.h>

#include "text_golden.h"

static char dir[300];
static struct arena arena;

static bool put_file(const char *name, const char *text, size_t n)
{
    struct err e = {0};
    char path[400];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return io_put(path, text, n, &e) == 0;
}

static bool put_json(const char *name, const struct json *v)
{
    struct buf b = {0};
    json_write(v, &b);
    bool ok = put_file(name, b.data, b.len);
    buf_free(&b);
    return ok;
}

/* Writes the vocabulary and the merges of the tiny tokenizer into a new, empty folder. */
static bool put_model(const char *end)
{
    struct err e = {0};
    struct buf b = {0}, merges = {0};
    io_remove_tree(dir, &e);
    if (io_mkdirs(dir, &e) || io_slurp("share/tiny-tokenizer/tokenizer.json", 1 << 20, &b, &e))
        return false;
    const char *text = arena_copy(&arena, b.data, b.len, &e);
    const struct json *model = json_get(json_parse(text, b.len, &arena, &e), "model");
    const struct json *list = json_get(model, "merges");
    buf_printf(&merges, "#version: 0.2%s", end);
    for (size_t i = 0; i < list->count; i++) {
        const struct json *m = &list->items[i];
        if (m->kind == JSON_STRING)
            buf_printf(&merges, "%.*s%s", STR_FMT(m->s), end);
        else
            buf_printf(&merges, "%.*s %.*s%s", STR_FMT(m->items[0].s), STR_FMT(m->items[1].s), end);
    }
    bool ok = put_json("vocab.json", json_get(model, "vocab")) &&
              put_file("merges.txt", merges.data, merges.len);
    buf_free(&merges);
    buf_free(&b);
    return ok;
}

static bool put_files(const struct json *files)
{
    bool ok = true;
    for (size_t i = 0; i < files->count; i++) {
        char name[100];
        snprintf(name, sizeof name, "%.*s", STR_FMT(files->keys[i]));
        ok = ok && put_json(name, &files->items[i]);
    }
    return ok;
}

static bool names_match(const struct session *x, const struct json *named)
{
    bool ok = true;
    for (size_t i = 0; i < named->count; i++) {
        char name[100];
        snprintf(name, sizeof name, "%.*s", STR_FMT(named->keys[i]));
        struct str got = tokenizer_named(x->t, name);
        bool none = named->items[i].kind == JSON_NULL;
        if (none ? !got.p : got.p && str_eq(got, named->items[i].s)) continue;
        printf("# %s is \"%.*s\"\n", name, got.p ? (int)got.n : 0, got.p ? got.p : "");
        ok = false;
    }
    return ok;
}

static bool ids_match(struct session *x, const struct json *row, const struct json *texts)
{
    const struct json *hash = json_get(row, "hash");
    bool ok = hash->count == texts->count;
    for (size_t i = 0; ok && i < texts->count; i++) {
        struct str text = json_get(&texts->items[i], "text")->s;
        if (tokenizer_encode(x->t, x->s, text, &x->list, &x->e) == 0 &&
            hash_is(hash_list(HASH_START, &x->list, false), hash->items[i].s))
            continue;
        printf("# text %zu \"%.40s\" %s\n", i, text.p, x->e.msg);
        ok = false;
    }
    return ok;
}

static void test_case(const struct json *row, const struct json *texts, const char *end)
{
    char name[200];
    struct session x;
    snprintf(name, sizeof name, "%.*s", STR_FMT(json_get(row, "name")->s));
    bool ok = put_model(end) && put_files(json_get(row, "files")) && session_open(&x, dir);
    CHECK_IN("old tokenizer, ids", name, ok && ids_match(&x, row, texts));
    CHECK_IN("old tokenizer, named tokens", name, ok && names_match(&x, json_get(row, "named")));
    if (ok) session_close(&x);
}

/* The folder is refused with the code and a message that has these words. */
static bool refuses(enum err_code code, const char *words, const char *more)
{
    struct err e = {0};
    struct tokenizer *t = tokenizer_load(dir, &e);
    if (!t && e.code == code && strstr(e.msg, words) && strstr(e.msg, more)) return true;
    printf("# '%s' wanted in '%s'\n", words, e.msg);
    tokenizer_free(t);
    return false;
}

static bool put_class(const char *class)
{
    char text[200];
    int n = snprintf(text, sizeof text, "{\"tokenizer_class\":\"%s\"}", class);
    return put_file("tokenizer_config.json", text, (size_t)n);
}

static void test_refusals(void)
{
    CHECK("old tokenizer: another class is refused with a command",
          put_model("\n") && put_class("BartTokenizer") &&
              refuses(ERR_NOINPUT, "tokenizer_class is BartTokenizer", "save_pretrained("));
    CHECK("old tokenizer: no class and no type of model is refused",
          put_model("\n") && refuses(ERR_NOINPUT, "tokenizer_class is not set", "vocab.json"));
    CHECK("old tokenizer: a merge of an unknown token is refused",
          put_model("\n") && put_class("GPT2Tokenizer") && put_file("merges.txt", "q zz\n", 5) &&
              refuses(ERR_DATA, "vocab.json and merges.txt: model: merges: entry 0", "\"zz\""));
    CHECK("old tokenizer: a damaged vocabulary is refused",
          put_file("vocab.json", "{\"a\":", 5) && refuses(ERR_DATA, "vocab.json: ", "line 1"));
    CHECK("old tokenizer: an added token without an id is refused",
          put_model("\n") && put_class("GPT2Tokenizer") &&
              put_file("added_tokens.json", "{\"x\":\"y\"}", 9) &&
              refuses(ERR_DATA, "added_tokens.json: \"x\": the id", ""));
    struct err e = {0};
    CHECK("old tokenizer: SentencePiece is refused with a command",
          io_remove_tree(dir, &e) == 0 && io_mkdirs(dir, &e) == 0 &&
              put_file("tokenizer.model", "x", 1) &&
              refuses(ERR_NOINPUT, "has tokenizer.model (SentencePiece)", "save_pretrained("));
}

int main(void)
{
    struct golden texts, old;
    const char *tmp = getenv("TEST_TMP");
    snprintf(dir, sizeof dir, "%s/text_old.%ld", tmp ? tmp : "/tmp", (long)getpid());
    if (!golden_open(&texts, GOLDEN "texts.json") || !golden_open(&old, GOLDEN "old.json"))
        return 1;
    const struct json *rows = json_get(old.doc, "rows");
    for (size_t i = 0; i < rows->count; i++)
        test_case(&rows->items[i], json_get(texts.doc, "rows"), i % 2 ? "\r\n" : "\n");
    test_refusals();
    golden_close(&texts);
    golden_close(&old);
    arena_free(&arena);
    TEST_END();
}
