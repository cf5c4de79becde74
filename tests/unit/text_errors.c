/* SPDX-License-Identifier: Apache-2.0 */
/* Broken and unsupported tokenizer files are refused by name; hostile text is handled in time. */
#include "text_golden.h"

static char dir[300], path[400];

static struct tokenizer *load_text(const char *text, struct err *e)
{
    e->msg[0] = '\0';
    if (io_put(path, text, strlen(text), e) != 0) return NULL;
    return tokenizer_load(dir, e);
}

/* A small model with one part replaced. */
static struct tokenizer *load_with(const char *parts, const char *model, struct err *e)
{
    char text[4000];
    snprintf(text, sizeof text, "{\"version\":\"1.0\",%s\"model\":{\"type\":\"BPE\",%s}}", parts,
             model != NULL ? model : "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]");
    return load_text(text, e);
}

static void refused(const char *name, const char *parts, const char *model, const char *pattern)
{
    struct err e;
    struct tokenizer *t = load_with(parts, model, &e);
    bool ok = t == NULL && e.code == ERR_DATA && strstr(e.msg, pattern) != NULL &&
              strstr(e.msg, "tokenizer.json") != NULL && strchr(e.msg, '\n') == NULL;
    if (!ok) printf("# message: %s\n", e.msg);
    CHECK_IN("tokenizer.json refused", name, ok);
    tokenizer_free(t);
}

static void test_refused(void)
{
    refused("a merge with spaces in it", "", "\"vocab\":{\"a\":0,\"b\":1},\"merges\":[\"a b c\"]",
            "entry 0 \"a b c\"");
    refused("a merge of one token", "", "\"vocab\":{\"a\":0},\"merges\":[\"a\"]", "entry 0");
    refused("a merge of an unknown token", "", "\"vocab\":{\"a\":0,\"ac\":1},\"merges\":[\"a c\"]",
            "\"c\" is not in the vocabulary");
    refused("a merge that makes no token", "", "\"vocab\":{\"a\":0,\"b\":1},\"merges\":[\"a b\"]",
            "\"ab\" is not in the vocabulary");
    refused("mixed merges", "",
            "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\",[\"a\",\"b\"]]", "mixed");
    refused("a negative id", "", "\"vocab\":{\"a\":-1},\"merges\":[]", "\"a\"");
    refused("an id of text", "", "\"vocab\":{\"a\":\"0\"},\"merges\":[]", "\"a\"");
    refused("dropout", "", "\"dropout\":0.1,\"vocab\":{\"a\":0},\"merges\":[]", "dropout");
    refused("an unknown normalizer", "\"normalizer\":{\"type\":\"Nmt\"},", NULL, "\"Nmt\"");
    refused("an unknown pre-tokenizer", "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},", NULL,
            "\"BertPreTokenizer\"");
    refused("an unknown decoder", "\"decoder\":{\"type\":\"CTC\"},", NULL, "\"CTC\"");
    refused("a bad pattern",
            "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a(\"},"
            "\"behavior\":\"Isolated\",\"invert\":false},",
            NULL, "pattern \"a(\"");
    refused("an added token without content", "\"added_tokens\":[{\"id\":0}],", NULL, "entry 0");
    refused("another version", "\"version\":\"2.0\",", NULL, "");
}

static void test_documents(void)
{
    struct err e;
    CHECK("tokenizer.json refused: text that is not JSON",
          load_text("{", &e) == NULL && e.code == ERR_DATA);
    CHECK("tokenizer.json refused: JSON that is no object",
          load_text("[]", &e) == NULL && e.code == ERR_DATA);
    CHECK("tokenizer.json refused: no model",
          load_text("{}", &e) == NULL && strstr(e.msg, "model") != NULL);
    CHECK("tokenizer.json refused: another kind of model",
          load_text("{\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}", &e) == NULL &&
              strstr(e.msg, "\"Unigram\"") != NULL);
    static const char *const untyped[][2] = {
        {"\"unk_token\":\"a\",\"continuing_subword_prefix\":\"##\",\"vocab\":{\"a\":0}",
         "WordPiece"},
        {"\"max_input_chars_per_word\":9,\"vocab\":{\"a\":0}", "WordPiece"},
        {"\"unk_id\":0,\"vocab\":[[\"a\",0.0]]", "Unigram"},
        {"\"unk_token\":\"a\",\"vocab\":{\"a\":0}", "WordLevel"}};
    for (size_t i = 0; i < sizeof untyped / sizeof *untyped; i++) {
        char text[300], wanted[60];
        snprintf(text, sizeof text, "{\"model\":{%s}}", untyped[i][0]);
        snprintf(wanted, sizeof wanted, "model \"%s\" is not supported", untyped[i][1]);
        CHECK_IN("tokenizer.json refused: a model without a type by its members", untyped[i][0],
                 load_text(text, &e) == NULL && e.code == ERR_DATA && strstr(e.msg, wanted));
    }
    CHECK("tokenizer.json refused: a model without members",
          load_text("{\"model\":{}}", &e) == NULL && strstr(e.msg, "neither a type nor"));
    struct tokenizer *t = load_text("{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}}", &e);
    CHECK("tokenizer.json: a model with merges and without a type is BPE", t);
    tokenizer_free(t);
    CHECK("tokenizer.json refused: no folder",
          tokenizer_load("/nonexistent/model", &e) == NULL && e.code == ERR_NOINPUT);
}

static void test_text(void)
{
    struct session x;
    enum { N = 1 << 20 };
    char *text = malloc(N);
    if (text == NULL || !session_open(&x, "share/tiny-tokenizer")) return;
    CHECK("text: bytes that are not UTF-8 are refused",
          tokenizer_encode(x.t, x.s, STR("ab\xff"), &x.list, &x.e) == -1 && x.e.code == ERR_DATA &&
              strstr(x.e.msg, "byte 2") != NULL);
    memset(text, 'x', N);
    CHECK("text: a long word is encoded",
          tokenizer_encode(x.t, x.s, (struct str){text, N}, &x.list, &x.e) == 0 && x.list.n > 0 &&
              x.list.end[x.list.n - 1] == N);
    for (int i = 0; i + 1 < N; i += 2) memcpy(text + i, "\xcc\x81", 2); /* combining acute */
    CHECK("text: many combining marks are encoded",
          tokenizer_encode(x.t, x.s, (struct str){text, N}, &x.list, &x.e) == 0 && x.list.n > 0);
    session_close(&x);
    free(text);
}

int main(void)
{
    struct err e;
    const char *tmp = getenv("TEST_TMP");
    snprintf(dir, sizeof dir, "%s/broken", tmp != NULL ? tmp : "/tmp");
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    if (io_mkdirs(dir, &e) != 0) return 1;
    test_refused();
    test_documents();
    test_text();
    io_remove_tree(dir, &e);
    TEST_END();
}
