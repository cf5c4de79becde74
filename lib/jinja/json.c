/* SPDX-License-Identifier: Apache-2.0 */
/* Values as JSON, byte for byte as Python's json.dumps writes them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "jinja/value.h"

static void json_string(struct jbuild *b, const struct jstr *s, bool ascii)
{
    static const char special[] = "\"\\\n\r\t\b\f", names[] = "\"\\nrtbf";
    size_t from = 0;
    jbuild_z(b, "\"");
    for (size_t i = 0, len; i < s->n && !b->failed; i += len) {
        uint32_t c = jchar_get(s->p + i, s->n - i, &len);
        char text[16];
        const char *k = c && c < 0x80 ? strchr(special, (int)c) : NULL;
        if (k)
            snprintf(text, sizeof text, "\\%c", names[k - special]);
        else if (c < 0x20 || (ascii && c >= 0x80 && c < 0x10000))
            snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
        else if (ascii && c >= 0x10000)
            snprintf(text, sizeof text, "\\u%04x\\u%04x", (unsigned)(0xD7C0 + (c >> 10)),
                     (unsigned)(0xDC00 | (c & 0x3FF)));
        else
            continue;
        jbuild_part(b, s, from, i);
        jbuild_derived(b, text, strlen(text), s, i, i + len);
        from = i + len;
    }
    jbuild_part(b, s, from, s->n);
    jbuild_z(b, "\"");
}

static int json_break(struct jbuild *b, const struct json_style *style, unsigned depth)
{
    if (!style->indent) return 0;
    jbuild_z(b, "\n");
    for (unsigned i = 0; i < depth; i++) jbuild_str(b, style->indent);
    return 0;
}

static int json_scalar(struct jbuild *b, struct jval v, bool ascii)
{
    char text[JFLOAT_TEXT];
    if (v.kind == J_STR) {
        json_string(b, v.u.s, ascii);
    } else if (v.kind == J_NONE) {
        jbuild_z(b, "null");
    } else if (v.kind == J_BOOL) {
        jbuild_z(b, v.u.truth ? "true" : "false");
    } else if (v.kind == J_FLOAT && (isnan(v.u.f) || isinf(v.u.f))) {
        jbuild_z(b, isnan(v.u.f) ? "NaN" : v.u.f < 0 ? "-Infinity" : "Infinity");
    } else if (v.kind == J_FLOAT) {
        jval_float_text(v.u.f, text);
        jbuild_z(b, text);
    } else if (v.kind == J_INT || v.kind == J_BIG) {
        jval_repr(b, v, 0);
    } else {
        return vm_fail(b->vm, "Object of type %s is not JSON serializable", jval_type(v));
    }
    return 0;
}

static int json_key(struct jbuild *b, struct jval k, bool ascii)
{
    if (k.kind == J_STR) return json_scalar(b, k, ascii);
    if (k.kind > J_FLOAT || k.kind < J_NONE)
        return vm_fail(b->vm, "keys must be str, int, float, bool or None, not %s", jval_type(k));
    jbuild_z(b, "\"");
    if (json_scalar(b, k, ascii)) return -1;
    jbuild_z(b, "\"");
    return 0;
}

/* Returns a copy of d with its entries sorted by key; d itself when sort is false. */
static const struct jdict *sorted(struct vm *vm, const struct jdict *d, bool sort)
{
    if (!sort || d->n < 2) return d;
    struct jdict *s = jdict_new(vm);
    for (size_t i = 0; s && i < d->n; i++) {
        if (jdict_set(vm, s, d->keys[i], d->vals[i])) return NULL;
        for (size_t k = i; k > 0; k--) {
            int order;
            if (jval_compare(vm, s->keys[k - 1], s->keys[k], &order)) return NULL;
            if (order <= 0) break;
            struct jval key = s->keys[k], val = s->vals[k];
            s->keys[k] = s->keys[k - 1];
            s->vals[k] = s->vals[k - 1];
            s->keys[k - 1] = key;
            s->vals[k - 1] = val;
        }
        s->slots = NULL; /* the copy is only iterated */
    }
    return s;
}

static int json_dict(struct jbuild *b, const struct jdict *d, const struct json_style *style,
                     unsigned depth)
{
    if (!(d = sorted(b->vm, d, style->sort))) return -1;
    jbuild_z(b, "{");
    for (size_t i = 0; i < d->n && !b->failed; i++) {
        if (i) jbuild_str(b, style->item);
        json_break(b, style, depth + 1);
        if (json_key(b, d->keys[i], style->ascii)) return -1;
        jbuild_str(b, style->key);
        if (jval_json(b, d->vals[i], style, depth + 1)) return -1;
    }
    if (d->n) json_break(b, style, depth);
    jbuild_z(b, "}");
    return 0;
}

int jval_json(struct jbuild *b, struct jval v, const struct json_style *style, unsigned depth)
{
    if (depth > VM_MAX_NESTING) return vm_fail(b->vm, "a value is nested too deeply for JSON");
    if (v.kind == J_DICT) return json_dict(b, v.u.dict, style, depth);
    if (v.kind != J_LIST && v.kind != J_TUPLE) return json_scalar(b, v, style->ascii);
    jbuild_z(b, "[");
    for (size_t i = 0; i < v.u.list->n && !b->failed; i++) {
        if (i) jbuild_str(b, style->item);
        json_break(b, style, depth + 1);
        if (jval_json(b, v.u.list->v[i], style, depth + 1)) return -1;
    }
    if (v.u.list->n) json_break(b, style, depth);
    jbuild_z(b, "]");
    return 0;
}
