/* SPDX-License-Identifier: Apache-2.0 */
/* Reads GGUF. A cursor that cannot pass the end of the file reads the header once. Every count is
 * checked against the remaining bytes before memory is allocated for it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hf/gguf_impl.h"

enum { MAX_ALIGNMENT = 1 << 20, MAX_KEY = 65535, KEY_SHOWN = 100 };
/* The least bytes of a metadata pair and of the description of a tensor. */
enum { MIN_PAIR = 8 + 4 + 1, MIN_TENSOR = 8 + 4 + 4 + 8 };

static int bad_file(const struct gguf *g, struct err *e, const char *where)
{
    return err_set(e, ERR_DATA, "%s: %s: the file is damaged or cut short", g->name, where);
}

/* Returns a name as a C string; refuses names with zero bytes or of absurd length. */
static const char *copy_name(struct gguf *g, struct str s, const char *what, struct err *e)
{
    if (s.n == 0 || s.n > MAX_KEY || memchr(s.p, 0, s.n)) {
        err_set(e, ERR_DATA, "%s: the name of a %s is empty, too long or contains a zero byte",
                g->name, what);
        return NULL;
    }
    return arena_copy(&g->names, s.p, s.n, e);
}

static int read_pairs(struct gguf *g, struct gguf_cursor *c, uint64_t n, struct err *e)
{
    if (n > gguf_left(c) / MIN_PAIR)
        return err_set(e, ERR_DATA,
                       "%s: the header claims %" PRIu64 " metadata values, more than the file can "
                       "hold; it is damaged or cut short",
                       g->name, n);
    if (!(g->pairs = mem_alloc((size_t)n, sizeof *g->pairs, e))) return -1;
    for (; g->npairs < n; g->npairs++) {
        struct gguf_pair *pair = &g->pairs[g->npairs];
        char where[KEY_SHOWN + 32];
        struct str key = gguf_take_str(c);
        uint64_t kind = gguf_take(c, 4);
        if (c->bad || kind >= GGUF_KINDS) return bad_file(g, e, "metadata");
        if (!(pair->key = copy_name(g, key, "metadata value", e))) return -1;
        gguf_take_value(c, (enum gguf_kind)kind, 0, &pair->value);
        snprintf(where, sizeof where, "metadata \"%.*s\"", KEY_SHOWN, pair->key);
        if (c->bad) return bad_file(g, e, where);
    }
    return 0;
}

/* Reads the name, shape and type of one tensor; place_tensors sets t->data. */
static int read_tensor(struct gguf *g, struct gguf_cursor *c, struct gguf_tensor *t,
                       uint64_t *offset, struct err *e)
{
    struct str name = gguf_take_str(c);
    uint64_t ndim = gguf_take(c, 4);
    size_t block, block_bytes;
    if (c->bad) return bad_file(g, e, "tensor list");
    if (!(t->name = copy_name(g, name, "tensor", e))) return -1;
    if (ndim > GGUF_MAX_DIMS)
        return err_set(e, ERR_DATA, "%s: tensor \"%.200s\": more than %d dimensions", g->name,
                       t->name, GGUF_MAX_DIMS);
    t->ndim = (int)ndim;
    t->count = 1;
    for (int i = 0; i < t->ndim; i++) {
        t->dim[i] = gguf_take(c, 8);
        if (__builtin_mul_overflow(t->count, t->dim[i], &t->count))
            return err_set(e, ERR_DATA, "%s: tensor \"%.200s\": impossibly large", g->name,
                           t->name);
    }
    uint64_t type = gguf_take(c, 4);
    *offset = gguf_take(c, 8);
    if (c->bad) return bad_file(g, e, "tensor list");
    if (gguf_type_block((uint32_t)type, &block, &block_bytes))
        return err_set(e, ERR_DATA,
                       "%s: tensor \"%.200s\": has quantisation type %" PRIu64
                       ", which cannot be read; use a file in Q8_0, Q6_K, Q5_K, Q4_K or F16",
                       g->name, t->name, type);
    t->type = (enum gguf_type)type;
    uint64_t row = t->ndim ? t->dim[0] : 1;
    if (row % block || __builtin_mul_overflow(t->count / block, block_bytes, &t->bytes))
        return err_set(e, ERR_DATA, "%s: tensor \"%.200s\": rows are not whole %s blocks", g->name,
                       t->name, gguf_type_name(t->type));
    return 0;
}

static int read_tensors(struct gguf *g, struct gguf_cursor *c, uint64_t n, uint64_t *offsets,
                        struct err *e)
{
    for (; g->ntensors < n; g->ntensors++)
        if (read_tensor(g, c, &g->tensors[g->ntensors], &offsets[g->ntensors], e)) return -1;
    return 0;
}

static int by_place(const void *a, const void *b)
{
    const struct gguf_tensor *x = *(struct gguf_tensor *const *)a;
    const struct gguf_tensor *y = *(struct gguf_tensor *const *)b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static int by_tensor_name(const void *a, const void *b)
{
    return strcmp((*(struct gguf_tensor *const *)a)->name, (*(struct gguf_tensor *const *)b)->name);
}

static int sort_pairs(struct gguf *g, struct err *e)
{
    qsort(g->pairs, g->npairs, sizeof *g->pairs, gguf_compare_pairs);
    for (size_t i = 1; i < g->npairs; i++)
        if (strcmp(g->pairs[i].key, g->pairs[i - 1].key) == 0)
            return err_set(e, ERR_DATA, "%s: metadata \"%.200s\": occurs twice", g->name,
                           g->pairs[i].key);
    return 0;
}

/* Sets t->data of all tensors. Checks that they lie in the file, aligned and without overlap, and
 * that their names differ. */
static int place_tensors(struct gguf *g, const struct gguf_cursor *data, uint64_t align,
                         const uint64_t *offsets, struct err *e)
{
    for (size_t i = 0; i < g->ntensors; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        g->by_name[i] = t;
        if (offsets[i] % align)
            return err_set(e, ERR_DATA, "%s: tensor \"%.200s\": its offset is not aligned to %u",
                           g->name, t->name, (unsigned)align);
        if (offsets[i] > gguf_left(data) || t->bytes > gguf_left(data) - offsets[i])
            return err_set(e, ERR_DATA,
                           "%s: tensor \"%.200s\": its %" PRIu64 " bytes end after the end of the "
                           "file, which is cut short",
                           g->name, t->name, t->bytes);
        t->data = data->p + offsets[i];
    }
    qsort(g->by_name, g->ntensors, sizeof *g->by_name, by_place);
    for (size_t i = 1; i < g->ntensors; i++) {
        const struct gguf_tensor *a = g->by_name[i - 1], *b = g->by_name[i];
        if (a->data + a->bytes > b->data)
            return err_set(e, ERR_DATA, "%s: tensor \"%.200s\": overlaps \"%.200s\"", g->name,
                           b->name, a->name);
    }
    qsort(g->by_name, g->ntensors, sizeof *g->by_name, by_tensor_name);
    for (size_t i = 1; i < g->ntensors; i++)
        if (strcmp(g->by_name[i]->name, g->by_name[i - 1]->name) == 0)
            return err_set(e, ERR_DATA, "%s: tensor \"%.200s\": occurs twice", g->name,
                           g->by_name[i]->name);
    return 0;
}

static int read_tensor_part(struct gguf *g, struct gguf_cursor *c, const unsigned char *start,
                            uint64_t n, struct err *e)
{
    int64_t align = 32;
    if (gguf_get_int(g, "general.alignment", 1, MAX_ALIGNMENT, &align, e) < 0) return -1;
    if (align & (align - 1))
        return err_set(e, ERR_DATA, "%s: general.alignment: must be a power of two", g->name);
    uint64_t *offsets = mem_alloc((size_t)n, sizeof *offsets, e);
    g->tensors = mem_alloc((size_t)n, sizeof *g->tensors, e);
    g->by_name = mem_alloc((size_t)n, sizeof *g->by_name, e);
    int rc = -1;
    if (offsets && g->tensors && g->by_name) rc = read_tensors(g, c, n, offsets, e);
    if (rc == 0) {
        size_t pad = (size_t)(-(c->p - start) & (align - 1));
        if (pad > gguf_left(c)) pad = gguf_left(c);
        c->p += pad;
        rc = place_tensors(g, c, (uint64_t)align, offsets, e);
    }
    mem_free(offsets);
    return rc;
}

static int read_all(struct gguf *g, const unsigned char *p, size_t n, struct err *e)
{
    struct gguf_cursor c = {p, p + n, false};
    if (n < 4 || memcmp(p, "GGUF", 4) != 0)
        return err_set(e, ERR_DATA, "%s: not a GGUF file", g->name);
    c.p += 4;
    uint64_t version = gguf_take(&c, 4);
    if (!c.bad && version != 2 && version != 3)
        return err_set(e, ERR_DATA, "%s: GGUF version %" PRIu64 "; only 2 and 3 can be read",
                       g->name, version);
    uint64_t ntensors = gguf_take(&c, 8), npairs = gguf_take(&c, 8);
    if (c.bad) return bad_file(g, e, "header");
    if (ntensors > gguf_left(&c) / MIN_TENSOR)
        return err_set(e, ERR_DATA,
                       "%s: the header claims %" PRIu64 " tensors, more than the file can hold; "
                       "it is damaged or cut short",
                       g->name, ntensors);
    if (read_pairs(g, &c, npairs, e) || sort_pairs(g, e)) return -1;
    if (ntensors > gguf_left(&c) / MIN_TENSOR) return bad_file(g, e, "tensor list");
    return read_tensor_part(g, &c, p, ntensors, e);
}

struct gguf *gguf_parse(const void *p, size_t n, const char *name, struct err *e)
{
    struct gguf *g = mem_alloc(1, sizeof *g, e);
    if (!g) return NULL;
    if ((g->name = mem_strndup(name, strlen(name), e)) && read_all(g, p, n, e) == 0) return g;
    gguf_close(g);
    return NULL;
}

struct gguf *gguf_open(const char *path, struct err *e)
{
    struct io_map map;
    if (io_map(path, &map, e)) return NULL;
    struct gguf *g = gguf_parse(map.p, map.n, path, e);
    if (g)
        g->map = map;
    else
        io_unmap(&map);
    return g;
}

void gguf_close(struct gguf *g)
{
    if (!g) return;
    if (g->map.p) io_unmap(&g->map);
    mem_free(g->name);
    mem_free(g->pairs);
    mem_free(g->tensors);
    mem_free(g->by_name);
    arena_free(&g->names);
    mem_free(g);
}

size_t gguf_count(const struct gguf *g) { return g->ntensors; }
const struct gguf_tensor *gguf_at(const struct gguf *g, size_t i) { return &g->tensors[i]; }

const struct gguf_tensor *gguf_find(const struct gguf *g, const char *name)
{
    const struct gguf_tensor key = {.name = name}, *k = &key;
    if (g->ntensors == 0) return NULL;
    struct gguf_tensor **t =
        bsearch(&k, g->by_name, g->ntensors, sizeof *g->by_name, by_tensor_name);
    return t ? *t : NULL;
}
