/* SPDX-License-Identifier: Apache-2.0 */
/* Typed access to the objects of tokenizer.json. */
#include "text/fields.h"

#include "regex/regex.h"
#include "unicode/utf8.h"

struct str field_type(const struct json *o, const char *what, struct err *e)
{
    const struct json *v = o->kind == JSON_OBJECT ? json_get(o, "type") : NULL;
    if (v && v->kind == JSON_STRING && v->s.n > 0) return v->s;
    err_set(e, ERR_DATA, "%s: must be an object with a \"type\"", what);
    return STR("");
}

static const struct json *present(const struct json *o, const char *key)
{
    const struct json *v = json_get(o, key);
    return !v || v->kind == JSON_NULL ? NULL : v;
}

static int wrong(const char *key, const char *want, struct err *e)
{
    return err_set(e, ERR_DATA, "\"%s\" must be %s", key, want);
}

int field_bool(const struct json *o, const char *key, bool absent, bool *out, struct err *e)
{
    const struct json *v = present(o, key);
    *out = v ? v->truth : absent;
    return v && v->kind != JSON_BOOL ? wrong(key, "true or false", e) : 0;
}

int field_count(const struct json *o, const char *key, int64_t absent, int64_t *out, struct err *e)
{
    const struct json *v = present(o, key);
    *out = absent;
    if (v && (json_int(v, out) || *out < 0)) return wrong(key, "a count", e);
    return 0;
}

int field_str(const struct json *o, const char *key, struct str *out, struct err *e)
{
    const struct json *v = present(o, key);
    *out = v ? v->s : (struct str){NULL, 0};
    return v && v->kind != JSON_STRING ? wrong(key, "a string", e) : 0;
}

int field_need_str(const struct json *o, const char *key, struct str *out, struct err *e)
{
    if (field_str(o, key, out, e)) return -1;
    return present(o, key) ? 0 : wrong(key, "a string", e);
}

int field_need_char(const struct json *o, const char *key, uint32_t *out, struct err *e)
{
    struct str s;
    if (field_need_str(o, key, &s, e)) return -1;
    if (s.n == 0 || utf8_get(s.p, out) != s.n) return wrong(key, "one character", e);
    return 0;
}

const struct json *field_need_array(const struct json *o, const char *key, struct err *e)
{
    const struct json *v = present(o, key);
    if (v && v->kind == JSON_ARRAY) return v;
    wrong(key, "a list", e);
    return NULL;
}

int fields_too_many(const char *what, struct err *e)
{
    return err_set(e, ERR_DATA, "more than %d %s in a row", FIELDS_MAX_STEPS, what);
}

struct regex *field_pattern(const struct json *o, struct err *e)
{
    const struct json *v = present(o, "pattern");
    struct str s = {NULL, 0};
    if (v && v->kind == JSON_OBJECT && v->count == 1) {
        if (json_get(v, "String"))
            return field_need_str(v, "String", &s, e) ? NULL : regex_literal(s, e);
        if (json_get(v, "Regex"))
            return field_need_str(v, "Regex", &s, e) ? NULL : regex_compile(s, e);
    }
    wrong("pattern", "{\"String\": ...} or {\"Regex\": ...}", e);
    return NULL;
}
