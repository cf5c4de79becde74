/* SPDX-License-Identifier: Apache-2.0 */
/* The differences of two models, tensor by tensor or layer by layer. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "diff.h"

enum { BLOCK = 4096 };

/* Adds a line; NULL with ERR_MEMORY. It is valid until the next one. */
static struct diff_line *add(struct diff_lines *l, enum diff_kind kind, const struct hf_tensor *a,
                             const struct hf_tensor *b, struct err *e)
{
    if (mem_grow(&l->v, &l->cap, l->n + 1, sizeof *l->v, e)) return NULL;
    struct diff_line *line = &l->v[l->n++];
    *line = (struct diff_line){.kind = kind, .name = str_z(a ? a->name : b->name), .a = a, .b = b};
    return line;
}

static bool same_shape(const struct hf_tensor *a, const struct hf_tensor *b)
{
    return a->ndim == b->ndim && memcmp(a->dim, b->dim, (size_t)a->ndim * sizeof *a->dim) == 0;
}

/* ---- values ---- */
/* Adds the squares of two tensors to the line, and takes the largest |a - b|. A difference with a
 * NaN or an infinity is a NaN. */
static void measure(struct diff_line *l, const struct hf_tensor *a, const struct hf_tensor *b)
{
    float x[BLOCK], y[BLOCK];
    for (uint64_t i = 0; i < a->count; i += BLOCK) {
        size_t n = a->count - i < BLOCK ? (size_t)(a->count - i) : BLOCK;
        if (dtype_to_f32(a->dtype, a->data + i * dtype_size(a->dtype), n, x) != 0 ||
            dtype_to_f32(b->dtype, b->data + i * dtype_size(b->dtype), n, y) != 0) {
            l->unmeasured = true;
            return;
        }
        for (size_t j = 0; j < n; j++) {
            double d = fabs((double)x[j] - (double)y[j]);
            if (!(d <= l->largest)) l->largest = isnan(l->largest) ? l->largest : d;
            l->diff += d * d;
            l->norm += (double)x[j] * (double)x[j];
        }
    }
}

double diff_relative(const struct diff_line *l)
{
    return l->diff == 0 ? 0 : sqrt(l->diff / l->norm);
}

static bool differs(const struct diff_line *l) { return l->unmeasured || l->largest != 0; }

/* ---- layers ---- */
/* The name as far as its first number, "model.layers.3"; a tensor outside the layers is its own. */
static struct str layer_of(const char *name)
{
    size_t at = 0, n;
    for (; name[at]; at += n + (name[at + n] == '.')) {
        n = strcspn(name + at, ".");
        if (n && strspn(name + at, "0123456789") == n) return (struct str){name, at + n};
    }
    return str_z(name);
}

static struct diff_line *find_layer(struct diff_lines *l, struct str name)
{
    for (size_t i = l->n; i > 0; i--)
        if (str_eq(l->v[i - 1].name, name)) return &l->v[i - 1];
    return NULL;
}

/* Adds two tensors to the line of their layer. A layer with a tensor that cannot be measured is
 * not measured, but only if that tensor differs. */
static int add_to_layer(struct diff_lines *l, const struct hf_tensor *a, const struct hf_tensor *b,
                        bool equal, struct err *e)
{
    struct diff_line one = {0};
    const struct str name = layer_of(a->name);
    struct diff_line *layer = find_layer(l, name);
    if (!layer && (layer = add(l, DIFF_VALUES, a, b, e))) {
        layer->name = name;
        layer->a = layer->b = NULL;
    }
    if (!layer) return -1;
    measure(&one, a, b);
    layer->unmeasured |= one.unmeasured && !equal;
    if (!(one.largest <= layer->largest))
        layer->largest = isnan(layer->largest) ? layer->largest : one.largest;
    layer->diff += one.diff;
    layer->norm += one.norm;
    return 0;
}

/* ---- two models ---- */
struct walk {
    struct diff_lines *lines, *layers; /* layers: NULL: each tensor has its own line */
};

static int compare(const struct walk *w, const struct hf_tensor *a, const struct hf_tensor *b,
                   struct err *e)
{
    if (!same_shape(a, b)) return add(w->lines, DIFF_SHAPE, a, b, e) ? 0 : -1;
    const bool type = a->dtype != b->dtype;
    const bool equal = !type && memcmp(a->data, b->data, (size_t)a->bytes) == 0;
    if (type && !add(w->lines, DIFF_TYPE, a, b, e)) return -1;
    if (w->layers) return add_to_layer(w->layers, a, b, equal, e);
    if (equal) return 0;
    struct diff_line *line = add(w->lines, DIFF_VALUES, a, b, e);
    if (!line) return -1;
    measure(line, a, b);
    if (type && !differs(line)) w->lines->n--; /* the same values in another type */
    return 0;
}

/* Moves the lines of layers that differ behind the others. */
static int append_layers(struct diff_lines *l, const struct diff_lines *layers, struct err *e)
{
    if (mem_grow(&l->v, &l->cap, l->n + layers->n, sizeof *l->v, e)) return -1;
    for (size_t i = 0; i < layers->n; i++)
        if (differs(&layers->v[i])) l->v[l->n++] = layers->v[i];
    return 0;
}

int diff_list(const struct safetensors *a, const struct safetensors *b, bool layers,
              struct diff_lines *l, struct err *e)
{
    struct diff_lines by_layer = {0};
    const struct walk w = {l, layers ? &by_layer : NULL};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < safetensors_count(a); i++) {
        const struct hf_tensor *x = safetensors_at(a, i), *y = safetensors_find(b, x->name);
        rc = y ? compare(&w, x, y, e) : add(l, DIFF_FIRST, x, NULL, e) ? 0 : -1;
    }
    for (size_t i = 0; rc == 0 && i < safetensors_count(b); i++) {
        const struct hf_tensor *y = safetensors_at(b, i);
        if (!safetensors_find(a, y->name)) rc = add(l, DIFF_SECOND, NULL, y, e) ? 0 : -1;
    }
    if (rc == 0) rc = append_layers(l, &by_layer, e);
    mem_free(by_layer.v);
    return rc;
}

/* ---- order ---- */
static double weight(const struct diff_line *l)
{
    const double relative = diff_relative(l);
    return l->kind != DIFF_VALUES || l->unmeasured || isnan(relative) ? INFINITY : relative;
}

static int by_weight(const void *p, const void *q)
{
    const struct diff_line *a = p, *b = q;
    const double x = weight(a), y = weight(b);
    const bool va = a->kind == DIFF_VALUES, vb = b->kind == DIFF_VALUES;
    if (va != vb) return va - vb;
    return x != y ? (x < y ? 1 : -1) : (a->place > b->place) - (a->place < b->place);
}

void diff_sort(struct diff_lines *l, uint64_t top)
{
    size_t others = 0;
    for (size_t i = 0; i < l->n; i++) l->v[i].place = i;
    if (l->n) qsort(l->v, l->n, sizeof *l->v, by_weight);
    while (others < l->n && l->v[others].kind != DIFF_VALUES) others++;
    if (top && l->n - others > top) l->n = others + (size_t)top;
}
