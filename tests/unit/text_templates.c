/* SPDX-License-Identifier: Apache-2.0 */
/* The chat templates of a model folder: where they stand, which file wins, what is refused. Each
 * case is a folder; the names and texts are those that transformers 5 finds there. */
#include <sys/stat.h>

#include "text_golden.h"

static char dir[300];

static bool put(const char *name, const char *text)
{
    struct err e;
    char path[700];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return io_put(path, text, strlen(text), &e) == 0;
}

/* A folder with a tokenizer and nothing else. */
static bool fresh(void)
{
    struct err e;
    char more[400];
    if (io_is_dir(dir, &e) > 0) io_remove_tree(dir, &e);
    snprintf(more, sizeof more, "%s/additional_chat_templates", dir);
    return io_mkdirs(more, &e) == 0 &&
           put("tokenizer.json", "{\"version\":\"1.0\",\"model\":{\"type\":\"BPE\",\"vocab\":"
                                 "{\"a\":0},\"merges\":[]}}");
}

/* "NAME=TEXT|NAME=TEXT" of all that the folder has, or the message. */
static void describe(char out[2000])
{
    struct err e = {0};
    struct tokenizer *t = tokenizer_load(dir, &e);
    snprintf(out, 2000, "%s", t ? "" : e.msg);
    for (size_t i = 0; t && i < tokenizer_template_count(t); i++) {
        const char *name;
        struct str text;
        size_t n = strlen(out);
        tokenizer_template_at(t, i, &name, &text);
        snprintf(out + n, 2000 - n, "%s%s=%.*s", i ? "|" : "", name, STR_FMT(text));
    }
    tokenizer_free(t);
}

static void holds(const char *name, bool made, const char *want)
{
    char got[2000];
    describe(got);
    if (made && strcmp(got, want) != 0) printf("# %s\n", got);
    CHECK_IN("templates", name, made && strcmp(got, want) == 0);
}

static bool config(const char *value)
{
    char text[4000];
    snprintf(text, sizeof text, "{\"chat_template\":%s}", value);
    return fresh() && put("tokenizer_config.json", text);
}

#define TWO "[{\"name\":\"tool_use\",\"template\":\"T\"},{\"name\":\"default\",\"template\":\"D\"}]"

static void test_config(void)
{
    holds("no template", fresh(), "");
    holds("null is none", config("null"), "");
    holds("a string is the default", config("\"one\""), "default=one");
    holds("an empty string is a template", config("\"\""), "default=");
    holds("a list, sorted by name", config(TWO), "default=D|tool_use=T");
    holds("an object of names", config("{\"rag\":\"R\",\"default\":\"D\"}"), "default=D|rag=R");
    holds("a list without a default", config("[{\"name\":\"rag\",\"template\":\"R\"}]"), "rag=R");
    holds("the last of a name wins",
          config("[{\"name\":\"a\",\"template\":\"1\"},"
                 "{\"name\":\"ab\",\"template\":\"2\"},"
                 "{\"name\":\"a\",\"template\":\"3\"}]"),
          "a=3|ab=2");
}

static void test_files(void)
{
    holds("chat_template.jinja instead of the configuration's",
          config(TWO) && put("chat_template.jinja", "file"), "default=file");
    holds("an additional template instead of the configuration's",
          config(TWO) && put("additional_chat_templates/rag.jinja", "R"), "rag=R");
    holds("both kinds of files",
          fresh() && put("chat_template.jinja", "D") &&
              put("additional_chat_templates/tool_use.jinja", "T") &&
              put("additional_chat_templates/a b.jinja", ""),
          "a b=|default=D|tool_use=T");
    holds("an additional default wins",
          fresh() && put("chat_template.jinja", "D") &&
              put("additional_chat_templates/default.jinja", "A"),
          "default=A");
    holds("only files that end in .jinja",
          fresh() && put("chat_template.jinja", "D") &&
              put("additional_chat_templates/tool_use.jinja.bak", "T") &&
              put("additional_chat_templates/README.md", "R"),
          "default=D");
}

static void test_lookup(void)
{
    struct err e = {0};
    struct tokenizer *t = config(TWO) ? tokenizer_load(dir, &e) : NULL;
    CHECK("templates: they are found by name", t &&
                                                   str_is(tokenizer_template(t, "tool_use"), "T") &&
                                                   str_is(tokenizer_template(t, "default"), "D"));
    CHECK("templates: an unknown name is not found",
          t && tokenizer_template(t, "tool").p == NULL &&
              tokenizer_template(t, "tool_use2").p == NULL && tokenizer_template(t, "").p == NULL);
    tokenizer_free(t);
}

static void refused(const char *name, bool made, const char *pattern)
{
    struct err e = {0};
    struct tokenizer *t = made ? tokenizer_load(dir, &e) : NULL;
    bool ok = made && !t && e.code == ERR_DATA && strstr(e.msg, pattern) && !strchr(e.msg, '\n');
    if (!ok) printf("# message: %s\n", e.msg);
    CHECK_IN("templates refused", name, ok);
    tokenizer_free(t);
}

/* Templates t00, t01, ... as a list. */
static bool many(int n)
{
    char text[4000];
    size_t at = 0;
    for (int i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, sizeof text - at,
                               "%s{\"name\":\"t%02d\",\"template\":\"x\"}", i ? "," : "[", i);
    snprintf(text + at, sizeof text - at, "]");
    return config(text);
}

static bool large(const char *file, size_t n)
{
    char *text = malloc(n + 1);
    if (!text) return false;
    memset(text, 'x', n);
    text[n] = 0;
    bool ok = fresh() && put(file, text);
    free(text);
    return ok;
}

static void test_bounds(void)
{
    char name[300] = "[{\"template\":\"x\",\"name\":\"";
    size_t n = strlen(name);
    memset(name + n, 'n', 201);
    snprintf(name + n + 201, sizeof name - n - 201, "\"}]");
    refused("a number", config("1"), "\"chat_template\": must be a string or a list");
    refused("an entry without a name", config("[{\"template\":\"x\"}]"), "entry 0 needs \"name\"");
    refused("an object of numbers", config("{\"a\":1}"), "\"a\" must be a string");
    refused("a name that leaves the folder", config("[{\"name\":\"../a\",\"template\":\"x\"}]"),
            "entry 0: a chat template's name");
    refused("an empty name", config("[{\"name\":\"\",\"template\":\"x\"}]"), "entry 0: a chat");
    refused("a control character", config("[{\"name\":\"a\\u0007\",\"template\":\"x\"}]"), "name");
    refused("a NUL", config("[{\"name\":\"a\\u0000b\",\"template\":\"x\"}]"), "name");
    refused("a long name", config(name), "1 to 200 bytes");
    holds("a name of 200 bytes",
          config((memmove(name + n, name + n + 1, 300 - n - 1), name)) &&
              put("chat_template.jinja", "D"),
          "default=D");
    refused("65 templates", many(65), "more than 64 chat templates");
    struct err e = {0};
    struct tokenizer *t = many(64) ? tokenizer_load(dir, &e) : NULL;
    CHECK("templates: 64 are taken",
          t && tokenizer_template_count(t) == 64 && str_is(tokenizer_template(t, "t63"), "x"));
    tokenizer_free(t);
    refused("a file above 4 MiB", large("additional_chat_templates/a.jinja", (4 << 20) + 1),
            "a.jinja");
    refused("a file's name that is not UTF-8",
            fresh() && put("additional_chat_templates/\xff.jinja", "x"), "name");
}

int main(void)
{
    const char *tmp = getenv("TEST_TMP");
    struct err e;
    snprintf(dir, sizeof dir, "%s/templates", tmp != NULL ? tmp : "/tmp");
    test_config();
    test_files();
    test_lookup();
    test_bounds();
    io_remove_tree(dir, &e);
    TEST_END();
}
