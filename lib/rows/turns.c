/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations as JSON values. */
#include "rows/turns.h"

static int copy(struct str *to, struct str from, struct arena *a, struct err *e)
{
    if (!from.p) return 0; /* absent is not empty */
    char *p = arena_copy(a, from.p, from.n, e);
    *to = (struct str){p, from.n};
    return p ? 0 : -1;
}

int turns_copy(const struct stream_record *rec, struct arena *a, struct stream_record *to,
               struct err *e)
{
    *to = (struct stream_record){.kind = STREAM_TURNS, .source = rec->source};
    to->messages = arena_alloc(a, (size_t)rec->nmessages * sizeof *to->messages, e);
    if (!to->messages || copy(&to->tools, rec->tools, a, e) || copy(&to->kwargs, rec->kwargs, a, e))
        return -1;
    for (; to->nmessages < rec->nmessages; to->nmessages++) {
        const struct stream_message *m = &rec->messages[to->nmessages];
        struct stream_message *t = &to->messages[to->nmessages];
        if (copy(&t->role.text, m->role.text, a, e) ||
            copy(&t->content.text, m->content.text, a, e) || copy(&t->extra, m->extra, a, e))
            return -1;
    }
    return 0;
}

static void put(struct json *object, struct str key, struct json value)
{
    object->keys[object->count] = key;
    object->items[object->count++] = value;
}

/* {"role":..,"content":..} and the members of extra. */
static int message_json(const struct stream_message *m, struct arena *a, struct json *out,
                        struct err *e)
{
    const struct json none = {.kind = JSON_OBJECT}, *extra = &none;
    if (m->extra.n && !(extra = json_parse(m->extra.p, m->extra.n, a, e))) return -1;
    if (extra->kind != JSON_OBJECT) return err_set(e, ERR_DATA, "a message's extra is no object");
    *out = (struct json){.kind = JSON_OBJECT};
    out->items = arena_alloc(a, (extra->count + 2) * sizeof *out->items, e);
    out->keys = arena_alloc(a, (extra->count + 2) * sizeof *out->keys, e);
    if (!out->items || !out->keys) return -1;
    put(out, STR("role"), (struct json){.kind = JSON_STRING, .s = m->role.text});
    if (m->content.text.p)
        put(out, STR("content"), (struct json){.kind = JSON_STRING, .s = m->content.text});
    for (size_t i = 0; i < extra->count; i++) {
        if (json_get(out, "content") && str_is(extra->keys[i], "content")) continue;
        if (!str_is(extra->keys[i], "role")) put(out, extra->keys[i], extra->items[i]);
    }
    return 0;
}

/* The value that a field holds, NULL in *out where there is none. */
static int field_json(struct str field, const char *name, struct arena *a, const struct json **out,
                      struct err *e)
{
    *out = field.n ? json_parse(field.p, field.n, a, e) : NULL;
    return field.n && !*out ? err_prefix(e, "%s", name) : 0;
}

int turns_json(const struct stream_record *rec, struct arena *a, struct chat_conversation *out,
               struct err *e)
{
    struct json *list = arena_alloc(a, sizeof *list, e);
    if (!list) return -1;
    *list = (struct json){.kind = JSON_ARRAY, .count = rec->nmessages};
    list->items = arena_alloc(a, list->count * sizeof *list->items, e);
    if (!list->items) return -1;
    for (uint32_t i = 0; i < rec->nmessages; i++)
        if (message_json(&rec->messages[i], a, &list->items[i], e))
            return err_prefix(e, "message %u", (unsigned)i);
    *out = (struct chat_conversation){.messages = list};
    if (field_json(rec->tools, "tools", a, &out->tools, e)) return -1;
    return field_json(rec->kwargs, "the template's variables", a, &out->kwargs, e);
}
