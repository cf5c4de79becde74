/* SPDX-License-Identifier: Apache-2.0 */
/* The models whose weights have a mean: those of one configuration, with the same tensors. */
#include <string.h>

#include "average.h"
#include "base/doc.h"
#include "base/io.h"
#include "base/json.h"
#include "hf/peft.h"

enum { MAX_CONFIG = 16 << 20, SHOWN = 80 };

/* ---- tensors ---- */
static int missing(const struct verb_model *with, const struct verb_model *without,
                   const char *name, struct err *e)
{
    return err_set(e, ERR_DATA, "%s: has no tensor %s, which %s has; they have no mean",
                   without->path, name, with->path);
}

static int same_tensor(const struct verb_model *a, const struct verb_model *b,
                       const struct hf_tensor *x, const struct hf_tensor *y, struct err *e)
{
    char sx[200], sy[200];
    if (x->dtype != y->dtype)
        return err_set(e, ERR_DATA, "tensor %s: its type is %s in %s and %s in %s", x->name,
                       hf_dtype_name(x->dtype), a->path, hf_dtype_name(y->dtype), b->path);
    hf_tensor_shape(x, sx, sizeof sx);
    hf_tensor_shape(y, sy, sizeof sy);
    if (strcmp(sx, sy) == 0) return 0;
    return err_set(e, ERR_DATA, "tensor %s: its shape is %s in %s and %s in %s", x->name, sx,
                   a->path, sy, b->path);
}

static int same_tensors(const struct verb_model *a, const struct verb_model *b, struct err *e)
{
    for (size_t i = 0; i < safetensors_count(a->tensors); i++) {
        const struct hf_tensor *x = safetensors_at(a->tensors, i);
        const struct hf_tensor *y = safetensors_find(b->tensors, x->name);
        if (y ? same_tensor(a, b, x, y, e) : missing(a, b, x->name, e)) return -1;
    }
    for (size_t i = 0; i < safetensors_count(b->tensors); i++) {
        const char *name = safetensors_at(b->tensors, i)->name;
        if (!safetensors_find(a->tensors, name)) return missing(b, a, name, e);
    }
    return 0;
}

/* ---- configurations ---- */
/* Keys of config.json that tell the origin of a model or how it is run, not how it computes. The
 * types of the weights are compared tensor by tensor. */
static bool is_free(struct str key)
{
    static const char *const names[] = {"_name_or_path", "transformers_version", "torch_dtype",
                                        "dtype", "use_cache"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is(key, names[i])) return true;
    return false;
}

static const struct json *find(const struct json *object, struct str key)
{
    for (size_t i = 0; i < object->count; i++)
        if (str_eq(object->keys[i], key)) return &object->items[i];
    return NULL;
}

/* Appends the value as text, or "missing". */
static void put_value(const struct json *v, struct buf *b)
{
    if (v)
        json_write(v, b);
    else
        buf_puts(b, "missing");
    buf_putc(b, '\0');
}

static int same_value(const struct verb_model *a, const struct verb_model *b, struct str key,
                      const struct json *x, const struct json *y, struct err *e)
{
    struct buf tx = {0}, ty = {0};
    put_value(x, &tx);
    put_value(y, &ty);
    int rc = buf_check(&tx, e) || buf_check(&ty, e) ? -1 : 0;
    if (rc == 0 && strcmp(tx.data, ty.data) != 0)
        rc = err_set(e, ERR_DATA, "config.json: %.*s is %.*s in %s and %.*s in %s", STR_FMT(key),
                     SHOWN, tx.data, a->path, SHOWN, ty.data, b->path);
    buf_free(&tx);
    buf_free(&ty);
    return rc;
}

static int same_members(const struct verb_model *a, const struct verb_model *b,
                        const struct json *x, const struct json *y, struct err *e)
{
    for (size_t i = 0; i < x->count; i++) {
        const struct str key = x->keys[i];
        if (!is_free(key) && same_value(a, b, key, &x->items[i], find(y, key), e)) return -1;
    }
    for (size_t i = 0; i < y->count; i++) {
        const struct str key = y->keys[i];
        if (!is_free(key) && !find(x, key) && same_value(a, b, key, NULL, &y->items[i], e))
            return -1;
    }
    return 0;
}

/* Reads a config.json into text and tree, which the caller releases in any case. */
static const struct json *read_config(const struct verb_model *m, struct buf *text,
                                      struct arena *tree, struct err *e)
{
    const struct json *v = NULL;
    char *path = io_path(m->dir, "config.json", e);
    if (path && io_slurp(path, MAX_CONFIG, text, e) == 0) {
        v = doc_parse(text->data, text->len, tree, e);
        if (!v)
            err_prefix(e, "%s", path);
        else if (v->kind != JSON_OBJECT) {
            err_set(e, ERR_DATA, "%s: not a JSON object", path);
            v = NULL;
        }
    }
    mem_free(path);
    return v;
}

static int same_config(const struct verb_model *a, const struct verb_model *b, struct err *e)
{
    struct buf ta = {0}, tb = {0};
    struct arena tree = {0};
    const struct json *x = read_config(a, &ta, &tree, e);
    const struct json *y = x ? read_config(b, &tb, &tree, e) : NULL;
    int rc = y ? same_members(a, b, x, y, e) : -1;
    arena_free(&tree);
    buf_free(&ta);
    buf_free(&tb);
    return rc;
}

/* ---- adapters ---- */
static int same_number(const struct verb_model *a, const struct verb_model *b, const char *key,
                       double x, double y, struct err *e)
{
    if (x == y) return 0;
    return err_set(e, ERR_DATA, "adapter_config.json: %s is %g in %s and %g in %s", key, x, a->path,
                   y, b->path);
}

/* Adapters that do not tell their base may have the same. */
static int same_base(const struct verb_model *a, const struct verb_model *b, struct err *e)
{
    char x[HASH128_HEX], y[HASH128_HEX];
    const int tells = peft_base_read(a->dir, x, e),
              both = tells > 0 ? peft_base_read(b->dir, y, e) : tells;
    if (both <= 0 || strcmp(x, y) == 0) return both < 0 ? -1 : 0;
    return err_set(e, ERR_DATA,
                   "%s and %s were trained on different base models; they have no mean", a->path,
                   b->path);
}

/* The adapted layers are compared by their tensors. */
static int same_adapter(const struct verb_model *a, const struct verb_model *b, struct err *e)
{
    struct peft_config x = {0}, y = {0};
    int rc = peft_config_read(a->dir, &x, e) || peft_config_read(b->dir, &y, e) ? -1 : 0;
    if (rc == 0) rc = same_number(a, b, "r", (double)x.rank, (double)y.rank, e);
    if (rc == 0) rc = same_number(a, b, "lora_alpha", x.alpha, y.alpha, e);
    if (rc == 0) rc = same_number(a, b, "use_rslora", x.rslora, y.rslora, e);
    peft_config_free(&x);
    peft_config_free(&y);
    return rc ? -1 : same_base(a, b, e);
}

int average_alike(const struct verb_model *a, const struct verb_model *b, struct err *e)
{
    if (a->adapter != b->adapter)
        return err_set(e, ERR_DATA, "%s is an adapter, %s is a model; merge it into its base first",
                       (a->adapter ? a : b)->path, (a->adapter ? b : a)->path);
    if (a->adapter ? same_adapter(a, b, e) : same_config(a, b, e)) return -1;
    return same_tensors(a, b, e);
}
