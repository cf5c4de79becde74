/* SPDX-License-Identifier: Apache-2.0 */
/* Typed reads of one object of config.json, and the test for a mixture of experts. */
#include "hf/config_read.h"

#include <string.h>

#include "hf/family.h"

const struct json *reader_get(const struct reader *r, const char *key)
{
    const struct json *v = json_get(r->object, key);
    return v && v->kind != JSON_NULL ? v : NULL;
}

void reader_fail(struct reader *r, const char *key, const char *wanted)
{
    if (r->failed) return;
    r->failed = true;
    err_set(r->e, ERR_DATA, "%s%s: must be %s", r->where, key, wanted);
}

void reader_int(struct reader *r, const char *key, int64_t min, int64_t max, int64_t *out)
{
    const struct json *v = reader_get(r, key);
    int64_t i;
    if (!v) return;
    if (json_int(v, &i) || i < min || i > max)
        reader_fail(r, key,
                    min > 0 ? "a positive integer of plausible size" : "an integer in range");
    else
        *out = i;
}

void reader_real(struct reader *r, const char *key, double min, double max, double *out)
{
    const struct json *v = reader_get(r, key);
    double d;
    if (!v) return;
    if (json_real(v, &d) || !(d >= min && d <= max))
        reader_fail(r, key, "a number of plausible size");
    else
        *out = d;
}

void reader_bool(struct reader *r, const char *key, bool *out)
{
    const struct json *v = reader_get(r, key);
    if (!v) return;
    if (v->kind != JSON_BOOL)
        reader_fail(r, key, "true or false");
    else
        *out = v->truth;
}

void reader_copy_name(struct reader *r, const char *key, const struct json *v,
                      char out[HF_MAX_NAME])
{
    if (v->kind != JSON_STRING || v->s.n >= HF_MAX_NAME || memchr(v->s.p, 0, v->s.n)) {
        reader_fail(r, key, "a short string");
        return;
    }
    memset(out, 0, HF_MAX_NAME);
    memcpy(out, v->s.p, v->s.n);
}

void reader_name(struct reader *r, const char *key, char out[HF_MAX_NAME])
{
    const struct json *v = reader_get(r, key);
    if (v) reader_copy_name(r, key, v, out);
}

bool hf_config_is_moe(const struct hf_config *c)
{
    size_t n = strlen(c->model_type);
    if (c->family && c->family->sparse != HF_SPARSE_NONE) return false;
    return c->num_experts > 1 || strcmp(c->model_type, "mixtral") == 0 ||
           (n > 4 && strcmp(c->model_type + n - 4, "_moe") == 0);
}
