/* SPDX-License-Identifier: Apache-2.0 */
/* Access to parsed JSON values. */
#include <string.h>

#include "base/json.h"
#include "base/num.h"

enum { NUMBER_MAX = 400 };

const struct json *json_get(const struct json *object, const char *key)
{
    if (!object || object->kind != JSON_OBJECT) return NULL;
    struct str k = str_z(key);
    for (size_t i = 0; i < object->count; i++)
        if (str_eq(object->keys[i], k)) return &object->items[i];
    return NULL;
}

/* Copies the number to `text` as a C string. */
static int number_text(const struct json *v, char text[NUMBER_MAX + 1])
{
    if (!v || v->kind != JSON_NUMBER || v->s.n > NUMBER_MAX) return -1;
    memcpy(text, v->s.p, v->s.n);
    text[v->s.n] = 0;
    return 0;
}

int json_int(const struct json *v, int64_t *out)
{
    char text[NUMBER_MAX + 1];
    return number_text(v, text) ? -1 : num_i64(text, out);
}

int json_real(const struct json *v, double *out)
{
    char text[NUMBER_MAX + 1];
    return number_text(v, text) ? -1 : num_f64(text, out);
}
