/* SPDX-License-Identifier: Apache-2.0 */
/* A conversation through the template: the text and where each of its bytes came from. */
#include <string.h>

#include "chat/chat_impl.h"

enum { VARS_MAX = 96 };

static bool add(struct jinja_var *vars, size_t *n, const char *name, struct jval v)
{
    for (size_t i = 0; i < *n; i++)
        if (strcmp(vars[i].name, name) == 0) {
            vars[i].value = v;
            return true;
        }
    if (*n == VARS_MAX) return false;
    vars[(*n)++] = (struct jinja_var){name, v};
    return true;
}

/* The variables of apply_chat_template: later ones win, as keyword arguments do. */
static int variables(const struct chat_template *t, struct vm *vm, const struct json *messages,
                     const struct json *tools, bool prompt, struct jinja_var *vars, size_t *n)
{
    struct jval v;
    bool room = true;
    for (size_t i = 0; t->tok && i < tokenizer_named_count(t->tok); i++) {
        const char *name;
        struct str text;
        tokenizer_named_at(t->tok, i, &name, &text);
        if (jval_text(vm, text.p, text.n, &v) < 0) return -1;
        room &= add(vars, n, name, v);
    }
    for (size_t i = 0; t->extra && i < t->extra->count; i++) {
        const char *name = arena_copy(vm->a, t->extra->keys[i].p, t->extra->keys[i].n, vm->e);
        if (!name || chat_value_json(vm, &t->extra->items[i], &v) < 0) return -1;
        room &= add(vars, n, name, v);
    }
    if (t->name && t->name->thinking)
        room &= add(vars, n, "enable_thinking", jval_bool(t->name->thinking > 0));
    if (chat_value_messages(vm, messages, t->name, &v) < 0) return -1;
    room &= add(vars, n, "messages", v);
    v = jval_none();
    if (tools && tools->kind != JSON_NULL && chat_value_json(vm, tools, &v) < 0) return -1;
    room &= add(vars, n, "tools", v);
    room &= add(vars, n, "documents", jval_none());
    room &= add(vars, n, "add_generation_prompt", jval_bool(prompt));
    return room ? 0 : err_set(vm->e, ERR_DATA, "more than %d template variables", VARS_MAX);
}

static int with_suffix(struct vm *vm, const char *suffix, const struct jstr **out)
{
    struct jstr s = {.p = suffix, .n = (uint32_t)strlen(suffix)};
    struct jval v;
    if (jstr_concat(vm, *out, &s, &v) < 0) return -1;
    *out = v.u.s;
    return 0;
}

static bool has_system(const struct json *messages)
{
    const struct json *role = messages->kind == JSON_ARRAY && messages->count
                                  ? json_get(&messages->items[0], "role")
                                  : NULL;
    return role && role->kind == JSON_STRING && str_is(role->s, "system");
}

int chat_template_render(const struct chat_template *t, struct arena *a,
                         const struct json *messages, const struct json *tools,
                         bool add_generation_prompt, const struct jstr **out, struct err *e)
{
    struct jinja_var vars[VARS_MAX];
    struct vm vm = {.a = a, .e = e, .clock = t->clock, .line = 1};
    size_t n = 0;
    if (t->name && t->name->needs_system && !has_system(messages))
        return err_set(e, ERR_DATA,
                       "template %s: the conversation has no system message, for which ROLL has a "
                       "text of its own; put it into the data",
                       t->name->name);
    if (variables(t, &vm, messages, tools, add_generation_prompt, vars, &n) < 0)
        return err_prefix(e, "chat template");
    if (jinja_render(t->jinja, &vm, vars, n, out) < 0) return err_prefix(e, "chat template");
    return t->name && t->name->suffix ? with_suffix(&vm, t->name->suffix, out) : 0;
}

static int put_span(struct chat_rendering *r, struct chat_span s, struct err *e)
{
    if (s.begin == s.end) return 0;
    if (mem_grow(&r->spans, &r->cap, r->nspans + 1, sizeof *r->spans, e) < 0) return -1;
    r->spans[r->nspans++] = s;
    return 0;
}

int chat_spans(const struct jstr *s, struct chat_rendering *out, struct err *e)
{
    uint32_t at = 0;
    out->nspans = 0;
    for (uint32_t i = 0; i < s->nspans; i++) {
        const struct jspan *k = &s->spans[i];
        struct chat_span literal = {.begin = at, .end = k->begin, .message = -1};
        struct chat_span span = {.begin = k->begin,
                                 .end = k->end,
                                 .origin = k->message < 0 ? CHAT_LITERAL : CHAT_MESSAGE,
                                 .message = k->message,
                                 .offset = k->flags & JSPAN_CONTENT ? k->offset : 0,
                                 .content = k->flags & JSPAN_CONTENT,
                                 .role = k->flags & JSPAN_ROLE,
                                 .generation = k->flags & JSPAN_GENERATION};
        if (put_span(out, literal, e) < 0 || put_span(out, span, e) < 0) return -1;
        at = k->end;
    }
    return put_span(out, (struct chat_span){.begin = at, .end = s->n, .message = -1}, e);
}

int chat_render(const struct chat *c, const struct json *messages, const struct json *tools,
                bool add_generation_prompt, struct chat_rendering *out, struct err *e)
{
    struct arena a = {0};
    const struct jstr *s;
    int rc = chat_template_render(&c->t, &a, messages, tools, add_generation_prompt, &s, e);
    if (rc == 0) {
        buf_reset(&out->text);
        buf_add(&out->text, s->p, s->n);
        out->has_generation = jinja_has_generation(c->t.jinja);
        rc = buf_check(&out->text, e) < 0 ? -1 : chat_spans(s, out, e);
    }
    arena_free(&a);
    return rc;
}

void chat_rendering_free(struct chat_rendering *r)
{
    buf_free(&r->text);
    mem_free(r->spans);
    *r = (struct chat_rendering){0};
}
