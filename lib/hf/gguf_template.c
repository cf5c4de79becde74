/* SPDX-License-Identifier: Apache-2.0 */
/* Converts the chat templates in the metadata of a GGUF file: a default one and named ones. */
#include <string.h>

#include "hf/gguf_convert.h"

#define DEFAULT "tokenizer.chat_template" /* DEFAULT.NAME for each name in NAMES */
#define NAMES   "tokenizer.chat_templates"
enum { MAX_NAMES = 63 }; /* with the default one, the 64 that a tokenizer may have */

static int put_template(struct buf *b, const struct gguf *g, const char *key, struct str name,
                        struct err *e)
{
    struct str text = {NULL, 0};
    if (gguf_get_str(g, key, &text, e) < 0) return -1;
    if (!text.p) return err_set(e, ERR_DATA, "%s: metadata \"%s\": missing", gguf_name(g), key);
    buf_puts(b, "\n    {\"name\": ");
    buf_json(b, name);
    buf_puts(b, ", \"template\": ");
    buf_json(b, text);
    buf_puts(b, "},");
    return 0;
}

/* Appends the default template, which has another key, and the named ones. */
static int put_named_templates(struct buf *b, const struct gguf *g, const struct gguf_value *names,
                               bool has_default, struct err *e)
{
    const unsigned char *at = names->items;
    struct gguf_value name;
    struct buf key = {0};
    int rc = 0;
    if (names->kind != GGUF_ARRAY || names->item != GGUF_STRING || names->count > MAX_NAMES)
        return err_set(e, ERR_DATA,
                       "%s: metadata \"" NAMES "\": must be a list of %d names at most",
                       gguf_name(g), MAX_NAMES);
    if (has_default) rc = put_template(b, g, DEFAULT, STR("default"), e);
    while (rc == 0 && gguf_next(names, &at, &name)) {
        buf_reset(&key);
        buf_puts(&key, DEFAULT ".");
        buf_str(&key, name.s);
        rc = buf_check(&key, e);
        if (rc == 0) rc = put_template(b, g, key.data, name.s, e);
    }
    buf_free(&key);
    return rc;
}

int gguf_put_templates(const struct gguf *g, struct buf *b, struct err *e)
{
    struct str one = {NULL, 0};
    const struct gguf_value *names = gguf_get(g, NAMES);
    if (gguf_get_str(g, DEFAULT, &one, e) < 0) return -1;
    if (!one.p && !names) return 0;
    buf_puts(b, "\n  \"chat_template\": ");
    if (!names) {
        buf_json(b, one);
    } else {
        buf_putc(b, '[');
        if (put_named_templates(b, g, names, one.p, e)) return -1;
        if (b->len && b->data[b->len - 1] == ',') b->len--;
        buf_puts(b, "\n  ]");
    }
    buf_putc(b, ',');
    return 0;
}
