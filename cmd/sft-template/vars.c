/* SPDX-License-Identifier: Apache-2.0 */
/* Parses --var NAME=JSON, and --vars with an object. */
#include "vars.h"

#include <string.h>

#include "chat/chat.h"

static bool is_name(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool letter = (p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') || p[i] == '_';
        if (!letter && !(i && p[i] >= '0' && p[i] <= '9')) return false;
    }
    return n > 0;
}

static int parse_one(const char *text, struct json *o, struct arena *a, struct err *e)
{
    const char *eq = strchr(text, '=');
    struct err why = {0};
    if (!eq || !is_name(text, (size_t)(eq - text)))
        return err_set(e, ERR_USAGE, "--var %s: is not NAME=JSON", text);
    const struct str name = {text, (size_t)(eq - text)};
    if (chat_is_own_variable(name))
        return err_set(e, ERR_USAGE, "--var %s: %.*s is set from the conversation", text,
                       STR_FMT(name));
    for (size_t i = 0; i < o->count; i++)
        if (str_eq(o->keys[i], name))
            return err_set(e, ERR_USAGE, "--var %s: the variable is given twice", text);
    const struct json *v = json_parse(eq + 1, strlen(eq + 1), a, &why);
    if (!v && why.code == ERR_MEMORY) return err_set(e, why.code, "%s", why.msg);
    if (!v)
        return err_set(e, ERR_USAGE,
                       "--var %s: the value is not JSON (%s); a string is written \"in quotes\"",
                       text, why.msg);
    o->keys[o->count] = name;
    o->items[o->count++] = *v;
    return 0;
}

/* Returns the object of --vars, or an empty one without the option. */
static const struct json *parse_object(const char *text, struct arena *a, struct err *e)
{
    static const struct json none = {.kind = JSON_OBJECT};
    struct err why = {0};
    if (!text) return &none;
    const struct json *o = json_parse(text, strlen(text), a, &why);
    if (!o && why.code == ERR_MEMORY) {
        err_set(e, why.code, "%s", why.msg);
        return NULL;
    }
    if (o && o->kind == JSON_OBJECT) return o;
    err_set(e, ERR_USAGE, "--vars %s: is not a JSON object%s%s", text, o ? "" : ": ", why.msg);
    return NULL;
}

/* Adds a member of --vars, unless a --var has the same name. */
static int add_member(struct json *o, struct str name, const struct json *v, struct err *e)
{
    if (chat_is_own_variable(name))
        return err_set(e, ERR_USAGE, "--vars: %.*s is set from the conversation", STR_FMT(name));
    for (size_t i = 0; i < o->count; i++)
        if (str_eq(o->keys[i], name)) return 0;
    o->keys[o->count] = name;
    o->items[o->count++] = *v;
    return 0;
}

int vars_parse(const char *object, const struct opt_list *list, struct arena *a,
               const struct json **out, struct err *e)
{
    const struct json *given = parse_object(object, a, e);
    struct json *o = given ? arena_alloc(a, sizeof *o, e) : NULL;
    *out = NULL;
    if (!o) return -1;
    const size_t most = (size_t)list->n + given->count;
    if (most == 0) return 0;
    *o = (struct json){.kind = JSON_OBJECT};
    o->items = arena_alloc(a, most * sizeof *o->items, e);
    o->keys = arena_alloc(a, most * sizeof *o->keys, e);
    if (!o->items || !o->keys) return -1;
    for (int i = 0; i < list->n; i++)
        if (parse_one(list->v[i], o, a, e)) return -1;
    for (size_t i = 0; i < given->count; i++)
        if (add_member(o, given->keys[i], &given->items[i], e)) return -1;
    *out = o;
    return 0;
}
