/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON parser against RFC 8259: what is taken, what is refused, and where the message points.
 */
#include "base/json.h"
#include "json_values.h"
#include "test.h"

static struct json *parse(const char *text, size_t n, struct arena *a, struct err *e)
{
    /* a copy of exactly n bytes, so that the sanitizer sees a read past the end */
    char *copy = arena_copy(a, text, n, e);
    char *tight = malloc(n ? n : 1);
    memcpy(tight, copy, n);
    struct json *v = json_parse(tight, n, a, e);
    if (!v) {
        free(tight);
        return NULL;
    }
    free(tight);
    return json_parse(copy, n, a, e);
}

static bool accepts_n(const char *text, size_t n)
{
    struct arena a = {0};
    struct err e = {0};
    bool ok = parse(text, n, &a, &e) != NULL;
    if (!ok) printf("# %.*s: %s\n", (int)n, text, e.msg);
    arena_free(&a);
    return ok;
}

static bool accepts(const char *text) { return accepts_n(text, strlen(text)); }

/* Refused with ERR_DATA and a message that holds `says`. */
static bool refuses_n(const char *text, size_t n, const char *says)
{
    struct arena a = {0};
    struct err e = {0};
    bool ok = !parse(text, n, &a, &e) && e.code == ERR_DATA && strstr(e.msg, says);
    if (!ok) printf("# '%.*s': %s\n", (int)n, text, e.msg);
    arena_free(&a);
    return ok;
}

static bool refuses(const char *text, const char *says)
{
    return refuses_n(text, strlen(text), says);
}

/* The JSON string `text` gives exactly these bytes. */
static bool gives(const char *text, const char *bytes, size_t n)
{
    struct arena a = {0};
    struct err e = {0};
    struct json *v = parse(text, strlen(text), &a, &e);
    bool ok = v && v->kind == JSON_STRING && v->s.n == n && memcmp(v->s.p, bytes, n) == 0;
    arena_free(&a);
    return ok;
}

static void test_strings(void)
{
    CHECK("JSON string: empty string", gives("\"\"", "", 0));
    CHECK("JSON string: plain text is taken", gives("\"hello\"", "hello", 5));
    CHECK("JSON string: short escapes",
          gives("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8));
    CHECK("JSON string: escaped NUL", gives("\"a\\u0000b\"", "a\0b", 3));
    CHECK("JSON string: an escape becomes two bytes of UTF-8", gives("\"\\u00e9\"", "\xc3\xa9", 2));
    CHECK("JSON string: an escape becomes three bytes of UTF-8",
          gives("\"\\u4F60x\"", "\xe4\xbd\xa0x", 4));
    CHECK("JSON string: surrogate pair", gives("\"\\ud83d\\uDE00\"", "\xf0\x9f\x98\x80", 4));
    CHECK("JSON string: raw UTF-8",
          gives("\"\xf0\x9f\x98\x80 \xc3\xa9\"", "\xf0\x9f\x98\x80 \xc3\xa9", 7));
    CHECK("JSON string: DEL is plain text", gives("\"\x7f\"", "\x7f", 1));
    CHECK("JSON string: escape after long plain text",
          gives("\"0123456789abcdef0\\n\"", "0123456789abcdef0\n", 18));
    CHECK("JSON string: high surrogate alone", refuses("\"\\ud83d\"", "surrogate"));
    CHECK("JSON string: high surrogate and text", refuses("\"\\ud83dabcdef\"", "surrogate"));
    CHECK("JSON string: low surrogate alone", refuses("\"\\ude00\"", "surrogate"));
    CHECK("JSON string: two high surrogates", refuses("\"\\ud83d\\ud83d\"", "surrogate"));
    CHECK("JSON string: control character", refuses("\"a\nb\"", "control"));
    CHECK("JSON string: unknown escape", refuses("\"\\x\"", "escape"));
    CHECK("JSON string: escape of NUL byte", refuses_n("\"\\\0\"", 4, "escape"));
    CHECK("JSON string: three hex digits", refuses("\"\\u12g4\"", "hexadecimal"));
    CHECK("JSON string: string without end", refuses("\"abc", "ends inside a string"));
    CHECK("JSON string: escape without end", refuses("\"abc\\", "ends inside a string"));
    CHECK("JSON string: escaped quote without end", refuses("\"abc\\\"", "ends inside a string"));
}

/* Every byte pattern that is not UTF-8 in a class of its own (Unicode table 3-7). */
static void test_utf8(void)
{
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc3",
                                      "\xc3(",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xe4\xbd",
                                      "\xe4\xbd(",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xf0\x9f\x98",
                                      "\xfe"};
    static const char *const good[] = {"\xc2\x80",         "\xdf\xbf",        "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",     "\xee\x80\x80",    "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    char text[32];
    bool all = true;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int pad = 0; pad < 9; pad++) { /* at every place in a word of eight */
            snprintf(text, sizeof text, "\"%.*s%s\"", pad, "xxxxxxxx", bad[i]);
            all &= refuses(text, "UTF-8");
        }
    CHECK("JSON: ill-formed UTF-8 is refused", all);
    all = true;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(text, sizeof text, "\"%s\"", good[i]);
        all &= gives(text, good[i], strlen(good[i]));
    }
    CHECK("JSON: the bounds of UTF-8 are taken", all);
}

static void test_numbers(void)
{
    static const char *const good[] = {"0",    "-0",      "10",  "-1.5", "1e5",
                                       "1E+5", "1.25e-7", "0.0", "0e0"};
    static const char *const bad[] = {"01",  "-",   "+1",       ".5",        "1.",
                                      "1e",  "1e+", "0x10",     "--1",       "1.e5",
                                      "-01", "NaN", "Infinity", "-Infinity", "1_000"};
    bool all = true;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) all &= accepts(good[i]);
    CHECK("JSON number: all forms of the standard are taken", all);
    all = true;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) all &= refuses(bad[i], "line 1");
    CHECK("JSON number: other forms are refused", all);

    struct arena a = {0};
    struct err e = {0};
    const char *t = "[9223372036854775807,9223372036854775808,1.0,-7,1e400,0.1,\"5\"]";
    struct json *v = json_parse(t, strlen(t), &a, &e);
    int64_t i = 0;
    double d = 0;
    CHECK("JSON number: largest integer", v && json_int(&v->items[0], &i) == 0 && i == INT64_MAX);
    CHECK("JSON number: too large for an integer", v && json_int(&v->items[1], &i) < 0);
    CHECK("JSON number: 1.0 is not an integer", v && json_int(&v->items[2], &i) < 0);
    CHECK("JSON number: negative integer", v && json_int(&v->items[3], &i) == 0 && i == -7);
    CHECK("JSON number: 1e400 is not finite", v && json_real(&v->items[4], &d) < 0);
    CHECK("JSON number: 0.1 is the double nearest to it",
          v && json_real(&v->items[5], &d) == 0 && d == 0.1);
    CHECK("JSON number: text of a number is kept", v && str_is(v->items[4].s, "1e400"));
    CHECK("JSON number: a string is no number",
          v && json_int(&v->items[6], &i) < 0 && json_real(NULL, &d) < 0);
    arena_free(&a);

    char many[500];
    memset(many, '1', sizeof many);
    CHECK("JSON number: 400 digits are taken, 401 refused",
          refuses_n(many, 401, "400") && accepts_n(many, 400));
}

static void test_structure(void)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "{",
                                      "[",
                                      "[1",
                                      "[1,",
                                      "[1,]",
                                      "[,1]",
                                      "[1 2]",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{\"a\":1,}",
                                      "{\"a\":1 \"b\":2}",
                                      "{a:1}",
                                      "{1:2}",
                                      "]",
                                      "[1]]",
                                      "{}{}",
                                      "nul",
                                      "tru",
                                      "falsey",
                                      "[1}",
                                      "{\"a\":1]",
                                      "'a'",
                                      "// c\n1",
                                      "\xef\xbb\xbf{}",
                                      "[1]\v"};
    bool all = true;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) all &= refuses(bad[i], "line ");
    CHECK("JSON: text that is not JSON is refused", all);
    CHECK("JSON: white space", accepts(" \t\r\n[ 1 , { \"a\" : [ ] , \"b\" : { } } ] \n"));
    CHECK("JSON: an error names line and column",
          refuses("{\"a\": 1,\n \"b\": x}", "line 2, column 7: not a JSON value"));
    CHECK("JSON: a duplicate key is refused",
          refuses("{\"a\":1,\"b\":2,\"a\":3}", "\"a\" occurs twice"));
    CHECK("JSON: a key that an escape makes a duplicate is refused",
          refuses("{\"a\":1,\"\\u0061\":3}", "twice"));
    CHECK("JSON: the same key in two objects is taken", accepts("[{\"a\":1},{\"a\":{\"a\":2}}]"));

    char deep[2 * 129 + 1];
    memset(deep, '[', 129);
    memset(deep + 129, ']', 129);
    CHECK("JSON: 129 levels are refused", refuses_n(deep, 258, "128"));
    CHECK("JSON: 128 levels are taken", accepts_n(deep + 1, 256));
}

static void test_values(void)
{
    struct arena a = {0};
    struct err e = {0};
    const char *t = "{\"z\":[null,true,false,\"x\"],\"a\":{\"\":0},\"k\\n\":-2}";
    struct json *v = json_parse(t, strlen(t), &a, &e);
    CHECK("JSON value: an object has its members", v && v->kind == JSON_OBJECT && v->count == 3);
    if (!v) return;
    CHECK("JSON value: members keep their order",
          str_is(v->keys[0], "z") && str_is(v->keys[1], "a"));
    CHECK("JSON value: a key with an escape is found", json_get(v, "k\n") == &v->items[2]);
    CHECK("JSON value: a missing key is not found",
          !json_get(v, "q") && !json_get(NULL, "z") && !json_get(&v->items[0], "z"));
    const struct json *z = json_get(v, "z");
    CHECK("JSON value: null, true and false are values",
          z->count == 4 && z->items[0].kind == JSON_NULL && z->items[1].truth &&
              z->items[2].kind == JSON_BOOL && !z->items[2].truth);
    CHECK("JSON value: an empty key is found", json_get(json_get(v, "a"), "") != NULL);
    CHECK("JSON value: strings point into the text",
          z->items[3].s.p > t && z->items[3].s.p < t + strlen(t));
    arena_free(&a);
}

static void test_large(void)
{
    struct arena a = {0};
    struct err e = {0};
    struct buf b = {0};
    json_large(&b, 150000, false);
    struct json *v = json_parse(b.data, b.len, &a, &e);
    int64_t last = 0;
    CHECK("JSON large: an object of 150000 members is read",
          v && v->count == 150000 && json_int(&v->items[149999], &last) == 0 && last == 149999);
    json_large(&b, 150000, true);
    CHECK("JSON large: a duplicate among 150000 members is refused",
          !json_parse(b.data, b.len, &a, &e) && strstr(e.msg, "key0"));
    bool all = true;
    for (int n = 1; n < 40; n++) { /* around the change of method */
        json_large(&b, n, true);
        all &= !json_parse(b.data, b.len, &a, &e);
        json_large(&b, n, false);
        all &= json_parse(b.data, b.len, &a, &e) != NULL;
    }
    CHECK("JSON large: a duplicate is found in objects of any size", all);
    a.max = 100;
    CHECK("JSON large: the arena's bound is an error",
          !json_parse(b.data, b.len, &a, &e) && e.code == ERR_MEMORY);
    buf_free(&b);
    arena_free(&a);
}

/* Every prefix of a document is refused, and no byte beyond it is read. */
static void test_cut(void)
{
    const char *t =
        "{\"a\": [1.5e3, true, null, \"x\\u00e9\\ud83d\\ude00\xc3\xa9\"], \"b\": {\"c\": -1}}";
    bool all = accepts(t);
    for (size_t n = 0; n < strlen(t); n++) all &= refuses_n(t, n, "line 1");
    CHECK("JSON: every cut of a document is refused", all);
}

int main(void)
{
    test_strings();
    test_utf8();
    test_numbers();
    test_structure();
    test_values();
    test_large();
    test_cut();
    TEST_END();
}
