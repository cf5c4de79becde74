/* SPDX-License-Identifier: Apache-2.0 */
/* Documents as they are written: layout, exact numbers, escapes, failures, memory. */
#include "base/doc.h"

#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "test.h"

static void test_layout(void)
{
    struct doc d;
    struct buf b = {0};
    struct err e = {0};
    doc_begin(&d);
    doc_text(&d, "name", "a");
    doc_text(&d, "none", NULL);
    doc_bool(&d, "yes", true);
    doc_list(&d, "plain");
    doc_int(&d, NULL, 1);
    doc_text(&d, NULL, "b");
    doc_bool(&d, NULL, false);
    doc_close(&d);
    doc_list(&d, "empty");
    doc_close(&d);
    doc_object(&d, "inner");
    doc_raw(&d, "real", "0.5");
    doc_list(&d, "files");
    doc_object(&d, NULL);
    doc_text(&d, "path", "x");
    doc_close(&d);
    doc_close(&d);
    doc_close(&d);
    doc_uint(&d, "last", 7);
    buf_puts(&b, "before ");
    CHECK("document: it is printed behind what the buffer has", doc_print(&d, &b, &e) == 0);
    CHECK("document: members have lines of their own, plain lists one",
          !strcmp(b.data, "before {\n"
                          "  \"name\": \"a\",\n"
                          "  \"none\": null,\n"
                          "  \"yes\": true,\n"
                          "  \"plain\": [1, \"b\", false],\n"
                          "  \"empty\": [],\n"
                          "  \"inner\": {\n"
                          "    \"real\": 0.5,\n"
                          "    \"files\": [{\n"
                          "        \"path\": \"x\"\n"
                          "      }]\n"
                          "  },\n"
                          "  \"last\": 7\n"
                          "}\n"));
    buf_free(&b);
}

/* cJSON's own numbers fail these: it prints 9.00719925474099e+15 and 0.3. */
static void test_numbers(void)
{
    struct doc d;
    struct buf b = {0};
    struct err e = {0};
    doc_begin(&d);
    doc_int(&d, "low", INT64_MIN);
    doc_uint(&d, "high", UINT64_MAX);
    doc_uint(&d, "double", 9007199254740991);
    doc_raw(&d, "real", "0.30000000000000004");
    doc_raw(&d, "tree", "{\"a\":[1,2]}");
    CHECK("document: numbers have all their digits, and text that is JSON stays as it is",
          doc_print(&d, &b, &e) == 0 && !strcmp(b.data, "{\n"
                                                        "  \"low\": -9223372036854775808,\n"
                                                        "  \"high\": 18446744073709551615,\n"
                                                        "  \"double\": 9007199254740991,\n"
                                                        "  \"real\": 0.30000000000000004,\n"
                                                        "  \"tree\": {\"a\":[1,2]}\n"
                                                        "}\n"));
    buf_free(&b);
}

static void test_strings(void)
{
    char all[0x80] = {0};
    for (int i = 1; i < 0x80; i++) all[i - 1] = (char)i;
    static const char other[] = "\xc3\xa9\xe4\xbd\xa0\xf0\x9f\x98\x80\t:\t\"\\\n";
    struct doc d;
    struct buf b = {0};
    struct err e = {0};
    struct arena a = {0};
    doc_begin(&d);
    doc_text(&d, all, other);
    doc_text(&d, "all", all);
    const int rc = doc_print(&d, &b, &e);
    const struct json *v = rc ? NULL : json_parse(b.data, b.len, &a, &e);
    CHECK("document: every character but NUL is read back, in a key and in a text",
          v && v->count == 2 && str_is(v->keys[0], all) && str_is(v->items[0].s, other) &&
              str_is(v->items[1].s, all));
    arena_free(&a);
    buf_free(&b);
}

static void test_failures(void)
{
    struct doc d;
    struct buf b = {0};
    struct err e = {0};
    doc_begin(&d);
    for (int i = 1; i < DOC_DEPTH; i++) doc_object(&d, "in");
    doc_bool(&d, "deepest", true);
    for (int i = 1; i < DOC_DEPTH; i++) doc_close(&d);
    CHECK("document: the deepest level can be filled",
          doc_print(&d, &b, &e) == 0 && strstr(b.data, "\"deepest\": true\n"));
    buf_reset(&b);
    doc_begin(&d);
    for (int i = 0; i < DOC_DEPTH + 2; i++) doc_object(&d, "in");
    doc_bool(&d, "deepest", true);
    for (int i = 0; i < DOC_DEPTH + 2; i++) doc_close(&d);
    CHECK("document: a level too many is an error, and nothing is printed",
          doc_print(&d, &b, &e) == -1 && e.code == ERR_INTERNAL && b.len == 0);
    doc_begin(&d);
    CHECK("document: a folder that is not there is an error",
          doc_put(&d, "/tmp/sft-no-such-folder", "a.json", &e) == -1 && strstr(e.msg, "a.json"));
    b.max = 10;
    doc_begin(&d);
    doc_text(&d, "text", "longer than ten bytes");
    CHECK("document: a buffer that is full is an error",
          doc_print(&d, &b, &e) == -1 && e.code == ERR_MEMORY);
    buf_free(&b);
}

static void test_put(void)
{
    char dir[] = "/tmp/sft-doc.XXXXXX";
    struct doc d;
    struct buf b = {0};
    struct err e = {0};
    bool ok = mkdtemp(dir) != NULL;
    doc_begin(&d);
    doc_int(&d, "n", -1);
    ok = ok && doc_put(&d, dir, "a.json", &e) == 0;
    char *path = io_path(dir, "a.json", &e);
    ok = ok && io_slurp(path, 100, &b, &e) == 0;
    CHECK("document: a file has its text", ok && !strcmp(b.data, "{\n  \"n\": -1\n}\n"));
    buf_free(&b);
    mem_free(path);
    io_remove_tree(dir, NULL);
}

/* A document of n members, 64 bytes of a tree each. */
static int many(size_t n, struct buf *b, struct err *e)
{
    struct doc d;
    doc_begin(&d);
    doc_list(&d, "list");
    for (size_t i = 0; i < n; i++) doc_text(&d, NULL, "member");
    doc_close(&d);
    return doc_print(&d, b, e);
}

static void test_sealed(void)
{
    enum { ROOM = 4 << 20, MEMBERS = 1000 };
    struct buf b = {0};
    struct err e = {0};
    struct mem_sealed first, second;
    void *block = malloc(mem_reserve(ROOM));
    mem_seal(block, ROOM);
    bool ok = many(MEMBERS, &b, &e) == 0;
    buf_free(&b);
    first = mem_sealed();
    for (int i = 0; i < 100; i++) {
        ok &= many(MEMBERS, &b, &e) == 0;
        buf_free(&b);
    }
    second = mem_sealed();
    mem_unseal();
    free(block);
    CHECK("document: that of a sealed program has its memory from the reserve",
          ok && first.most > MEMBERS * 64 && first.beyond == 0);
    CHECK("document: all its memory is released", second.most == first.most && second.beyond == 0);
}

int main(void)
{
    test_layout();
    test_numbers();
    test_strings();
    test_failures();
    test_put();
    test_sealed();
    TEST_END();
}
