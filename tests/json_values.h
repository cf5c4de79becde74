/* SPDX-License-Identifier: Apache-2.0 */
/* Compares JSON values, and makes large ones. */
#ifndef SFT_TEST_JSON_VALUES_H
#define SFT_TEST_JSON_VALUES_H

#include "base/buf.h"
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

/* An object of n members, the last key equal to the first if asked for. */
static inline void json_large(struct buf *b, int n, bool repeat)
{
    buf_reset(b);
    buf_puts(b, "{");
    for (int i = 0; i < n; i++) buf_printf(b, "%s\"key%d\":%d", i ? "," : "", i, i);
    if (repeat) buf_puts(b, ",\"key0\":0");
    buf_puts(b, "}");
}

#endif
