/* SPDX-License-Identifier: Apache-2.0 */
/* Typed access to GGUF metadata. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hf/gguf_impl.h"

const char *gguf_name(const struct gguf *g) { return g->name; }

int gguf_compare_pairs(const void *a, const void *b)
{
    return strcmp(((const struct gguf_pair *)a)->key, ((const struct gguf_pair *)b)->key);
}

const struct gguf_value *gguf_get(const struct gguf *g, const char *key)
{
    const struct gguf_pair k = {.key = key};
    if (g->npairs == 0) return NULL;
    const struct gguf_pair *p =
        bsearch(&k, g->pairs, g->npairs, sizeof *g->pairs, gguf_compare_pairs);
    return p ? &p->value : NULL;
}

static int wrong(const struct gguf *g, const char *key, const char *wanted, struct err *e)
{
    return err_set(e, ERR_DATA, "%s: metadata \"%s\": must be %s", gguf_name(g), key, wanted);
}

int gguf_get_int(const struct gguf *g, const char *key, int64_t min, int64_t max, int64_t *out,
                 struct err *e)
{
    const struct gguf_value *v = gguf_get(g, key);
    int64_t i;
    if (!v) return 0;
    switch (v->kind) {
    case GGUF_U8:
    case GGUF_U16:
    case GGUF_U32:
    case GGUF_U64:
        i = v->u > INT64_MAX ? INT64_MAX : (int64_t)v->u;
        break;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64:
        i = v->i;
        break;
    default:
        return wrong(g, key, "an integer", e);
    }
    if (i < min || i > max)
        return err_set(e, ERR_DATA,
                       "%s: metadata \"%s\": %" PRId64 " is not between %" PRId64 " and %" PRId64,
                       gguf_name(g), key, i, min, max);
    *out = i;
    return 1;
}

int gguf_get_real(const struct gguf *g, const char *key, double *out, struct err *e)
{
    const struct gguf_value *v = gguf_get(g, key);
    if (!v) return 0;
    if ((v->kind != GGUF_F32 && v->kind != GGUF_F64) || !isfinite(v->f))
        return wrong(g, key, "a finite number", e);
    *out = v->f;
    return 1;
}

int gguf_get_bool(const struct gguf *g, const char *key, bool *out, struct err *e)
{
    const struct gguf_value *v = gguf_get(g, key);
    if (!v) return 0;
    if (v->kind != GGUF_BOOL || v->u > 1) return wrong(g, key, "true or false", e);
    *out = v->u == 1;
    return 1;
}

int gguf_get_str(const struct gguf *g, const char *key, struct str *out, struct err *e)
{
    const struct gguf_value *v = gguf_get(g, key);
    if (!v) return 0;
    if (v->kind != GGUF_STRING) return wrong(g, key, "a string", e);
    *out = v->s;
    return 1;
}

const struct gguf_value *gguf_need_array(const struct gguf *g, const char *key, enum gguf_kind item,
                                         struct err *e)
{
    const struct gguf_value *v = gguf_get(g, key);
    if (v && v->kind == GGUF_ARRAY && v->item == item) return v;
    err_set(e, ERR_DATA, "%s: metadata \"%s\": missing or of another type", gguf_name(g), key);
    return NULL;
}
