/* SPDX-License-Identifier: Apache-2.0 */
/* Every line of real corpora through real tokenizers: one hash each, made by Hugging Face
 * tokenizers of all ids and of the byte ranges of each fifth line. */
#include "text_golden.h"

static bool corpus_is(struct session *x, const struct io_map *m, const struct json *row)
{
    const char *p = (const char *)m->p, *end = p + m->n;
    uint64_t h = HASH_START;
    int64_t tokens = 0;
    for (size_t line = 0;; line++) {
        const char *q = memchr(p, '\n', (size_t)(end - p));
        struct str text = {p, (size_t)((q != NULL ? q : end) - p)};
        if (tokenizer_encode(x->t, x->s, text, &x->list, &x->e) != 0) {
            printf("# line %zu: %s\n", line, x->e.msg);
            return false;
        }
        h = hash_list(h, &x->list, line % 5 == 0);
        tokens += (int64_t)x->list.n;
        if (q == NULL) break;
        p = q + 1;
    }
    return tokens == golden_int(json_get(row, "tokens")) && hash_is(h, json_get(row, "hash")->s);
}

static void test_row(const struct json *row)
{
    struct str name = json_get(row, "tokenizer")->s, corpus = json_get(row, "corpus")->s;
    char dir[300], path[300], what[300];
    struct session x;
    struct io_map m;
    struct err e;
    snprintf(what, sizeof what, "corpus: %.*s on %.*s has the golden ids", STR_FMT(name),
             STR_FMT(corpus));
    snprintf(dir, sizeof dir, REAL_DATA "tokenizers/%.*s", STR_FMT(name));
    if (str_is(name, "tiny")) snprintf(dir, sizeof dir, "share/tiny-tokenizer");
    snprintf(path, sizeof path, REAL_DATA "corpus/%.*s.txt", STR_FMT(corpus));
    if (!io_exists(dir, NULL) || !io_exists(path, NULL)) {
        SKIP(what, "no ../shared/data");
        return;
    }
    if (!session_open(&x, dir)) return;
    if (io_map(path, &m, &e) == 0) {
        CHECK(what, corpus_is(&x, &m, row));
        io_unmap(&m);
    }
    session_close(&x);
}

int main(void)
{
    struct golden g;
    if (!golden_open(&g, GOLDEN "corpus.json")) return 1;
    const struct json *rows = json_get(g.doc, "rows");
    for (size_t i = 0; i < rows->count; i++) test_row(&rows->items[i]);
    golden_close(&g);
    TEST_END();
}
