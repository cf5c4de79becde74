/* SPDX-License-Identifier: Apache-2.0 */
/* Rows with whole conversations: {"messages":[{"role","content",...}],"tools":[...]} and ShareGPT's
 * {"conversations":[{"from","value"}],"system":"...","tools":"..."}. */
#include "rows/impl.h"

/* ---- answers ---- */
const char row_no_answer[] = "there is no answer";
static const char empty_answer[] = "an answer is empty";

/* Updates *empty, which begins as row_no_answer, for one answer. One empty answer is enough. */
static void note_answer(const char **empty, bool speaks)
{
    if (!speaks)
        *empty = empty_answer;
    else if (*empty == row_no_answer)
        *empty = NULL;
}

/* True when an assistant's message has content, a call or a thought. */
static bool message_speaks(const struct json *m, const char *content)
{
    const char *const members[] = {content,     "tool_calls", "function_call", "reasoning_content",
                                   "reasoning", "thinking"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (row_filled(json_get(m, members[i]))) return true;
    return false;
}

/* ---- content ---- */
static int check_part(const struct json *part, struct err *e)
{
    const struct json *type = part->kind == JSON_OBJECT ? json_get(part, "type") : NULL;
    if (!type || type->kind != JSON_STRING)
        return err_set(e, ERR_DATA, "is not an object with a \"type\"");
    if (str_is(type->s, "thinking")) return 0;
    if (!str_is(type->s, "text"))
        return err_set(e, ERR_DATA, "is of type \"%.*s\"; only parts of text can be trained on",
                       (int)(type->s.n < 40 ? type->s.n : 40), type->s.p);
    const struct json *text = json_get(part, "text");
    return text && text->kind == JSON_STRING ? 0 : err_set(e, ERR_DATA, "has no \"text\"");
}

static int check_content(const struct json *content, struct err *e)
{
    if (!content || content->kind == JSON_NULL || content->kind == JSON_STRING) return 0;
    if (content->kind != JSON_ARRAY)
        return err_set(e, ERR_DATA, "the content is %s, neither a string nor a list of parts",
                       row_kind(content));
    for (size_t i = 0; i < content->count; i++)
        if (check_part(&content->items[i], e)) return err_prefix(e, "part %zu of the content", i);
    return 0;
}

/* ---- the members of a message ---- */
/* How the messages of a list are read. */
struct reading {
    const struct row_keys *keys;
    const char *role, *content; /* names of the members */
    bool turns;                 /* of ShareGPT: a text is required, and only weights are kept */
    bool untrained;             /* answers that set no weight are not trained */
};

/* The members of a message. */
struct parts {
    struct str role;
    const struct json *text; /* the content, when it is a string */
    bool call;               /* the text is that of calls */
    bool untrained;
};

static bool is_known(const struct reading *r) { return r->turns || r->keys->role; }

static int get_role(const struct reading *r, const struct json *m, struct parts *p, struct err *e)
{
    const struct json *v = row_need(m, r->role, "name the member with --role-key", e);
    if (!v) return -1;
    if (v->kind != JSON_STRING || v->s.n == 0)
        return err_set(e, ERR_DATA, "\"%s\" is %s, not a word", r->role,
                       v->kind == JSON_STRING ? "empty" : row_kind(v));
    p->role = row_role(r->keys, v->s, is_known(r));
    if (p->role.p) {
        bool meant = is_known(r) || p->role.p != v->s.p;
        p->call = meant && p->text && str_is(p->role, "function_call");
        return 0;
    }
    int n = (int)(v->s.n < 40 ? v->s.n : 40);
    return err_set(e, ERR_DATA,
                   "\"%s\" is \"%.*s\", not human, gpt, system, function_call or observation; "
                   "--role-tags '%.*s=user' gives it a meaning",
                   r->role, n, v->s.p, n, v->s.p);
}

static int get_text(const struct reading *r, const struct json *m, struct parts *p, struct err *e)
{
    bool need = r->turns || r->keys->content;
    const struct json *v = need ? row_need(m, r->content, "name the member with --content-key", e)
                                : json_get(m, r->content);
    if (need && !v) return -1;
    if (r->turns && v->kind != JSON_STRING)
        return err_set(e, ERR_DATA, "\"%s\" is %s, not a string", r->content, row_kind(v));
    p->text = v && v->kind == JSON_STRING ? v : NULL;
    return check_content(v, e);
}

/* ---- the other members, as a JSON object ---- */
static void put_member(struct buf *b, struct str key, const struct json *value)
{
    buf_putc(b, b->len ? ',' : '{');
    buf_json(b, key);
    buf_putc(b, ':');
    json_write(value, b);
}

static bool is_weight(struct str name)
{
    static const char *const weights[] = {"weight", "train", "loss", "training"};
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        if (str_is(name, weights[i])) return true;
    return false;
}

static bool sets_weight(const struct json *m)
{
    for (size_t i = 0; i < m->count; i++)
        if (is_weight(m->keys[i]) && m->items[i].kind != JSON_NULL) return true;
    return false;
}

bool row_turn_reads(const struct row_keys *keys, struct str name)
{
    return str_is(name, keys->role ? keys->role : "from") ||
           str_is(name, keys->content ? keys->content : "value") || is_weight(name);
}

/* Appends the members that are kept beside the role and a text. */
static void put_members(const struct reading *r, const struct json *m, const struct parts *p,
                        struct buf *b)
{
    for (size_t i = 0; i < m->count; i++) {
        struct str key = m->keys[i];
        bool weight = is_weight(key), content = str_is(key, r->content);
        if (weight ? p->untrained : r->turns) continue;
        if (content ? !!p->text : str_is(key, "content")) continue;
        if (str_is(key, r->role) || str_is(key, "role")) continue;
        put_member(b, content ? STR("content") : key, &m->items[i]);
    }
    if (p->untrained) put_member(b, STR("train"), &(struct json){.kind = JSON_BOOL});
}

static int put_call(struct buf *b, const struct json *call, struct err *e)
{
    const struct json *name = call->kind == JSON_OBJECT ? json_get(call, "name") : NULL;
    if (!name || name->kind != JSON_STRING)
        return err_set(e, ERR_DATA, "a function call without a \"name\"");
    buf_puts(b, "{\"type\":\"function\",\"function\":");
    json_write(call, b);
    buf_putc(b, '}');
    return 0;
}

/* Appends the member "tool_calls" for the text of a function call: {"name":..,"arguments":{..}} or
 * a list of such objects. *any: there is a call. */
static int put_calls(struct buf *b, struct str value, struct arena *a, bool *any, struct err *e)
{
    const struct json *v = json_parse(value.p, value.n, a, e);
    if (!v) return err_prefix(e, "the function call");
    const struct json *calls = v->kind == JSON_ARRAY ? v->items : v;
    size_t n = v->kind == JSON_ARRAY ? v->count : 1;
    *any = n > 0;
    buf_puts(b, b->len ? ",\"tool_calls\":[" : "{\"tool_calls\":[");
    for (size_t i = 0; i < n; i++) {
        if (i) buf_putc(b, ',');
        if (put_call(b, &calls[i], e)) return -1;
    }
    buf_putc(b, ']');
    return 0;
}

/* Sets *extra to the object; *speaks as put_calls() sets *any. */
static int get_extra(const struct reading *r, const struct json *m, const struct parts *p,
                     struct arena *a, struct str *extra, bool *speaks, struct err *e)
{
    struct buf b = {0};
    put_members(r, m, p, &b);
    int rc = p->call ? put_calls(&b, p->text->s, a, speaks, e) : 0;
    if (b.len) buf_putc(&b, '}');
    if (!rc) rc = buf_check(&b, e);
    if (!rc && b.len) rc = row_copy(extra, (struct str){b.data, b.len}, a, e);
    buf_free(&b);
    return rc;
}

/* ---- messages ---- */
static int get_message(const struct reading *r, const struct json *m, struct arena *a,
                       struct stream_record *rec, const char **empty, struct err *e)
{
    struct parts p = {0};
    if (m->kind != JSON_OBJECT) return err_set(e, ERR_DATA, "is %s, not an object", row_kind(m));
    if (get_text(r, m, &p, e) || get_role(r, m, &p, e)) return -1;
    bool speaks = r->turns ? p.text->s.n > 0 : message_speaks(m, r->content);
    bool answer = p.call || str_is(p.role, "assistant");
    p.untrained = answer && r->untrained && !sets_weight(m);
    struct stream_message *out = &rec->messages[rec->nmessages++];
    if (row_copy(&out->role.text, p.call ? STR("assistant") : p.role, a, e) ||
        (p.text && row_copy(&out->content.text, p.call ? STR("") : p.text->s, a, e)) ||
        get_extra(r, m, &p, a, &out->extra, &speaks, e))
        return -1;
    if (answer) note_answer(empty, speaks);
    return 0;
}

static int add_messages(const struct reading *r, const struct json *list, struct arena *a,
                        struct stream_record *rec, const char **empty, struct err *e)
{
    for (size_t i = 0; i < list->count; i++)
        if (get_message(r, &list->items[i], a, rec, empty, e))
            return err_prefix(e, "%s %zu", r->turns ? "turn" : "message", i);
    return 0;
}

int row_add_messages(const struct row_keys *keys, const struct json *list, bool untrained,
                     struct arena *a, struct stream_record *rec, const char **empty, struct err *e)
{
    const struct reading r = {keys, keys->role ? keys->role : "role",
                              keys->content ? keys->content : "content", false, untrained};
    return add_messages(&r, list, a, rec, empty, e);
}

int row_messages(const struct row_keys *keys, const struct json *row, struct arena *a,
                 struct stream_record *rec, const char **empty, struct err *e)
{
    const struct json *v = row_need_list(keys, row, e);
    if (!v || row_room(rec, v->count, a, e)) return -1;
    *empty = row_no_answer;
    if (row_add_messages(keys, v, false, a, rec, empty, e)) return -1;
    return row_tools(row, a, rec, e);
}

int row_sharegpt(const struct row_keys *keys, const struct json *row, struct arena *a,
                 struct stream_record *rec, const char **empty, struct err *e)
{
    const struct reading r = {keys, keys->role ? keys->role : "from",
                              keys->content ? keys->content : "value", true, false};
    const struct json *v = row_need_list(keys, row, e);
    if (!v || row_room(rec, v->count, a, e)) return -1;
    *empty = row_no_answer;
    if (add_messages(&r, v, a, rec, empty, e)) return -1;
    return row_tools_wrapped(row, a, rec, e);
}
