/* SPDX-License-Identifier: Apache-2.0 */
/* Counts the messages, calls, tools and thoughts that a rendering omits. */
#include <string.h>

#include "chat/chat_impl.h"

static void note(struct chat_facts *f, struct chat_omission item, bool lost)
{
    f->omitted[item.kind]++;
    f->lost |= lost;
    if (f->nnamed < CHAT_OMITTED_NAMED) f->named[f->nnamed++] = item;
}

/* The state of one part of a message, call or tool in the text. */
struct seen {
    bool there;   /* a string of it is not blank */
    bool shown;   /* a byte of it is rendered */
    bool partial; /* CHAT_CONTENT: a byte of it is omitted */
};

static void look(struct seen *k, const struct chat_source *s)
{
    size_t next = s->next < s->text.n ? s->next : s->text.n;
    if (!chat_is_blank(s->text)) k->there = true;
    if (s->shown) k->shown = true;
    if (s->gap || !chat_is_blank((struct str){s->text.p + next, s->text.n - next}))
        k->partial = true;
}

/* Examines the call that begins at s and returns the source behind it. */
static const struct chat_source *look_at_call(const struct chat_source *s,
                                              const struct chat_source *to, struct str role,
                                              struct seen *calls, struct chat_facts *f)
{
    struct seen call = {0};
    const struct chat_source *first = s;
    while (s < to && s->part == CHAT_CALL && s->item == first->item) look(&call, s++);
    calls->there |= call.there;
    calls->shown |= call.shown;
    if (call.there && !call.shown)
        note(f, (struct chat_omission){CHAT_OMITTED_CALL, first->message, first->item, role}, true);
    return s;
}

/* Examines one message, whose sources are [from, to). */
static void look_at_message(const struct chat_message *m, int32_t index,
                            const struct chat_source *from, const struct chat_source *to,
                            struct chat_facts *f)
{
    struct str role = m->role;
    struct seen content = {0}, thought = {0}, calls = {0};
    for (const struct chat_source *s = from; s < to;) {
        if (s->part == CHAT_CONTENT) look(&content, s);
        if (s->part == CHAT_THOUGHT) look(&thought, s);
        s = s->part == CHAT_CALL ? look_at_call(s, to, role, &calls, f) : s + 1;
    }
    struct chat_omission item = {.message = index, .role = role, .item = calls.shown};
    item.kind = str_is(role, "system") ? CHAT_OMITTED_SYSTEM : CHAT_OMITTED_MESSAGE;
    if (content.there && content.shown) item.kind = CHAT_OMITTED_PART;
    if (content.there && (!content.shown || content.partial)) note(f, item, !content.shown);
    item.kind = CHAT_OMITTED_THOUGHT;
    if (thought.there && !thought.shown) note(f, item, false);
    f->empty += chat_is_assistant(m) && !content.there && !thought.there && !calls.there;
}

/* Returns the name of a tool, which may stand inside {"type", "function"}; p NULL: it has none. */
static struct str tool_name(const struct json *tools, uint32_t item)
{
    const struct json *t = tools->kind == JSON_ARRAY ? &tools->items[item] : tools;
    const struct json *f = t->kind == JSON_OBJECT ? json_get(t, "function") : NULL;
    if (f && f->kind == JSON_OBJECT) t = f;
    const struct json *name = t->kind == JSON_OBJECT ? json_get(t, "name") : NULL;
    return name && name->kind == JSON_STRING ? name->s : (struct str){0};
}

/* True when a call in the text names the tool. */
static bool is_called(const struct chat_sources *sources, struct str name)
{
    for (size_t i = 0; name.n && i < sources->n; i++) {
        const struct chat_source *s = &sources->v[i];
        if (s->part == CHAT_CALL && s->shown && str_eq(s->text, name)) return true;
    }
    return false;
}

static const struct chat_source *look_at_tool(const struct chat_conversation *conv,
                                              const struct chat_sources *sources,
                                              const struct chat_source *s, struct chat_facts *f)
{
    const struct chat_source *end = sources->v + sources->n;
    struct seen tool = {0};
    uint32_t item = s->item;
    for (; s < end && s->part == CHAT_TOOL && s->item == item; s++) look(&tool, s);
    if (tool.there && !tool.shown)
        note(f, (struct chat_omission){CHAT_OMITTED_TOOL, -1, item, {0}},
             !is_called(sources, tool_name(conv->tools, item)));
    return s;
}

void chat_count_omitted(const struct chat_conversation *conv, const struct chat_sources *sources,
                        struct chat_facts *f)
{
    const struct chat_source *s = sources->v, *end = s + sources->n;
    while (s < end) {
        const struct chat_source *from = s;
        if (s->message < 0) {
            s = look_at_tool(conv, sources, s, f);
            continue;
        }
        while (s < end && s->message == from->message) s++;
        look_at_message(&conv->messages[from->message], from->message, from, s, f);
    }
}
