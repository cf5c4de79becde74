/* SPDX-License-Identifier: Apache-2.0 */
/* The names of roles: those of ShareGPT, and those that an option gives. */
#include <string.h>

#include "rows/impl.h"

static const char *const meanings[] = {"user", "assistant", "system", "tool", "function_call"};

static bool is_meaning(struct str role)
{
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        if (str_is(role, meanings[i])) return true;
    return false;
}

static int parse_tag(const char *p, size_t n, struct row_tags *tags, struct err *e)
{
    const char *eq = memrchr(p, '=', n);
    const struct str name = {p, eq ? (size_t)(eq - p) : 0};
    const struct str role = {eq ? eq + 1 : p, eq ? n - name.n - 1 : 0};
    if (!name.n || !is_meaning(role))
        return err_set(e, ERR_USAGE,
                       "--role-tags: '%.*s' is not NAME=ROLE; ROLE is user, assistant, system, "
                       "tool or function_call",
                       (int)(n < 100 ? n : 100), p);
    for (size_t i = 0; i < tags->n; i++)
        if (str_eq(tags->v[i].name, name))
            return err_set(e, ERR_USAGE, "--role-tags: '%.*s' is given twice", STR_FMT(name));
    if (mem_grow(&tags->v, &tags->cap, tags->n + 1, sizeof *tags->v, e)) return -1;
    tags->v[tags->n++] = (struct row_tag){name, role};
    return 0;
}

int row_tags_parse(const char *text, struct row_tags *tags, struct err *e)
{
    while (text && *text) {
        size_t n = strcspn(text, ",");
        if (parse_tag(text, n, tags, e)) return -1;
        text += n + (text[n] == ',');
    }
    return 0;
}

void row_tags_free(struct row_tags *tags)
{
    mem_free(tags->v);
    *tags = (struct row_tags){0};
}

struct str row_role(const struct row_keys *keys, struct str name, bool known)
{
    static const char *const sharegpt[][2] = {
        {"human", "user"},
        {"gpt", "assistant"},
        {"observation", "tool"},
    };
    for (size_t i = 0; i < keys->tags.n; i++)
        if (str_eq(keys->tags.v[i].name, name)) return keys->tags.v[i].role;
    if (!known || is_meaning(name)) return name;
    for (size_t i = 0; i < sizeof sharegpt / sizeof *sharegpt; i++)
        if (str_is(name, sharegpt[i][0])) return str_z(sharegpt[i][1]);
    return (struct str){NULL, 0};
}
