/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the JSON parser: what it takes is walked over, written, also as a document, parsed again
 * and must be the same; the row reader must agree with it about every row. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/doc.h"
#include "base/json.h"
#include "json_values.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Copies s as a C string; NULL when it has a NUL, which a document cannot. */
static char *text_of(struct str s, struct arena *a)
{
    return memchr(s.p ? s.p : "", 0, s.n) ? NULL : arena_copy(a, s.p, s.n, NULL);
}

/* Adds v to d. False when a document cannot have it. */
static bool add(struct doc *d, const char *key, const struct json *v, struct arena *a)
{
    char *text = text_of(v->s, a);
    if (!text || (v->kind >= JSON_ARRAY && d->depth + 1 == DOC_DEPTH)) return false;
    if (v->kind == JSON_NULL) doc_text(d, key, NULL);
    if (v->kind == JSON_BOOL) doc_bool(d, key, v->truth);
    if (v->kind == JSON_NUMBER) doc_raw(d, key, text);
    if (v->kind == JSON_STRING) doc_text(d, key, text);
    if (v->kind < JSON_ARRAY) return true;
    bool ok = true;
    v->kind == JSON_OBJECT ? doc_object(d, key) : doc_list(d, key);
    for (size_t i = 0; i < v->count; i++) {
        char *name = v->kind == JSON_OBJECT ? text_of(v->keys[i], a) : NULL;
        ok = ok && (name || v->kind == JSON_ARRAY) && add(d, name, &v->items[i], a);
    }
    doc_close(d);
    return ok;
}

/* v as the only member of a document. */
static void check_printed(const struct json *v)
{
    struct arena a = {0};
    struct err e = {0};
    struct buf b = {0};
    struct doc d;
    doc_begin(&d);
    const bool fits = add(&d, "v", v, &a);
    if (doc_print(&d, &b, &e)) abort();
    const struct json *again = fits ? json_parse(b.data, b.len, &a, &e) : NULL;
    if (fits && (!again || again->count != 1 || !json_same(v, &again->items[0]))) abort();
    buf_free(&b);
    arena_free(&a);
}

static void check_document(const char *text, size_t size)
{
    struct arena a = {0};
    struct err e = {0};
    struct buf b = {0};
    struct json *v = json_parse(text, size, &a, &e);
    if (!v && e.code != ERR_DATA) abort();
    if (v) {
        json_write(v, &b);
        struct json *again = json_parse(b.data, b.len, &a, &e);
        if (!again || !json_same(v, again)) abort();
        check_printed(v);
    }
    buf_free(&b);
    arena_free(&a);
}

static int is_array(const char *text, size_t n)
{
    while (n > 0 && memchr(" \t\r\n", *text, 4)) text++, n--;
    return n > 0 && *text == '[';
}

/* The rows through a file in memory; each must be a document for json_parse too. */
static void check_rows(const char *text, size_t size)
{
    char path[64];
    struct err e = {0};
    const struct json *row;
    int fd = memfd_create("rows", 0), rc = -1;
    if (fd < 0 || write(fd, text, size) != (ssize_t)size) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct io_in *in = io_open(path, &e);
    struct json_rows *r = in ? json_rows_open(in, &e) : NULL;
    uint64_t rows = 0;
    while (r && (rc = json_rows_next(r, &row, &e)) == 1) {
        if (row->kind < JSON_ARRAY || json_rows_index(r) != rows++) abort();
        struct buf b = {0};
        json_write(row, &b);
        check_document(b.data, b.len);
        buf_free(&b);
    }
    size_t bom = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    if (rc == 0 && is_array(text + bom, size - bom)) { /* a whole array is a document */
        struct arena a = {0};
        struct json *v = json_parse(text + bom, size - bom, &a, &e);
        bool deep = !v && strstr(e.msg, "nested more"); /* a row is a level less deep */
        /* JSON Lines whose rows are lists begin as an array does */
        bool lines = !v && rows > 1 && strstr(e.msg, "text after the end");
        if (!deep && !lines && (!v || v->count != rows)) abort();
        arena_free(&a);
    }
    if (rc < 0 && e.code != ERR_DATA) abort();
    json_rows_close(r);
    io_close(in);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size ? size : 1); /* exactly as long as the input */
    if (!text) return 0;
    memcpy(text, data, size);
    check_document(text, size);
    check_rows(text, size);
    free(text);
    return 0;
}
