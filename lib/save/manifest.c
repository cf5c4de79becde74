/* SPDX-License-Identifier: Apache-2.0 */
/* Formats and parses the manifest. Its last line has the hash of all lines before it, which tells a
 * damaged manifest from damaged files. */
#include "save/manifest_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/doc.h"
#include "base/io.h"
#include "base/json.h"

enum { MAX_MANIFEST = 64 << 20, MAX_PATH = 1000 };
#define FORMAT "sft-checkpoint"

void manifest_free(struct manifest *m)
{
    for (size_t i = 0; i < m->count; i++) mem_free(m->files[i].path);
    mem_free(m->files);
    memset(m, 0, sizeof *m);
}

static int hash_text(const void *p, size_t n, char hex[HASH128_HEX], struct err *e)
{
    struct hash128 *h = hash128_new(e);
    if (!h) return -1;
    hash128_add(h, p, n);
    hash128_hex(h, hex);
    hash128_free(h);
    return 0;
}

int manifest_format(const struct manifest *m, struct buf *b, struct err *e)
{
    char self[HASH128_HEX];
    struct doc d;
    doc_begin(&d);
    doc_text(&d, "format", FORMAT);
    doc_int(&d, "version", MANIFEST_VERSION);
    doc_uint(&d, "step", m->step);
    doc_list(&d, "files");
    for (size_t i = 0; i < m->count; i++) {
        const struct manifest_file *f = &m->files[i];
        doc_object(&d, NULL);
        doc_text(&d, "path", f->path);
        doc_uint(&d, "size", f->size);
        doc_text(&d, "xxh128", f->hash);
        doc_close(&d);
    }
    if (doc_print(&d, b, e)) return -1;
    b->len -= strlen("\n}\n");
    buf_puts(b, ",\n");
    if (buf_check(b, e) || hash_text(b->data, b->len, self, e)) return -1;
    buf_printf(b, "  \"self\": \"%s\"\n}\n", self);
    return buf_check(b, e);
}

/* True if the path is relative, without empty, "." or ".." parts: it stays in the folder. */
static bool path_ok(struct str s)
{
    if (s.n == 0 || s.n > MAX_PATH || memchr(s.p, 0, s.n)) return false;
    for (size_t from = 0; from <= s.n;) {
        const char *slash = memchr(s.p + from, '/', s.n - from);
        size_t n = slash ? (size_t)(slash - s.p) - from : s.n - from;
        if (n == 0 || (n == 1 && s.p[from] == '.') ||
            (n == 2 && s.p[from] == '.' && s.p[from + 1] == '.'))
            return false;
        from += n + 1;
    }
    return true;
}

static bool hash_ok(const struct json *v)
{
    if (!v || v->kind != JSON_STRING || v->s.n != HASH128_HEX - 1) return false;
    for (size_t i = 0; i < v->s.n; i++)
        if (!memchr("0123456789abcdef", v->s.p[i], 16)) return false;
    return true;
}

static int parse_file(const struct json *v, struct manifest *m, struct err *e)
{
    if (v->kind != JSON_OBJECT) return err_set(e, ERR_DATA, "files must be objects");
    const struct json *path = json_get(v, "path"), *size = json_get(v, "size"),
                      *hash = json_get(v, "xxh128");
    int64_t bytes;
    if (!path || path->kind != JSON_STRING || !path_ok(path->s))
        return err_set(e, ERR_DATA, "a path is missing or leaves the folder");
    if (!size || json_int(size, &bytes) || bytes < 0 || !hash_ok(hash))
        return err_set(e, ERR_DATA, "%.*s: size or hash is not valid", STR_FMT(path->s));
    if (mem_grow(&m->files, &m->cap, m->count + 1, sizeof *m->files, e)) return -1;
    struct manifest_file *f = &m->files[m->count];
    memset(f, 0, sizeof *f);
    if (!(f->path = mem_strndup(path->s.p, path->s.n, e))) return -1;
    f->size = (uint64_t)bytes;
    memcpy(f->hash, hash->s.p, hash->s.n);
    m->count++;
    if (m->count > 1 && strcmp(m->files[m->count - 2].path, f->path) >= 0)
        return err_set(e, ERR_DATA, "%s: out of order or listed twice", f->path);
    return 0;
}

/* The last line must be the hash of the lines before it. */
static int check_self(const char *text, size_t n, struct err *e)
{
    char want[HASH128_HEX], tail[HASH128_HEX + 32];
    size_t tail_n = strlen("  \"self\": \"\"\n}\n") + HASH128_HEX - 1;
    if (n < tail_n) return err_set(e, ERR_DATA, "cut short");
    if (hash_text(text, n - tail_n, want, e)) return -1;
    snprintf(tail, sizeof tail, "  \"self\": \"%s\"\n}\n", want);
    if (memcmp(text + n - tail_n, tail, tail_n) != 0)
        return err_set(e, ERR_DATA, "its own hash does not match; it is damaged or was edited");
    return 0;
}

static int parse_root(const struct json *root, struct manifest *m, struct err *e)
{
    if (root->kind != JSON_OBJECT) return err_set(e, ERR_DATA, "not an object");
    const struct json *format = json_get(root, "format"), *version = json_get(root, "version"),
                      *step = json_get(root, "step"), *files = json_get(root, "files");
    int64_t v;
    if (!format || format->kind != JSON_STRING || !str_is(format->s, FORMAT))
        return err_set(e, ERR_DATA, "not the manifest of a checkpoint of this program");
    if (!version || json_int(version, &v) || v < 1)
        return err_set(e, ERR_DATA, "version is missing");
    if (v > MANIFEST_VERSION)
        return err_set(e, ERR_DATA, "version %" PRId64 " is newer than this program knows (%d)", v,
                       MANIFEST_VERSION);
    if (!step || json_int(step, &v) || v < 0) return err_set(e, ERR_DATA, "step is missing");
    m->step = (uint64_t)v;
    if (!files || files->kind != JSON_ARRAY) return err_set(e, ERR_DATA, "files is missing");
    for (size_t i = 0; i < files->count; i++)
        if (parse_file(&files->items[i], m, e)) return -1;
    return 0;
}

int manifest_parse(const char *text, size_t n, const char *name, struct manifest *m, struct err *e)
{
    struct arena a = {0};
    memset(m, 0, sizeof *m);
    int rc = check_self(text, n, e);
    const struct json *root = rc == 0 ? doc_parse(text, n, &a, e) : NULL;
    rc = root ? parse_root(root, m, e) : -1;
    arena_free(&a);
    if (rc == 0) return 0;
    manifest_free(m);
    return err_prefix(e, "%s", name);
}

int manifest_read(const char *dir, struct manifest *m, struct err *e)
{
    struct buf text = {0};
    memset(m, 0, sizeof *m);
    char *path = io_path(dir, "manifest.json", e);
    int rc = path ? io_slurp(path, MAX_MANIFEST, &text, e) : -1;
    if (rc == 0) rc = manifest_parse(text.data ? text.data : "", text.len, path, m, e);
    buf_free(&text);
    mem_free(path);
    return rc;
}

int manifest_write(const char *dir, const struct manifest *m, struct err *e)
{
    struct buf b = {0};
    int rc = manifest_format(m, &b, e);
    char *path = rc == 0 ? io_path(dir, "manifest.json", e) : NULL;
    rc = path ? io_put(path, b.data, b.len, e) : -1;
    mem_free(path);
    buf_free(&b);
    return rc;
}
