/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of JSON arrays and JSON Lines: the same rows from both, and what each wrong file is told. */
#include <unistd.h>

#include "base/json.h"
#include "test.h"

static char path[256];

struct outcome {
    uint64_t rows, last_line, sum;
    struct err e;
};

/* Reads all rows of a file that holds these bytes; 0 or -1. */
static int read_rows(const char *text, size_t n, struct outcome *o)
{
    struct io_in *in;
    struct json_rows *r = NULL;
    const struct json *row;
    int rc = -1;
    memset(o, 0, sizeof *o);
    if (io_put(path, text, n, &o->e) < 0 || !(in = io_open(path, &o->e))) return -1;
    r = json_rows_open(in, &o->e);
    while (r && (rc = json_rows_next(r, &row, &o->e)) == 1) {
        int64_t v = 0;
        if (json_rows_index(r) != o->rows) break;
        o->rows++;
        o->last_line = json_rows_line(r);
        json_int(json_get(row, "v"), &v);
        o->sum += (uint64_t)v;
    }
    if (r && rc == 0) rc = json_rows_next(r, &row, &o->e);
    if (r && rc < 0) { /* a failure stays */
        struct err again = {0};
        EXPECT("rows: a failure is kept", json_rows_next(r, &row, &again) == -1 && !row);
        EXPECT("rows: a failure keeps its message", strcmp(again.msg, o->e.msg) == 0);
    }
    json_rows_close(r);
    io_close(in);
    return rc;
}

/* rows and their sum; -1 when refused */
static bool reads(const char *text, uint64_t rows, uint64_t sum)
{
    struct outcome o;
    if (read_rows(text, strlen(text), &o) == 0 && o.rows == rows && o.sum == sum) return true;
    printf("# %s: %s\n", text, o.e.msg);
    return false;
}

static bool refuses(const char *text, const char *says)
{
    struct outcome o;
    if (read_rows(text, strlen(text), &o) < 0 && o.e.code == ERR_DATA && strstr(o.e.msg, says) &&
        strstr(o.e.msg, path))
        return true;
    printf("# %.60s: '%s' wanted in '%s'\n", text, says, o.e.msg);
    return false;
}

static void test_forms(void)
{
    CHECK("rows: JSON Lines are read", reads("{\"v\":1}\n{\"v\":2}\n", 2, 3));
    CHECK("rows: a last line without a newline is read", reads("{\"v\":1}\n{\"v\":2}", 2, 3));
    CHECK("rows: CRLF and blank lines are skipped",
          reads("\r\n{\"v\":1}\r\n  \r\n\n{\"v\":2}\r\n\n", 2, 3));
    CHECK("rows: an array is read", reads("[{\"v\":1},{\"v\":2}]", 2, 3));
    CHECK("rows: an array over several lines is read",
          reads(" [\n {\n\"v\" :1 }\n,\n{\"v\":2}\n]\n\n", 2, 3));
    CHECK("rows: a byte order mark is skipped",
          reads("\xef\xbb\xbf[{\"v\":1}]", 1, 1) && reads("\xef\xbb\xbf{\"v\":1}", 1, 1));
    CHECK("rows: an empty array has no rows", reads("[ ]\n", 0, 0));
    CHECK("rows: brackets and quotes in strings are text",
          reads("[{\"a\":\"]}\\\"[{\",\"v\":4},{\"v\":1,\"b\":\"\\\\\"}]", 2, 5));
    struct outcome o;
    CHECK("rows: lists on lines of their own are rows",
          reads("[{\"v\":\"]\\n[\"}]\n\n [7]\r\n[]", 3, 0) && reads("[1]\n[2]", 2, 0));
    CHECK("rows: lists in an array are rows", reads("[[1],\n[2]\n]", 2, 0));
    const char *t = "\n\n{\"v\":1}\n\n{\"v\":2}\n";
    CHECK("rows: a row of JSON Lines tells its line",
          read_rows(t, strlen(t), &o) == 0 && o.last_line == 5);
    t = "[\n{\"v\":1},\n\n{\n\"v\":2}\n]";
    CHECK("rows: a row of an array tells its line",
          read_rows(t, strlen(t), &o) == 0 && o.last_line == 4);
}

static void test_refusals(void)
{
    CHECK("rows refused: empty file", refuses("", "is empty"));
    CHECK("rows refused: blank file", refuses(" \n \n", "is empty"));
    CHECK("rows refused: only a byte order mark", refuses("\xef\xbb\xbf", "is empty"));
    CHECK("rows refused: text", refuses("hello\n", "neither a JSON array nor JSON Lines"));
    CHECK("rows refused: a string", refuses("\"x\"\n", "neither a JSON array nor JSON Lines"));
    CHECK("rows refused: gzip", refuses("\x1f\x8b\x08", "gzip"));
    CHECK("rows refused: UTF-16", refuses("\xff\xfe{", "UTF-16"));
    CHECK("rows refused: a fault in a line",
          refuses("{\"v\":1}\n\n{\"v\":}\n", "row 1 (line 3): column 6: not a JSON value"));
    CHECK("rows refused: a fault in an array",
          refuses("[{\"v\":1},\n {\n \"v\":x}]", "row 1 (line 3): column 6: not a JSON value"));
    CHECK("rows refused: one object over lines",
          refuses("{\n \"v\": 1\n}\n", "a whole row on each line"));
    CHECK("rows refused: a list inside one object",
          refuses("{\"data\": [\n{\"v\":1}]}", "a whole row on each line"));
    CHECK("rows refused: last line cut",
          refuses("{\"v\":1}\n{\"v\":", "row 1 (line 2): column 6: the text ends"));
    CHECK("rows refused: two objects on a line",
          refuses("{\"v\":1}{\"v\":2}\n", "text after the end"));
    CHECK("rows refused: a line that is no object",
          refuses("{\"v\":1}\n1\n", "row 1 (line 2): is neither an object nor a list"));
    CHECK("rows refused: an item that is no object",
          refuses("[{\"v\":1},\n2]", "row 1 (line 2): is neither an object nor a list"));
    CHECK("rows refused: comma at the end", refuses("[{\"v\":1},]", "a comma before the end"));
    CHECK("rows refused: comma at the start",
          refuses("[,{\"v\":1}]", "is neither an object nor a list"));
    CHECK("rows refused: no comma", refuses("[{\"v\":1} {\"v\":2}]", "expected ','"));
    CHECK("rows refused: text after the array",
          refuses("[{\"v\":1}]\n{\"v\":2}", "text after the end of the array"));
    CHECK("rows refused: an array over lines and a second one",
          refuses("[\n{\"v\":1}]\n[]", "text after the end of the array"));
    CHECK("rows refused: a list on a line and an object",
          refuses("[{\"v\":1}]\n{\"v\":2}\n[]", "text after the end of the array"));
    CHECK("rows refused: wrong bracket", refuses("[{\"v\":[1}]}]", "row 0 (line 1)"));
    CHECK("rows refused: duplicate key in a row", refuses("{\"v\":1,\"v\":2}\n", "twice"));
    bool all = true;
    const char *t = "[{\"v\":\"a]\"}, {\"b\":[{}]}]";
    for (size_t n = 0; n < strlen(t); n++) {
        struct outcome o;
        all &= read_rows(t, n, &o) < 0 && o.e.code == ERR_DATA;
    }
    CHECK("rows refused: every cut of an array", all);
    struct outcome o;
    CHECK("rows refused: NUL byte",
          read_rows("{\"v\":1}\n\0\n", 10, &o) < 0 && strstr(o.e.msg, "row 1 (line 2)"));
}

/* Rows larger than the read size and rows that straddle it, in both forms. */
static void test_long(void)
{
    static const size_t sizes[] = {10, 1000, 400000, 1048570, 1048580, 3000000, 7, 90};
    struct outcome o;
    for (int lines = 0; lines < 2; lines++) {
        struct buf b = {0};
        uint64_t sum = 0, rows = 0;
        if (!lines) buf_putc(&b, '[');
        for (size_t i = 0; i < 24; i++) {
            size_t n = sizes[i % 8] + i;
            buf_printf(&b, "%s{\"v\":%zu,\"t\":\"", i == 0 ? "" : lines ? "\n" : ",\n", i);
            char *fill = buf_room(&b, n);
            if (fill) memset(fill, "x]}"[i % 3], n);
            buf_puts(&b, "\\\"\"}");
            sum += i;
            rows++;
        }
        if (!lines) buf_putc(&b, ']');
        bool ok = buf_check(&b, &o.e) == 0 && read_rows(b.data, b.len, &o) == 0;
        CHECK(lines ? "rows: long lines are read" : "rows: long items are read",
              ok && o.rows == rows && o.sum == sum && o.last_line == rows);
        buf_free(&b);
    }
    struct buf b = {0};
    buf_puts(&b, "{\"v\":\"");
    char *fill = buf_room(&b, JSON_MAX_ROW);
    if (fill) memset(fill, 'x', JSON_MAX_ROW);
    buf_puts(&b, "\"}\n");
    CHECK("rows: a row over 64 MiB is refused",
          read_rows(b.data, b.len, &o) < 0 && strstr(o.e.msg, "64 MiB"));
    buf_reset(&b);
    buf_puts(&b, "[");
    fill = buf_room(&b, (size_t)9 << 20);
    if (fill) memset(fill, ' ', (size_t)9 << 20);
    buf_puts(&b, "{\"v\":3}]");
    CHECK("rows: much white space is no row", read_rows(b.data, b.len, &o) == 0 && o.sum == 3);
    buf_reset(&b);
    buf_puts(&b, "{\"v\":[0");
    for (int i = 0; i < 5000000; i++) buf_add(&b, ",0", 2);
    buf_puts(&b, "]}\n");
    CHECK("rows: a row of millions of values is refused",
          read_rows(b.data, b.len, &o) < 0 && strstr(o.e.msg, "too many values"));
    buf_free(&b);
}

int main(void)
{
    const char *dir = getenv("TEST_TMP");
    snprintf(path, sizeof path, "%s/base_json_rows.%ld.json", dir ? dir : "/tmp", (long)getpid());
    test_forms();
    test_refusals();
    test_long();
    remove(path);
    TEST_END();
}
