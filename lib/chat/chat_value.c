/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as values of the template, every string tagged with the message that it is from. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "chat/chat_impl.h"

/* Whose strings are being made. */
struct tag {
    int32_t message; /* -1: nobody's */
    uint32_t flags;
    uint32_t offset; /* of the next string of the content */
};

static int string_value(struct vm *vm, struct str text, struct tag *tag, struct jval *out)
{
    struct jstr *s = vm_alloc(vm, 1, sizeof *s);
    struct jspan *span = NULL;
    if (!s) return -1;
    if (text.n > VM_MAX_OUTPUT)
        return vm_fail(vm, "a string of the message is larger than %zu bytes", VM_MAX_OUTPUT);
    *s = (struct jstr){.p = text.n ? text.p : "", .n = (uint32_t)text.n};
    if (tag && tag->message >= 0 && text.n) {
        if (!(span = vm_alloc(vm, 1, sizeof *span))) return -1;
        *span = (struct jspan){0, s->n, tag->message, tag->offset, tag->flags};
        s->spans = span;
        s->nspans = 1;
        if (tag->flags & JSPAN_CONTENT) tag->offset += s->n;
    }
    *out = jval_str(s);
    return 0;
}

static int number_value(struct vm *vm, const struct json *j, struct jval *out)
{
    int64_t i;
    double f;
    bool real = false;
    for (size_t k = 0; k < j->s.n; k++) real |= strchr(".eE", j->s.p[k]) != NULL;
    if (!real && json_int(j, &i) == 0) {
        *out = jval_int(i);
    } else if (!real) {
        if (string_value(vm, j->s, NULL, out) < 0) return -1;
        out->kind = J_BIG;
    } else {
        if (json_real(j, &f) < 0) f = j->s.p[0] == '-' ? -INFINITY : INFINITY;
        *out = jval_float(f);
    }
    return 0;
}

static int value(struct vm *vm, const struct json *j, struct tag *tag, struct jval *out);

static int object_value(struct vm *vm, const struct json *j, struct tag *tag, struct jval *out)
{
    struct jdict *d = jdict_new(vm);
    struct tag key_tag = {.message = -1};
    if (!d) return -1;
    if (tag) key_tag = (struct tag){tag->message, tag->flags & ~(uint32_t)JSPAN_CONTENT, 0};
    for (size_t i = 0; i < j->count; i++) {
        struct jval k, v;
        struct tag *of = tag, other = key_tag;
        /* In a list of parts only "text" is text of the message; "type" and the like are not. */
        if (tag && (tag->flags & JSPAN_CONTENT) && !str_is(j->keys[i], "text")) of = &other;
        if (string_value(vm, j->keys[i], &key_tag, &k) < 0 || value(vm, &j->items[i], of, &v) < 0 ||
            jdict_set(vm, d, k, v) < 0)
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
        if (value(vm, &j->items[i], tag, &v) < 0 || jlist_add(vm, l, v) < 0) return -1;
    *out = jval_list(l, J_LIST);
    return 0;
}

int chat_value_json(struct vm *vm, const struct json *j, struct jval *out)
{
    return value(vm, j, NULL, out);
}

static int put(struct vm *vm, struct jdict *d, const char *key, struct jval v)
{
    struct jval k;
    return jval_text(vm, key, strlen(key), &k) < 0 ? -1 : jdict_set(vm, d, k, v);
}

static uint32_t member_flags(struct str key)
{
    if (str_is(key, "content")) return JSPAN_CONTENT;
    return str_is(key, "role") || str_is(key, "name") ? JSPAN_ROLE : 0;
}

static int prefixed(struct vm *vm, const char *prefix, struct jval v, struct jval *out)
{
    struct jbuild b;
    jbuild_init(&b, vm);
    jbuild_z(&b, prefix);
    jbuild_str(&b, v.u.s);
    return jbuild_done(&b, out);
}

/* Reasoning goes by three names; transformers offers whichever is given under the first two. */
static const struct json *reasoning(const struct json *m)
{
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};
    for (size_t i = 0; i < 3; i++) {
        const struct json *v = json_get(m, names[i]);
        if (v && v->kind != JSON_NULL) return v;
    }
    return NULL;
}

/* As transformers prepares a message: members that are null are left out. */
static int message_value(struct vm *vm, const struct json *m, int32_t index,
                         const struct chat_name *name, struct jval *out)
{
    struct jdict *d = jdict_new(vm);
    struct jval thought, v, k;
    struct tag other = {.message = index};
    const struct json *role = json_get(m, "role"), *why = reasoning(m);
    if (!d) return -1;
    if (why && (value(vm, why, &other, &thought) < 0 || put(vm, d, "thinking", thought) < 0))
        return -1;
    bool user = role && role->kind == JSON_STRING && str_is(role->s, "user");
    for (size_t i = 0; i < m->count; i++) {
        struct tag tag = {index, member_flags(m->keys[i]), 0};
        if (m->items[i].kind == JSON_NULL) continue;
        if (string_value(vm, m->keys[i], NULL, &k) < 0 || value(vm, &m->items[i], &tag, &v) < 0)
            return -1;
        if (name && name->user_prefix && user && (tag.flags & JSPAN_CONTENT) && v.kind == J_STR &&
            prefixed(vm, name->user_prefix, v, &v) < 0)
            return -1;
        if (jdict_set(vm, d, k, v) < 0) return -1;
    }
    if (why && put(vm, d, "reasoning_content", thought) < 0) return -1;
    *out = (struct jval){.kind = J_DICT, .u.dict = d};
    return 0;
}

int chat_value_messages(struct vm *vm, const struct json *messages, const struct chat_name *name,
                        struct jval *out)
{
    if (messages->kind != JSON_ARRAY || !messages->count)
        return err_set(vm->e, ERR_DATA, "a conversation is a list of at least one message");
    if (messages->count > INT32_MAX) return err_set(vm->e, ERR_DATA, "too many messages");
    struct jlist *l = jlist_new(vm, messages->count);
    struct jval v;
    if (!l) return -1;
    for (size_t i = 0; i < messages->count; i++) {
        const struct json *m = &messages->items[i];
        if (m->kind != JSON_OBJECT)
            return err_set(vm->e, ERR_DATA, "message %zu is not an object", i);
        if (message_value(vm, m, (int32_t)i, name, &v) < 0 || jlist_add(vm, l, v) < 0) return -1;
    }
    *out = jval_list(l, J_LIST);
    return 0;
}
