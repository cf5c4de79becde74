/* SPDX-License-Identifier: Apache-2.0 */
/* Tells whether an adapter was trained on the weights of a given base: base_weights.json beside the
 * adapter has their identity. */
#include <string.h>

#include "base/doc.h"
#include "base/io.h"
#include "base/json.h"
#include "hf/peft.h"
#include "hf/safetensors_impl.h"

#define BASE_FILE "base_weights.json"
enum { MAX_FILE = 1 << 16, SAMPLE = 16384 /* bytes of a tensor */ };

/* Reading all weights would double what a rank reads of a large model. Training changes a part of
 * nearly every tensor, so some bytes from the middle of each tell models apart; they tell nothing
 * of a change that is elsewhere. */
static void add_tensor(struct hash128 *h, const struct hf_tensor *t)
{
    char shape[200];
    const uint64_t size = dtype_size(t->dtype);
    const uint64_t n = t->bytes < SAMPLE ? t->bytes : SAMPLE;
    const uint64_t at = (t->bytes - n) / 2 / size * size;
    hf_tensor_shape(t, shape, sizeof shape);
    hash128_add(h, t->name, strlen(t->name) + 1);
    hash128_add(h, hf_dtype_name(t->dtype), strlen(hf_dtype_name(t->dtype)) + 1);
    hash128_add(h, shape, strlen(shape) + 1);
    hash128_add(h, t->data + at, (size_t)n);
}

int peft_base_id(const struct safetensors *base, char id[HASH128_HEX], struct err *e)
{
    struct hash128 *h = hash128_new(e);
    if (!h) return -1;
    for (size_t i = 0; i < base->count; i++) add_tensor(h, base->by_name[i]);
    hash128_hex(h, id);
    hash128_free(h);
    return 0;
}

int peft_base_write(const char *dir, const char *id, struct err *e)
{
    struct doc d;
    doc_begin(&d);
    doc_text(&d, "format", "sft-base-weights");
    doc_int(&d, "version", 1);
    doc_text(&d, "xxh128", id);
    return doc_put(&d, dir, BASE_FILE, e);
}

/* Finds the identity in the text; a later version of the file has none that can be compared. */
static int parse(const struct json *v, char id[HASH128_HEX], struct err *e)
{
    int64_t version;
    const struct json *hex = v->kind == JSON_OBJECT ? json_get(v, "xxh128") : NULL;
    if (v->kind != JSON_OBJECT || json_int(json_get(v, "version"), &version))
        return err_set(e, ERR_DATA, "version is missing");
    if (version != 1) return 0;
    if (!hex || hex->kind != JSON_STRING || hex->s.n != HASH128_HEX - 1)
        return err_set(e, ERR_DATA, "xxh128 is missing");
    memcpy(id, hex->s.p, HASH128_HEX - 1);
    id[HASH128_HEX - 1] = 0;
    return strspn(id, "0123456789abcdef") == HASH128_HEX - 1
               ? 1
               : err_set(e, ERR_DATA, "xxh128 is not hexadecimal");
}

int peft_base_read(const char *dir, char id[HASH128_HEX], struct err *e)
{
    struct buf text = {0};
    struct arena tree = {0};
    char *path = io_path(dir, BASE_FILE, e);
    const int there = path ? io_exists(path, e) : -1;
    int rc = there > 0 ? io_slurp(path, MAX_FILE, &text, e) : there;
    if (there > 0 && rc == 0) {
        const struct json *v = doc_parse(text.data, text.len, &tree, e);
        rc = v ? parse(v, id, e) : -1;
        if (rc < 0) err_prefix(e, "%s", path);
    }
    arena_free(&tree);
    buf_free(&text);
    mem_free(path);
    return rc;
}

int peft_base_differs(const struct peft *p, const struct safetensors *base, struct err *e)
{
    char trained[HASH128_HEX], given[HASH128_HEX];
    const int known = peft_base_read(p->dir, trained, e);
    if (known <= 0) return known;
    return peft_base_id(base, given, e) ? -1 : strcmp(trained, given) != 0;
}
