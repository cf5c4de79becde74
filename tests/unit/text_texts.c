/* SPDX-License-Identifier: Apache-2.0 */
/* Ids, byte ranges and decoded text of hard strings, against Hugging Face tokenizers. */
#include "text_golden.h"

static bool same_ids(const struct token_list *l, const struct json *ids, const struct json *ranges)
{
    if (l->n != ids->count) return false;
    for (size_t i = 0; i < l->n; i++) {
        const struct json *r = &ranges->items[i];
        if (l->ids[i] != golden_int(&ids->items[i]) || l->begin[i] != golden_int(&r->items[0]) ||
            l->end[i] != golden_int(&r->items[1]))
            return false;
    }
    return true;
}

static void test_tiny(const struct json *rows)
{
    struct session x;
    size_t bad = 0;
    if (!session_open(&x, "share/tiny-tokenizer")) return;
    for (size_t i = 0; i < rows->count; i++) {
        const struct json *row = &rows->items[i], *text = json_get(row, "text");
        bool ok = tokenizer_encode(x.t, x.s, text->s, &x.list, &x.e) == 0 &&
                  same_ids(&x.list, json_get(row, "ids"), json_get(row, "ranges"));
        if (!ok) printf("# text %zu \"%.60s\"\n", i, text->s.p);
        bad += !ok;
    }
    CHECK("text: ids and ranges of the tiny tokenizer", bad == 0);
    session_close(&x);
}

static void test_real(const struct json *doc, const char *name)
{
    const struct json *rows = json_get(doc, "rows"), *hash = json_get(doc, name);
    struct session x;
    size_t bad = 0;
    char dir[200];
    snprintf(dir, sizeof dir, REAL_DATA "tokenizers/%s", name);
    if (!io_exists(dir, NULL)) {
        SKIP("text: ids of a real tokenizer", "no ../shared/data");
        return;
    }
    if (!session_open(&x, dir)) return;
    for (size_t i = 0; i < rows->count; i++) {
        struct str text = json_get(&rows->items[i], "text")->s;
        bool ok = tokenizer_encode(x.t, x.s, text, &x.list, &x.e) == 0 &&
                  hash_is(hash_list(HASH_START, &x.list, true), hash->items[i].s);
        if (!ok) printf("# %s: text %zu \"%.60s\"\n", name, i, text.p);
        bad += !ok;
    }
    CHECK_IN("text: ids and ranges", name, bad == 0);
    session_close(&x);
}

static size_t wrong_decodes(struct session *x, const struct json *rows, const char *base)
{
    struct buf b = {0};
    size_t bad = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const struct json *row = &rows->items[i], *list = json_get(row, "ids");
        uint32_t ids[64];
        if (!str_is(json_get(row, "base")->s, base)) continue;
        for (size_t k = 0; k < list->count; k++) ids[k] = (uint32_t)golden_int(&list->items[k]);
        for (int skip = 0; skip < 2; skip++) {
            struct str want = json_get(row, skip ? "skip" : "text")->s;
            buf_reset(&b);
            bool ok = tokenizer_decode(x->t, ids, list->count, skip, &b, &x->e) == 0 &&
                      b.len == want.n && memcmp(b.data ? b.data : "", want.p, want.n) == 0;
            if (!ok) printf("# %s: decode %zu: \"%s\"\n", base, i, b.data);
            bad += !ok;
        }
    }
    buf_free(&b);
    return bad;
}

static void test_decode(const struct json *rows)
{
    struct session x;
    if (session_open(&x, "share/tiny-tokenizer")) {
        CHECK("text: byte-level tokens decode", wrong_decodes(&x, rows, "tiny") == 0);
        session_close(&x);
    }
    if (session_open(&x, GOLDEN "meta")) {
        CHECK("text: tokens with byte fallback decode", wrong_decodes(&x, rows, "meta") == 0);
        session_close(&x);
    }
}

static void test_questions(void)
{
    struct session x;
    struct buf b = {0};
    uint32_t id = 0;
    char one[HASH128_HEX], two[HASH128_HEX];
    if (!session_open(&x, "share/tiny-tokenizer")) return;
    CHECK("tokenizer: a token has its id", tokenizer_id(x.t, STR("<|im_end|>"), &id) && id == 2);
    CHECK("tokenizer: special and added tokens are told",
          tokenizer_is_special(x.t, 2) && tokenizer_is_added(x.t, 2) &&
              !tokenizer_is_special(x.t, 3) && !tokenizer_is_added(x.t, 3));
    CHECK("tokenizer: an unknown token is not found", !tokenizer_id(x.t, STR("<|no such|>"), &id));
    CHECK("tokenizer: the size of the vocabulary is known", tokenizer_vocab_size(x.t) == 1601);
    CHECK("tokenizer: the end token is named",
          str_is(tokenizer_named(x.t, "eos_token"), "<|im_end|>") &&
              tokenizer_named(x.t, "bos_token").p == NULL && tokenizer_named_count(x.t) == 2);
    CHECK("tokenizer: the chat template is there", tokenizer_template(x.t, "default").n > 100);
    CHECK("tokenizer: a token of a part of a character has its bytes",
          tokenizer_encode(x.t, x.s, STR("\xf0\x9f\x90\xb1"), &x.list, &x.e) == 0 && x.list.n > 1 &&
              tokenizer_token_bytes(x.t, x.list.ids[0], &b, &x.e) == 0 && b.len < 4 &&
              b.data[0] == '\xf0');
    CHECK("tokenizer: an unknown id has no bytes",
          tokenizer_token_bytes(x.t, 99999, &b, &x.e) == -1 && x.e.code == ERR_DATA);
    int rc = tokenizer_identity(x.t, one, &x.e);
    session_close(&x);
    if (!session_open(&x, GOLDEN "meta")) return;
    if (rc == 0) rc = tokenizer_identity(x.t, two, &x.e);
    CHECK("tokenizer: another vocabulary has another identity",
          rc == 0 && strlen(one) == 32 && strcmp(one, two) != 0);
    session_close(&x);
    buf_free(&b);
}

int main(void)
{
    struct golden g;
    if (!golden_open(&g, GOLDEN "texts.json")) return 1;
    test_tiny(json_get(g.doc, "rows"));
    test_real(g.doc, "qwen2.5");
    test_real(g.doc, "gpt2");
    test_real(g.doc, "mistral-v0.3");
    test_decode(json_get(g.doc, "decodes"));
    test_questions();
    golden_close(&g);
    TEST_END();
}
