/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the template's values of a conversation; each string becomes a numbered source of bytes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "chat/chat_impl.h"

/* The text between joined parts of a content, as vLLM and llama.cpp put it where a template takes
 * text only. */
#define BETWEEN_PARTS "\n"

/* The objects whose arguments can be decoded: a call, and the function inside it. */
enum level { NO_CALL, CALL, FUNCTION };

/* The origin of the strings that are made next. */
struct tag {
    struct chat_sources *sources;
    struct chat_source as; /* their part, message, item and base */
    enum level level;
};

/* Adds a string to the sources and returns its number; 0 with ERR_MEMORY. */
static uint32_t add_source(struct tag *tag, struct str text, struct err *e)
{
    struct chat_sources *l = tag->sources;
    if (mem_grow(&l->v, &l->cap, l->n + 1, sizeof *l->v, e)) return 0;
    l->v[l->n] = tag->as;
    l->v[l->n].text = text;
    if (tag->as.part == CHAT_CONTENT) tag->as.base += (uint32_t)text.n;
    return (uint32_t)++l->n;
}

static int string_value(struct vm *vm, struct str text, struct tag *tag, struct jval *out)
{
    struct jstr *s = vm_alloc(vm, 1, sizeof *s);
    struct jspan *span = NULL;
    if (!s) return -1;
    if (text.n > VM_MAX_OUTPUT)
        return vm_fail(vm, "a string of the message is larger than %zu bytes", VM_MAX_OUTPUT);
    *s = (struct jstr){.p = text.n ? text.p : "", .n = (uint32_t)text.n};
    if (tag && text.n) {
        if (!(span = vm_alloc(vm, 1, sizeof *span))) return -1;
        *span = (struct jspan){.end = s->n, .source = add_source(tag, text, vm->e)};
        if (!span->source) return -1;
        s->spans = span;
        s->nspans = 1;
    }
    *out = jval_str(s);
    return 0;
}

static int number_value(struct vm *vm, const struct json *j, struct jval *out)
{
    int64_t i;
    double f;
    bool real = false;
    for (size_t k = 0; k < j->s.n; k++)
        if (strchr(".eE", j->s.p[k])) real = true;
    if (!real && !json_int(j, &i)) {
        *out = jval_int(i);
    } else if (!real) {
        if (string_value(vm, j->s, NULL, out)) return -1;
        out->kind = J_BIG;
    } else {
        if (json_real(j, &f)) f = j->s.p[0] == '-' ? -INFINITY : INFINITY;
        *out = jval_float(f);
    }
    return 0;
}

static int value(struct vm *vm, const struct json *j, struct tag *tag, struct jval *out);

/* Decodes the arguments of a call. 1; 0: the text does not hold a JSON object; -1: error. */
static int decoded_value(struct vm *vm, struct str text, struct tag *tag, struct jval *out)
{
    struct err bad = {0};
    const struct json *o = json_parse(text.p, text.n, vm->a, &bad);
    if (!o && bad.code == ERR_MEMORY) return err_set(vm->e, ERR_MEMORY, "%s", bad.msg);
    if (!o || o->kind != JSON_OBJECT) return 0;
    if (value(vm, o, tag, out)) return -1;
    out->u.dict->decoded = true;
    tag->sources->decoded++;
    return 1;
}

/* Makes the value of member i of an object; `of` is the origin of its strings. */
static int member(struct vm *vm, const struct json *j, size_t i, struct tag *of, struct jval *out)
{
    enum level level = of ? of->level : NO_CALL;
    int done = 0;
    if (!level) return value(vm, &j->items[i], of, out);
    of->level = level == CALL && str_is(j->keys[i], "function") ? FUNCTION : NO_CALL;
    if (j->items[i].kind == JSON_STRING && str_is(j->keys[i], "arguments"))
        done = decoded_value(vm, j->items[i].s, of, out);
    if (!done) done = value(vm, &j->items[i], of, out);
    of->level = level;
    return done < 0 ? -1 : 0;
}

static int object_value(struct vm *vm, const struct json *j, struct tag *tag, struct jval *out)
{
    struct jdict *d = jdict_new(vm);
    bool content = tag && tag->as.part == CHAT_CONTENT, parts = content && json_get(j, "type");
    struct tag other = {0};
    if (!d) return -1;
    d->decoded = parts;
    if (tag) other = *tag;
    if (content) other.as.part = CHAT_OTHER;
    for (size_t i = 0; i < j->count; i++) {
        struct jval k, v;
        /* In a list of content parts only "text" is text of the message. */
        struct tag *of = parts && !str_is(j->keys[i], "text") ? &other : tag;
        if (string_value(vm, j->keys[i], tag ? &other : NULL, &k) || member(vm, j, i, of, &v) ||
            jdict_set(vm, d, k, v))
            return -1;
    }
    *out = (struct jval){.kind = J_DICT, .u.dict = d};
    return 0;
}

static int value(struct vm *vm, const struct json *j, struct tag *tag, struct jval *out)
{
    struct jlist *l;
    struct jval v;
    switch (j->kind) {
    case JSON_NULL:
        *out = jval_none();
        return 0;
    case JSON_BOOL:
        *out = jval_bool(j->truth);
        return 0;
    case JSON_NUMBER:
        return number_value(vm, j, out);
    case JSON_STRING:
        return string_value(vm, j->s, tag, out);
    case JSON_OBJECT:
        return object_value(vm, j, tag, out);
    default:
        break;
    }
    if (!(l = jlist_new(vm, j->count))) return -1;
    for (size_t i = 0; i < j->count; i++)
        if (value(vm, &j->items[i], tag, &v) || jlist_add(vm, l, v)) return -1;
    *out = jval_list(l, J_LIST);
    return 0;
}

int chat_value_json(struct vm *vm, const struct json *j, struct jval *out)
{
    return value(vm, j, NULL, out);
}

static enum chat_part member_part(struct str key)
{
    static const struct {
        const char *key;
        enum chat_part part;
    } parts[] = {
        {"content", CHAT_CONTENT},  {"role", CHAT_ROLE},
        {"name", CHAT_ROLE},        {"reasoning_content", CHAT_THOUGHT},
        {"thinking", CHAT_THOUGHT}, {"reasoning", CHAT_THOUGHT},
        {"tool_calls", CHAT_CALL},  {"function_call", CHAT_CALL},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (str_is(key, parts[i].key)) return parts[i].part;
    return CHAT_OTHER;
}

/* Returns the thought of a message, which has one of three names; NULL: none. */
static const struct json *thought_of(const struct json *members)
{
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};
    for (size_t i = 0; members && i < 3; i++) {
        const struct json *v = json_get(members, names[i]);
        if (v && v->kind != JSON_NULL) return v;
    }
    return NULL;
}

/* Makes a list whose elements are numbered items (calls, tools), or any other value. */
static int items_value(struct vm *vm, const struct json *j, struct tag *tag, struct jval *out)
{
    struct jval v;
    if (j->kind != JSON_ARRAY) return value(vm, j, tag, out);
    struct jlist *l = jlist_new(vm, j->count);
    if (!l) return -1;
    for (size_t i = 0; i < j->count; i++) {
        tag->as.item = (uint32_t)i;
        if (value(vm, &j->items[i], tag, &v) || jlist_add(vm, l, v)) return -1;
    }
    *out = jval_list(l, J_LIST);
    return 0;
}

/* ---- messages ---- */
/* The dictionary that a message becomes. */
struct message {
    struct vm *vm;
    struct jdict *d;
    struct tag tag;
    int32_t index;
    bool decode; /* calls' arguments that are JSON text become objects */
    bool join;   /* a content of parts of text becomes one text */
};

static int put(struct message *m, struct str key, struct jval v)
{
    struct jval k;
    return string_value(m->vm, key, NULL, &k) ? -1 : jdict_set(m->vm, m->d, k, v);
}

static int put_text(struct message *m, enum chat_part part, const char *key, struct str text,
                    const char *prefix)
{
    struct jval v;
    struct jbuild b;
    m->tag.as = (struct chat_source){.part = part, .message = m->index};
    if (!text.p) return 0;
    if (string_value(m->vm, text, &m->tag, &v)) return -1;
    if (prefix) {
        jbuild_init(&b, m->vm);
        jbuild_z(&b, prefix);
        jbuild_str(&b, v.u.s);
        if (jbuild_done(&b, &v)) return -1;
    }
    return put(m, str_z(key), v);
}

/* True for a list of {"type":"text","text":".."}. */
static bool is_text_parts(const struct json *j)
{
    if (j->kind != JSON_ARRAY) return false;
    for (size_t i = 0; i < j->count; i++) {
        const struct json *p = &j->items[i];
        const struct json *type = p->kind == JSON_OBJECT ? json_get(p, "type") : NULL;
        const struct json *text = p->kind == JSON_OBJECT ? json_get(p, "text") : NULL;
        if (!type || !text || type->kind != JSON_STRING || !str_is(type->s, "text") ||
            text->kind != JSON_STRING)
            return false;
    }
    return true;
}

static int joined_value(struct message *m, const struct json *parts, struct jval *out)
{
    struct jbuild b;
    struct jval v;
    jbuild_init(&b, m->vm);
    for (size_t i = 0; i < parts->count; i++) {
        if (string_value(m->vm, json_get(&parts->items[i], "text")->s, &m->tag, &v)) return -1;
        if (i) jbuild_z(&b, BETWEEN_PARTS);
        jbuild_str(&b, v.u.s);
    }
    return jbuild_done(&b, out);
}

static int put_member(struct message *m, struct str key, const struct json *j)
{
    struct jval v;
    int rc;
    enum chat_part part = member_part(key);
    bool parted = part == CHAT_CONTENT && is_text_parts(j);
    m->tag.as = (struct chat_source){.part = part, .message = m->index};
    m->tag.level = part == CHAT_CALL && m->decode ? CALL : NO_CALL;
    m->tag.sources->parted += parted;
    if (parted && m->join)
        rc = joined_value(m, j, &v);
    else
        rc = (part == CHAT_CALL ? items_value : value)(m->vm, j, &m->tag, &v);
    return rc ? -1 : put(m, key, v);
}

/* transformers leaves out members that are null. The thought is offered under the two names that
 * templates read, "thinking" and "reasoning_content". */
static int put_all(struct message *m, const struct chat_message *from, const char *prefix)
{
    const struct json *members = from->members, *why = thought_of(members);
    struct jval thought;
    m->tag.as = (struct chat_source){.part = CHAT_THOUGHT, .message = m->index};
    if (why && (value(m->vm, why, &m->tag, &thought) || put(m, STR("thinking"), thought)))
        return -1;
    if (put_text(m, CHAT_ROLE, "role", from->role, NULL)) return -1;
    if (put_text(m, CHAT_CONTENT, "content", from->content, prefix)) return -1;
    for (size_t i = 0; members && i < members->count; i++) {
        struct str key = members->keys[i];
        if (str_is(key, "role") || (from->content.p && str_is(key, "content"))) continue;
        if (members->items[i].kind != JSON_NULL && put_member(m, key, &members->items[i]))
            return -1;
    }
    return why ? put(m, STR("reasoning_content"), thought) : 0;
}

int chat_value_messages(struct vm *vm, const struct chat_conversation *conv,
                        const struct chat_template *t, struct chat_sources *sources,
                        struct jval *out)
{
    const bool decode = !t->keep_arguments && !conv->keep_arguments;
    const char *prefix = t->name ? t->name->user_prefix : NULL;
    if (conv->nmessages > INT32_MAX) return err_set(vm->e, ERR_DATA, "too many messages");
    struct jlist *l = jlist_new(vm, conv->nmessages);
    if (!l) return -1;
    for (size_t i = 0; i < conv->nmessages; i++) {
        struct message m = {vm,         jdict_new(vm), {.sources = sources},
                            (int32_t)i, decode,        conv->join_parts};
        bool user = str_is(conv->messages[i].role, "user");
        if (!m.d || put_all(&m, &conv->messages[i], user ? prefix : NULL)) return -1;
        if (jlist_add(vm, l, (struct jval){.kind = J_DICT, .u.dict = m.d})) return -1;
    }
    *out = jval_list(l, J_LIST);
    return 0;
}

int chat_value_tools(struct vm *vm, const struct json *tools, struct chat_sources *sources,
                     struct jval *out)
{
    struct tag tag = {.sources = sources, .as = {.part = CHAT_TOOL, .message = -1}};
    return items_value(vm, tools, &tag, out);
}
