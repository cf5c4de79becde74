/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the rows of a JSON array or of JSON Lines as a stream: one pass over the bytes finds the
 * end of a row, a second pass parses it. */
#include <stdio.h>
#include <string.h>

#include "base/json_impl.h"

/* The bound on values stops hostile rows of tiny values, which need forty times their size in
 * memory. */
enum { CHUNK = 1 << 20, ROW_MAX_VALUES = 4 << 20 };

struct json_rows {
    struct io_in *in; /* the caller's */
    char *data;       /* data[at, end) is read and not yet consumed */
    size_t at, end, cap;
    bool eof, lines, failed, finished;
    uint64_t line;     /* line of data[at], from 1 */
    uint64_t rows;     /* rows returned so far */
    uint64_t row_line; /* line where the last row starts */
    size_t bad;        /* length of the row in which the reader failed; 0: not known */
    struct arena arena;
    struct json_scratch scratch;
    struct err err; /* the failure, which further calls report again */
};

static int fail(struct json_rows *r, struct err *e, const char *why)
{
    return err_set(e, ERR_DATA, "%s: row %llu (line %llu): %s", io_name(r->in),
                   (unsigned long long)r->rows, (unsigned long long)r->line, why);
}

/* Advances by n bytes and counts lines. */
static void consume(struct json_rows *r, size_t n)
{
    const char *p = r->data + r->at, *end = p + n;
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
        r->line++;
        p++;
    }
    r->at += n;
}

/* Moves the unread bytes to the front and reads more after them. Returns 1, 0 at the end of the
 * input, or -1. */
static int more(struct json_rows *r, struct err *e)
{
    if (r->eof) return 0;
    if (r->at > 0) {
        memmove(r->data, r->data + r->at, r->end - r->at);
        r->end -= r->at;
        r->at = 0;
    }
    if (r->end > JSON_MAX_ROW) return fail(r, e, "longer than 64 MiB");
    if (mem_grow(&r->data, &r->cap, r->end + CHUNK, 1, e)) return -1;
    ssize_t k = io_read(r->in, r->data + r->end, CHUNK, e);
    if (k < 0) return -1;
    r->end += (size_t)k;
    r->eof = k < CHUNK;
    return k > 0;
}

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

/* Skips white space. Returns the next byte, -1 at the end of the input, or -2 on failure. */
static int next_byte(struct json_rows *r, struct err *e)
{
    for (;;) {
        size_t n = r->at;
        while (n < r->end && is_space(r->data[n])) n++;
        consume(r, n - r->at);
        if (r->at < r->end) return (unsigned char)r->data[r->at];
        int k = more(r, e);
        if (k <= 0) return k < 0 ? -2 : -1;
    }
}

/* Finds the end of an object or a list from its brackets and quotes, without parsing it. */
struct extent {
    size_t depth;
    bool string, escape;
};

/* Advances x over p[0, n). Returns the number of bytes up to the end of the value, or 0 when it
 * goes on. */
static size_t extent_step(struct extent *x, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        if (x->escape) {
            x->escape = false;
        } else if (x->string) {
            x->escape = c == '\\';
            x->string = c != '"';
        } else if (c == '"') {
            x->string = true;
        } else if (c == '{' || c == '[') {
            x->depth++;
        } else if ((c == '}' || c == ']') && --x->depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

/* ---- the form of the file ---- */
/* Recognizes common wrong formats by their first bytes and returns what to do. */
static const char *known_form(const unsigned char *p, size_t n)
{
    static const struct {
        const char *magic;
        size_t n;
        const char *says;
    } forms[] = {
        {"\x1f\x8b", 2, "is gzip-compressed; decompress it first (gzip -dc)"},
        {"\x28\xb5\x2f\xfd", 4, "is zstd-compressed; decompress it first (zstd -dc)"},
        {"\xff\xfe", 2, "is UTF-16; convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)"},
        {"\xfe\xff", 2, "is UTF-16; convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)"},
        {"PAR1", 4, "is Parquet; export it as JSON Lines"},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (n >= forms[i].n && memcmp(p, forms[i].magic, forms[i].n) == 0) return forms[i].says;
    return "is neither a JSON array nor JSON Lines";
}

/* True for JSON Lines whose rows are lists: the list at data[at] ends on its line, and another one
 * follows. Only what is read already is looked at, so that a file of one long line costs nothing.
 */
static bool is_line_of_list(const struct json_rows *r)
{
    struct extent x = {0};
    const char *p = r->data + r->at, *end = r->data + r->end;
    const char *nl = memchr(p, '\n', (size_t)(end - p));
    size_t n = nl ? extent_step(&x, p, (size_t)(nl - p)) : 0;
    if (!n) return false;
    for (p += n; p < end && is_space(*p); p++) continue;
    return p < end && *p == '[';
}

static int find_form(struct json_rows *r, struct err *e)
{
    const char *name = io_name(r->in);
    if (more(r, e) < 0) return -1;
    if (r->end >= 3 && memcmp(r->data, "\xef\xbb\xbf", 3) == 0) consume(r, 3);
    int c = next_byte(r, e);
    if (c == -2) return -1;
    if (c == -1) return err_set(e, ERR_DATA, "%s: is empty; JSON rows wanted", name);
    r->lines = c == '{' || (c == '[' && is_line_of_list(r));
    if (c == '[' && !r->lines) consume(r, 1);
    if (c == '[' || c == '{') return 0;
    return err_set(e, ERR_DATA, "%s: %s", name,
                   known_form((unsigned char *)r->data + r->at, r->end - r->at));
}

struct json_rows *json_rows_open(struct io_in *in, struct err *e)
{
    struct json_rows *r = mem_alloc(1, sizeof *r, e);
    if (!r) return NULL;
    r->in = in;
    r->line = 1;
    if (find_form(r, e) == 0) return r;
    json_rows_close(r);
    return NULL;
}

/* ---- the extent of a row ---- */
/* Sets *n to the length of the line at data[at], without the newline. */
static int find_line(struct json_rows *r, size_t *n, struct err *e)
{
    size_t seen = 0;
    for (;;) {
        char *nl = memchr(r->data + r->at + seen, '\n', r->end - r->at - seen);
        seen = nl ? (size_t)(nl - r->data) - r->at : r->end - r->at;
        int k = nl ? 0 : more(r, e);
        if (k < 0) return -1;
        if (k == 0) break;
    }
    *n = seen;
    return seen > JSON_MAX_ROW ? fail(r, e, "longer than 64 MiB") : 0;
}

/* Sets *n to the length of the object or list at data[at], or of the remaining input if that ends
 * inside it. */
static int find_object(struct json_rows *r, size_t *n, struct err *e)
{
    struct extent x = {0};
    size_t seen = 0;
    for (;;) {
        size_t k = extent_step(&x, r->data + r->at + seen, r->end - r->at - seen);
        *n = k ? seen + k : r->end - r->at;
        if (*n > JSON_MAX_ROW) return fail(r, e, "longer than 64 MiB");
        if (k) return 0;
        seen = *n;
        int got = more(r, e);
        if (got <= 0) return got;
    }
}

/* ---- rows ---- */
/* Parses the n bytes at data[at] and consumes them. Returns 1 or -1. */
static int parse_row(struct json_rows *r, size_t n, const struct json **row, struct err *e)
{
    struct json_fault f = {0};
    const char *text = r->data + r->at;
    const uint64_t line = r->line;
    arena_reset(&r->arena);
    r->row_line = line;
    r->bad = n;
    struct json *v = json_parse_with(text, n, ROW_MAX_VALUES, &r->arena, &r->scratch, &f);
    if (!v) {
        size_t from = 0; /* start of the line with the fault */
        for (size_t i = 0; i < f.at; i++) {
            if (text[i] != '\n') continue;
            r->line++;
            from = i + 1;
        }
        const char *hint = "";
        if (r->lines && f.at_end && !(r->eof && r->at + n == r->end))
            hint = "; JSON Lines hold a whole row on each line";
        char why[sizeof f.why + 200];
        snprintf(why, sizeof why, "column %zu: %s%s", f.at - from + 1, f.why, hint);
        fail(r, e, why);
        r->line = line;
        if (e && f.code != ERR_DATA) e->code = f.code;
        return -1;
    }
    if (v->kind != JSON_OBJECT && v->kind != JSON_ARRAY)
        return fail(r, e, "is neither an object nor a list");
    r->bad = 0;
    r->rows++;
    consume(r, n);
    *row = v;
    return 1;
}

static int next_in_array(struct json_rows *r, const struct json **row, struct err *e)
{
    size_t n;
    int c = next_byte(r, e);
    if (c == -1) return fail(r, e, "the input ends inside the array; it has been cut short");
    if (c == ']') {
        consume(r, 1);
        r->finished = true;
        c = next_byte(r, e);
        if (c >= 0) return fail(r, e, "text after the end of the array");
        return c == -1 ? 0 : -1;
    }
    if (c != -2 && r->rows > 0) {
        if (c != ',') return fail(r, e, "expected ',' or ']' after the row before it");
        consume(r, 1);
        c = next_byte(r, e);
        if (c == ']') return fail(r, e, "a comma before the end of the array");
        if (c == -1) return fail(r, e, "the input ends inside the array; it has been cut short");
    }
    if (c == -2) return -1;
    if (c != '{' && c != '[') return fail(r, e, "is neither an object nor a list");
    if (find_object(r, &n, e)) return -1;
    return parse_row(r, n, row, e);
}

static int next_line(struct json_rows *r, const struct json **row, struct err *e)
{
    size_t n;
    int c = next_byte(r, e);
    if (c == -1) r->finished = true;
    if (c < 0) return c == -1 ? 0 : -1;
    if (find_line(r, &n, e)) return -1;
    return parse_row(r, n, row, e);
}

int json_rows_next(struct json_rows *r, const struct json **row, struct err *e)
{
    *row = NULL;
    if (r->finished) return 0;
    if (r->failed) {
        if (e) *e = r->err;
        return -1;
    }
    int rc = r->lines ? next_line(r, row, &r->err) : next_in_array(r, row, &r->err);
    if (rc >= 0) return rc;
    r->failed = true;
    r->finished = false;
    if (e) *e = r->err;
    return -1;
}

bool json_rows_skip(struct json_rows *r)
{
    if (!r->failed || !r->bad || r->err.code != ERR_DATA) return false;
    consume(r, r->bad);
    r->rows++;
    r->bad = 0;
    r->failed = false;
    r->err = (struct err){0};
    return true;
}

uint64_t json_rows_index(const struct json_rows *r) { return r->rows ? r->rows - 1 : 0; }

uint64_t json_rows_line(const struct json_rows *r) { return r->row_line; }

void json_rows_close(struct json_rows *r)
{
    if (!r) return;
    mem_free(r->data);
    arena_free(&r->arena);
    json_scratch_free(&r->scratch);
    mem_free(r);
}
