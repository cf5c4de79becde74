/* SPDX-License-Identifier: Apache-2.0 */
/* Renders a conversation, and finds the origin of each byte. */
#include <string.h>

#include "chat/chat_impl.h"

enum { VARS_MAX = 96, OWN_MAX = 8 }; /* OWN_MAX: variables that the renderer sets */

static bool add(struct jinja_var *vars, size_t *n, const char *name, struct jval v)
{
    for (size_t i = 0; i < *n; i++)
        if (strcmp(vars[i].name, name) == 0) {
            vars[i].value = v;
            return true;
        }
    if (*n == VARS_MAX + OWN_MAX) return false;
    vars[(*n)++] = (struct jinja_var){name, v};
    return true;
}

/* Adds the members of an object as variables. */
static int add_members(struct vm *vm, const struct json *o, struct jinja_var *vars, size_t *n)
{
    struct jval v;
    for (size_t i = 0; o && i < o->count; i++) {
        struct str key = o->keys[i];
        if (chat_is_own_variable(key))
            return err_set(vm->e, ERR_DATA,
                           "the variable \"%.*s\" is set from the conversation only", STR_FMT(key));
        const char *name = arena_copy(vm->a, key.p, key.n, vm->e);
        if (!name || chat_value_json(vm, &o->items[i], &v)) return -1;
        if (!add(vars, n, name, v))
            return err_set(vm->e, ERR_DATA, "more than %d template variables", VARS_MAX);
    }
    return 0;
}

static int add_named(const struct tokenizer *tok, struct vm *vm, struct jinja_var *vars, size_t *n)
{
    struct jval v;
    for (size_t i = 0; tok && i < tokenizer_named_count(tok); i++) {
        const char *name;
        struct str text;
        tokenizer_named_at(tok, i, &name, &text);
        if (jval_text(vm, text.p, text.n, &v)) return -1;
        if (!add(vars, n, name, v))
            return err_set(vm->e, ERR_DATA, "more than %d template variables", VARS_MAX);
    }
    return 0;
}

/* Sets the variables of transformers' apply_chat_template. A later one replaces an earlier one of
 * the same name: special tokens, those of the template's name, the user's, the row's. */
static int variables(const struct chat_template *t, struct vm *vm,
                     const struct chat_conversation *conv, bool prompt,
                     struct chat_sources *sources, struct jinja_var *vars, size_t *n)
{
    struct jval messages, tools = jval_none();
    add(vars, n, "documents", jval_none());
    if (add_named(t->tok, vm, vars, n)) return -1;
    if (t->name && t->name->thinking)
        add(vars, n, "enable_thinking", jval_bool(t->name->thinking > 0));
    if (add_members(vm, t->vars, vars, n) || add_members(vm, conv->kwargs, vars, n)) return -1;
    if (chat_value_messages(vm, conv, t, sources, &messages)) return -1;
    if (conv->tools && conv->tools->kind != JSON_NULL &&
        chat_value_tools(vm, conv->tools, sources, &tools))
        return -1;
    add(vars, n, "messages", messages);
    add(vars, n, "tools", tools);
    add(vars, n, "add_generation_prompt", jval_bool(prompt));
    return 0;
}

static int with_suffix(struct vm *vm, const char *suffix, const struct jstr **out)
{
    struct jstr s = {.p = suffix, .n = (uint32_t)strlen(suffix)};
    struct jval v;
    if (jstr_concat(vm, *out, &s, &v)) return -1;
    *out = v.u.s;
    return 0;
}

static bool has_system(const struct chat_conversation *conv)
{
    return conv->nmessages && str_is(conv->messages[0].role, "system");
}

struct jinja *chat_template_for(const struct chat_template *t, const struct chat_conversation *conv,
                                struct err *e)
{
    bool tools = conv->tools && conv->tools->kind != JSON_NULL;
    struct jinja *j = tools && t->tool_use ? t->tool_use : t->jinja;
    if (!j && !t->tool_use)
        err_set(e, ERR_DATA,
                "the model's files hold no chat template; give one with -t, as FILE.jinja or by "
                "name, such as chatml");
    else if (!j)
        err_set(e, ERR_DATA,
                "the model has several chat templates and none is called default; name one with "
                "-t: %s",
                t->names);
    return j;
}

int chat_template_render(const struct chat_template *t, struct arena *a,
                         const struct chat_conversation *conv, bool add_generation_prompt,
                         struct chat_sources *sources, const struct jstr **out, struct err *e)
{
    struct jinja_var vars[VARS_MAX + OWN_MAX];
    struct vm vm = {.a = a, .e = e, .clock = t->clock, .line = 1};
    struct jinja *jinja = chat_template_for(t, conv, e);
    size_t n = 0;
    if (!jinja) return -1;
    sources->n = 0;
    sources->decoded = sources->parted = 0;
    if (t->name && t->name->needs_system && !has_system(conv))
        return err_set(
            e, ERR_DATA,
            "template %s: the conversation has no system message; put the text that ROLL "
            "adds in this case into the data",
            t->name->name);
    if (variables(t, &vm, conv, add_generation_prompt, sources, vars, &n) ||
        jinja_render(jinja, &vm, vars, n, out))
        return err_prefix(e, "chat template");
    sources->printed = vm.printed_decoded;
    sources->steps = vm.steps;
    return t->name && t->name->suffix ? with_suffix(&vm, t->name->suffix, out) : 0;
}

static int put_span(struct chat_rendering *r, struct chat_span s, struct err *e)
{
    if (s.begin == s.end) return 0;
    if (mem_grow(&r->spans, &r->cap, r->nspans + 1, sizeof *r->spans, e)) return -1;
    r->spans[r->nspans++] = s;
    return 0;
}

/* Records that a span shows bytes of the source. */
static void mark(struct chat_source *from, const struct jspan *k)
{
    if (k->offset > from->next && from->part == CHAT_CONTENT && !from->gap)
        from->gap = !chat_is_blank((struct str){from->text.p + from->next, k->offset - from->next});
    if (k->offset + (k->end - k->begin) > from->next) from->next = k->offset + (k->end - k->begin);
    if (k->offset >= from->shown) from->shown = k->offset + 1;
}

static struct chat_span span_of(const struct jspan *k, struct chat_sources *sources)
{
    struct chat_span s = {
        .begin = k->begin, .end = k->end, .message = -1, .generation = k->flags & JSPAN_GENERATION};
    if (!k->source) return s;
    struct chat_source *from = &sources->v[k->source - 1];
    s.part = from->part;
    s.message = from->message;
    s.source = k->source;
    s.offset = from->part == CHAT_CONTENT ? from->base + k->offset : 0;
    s.again = k->offset < from->shown;
    mark(from, k);
    return s;
}

int chat_spans(const struct jstr *s, struct chat_sources *sources, struct chat_rendering *out,
               struct err *e)
{
    uint32_t at = 0;
    out->nspans = 0;
    for (uint32_t i = 0; i < s->nspans; i++) {
        const struct jspan *k = &s->spans[i];
        struct chat_span literal = {.begin = at, .end = k->begin, .message = -1};
        if (put_span(out, literal, e) || put_span(out, span_of(k, sources), e)) return -1;
        at = k->end;
    }
    return put_span(out, (struct chat_span){.begin = at, .end = s->n, .message = -1}, e);
}

int chat_render(const struct chat *c, const struct chat_conversation *conv,
                bool add_generation_prompt, struct chat_rendering *out, struct err *e)
{
    struct arena a = {0};
    struct chat_sources sources = {0};
    const struct jstr *s;
    int rc = chat_template_render(&c->t, &a, conv, add_generation_prompt, &sources, &s, e);
    if (!rc) {
        buf_reset(&out->text);
        buf_add(&out->text, s->p, s->n);
        out->has_generation = jinja_has_generation(chat_template_for(&c->t, conv, e));
        rc = buf_check(&out->text, e) ? -1 : chat_spans(s, &sources, out, e);
    }
    mem_free(sources.v);
    arena_free(&a);
    return rc;
}

void chat_rendering_free(struct chat_rendering *r)
{
    buf_free(&r->text);
    mem_free(r->spans);
    *r = (struct chat_rendering){0};
}
