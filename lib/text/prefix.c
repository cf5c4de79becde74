/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the tokens that a post-processor puts before a text. */
#include "text/prefix.h"

#include "text/fields.h"
#include "text/vocab.h"

enum { MAX_DEPTH = 16 };

static int put(struct prefix *p, const struct json *id, struct err *e)
{
    int64_t v;
    if (!id || json_int(id, &v) || v < 0 || v > VOCAB_MAX_ID)
        return err_set(e, ERR_DATA, "a special token's id is no number from 0 to %d", VOCAB_MAX_ID);
    if (p->n == PREFIX_MAX)
        return err_set(e, ERR_DATA, "more than %d tokens before a text", PREFIX_MAX);
    p->ids[p->n++] = (uint32_t)v;
    return 0;
}

/* Adds the tokens of {"id": NAME}, which "special_tokens" defines. */
static int put_special(struct prefix *p, const struct json *o, const struct json *token,
                       struct err *e)
{
    struct str name;
    const struct json *defined = json_get(o, "special_tokens");
    if (token->kind != JSON_OBJECT || field_need_str(token, "id", &name, e)) return -1;
    for (size_t i = 0; defined && defined->kind == JSON_OBJECT && i < defined->count; i++) {
        if (!str_eq(defined->keys[i], name)) continue;
        const struct json *ids = field_need_array(&defined->items[i], "ids", e);
        for (size_t k = 0; ids && k < ids->count; k++)
            if (put(p, &ids->items[k], e)) return -1;
        return ids ? 0 : -1;
    }
    return err_set(e, ERR_DATA, "the special token \"%.*s\" is not defined", STR_FMT(name));
}

/* Adds the special tokens before the first sequence of "single". */
static int load_template(struct prefix *p, const struct json *o, struct err *e)
{
    const struct json *single = field_need_array(o, "single", e);
    if (!single) return -1;
    for (size_t i = 0; i < single->count; i++) {
        const struct json *piece = &single->items[i];
        const struct json *token =
            piece->kind == JSON_OBJECT ? json_get(piece, "SpecialToken") : NULL;
        if (!token) return 0;
        if (put_special(p, o, token, e)) return -1;
    }
    return 0;
}

/* Adds the first token of {"cls": [NAME, ID]}. */
static int load_cls(struct prefix *p, const struct json *o, struct err *e)
{
    const struct json *cls = field_need_array(o, "cls", e);
    return cls ? put(p, cls->count == 2 ? &cls->items[1] : NULL, e) : -1;
}

static int load(struct prefix *p, const struct json *o, int depth, struct err *e)
{
    if (!o || o->kind == JSON_NULL) return 0;
    if (depth > MAX_DEPTH) return err_set(e, ERR_DATA, "sequences are nested too deeply");
    struct str type = field_type(o, "post-processor", e);
    if (type.n == 0) return -1;
    if (str_is(type, "TemplateProcessing")) return load_template(p, o, e);
    if (str_is(type, "RobertaProcessing") || str_is(type, "BertProcessing"))
        return load_cls(p, o, e);
    if (!str_is(type, "Sequence")) return 0;
    const struct json *list = field_need_array(o, "processors", e);
    for (size_t i = 0; list && i < list->count; i++)
        if (load(p, &list->items[i], depth + 1, e)) return -1;
    return list ? 0 : -1;
}

int prefix_load(struct prefix *p, const struct json *post_processor, struct err *e)
{
    *p = (struct prefix){0};
    return load(p, post_processor, 0, e) ? err_prefix(e, "post_processor") : 0;
}
