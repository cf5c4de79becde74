/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a parsed JSON value as text. */
#include "base/json.h"

void json_write(const struct json *v, struct buf *b)
{
    bool object = v->kind == JSON_OBJECT;
    if (v->kind == JSON_NULL) buf_puts(b, "null");
    if (v->kind == JSON_BOOL) buf_puts(b, v->truth ? "true" : "false");
    if (v->kind == JSON_NUMBER) buf_str(b, v->s);
    if (v->kind == JSON_STRING) buf_json(b, v->s);
    if (v->kind != JSON_ARRAY && !object) return;
    buf_putc(b, object ? '{' : '[');
    for (size_t i = 0; i < v->count; i++) { /* the parser bounds the depth */
        if (i) buf_putc(b, ',');
        if (object) {
            buf_json(b, v->keys[i]);
            buf_putc(b, ':');
        }
        json_write(&v->items[i], b);
    }
    buf_putc(b, object ? '}' : ']');
}
