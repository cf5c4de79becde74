/* SPDX-License-Identifier: Apache-2.0 */
/* Records of a stream as the conversations that lib/chat renders. */
#include "rows/turns.h"

static int copy(struct str *to, struct str from, struct arena *a, struct err *e)
{
    if (!from.p) return 0; /* an absent string stays absent */
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

/* Parses a field that holds JSON; *out: NULL when the field is empty. */
static int parse_field(struct str field, const char *name, struct arena *a, const struct json **out,
                       struct err *e)
{
    *out = field.n ? json_parse(field.p, field.n, a, e) : NULL;
    return field.n && !*out ? err_prefix(e, "%s", name) : 0;
}

static int get_message(const struct stream_message *m, struct arena *a, struct chat_message *out,
                       struct err *e)
{
    *out = (struct chat_message){.role = m->role.text, .content = m->content.text};
    if (parse_field(m->extra, "the message's extra", a, &out->members, e)) return -1;
    if (out->members && out->members->kind != JSON_OBJECT)
        return err_set(e, ERR_DATA, "the message's extra is not an object");
    return 0;
}

int turns_chat(const struct stream_record *rec, struct arena *a, struct chat_conversation *out,
               struct err *e)
{
    struct chat_message *messages = arena_alloc(a, rec->nmessages * sizeof *messages, e);
    if (!messages) return -1;
    for (uint32_t i = 0; i < rec->nmessages; i++)
        if (get_message(&rec->messages[i], a, &messages[i], e))
            return err_prefix(e, "message %u", (unsigned)i);
    *out = (struct chat_conversation){.messages = messages, .nmessages = rec->nmessages};
    if (parse_field(rec->tools, "tools", a, &out->tools, e)) return -1;
    return parse_field(rec->kwargs, "the template's variables", a, &out->kwargs, e);
}
