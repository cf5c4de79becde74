/* SPDX-License-Identifier: Apache-2.0 */
/* Documents as they are read: the same values as those of json_parse, and the same refusals with
 * their places; cJSON's own bounds; memory. */
#include "base/doc.h"
#include "json_values.h"
#include "test.h"

/* The texts that both readers take. */
static bool same_n(const char *text, size_t n)
{
    struct arena a = {0}, b = {0};
    struct err e = {0};
    char *tight = malloc(n ? n : 1); /* so that the sanitizer sees a read past the end */
    if (n) memcpy(tight, text, n);
    const struct json *v = doc_parse(tight, n, &a, &e);
    free(tight); /* nothing points into it */
    const struct json *want = json_parse(text, n, &b, &e);
    const bool ok = v && want && json_same(v, want);
    if (!ok) printf("# %.*s: %s\n", (int)n, text, e.msg);
    arena_free(&a);
    arena_free(&b);
    return ok;
}

/* The text is refused with this beginning of the message; json_parse refuses it too, at the same
 * place. */
static bool refused_n(const char *text, size_t n, const char *says)
{
    struct arena a = {0};
    struct err e = {0}, other = {0};
    char *tight = malloc(n ? n : 1);
    if (n) memcpy(tight, text, n);
    bool ok = !doc_parse(tight, n, &a, &e) && e.code == ERR_DATA;
    ok = ok && strncmp(e.msg, says, strlen(says)) == 0 && !strchr(e.msg, '\n');
    ok = ok && !json_parse(tight, n, &a, &other) && other.code == ERR_DATA;
    ok = ok && strncmp(e.msg, other.msg, strcspn(e.msg, ":")) == 0;
    if (!ok) printf("# '%.*s': %s; %s\n", (int)(n > 80 ? 80 : n), text, e.msg, other.msg);
    free(tight);
    arena_free(&a);
    return ok;
}

static void test_taken(void)
{
    static const char *const texts[] = {
        "null",
        "true",
        "false",
        "\"\"",
        "[]",
        "{}",
        " \t\r\n[ 1 , { \"a\" : [ ] , \"b\" : { } } ] \n",
        "[0,-0,1E+5,1.25e-7,0.0,-1.5]",
        "[9007199254740993,18446744073709551616,1e400,-1e-400,0.30000000000000004]",
        "[123456789012345678901234567890123456789012345678901234567890123]", /* 63 */
        "[\"a\\u0000b\",\"\\u0000\",\"\\u0000\\u0000\"]",
        "{\"a\\u0000b\":1,\"a\\u0000c\":2,\"a\":3}",
        "[\"\\ud83d\\uDE00\",\"\\u00e9\\u4F60x\",\"\\ud800\\udc00\"]",
        "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]",
        "[\"\x7f \xc3\xa9 \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf\"]",
        "{\"z\":[null,true,false,\"x\"],\"a\":{\"\":0},\"A\":1,\"k\\n\":-2}",
        "[{\"a\":1},{\"a\":{\"a\":2}}]"};
    bool all = true;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        all &= same_n(texts[i], strlen(texts[i]));
    CHECK("document: it has the values that JSON's other reader gives", all);
}

static void test_refused(void)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "line 1, column 1: the text ends where a value should be"},
        {" \n ", "line 2, column 2: the text ends where a value should be"},
        {"{\"a\": 1,\n \"b\": x}", "line 2, column 7: not a JSON value"},
        {"[1,", "line 1, column 4: the text ends where a value should be"},
        {"[1,]", "line 1, column 4: not a JSON value"},
        {"[1 2]", "line 1, column 4: expected ',' or ']'"},
        {"{\"a\":1,", "line 1, column 8: the text ends inside an object"},
        {"{\"a\":1,}", "line 1, column 8: expected a key in double quotes"},
        {"{\"a\" 1}", "line 1, column 6: expected ':' after a key"},
        {"{\"a\":1", "line 1, column 7: the text ends inside an object"},
        {"[1}", "line 1, column 3: expected ',' or ']'"},
        {"nul", "line 1, column 4: the text ends inside a word"},
        {"'a'", "line 1, column 1: not a JSON value"},
        {"NaN", "line 1, column 1: not a JSON value"},
        {"[\"abc", "line 1, column 6: the text ends inside a string"},
        {"[\"\\x\"]", "line 1, column 3: unknown escape"},
        /* cJSON takes the others */
        {"{}\n{}", "line 2, column 1: text after the end of the value"},
        {"falsey", "line 1, column 6: text after the end of the value"},
        {"[1]\v", "line 1, column 4: text after the end of the value"},
        {"[1,\v2]", "line 1, column 4: not a JSON value"},
        {"{\"a\"\f:1}", "line 1, column 5: control character between values"},
        {"[true\x01]", "line 1, column 6: control character between values"},
        {"[\n01]", "line 2, column 1: number with a leading zero"},
        {"[-01]", "line 1, column 2: number with a leading zero"},
        {"[1.]", "line 1, column 4: number without digits after the point"},
        {"[1.e5]", "line 1, column 4: number without digits after the point"},
        {"[-.5]", "line 1, column 2: not a JSON value"},
        {"1e", "line 1, column 3: number without digits in its exponent"},
        {"[\"a\nb\"]", "line 1, column 4: control character in a string"},
        {"{\"a\tb\":1}", "line 1, column 4: control character in a string"},
        {"[\"\\u12g4\"]", "line 1, column 3: \\u needs four hexadecimal digits"},
        {"[\"\\ud83d\"]", "line 1, column 3: half of a surrogate pair"},
        {"[\"\\ude00\"]", "line 1, column 3: half of a surrogate pair"},
        {"[\"\\ud83d\\ud83d\"]", "line 1, column 3: half of a surrogate pair"},
        {"[\"\\ud83d\\uzzzz\"]", "line 1, column 3: half of a surrogate pair"},
        {"[\"\xff\"]", "line 1, column 3: not UTF-8"},
        {"[\"\xc0\x80\"]", "line 1, column 3: not UTF-8"},
        {"{\"\xed\xa0\x80\":1}", "line 1, column 3: not UTF-8"},
        {"{\"a\":1,\n\"b\":2,\"a\":3}", "line 2, column 12: key \"a\" occurs twice in an object"},
        {"{\"a\":1,\"\\u0061\":3}", "line 1, column 18: key \"a\" occurs twice in an object"},
        {"[{\"\":1,\"\":2}]", "line 1, column 12: key \"\" occurs twice in an object"}};
    bool all = true;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        all &= refused_n(bad[i].text, strlen(bad[i].text), bad[i].says);
    CHECK("document: what is not JSON is refused with its line and column", all);
    CHECK("document: a NUL byte ends no text",
          refused_n("{}\0{}", 5, "line 1, column 3: text after") &&
              refused_n("[1\0,2]", 6, "line 1, column 3: expected ',' or ']'") &&
              refused_n("[\"a\0b\"]", 7, "line 1, column 4: control character in a string"));
    CHECK("document: a byte order mark is named",
          refused_n("\xef\xbb\xbf{}", 5, "line 1, column 1: a byte order mark") &&
              refused_n("\xef\xbb\xbf", 3, "line 1, column 1: a byte order mark"));
}

/* Every prefix of a text is refused at the same place by both. */
static void test_cut(void)
{
    const char *t =
        "{\"a\": [1.5e3, true, null, \"x\\u00e9\\ud83d\\ude00\xc3\xa9\"], \"b\": {\"c\": -1}}";
    bool all = same_n(t, strlen(t));
    for (size_t n = 0; n < strlen(t); n++) all &= refused_n(t, n, "line 1, column ");
    CHECK("document: every cut of a text is refused", all);
}

static void test_depth(void)
{
    enum { MOST = 3000 };
    char deep[2 * MOST];
    memset(deep, '[', MOST);
    memset(deep + MOST, ']', MOST);
    CHECK("document: reading takes 128 levels", same_n(deep + MOST - 128, 256));
    CHECK("document: reading refuses the 129th level, where it begins",
          refused_n(deep + MOST - 129, 258, "line 1, column 129: nested more than 128 deep"));
    CHECK("document: more levels than cJSON takes are refused at the same place",
          refused_n(deep, 2 * MOST, "line 1, column 129: nested more than 128 deep"));
}

/* The number in a list and alone: cJSON before 1.7.19 refuses the one, and cuts the other. */
static bool number_refused(const char *number, const char *in_list)
{
    struct arena a = {0};
    struct err e = {0}, alone = {0};
    char list[600];
    const int n = snprintf(list, sizeof list, "[1,\n%s, 2]", number);
    const bool ok = !doc_parse(list, (size_t)n, &a, &e) && e.code == ERR_DATA &&
                    !doc_parse(number, strlen(number), &a, &alone) && alone.code == ERR_DATA &&
                    !strcmp(e.msg, in_list) &&
                    !strcmp(alone.msg, "line 1, column 1: number of more than 63 characters");
    if (!ok) printf("# %s: %s; %s\n", number, e.msg, alone.msg);
    arena_free(&a);
    return ok;
}

static void test_long_numbers(void)
{
    static const char says[] = "line 2, column 1: number of more than 63 characters";
    char digits[400] = {0}, real[400];
    memset(digits, '7', 64);
    CHECK("document: a number too long for cJSON is refused where it begins",
          number_refused(digits, says));
    snprintf(real, sizeof real, "-%.60s.25", digits);
    CHECK("document: a number whose point is cJSON's last character is refused",
          number_refused(real, says));
    snprintf(real, sizeof real, "%.60se+55", digits);
    CHECK("document: a number whose exponent cJSON cuts is refused", number_refused(real, says));
}

static void test_large(void)
{
    struct arena a = {0};
    struct err e = {0};
    struct buf b = {0};
    json_large(&b, 150000, false);
    CHECK("document: 150000 members are read", same_n(b.data, b.len));
    json_large(&b, 150000, true);
    CHECK("document: a duplicate among 150000 members is refused",
          !doc_parse(b.data, b.len, &a, &e) && strstr(e.msg, "\"key0\" occurs twice"));
    buf_reset(&b);
    for (int i = 0; i < DOC_VALUES / 2; i++) buf_puts(&b, "[],");
    CHECK("document: more than a million values are refused before they take memory",
          !doc_parse(b.data, b.len, &a, &e) && e.code == ERR_DATA && strstr(e.msg, "million"));
    buf_reset(&b);
    for (int i = 0; i < DOC_MOST / 32; i++) buf_add(&b, "                                ", 32);
    buf_puts(&b, "1");
    CHECK("document: more than 64 MiB are refused, and nothing is taken for them",
          !doc_parse(b.data, b.len, &a, &e) && e.code == ERR_DATA && strstr(e.msg, "64 MiB") &&
              doc_parse(b.data, DOC_MOST, &a, &e) == NULL && strstr(e.msg, "the text ends"));
    json_large(&b, 100, false);
    a.max = 100;
    CHECK("document: the arena's bound is an error of memory",
          !doc_parse(b.data, b.len, &a, &e) && e.code == ERR_MEMORY);
    buf_free(&b);
    arena_free(&a);
}

/* Parsed in a sealed program, documents have their memory from its reserve, and release it. */
static void test_sealed(void)
{
    enum { ROOM = 4 << 20 };
    struct arena a = {0};
    struct buf b = {0};
    struct err e = {0};
    struct mem_sealed first, second;
    void *block = malloc(mem_reserve(ROOM));
    json_large(&b, 1000, false);
    mem_seal(block, ROOM);
    bool ok = doc_parse(b.data, b.len, &a, &e) != NULL;
    arena_free(&a);
    first = mem_sealed();
    for (int i = 0; i < 100; i++) {
        ok &= doc_parse(b.data, b.len - (size_t)(i & 1), &a, &e) ? !(i & 1) : i & 1;
        arena_free(&a);
    }
    second = mem_sealed();
    mem_unseal();
    free(block);
    buf_free(&b);
    CHECK("document: one that a sealed program reads has its memory from the reserve",
          ok && first.most > 64000 && first.beyond == 0);
    CHECK("document: all memory of reading is released",
          second.most < first.most * 2 && second.beyond == 0);
}

int main(void)
{
    test_taken();
    test_refused();
    test_cut();
    test_depth();
    test_long_numbers();
    test_large();
    test_sealed();
    TEST_END();
}
