/* SPDX-License-Identifier: Apache-2.0 */
/* Compares JSON values. */
#ifndef SFT_TEST_JSON_SAME_H
#define SFT_TEST_JSON_SAME_H

#include "base/json.h"

/* The same value; numbers by their text, keys in order. */
static inline bool json_same(const struct json *a, const struct json *b)
{
    if (a->kind != b->kind || a->truth != b->truth || a->count != b->count) return false;
    if (!str_eq(a->s, b->s)) return false;
    for (size_t i = 0; i < a->count; i++) {
        if (a->kind == JSON_OBJECT && !str_eq(a->keys[i], b->keys[i])) return false;
        if (!json_same(&a->items[i], &b->items[i])) return false;
    }
    return true;
}

#endif
