/* SPDX-License-Identifier: Apache-2.0 */
/* --var NAME=JSON. */
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

int vars_parse(const struct opt_list *list, struct arena *a, const struct json **out, struct err *e)
{
    *out = NULL;
    if (!list->n) return 0;
    struct json *o = arena_alloc(a, sizeof *o, e);
    if (!o) return -1;
    *o = (struct json){.kind = JSON_OBJECT};
    o->items = arena_alloc(a, (size_t)list->n * sizeof *o->items, e);
    o->keys = arena_alloc(a, (size_t)list->n * sizeof *o->keys, e);
    if (!o->items || !o->keys) return -1;
    for (int i = 0; i < list->n; i++)
        if (parse_one(list->v[i], o, a, e) < 0) return -1;
    *out = o;
    return 0;
}
