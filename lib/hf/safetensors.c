/* SPDX-License-Identifier: Apache-2.0 */
/* Reads one safetensors file and checks its header. */
#include "hf/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "hf/safetensors_impl.h"

void hf_tensor_shape(const struct hf_tensor *t, char *out, size_t n)
{
    size_t used = (size_t)snprintf(out, n, "[");
    for (int i = 0; i < t->ndim && used < n; i++)
        used += (size_t)snprintf(out + used, n - used, "%s%" PRIu64, i ? ", " : "", t->dim[i]);
    if (used < n) snprintf(out + used, n - used, "]");
}

int hf_tensor_size(struct hf_tensor *t)
{
    uint64_t count = 1;
    for (int i = 0; i < t->ndim; i++)
        if (__builtin_mul_overflow(count, t->dim[i], &count)) return -1;
    t->count = count;
    return __builtin_mul_overflow(count, dtype_size(t->dtype), &t->bytes) ? -1 : 0;
}

/* Reads a non-negative integer. */
static int json_u64(const struct json *v, uint64_t *out)
{
    int64_t i;
    if (!v || json_int(v, &i) || i < 0) return -1;
    *out = (uint64_t)i;
    return 0;
}

static int parse_shape(const struct json *v, struct hf_tensor *t)
{
    if (!v || v->kind != JSON_ARRAY || v->count > HF_MAX_DIMS) return -1;
    t->ndim = (int)v->count;
    for (size_t i = 0; i < v->count; i++)
        if (json_u64(&v->items[i], &t->dim[i])) return -1;
    return 0;
}

/* Parses one member of the header: {"dtype": "BF16", "shape": [..], "data_offsets": [begin, end]}.
 * The caller adds file and tensor to the message. */
static int parse_entry(const struct safetensors_file *f, const struct json *v, struct hf_tensor *t,
                       struct err *e)
{
    if (v->kind != JSON_OBJECT || v->count != 3)
        return err_set(e, ERR_DATA, "must have exactly dtype, shape and data_offsets");
    const struct json *dtype = json_get(v, "dtype"), *at = json_get(v, "data_offsets");
    if (!dtype || dtype->kind != JSON_STRING || hf_dtype_find(dtype->s, &t->dtype) ||
        !str_is(dtype->s, hf_dtype_name(t->dtype)))
        return err_set(e, ERR_DATA, "unknown dtype");
    if (parse_shape(json_get(v, "shape"), t))
        return err_set(e, ERR_DATA, "the shape must be a list of at most %d sizes", HF_MAX_DIMS);
    if (hf_tensor_size(t)) return err_set(e, ERR_DATA, "the shape is impossibly large");
    uint64_t begin, end;
    if (!at || at->kind != JSON_ARRAY || at->count != 2 || json_u64(&at->items[0], &begin) ||
        json_u64(&at->items[1], &end))
        return err_set(e, ERR_DATA, "data_offsets must be two offsets");
    if (begin > end || end > f->data_bytes)
        return err_set(e, ERR_DATA,
                       "data_offsets [%" PRIu64 ", %" PRIu64 "] are outside the %" PRIu64
                       " bytes of data; the file is damaged or cut short",
                       begin, end, f->data_bytes);
    if (end - begin != t->bytes)
        return err_set(e, ERR_DATA,
                       "shape and dtype need %" PRIu64 " bytes, data_offsets give %" PRIu64,
                       t->bytes, end - begin);
    t->data = f->data + begin;
    t->file = f->path;
    return 0;
}

/* Checks and copies the name, then parses the entry. */
static int parse_member(struct safetensors *s, const struct safetensors_file *f, struct str name,
                        const struct json *v, struct hf_tensor *t, struct err *e)
{
    memset(t, 0, sizeof *t);
    if (name.n == 0 || memchr(name.p, 0, name.n))
        return err_set(e, ERR_DATA, "%s: a tensor's name is empty or contains a zero byte",
                       f->path);
    if (!(t->name = arena_copy(&s->names, name.p, name.n, e))) return -1;
    if (parse_entry(f, v, t, e) == 0) return 0;
    return err_prefix(e, "%s: tensor \"%.200s\"", f->path, t->name);
}

/* Orders by address; an empty tensor comes before another one at the same address. */
static int by_place(const void *a, const void *b)
{
    const struct hf_tensor *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Checks that the tensors, sorted by address, cover the data exactly. */
static int check_tiling(const struct safetensors_file *f, const struct hf_tensor *t, size_t n,
                        struct err *e)
{
    const unsigned char *at = f->data;
    for (size_t i = 0; i < n; i++) {
        if (t[i].data != at)
            return err_set(e, ERR_DATA, "%s: tensor \"%.200s\": %s", f->path, t[i].name,
                           t[i].data < at ? "overlaps the one before it"
                                          : "leaves a hole after the one before it");
        at += t[i].bytes;
    }
    uint64_t tail = (uint64_t)(f->data + f->data_bytes - at);
    if (tail)
        return err_set(e, ERR_DATA, "%s: %" PRIu64 " bytes after the last tensor", f->path, tail);
    return 0;
}

/* Finds the header and the data: 8 bytes of little-endian length, the JSON, the tensors. */
static int split_file(struct safetensors_file *f, const char **header, size_t *header_n,
                      struct err *e)
{
    if (f->n < 8)
        return err_set(e, ERR_DATA, "%s: not a safetensors file: only %zu bytes", f->path, f->n);
    uint64_t len = 0;
    for (int i = 0; i < 8; i++) len |= (uint64_t)f->p[i] << 8 * i;
    if (len > SAFETENSORS_MAX_HEADER)
        return err_set(e, ERR_DATA,
                       "%s: the header claims %" PRIu64 " bytes, but the format allows only %zu; "
                       "the file is damaged or is not safetensors",
                       f->path, len, SAFETENSORS_MAX_HEADER);
    if (len > f->n - 8)
        return err_set(e, ERR_DATA,
                       "%s: the header claims %" PRIu64 " bytes, the file has only %zu after it; "
                       "it is damaged or cut short",
                       f->path, len, f->n - 8);
    *header = (const char *)f->p + 8;
    *header_n = (size_t)len;
    if (len == 0 || **header != '{')
        return err_set(e, ERR_DATA, "%s: the header does not start with '{'", f->path);
    f->data = f->p + 8 + len;
    f->data_bytes = f->n - 8 - (size_t)len;
    return 0;
}

/* __metadata__ may contain only strings. */
static bool metadata_ok(const struct json *v)
{
    if (v->kind != JSON_OBJECT) return false;
    for (size_t i = 0; i < v->count; i++)
        if (v->items[i].kind != JSON_STRING) return false;
    return true;
}

int safetensors_read_header(struct safetensors *s, struct safetensors_file *f, struct err *e)
{
    const char *text = NULL;
    size_t n = 0;
    if (split_file(f, &text, &n, e)) return -1;
    struct arena scratch = {.max = 16 * n + ((size_t)64 << 20)};
    int rc = -1;
    const struct json *root = json_parse(text, n, &scratch, e);
    if (!root) {
        err_prefix(e, "%s: header", f->path);
        goto out;
    }
    /* One more than needed, so that s->tensors is not NULL for a header without tensors. */
    if (mem_grow(&s->tensors, &s->cap, s->count + root->count + 1, sizeof *s->tensors, e)) goto out;
    struct hf_tensor *t = s->tensors + s->count;
    size_t got = 0;
    for (size_t i = 0; i < root->count; i++) {
        if (str_is(root->keys[i], "__metadata__")) {
            if (metadata_ok(&root->items[i])) continue;
            err_set(e, ERR_DATA, "%s: __metadata__ must map strings to strings", f->path);
            goto out;
        }
        if (parse_member(s, f, root->keys[i], &root->items[i], &t[got++], e)) goto out;
    }
    if (got > 1) qsort(t, got, sizeof *t, by_place);
    if (check_tiling(f, t, got, e)) goto out;
    s->count += got;
    rc = 0;
out:
    arena_free(&scratch);
    return rc;
}
