/* SPDX-License-Identifier: Apache-2.0 */
/* The regex engine: pieces that Oniguruma cuts, refusals, bounds. */
#include "regex/impl.h"
#include "text_golden.h"

struct cutter { /* compares pieces with the golden lengths as they come */
    const struct json *want;
    size_t n;
    bool ok;
};

static void cut(struct cutter *c, size_t begin, size_t end)
{
    if (begin == end) return;
    c->ok = c->ok && c->n < c->want->count &&
            golden_int(&c->want->items[c->n]) == (int64_t)(end - begin);
    c->n++;
}

static bool case_is(const struct json *row)
{
    struct str text = row->items[1].s;
    struct cutter c = {&row->items[2], 0, true};
    struct regex_mem mem = {0};
    struct regex_iter it;
    struct err e = {0};
    size_t begin, end, last = 0;
    int rc;
    struct regex *r = regex_compile(row->items[0].s, &e);
    if (r == NULL) {
        printf("# %s\n", e.msg);
        return false;
    }
    regex_allow(&mem, text.n);
    regex_iter_init(&it, r, &mem, text.p, text.n);
    while ((rc = regex_next(&it, &begin, &end, &e)) > 0) {
        cut(&c, last, begin);
        cut(&c, begin, end);
        last = end;
    }
    cut(&c, last, text.n);
    regex_free(r);
    regex_mem_free(&mem);
    return rc == 0 && c.ok && c.n == c.want->count;
}

static void test_golden(void)
{
    struct golden g;
    size_t bad = 0;
    if (!golden_open(&g, GOLDEN "regex.json")) return;
    const struct json *rows = json_get(g.doc, "cases");
    for (size_t i = 0; i < rows->count; i++) {
        bool ok = case_is(&rows->items[i]);
        if (!ok) printf("# case %zu \"%s\"\n", i, rows->items[i].items[0].s.p);
        bad += !ok;
    }
    CHECK("regex: patterns cut as Oniguruma cuts", bad == 0 && rows->count >= 500);
    golden_close(&g);
}

static void test_refused(void)
{
    static const char *const patterns[] = {"(",
                                           "a)",
                                           "[a",
                                           "[]",
                                           "*a",
                                           "a{100001}",
                                           "\\p{Nope}",
                                           "\\1",
                                           "(?<n>a)",
                                           "(?x:a)",
                                           "[b-a]",
                                           "\\",
                                           "(*FAIL)",
                                           "^*",
                                           "(?<=a+)b",
                                           "\\x{110000}",
                                           "\\u12",
                                           "[\\d-z]",
                                           "\\p{rust:word}",
                                           "(?:(?:(?:(?:a{999}){999}){999}){999})",
                                           "\\X",
                                           "a|{1,3}"};
    struct err e;
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        struct regex *r = regex_compile(str_z(patterns[i]), &e);
        EXPECT(patterns[i], r == NULL && e.code == ERR_DATA && strlen(e.msg) > 10);
        regex_free(r);
    }
    CHECK("regex: what is not supported is refused", test_failed == 0);
}

static void test_automaton(void)
{
    static const char *const fast[] = {
        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+"
        "[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
        "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++"
        "[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s"};
    struct err e;
    for (size_t i = 0; i < 3; i++) {
        struct regex *r = regex_compile(str_z(fast[i]), &e);
        CHECK("regex: a usual pattern runs without backtracking", r != NULL && r->dfa.next != NULL);
        regex_free(r);
    }
}

/* A pattern that backtracks exponentially ends with an error; a long text of one letter does not.
 */
static void test_bounds(void)
{
    enum { N = 1 << 20 };
    struct regex_mem mem = {0};
    struct regex_iter it;
    struct err e = {0};
    size_t begin, end;
    char *text = malloc(N);
    struct regex *r = regex_compile(STR("(?:a|a)*\\b!|(?:(?:a*)*)*\\Ab"), &e);
    if (text == NULL || r == NULL) {
        CHECK("regex bounds: the pattern compiles", false);
        return;
    }
    memset(text, 'a', N);
    regex_allow(&mem, 64);
    regex_iter_init(&it, r, &mem, text, 64);
    CHECK("regex bounds: steps are bounded",
          regex_next(&it, &begin, &end, &e) == -1 && e.code == ERR_DATA);
    regex_free(r);
    r = regex_compile(STR("(?:a|b)+\\b"), &e);
    regex_allow(&mem, N);
    regex_iter_init(&it, r, &mem, text, N);
    CHECK("regex bounds: a long match is found",
          regex_next(&it, &begin, &end, &e) == 1 && begin == 0 && end == N);
    regex_free(r);
    regex_mem_free(&mem);
    free(text);
}

int main(void)
{
    test_golden();
    test_refused();
    test_automaton();
    test_bounds();
    TEST_END();
}
