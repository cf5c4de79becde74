/* SPDX-License-Identifier: Apache-2.0 */
/* Edited tokenizers - one character of the pattern, other normalizers, pre-tokenizers, added
 * tokens, decoders - against Hugging Face tokenizers with the same edits. */
#include "text_golden.h"

/* Replaces the first occurrence; false when there is none. */
static bool edit(struct buf *b, struct str find, struct str replace)
{
    char *at = memmem(b->data, b->len, find.p, find.n);
    struct buf out = {0};
    if (at == NULL) return false;
    buf_add(&out, b->data, (size_t)(at - b->data));
    buf_str(&out, replace);
    buf_add(&out, at + find.n, b->len - (size_t)(at - b->data) - find.n);
    buf_free(b);
    *b = out;
    return true;
}

/* Writes the edited tokenizer.json into dir. */
static bool make_variant(const struct json *v, const char *dir, struct err *e)
{
    bool tiny = str_is(json_get(v, "base")->s, "tiny");
    const struct json *edits = json_get(v, "edits");
    struct buf b = {0};
    char path[400];
    bool ok = io_slurp(tiny ? "share/tiny-tokenizer/tokenizer.json" : GOLDEN "meta/tokenizer.json",
                       1 << 20, &b, e) == 0;
    for (size_t i = 0; ok && i < edits->count; i++)
        ok = edit(&b, edits->items[i].items[0].s, edits->items[i].items[1].s);
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    ok = ok && io_put(path, b.data, b.len, e) == 0;
    buf_free(&b);
    return ok;
}

static bool decodes(struct session *x, const uint32_t *ids, size_t n, struct str want)
{
    struct buf b = {0};
    uint64_t h = HASH_START;
    bool ok = tokenizer_decode(x->t, ids, n, false, &b, &x->e) == 0;
    for (size_t i = 0; i < b.len; i++) h = hash_word(h, (unsigned char)b.data[i]);
    buf_free(&b);
    return ok && hash_is(h, want);
}

/* Texts that come out otherwise than in `tokenizers`. */
static size_t wrong_texts(struct session *x, const struct json *v, const struct json *rows)
{
    const struct json *hash = json_get(v, "hash");
    uint32_t *all = NULL;
    size_t n = 0, cap = 0, bad = 0;
    for (size_t i = 0; i < rows->count; i++) {
        struct str text = json_get(&rows->items[i], "text")->s;
        bool ok = tokenizer_encode(x->t, x->s, text, &x->list, &x->e) == 0 &&
                  hash_is(hash_list(HASH_START, &x->list, true), hash->items[i].s);
        if (!ok) printf("# text %zu \"%.40s\" %s\n", i, text.p, x->e.msg);
        bad += !ok;
        if (mem_grow(&all, &cap, n + x->list.n, sizeof *all, &x->e) != 0) return 1;
        if (x->list.n > 0) memcpy(all + n, x->list.ids, x->list.n * sizeof *all);
        n += x->list.n;
    }
    if (bad == 0 && !decodes(x, all, n, json_get(v, "decoded")->s)) {
        printf("# decoded text differs\n");
        bad++;
    }
    free(all);
    return bad;
}

int main(void)
{
    struct golden texts, g;
    struct err e = {0};
    char dir[300];
    const char *tmp = getenv("TEST_TMP");
    snprintf(dir, sizeof dir, "%s/variant", tmp != NULL ? tmp : "/tmp");
    if (io_mkdirs(dir, &e) != 0 || !golden_open(&texts, GOLDEN "texts.json") ||
        !golden_open(&g, GOLDEN "variants.json"))
        return 1;
    const struct json *list = json_get(g.doc, "variants"), *rows = json_get(texts.doc, "rows");
    for (size_t i = 0; i < list->count; i++) {
        const struct json *v = &list->items[i];
        struct session x = {0};
        char name[200];
        snprintf(name, sizeof name, "%.*s", STR_FMT(json_get(v, "name")->s));
        bool ok =
            make_variant(v, dir, &e) && session_open(&x, dir) && wrong_texts(&x, v, rows) == 0;
        CHECK_IN("variant", name, ok);
        session_close(&x);
    }
    io_remove_tree(dir, &e);
    golden_close(&g);
    golden_close(&texts);
    TEST_END();
}
