/* SPDX-License-Identifier: Apache-2.0 */
/* What a message says beside its text: what it weighs, and its calls' arguments. */
#include <math.h>
#include <string.h>

#include "chat/chat_impl.h"

bool chat_is_assistant(const struct json *message)
{
    const struct json *role = json_get(message, "role");
    return role && role->kind == JSON_STRING && str_is(role->s, "assistant");
}

/* ---- weight ---- */
static int number_weight(const struct json *v, float *w, struct err *e)
{
    double d;
    if (v->kind != JSON_NUMBER || json_real(v, &d) < 0 || d < 0 || !isfinite((float)d))
        return err_set(e, ERR_DATA, "\"weight\" is not a number from 0 on");
    *w = (float)d;
    return 0;
}

int chat_weight(const struct json *message, float *weight, bool *said, struct err *e)
{
    static const char *const names[] = {"weight", "train", "loss", "training"};
    *weight = 1;
    *said = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct json *v = json_get(message, names[i]);
        float w = 0;
        if (!v || v->kind == JSON_NULL) continue;
        if (i == 0) {
            if (number_weight(v, &w, e) < 0) return -1;
        } else if (v->kind != JSON_BOOL) {
            return err_set(e, ERR_DATA, "\"%s\" is not true or false", names[i]);
        } else {
            /* A weight in number is more exact than a plain yes. */
            w = !v->truth ? 0 : *said && *weight > 0 ? *weight : 1;
        }
        if (*said && (*weight > 0) != (w > 0))
            return err_set(e, ERR_DATA, "\"%s\" says other than the message's other weights",
                           names[i]);
        *weight = w;
        *said = true;
    }
    return 0;
}

/* ---- arguments ---- */
/* A copy of an object with one member replaced. */
static struct json *with_member(const struct json *o, size_t at, const struct json *v,
                                struct arena *a, struct err *e)
{
    struct json *copy = arena_copy(a, o, sizeof *o, e);
    if (!copy) return NULL;
    copy->items = arena_copy(a, o->items, o->count * sizeof *o->items, e);
    if (!copy->items) return NULL;
    copy->items[at] = *v;
    return copy;
}

/* o, or a copy whose "arguments" are the object that their text holds; NULL: memory. */
static const struct json *with_arguments(const struct json *o, struct arena *a, uint32_t *decoded,
                                         struct err *e)
{
    struct err bad = {0};
    if (o->kind != JSON_OBJECT) return o;
    for (size_t i = 0; i < o->count; i++) {
        const struct json *v = &o->items[i], *object;
        if (!str_is(o->keys[i], "arguments") || v->kind != JSON_STRING) continue;
        object = json_parse(v->s.p, v->s.n, a, &bad);
        if (!object && bad.code == ERR_MEMORY) {
            *e = bad;
            return NULL;
        }
        if (!object || object->kind != JSON_OBJECT) return o;
        ++*decoded;
        return with_member(o, i, object, a, e);
    }
    return o;
}

/* {"function": {"name", "arguments"}} or {"name", "arguments"}. */
static const struct json *call_decoded(const struct json *call, struct arena *a, uint32_t *decoded,
                                       struct err *e)
{
    if (call->kind != JSON_OBJECT) return call;
    for (size_t i = 0; i < call->count; i++) {
        if (!str_is(call->keys[i], "function")) continue;
        const struct json *f = with_arguments(&call->items[i], a, decoded, e);
        if (!f) return NULL;
        return f == &call->items[i] ? call : with_member(call, i, f, a, e);
    }
    return with_arguments(call, a, decoded, e);
}

const struct json *chat_calls_decoded(const struct json *v, struct arena *a, uint32_t *decoded,
                                      struct err *e)
{
    const struct json *out = v;
    if (v->kind != JSON_ARRAY) return call_decoded(v, a, decoded, e);
    for (size_t i = 0; i < v->count; i++) {
        const struct json *call = call_decoded(&v->items[i], a, decoded, e);
        if (!call) return NULL;
        if (call == &v->items[i]) continue;
        if (out == v) { /* the list is copied for its first call that changes */
            struct json *copy = arena_copy(a, v, sizeof *v, e);
            if (!copy || !(copy->items = arena_copy(a, v->items, v->count * sizeof *v->items, e)))
                return NULL;
            out = copy;
        }
        out->items[i] = *call;
    }
    return out;
}
