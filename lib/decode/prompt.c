/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of prompts to conversations, and the members of their answers. */
#include "decode/prompt.h"

#include "base/mem.h"

/* Adds the system prompt, where the row does not begin with one. */
static void begin(struct prompt *p, const char *system, struct str role)
{
    p->n = 0;
    if (system && !str_eq(role, STR("system")))
        p->messages[p->n++] =
            (struct chat_message){.role = STR("system"), .content = str_z(system)};
}

static int add(struct prompt *p, const struct json *m, struct err *e)
{
    const struct json *role = m->kind == JSON_OBJECT ? json_get(m, "role") : NULL;
    const struct json *content = role ? json_get(m, "content") : NULL;
    if (!role || role->kind != JSON_STRING)
        return err_set(e, ERR_DATA, "a message is an object with a \"role\"");
    struct chat_message *to = &p->messages[p->n++];
    *to = (struct chat_message){.role = role->s, .members = m};
    if (content && content->kind == JSON_STRING) to->content = content->s;
    return 0;
}

int prompt_read(struct prompt *p, const struct json *row, const char *system, struct err *e)
{
    const struct json *prompt = row->kind == JSON_OBJECT ? json_get(row, "prompt") : NULL;
    const struct json *list = row->kind == JSON_OBJECT ? json_get(row, "messages") : NULL;
    if (prompt && prompt->kind == JSON_STRING) {
        begin(p, system, STR("user"));
        p->messages[p->n++] = (struct chat_message){.role = STR("user"), .content = prompt->s};
        return 0;
    }
    if (!list || list->kind != JSON_ARRAY || list->count == 0)
        return err_set(e, ERR_DATA,
                       "a row is an object with \"prompt\", a text, or \"messages\", a list");
    if (list->count >= PROMPT_MESSAGES) return err_set(e, ERR_DATA, "more than 4095 messages");
    const struct json *role = json_get(&list->items[0], "role");
    begin(p, system, role && role->kind == JSON_STRING ? role->s : (struct str){0});
    for (size_t i = 0; i < list->count; i++)
        if (add(p, &list->items[i], e)) return -1;
    return 0;
}

static bool is_among(struct str k, const char *const names[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_is(k, names[i])) return true;
    return false;
}

void prompt_members(struct buf *b, const struct json *row, const char *const names[], size_t n)
{
    static const char *const own[] = {"answer", "answer_tokens", "answer_end"};
    for (size_t i = 0; i < row->count; i++) {
        const struct str k = row->keys[i];
        if (is_among(k, own, sizeof own / sizeof *own) || is_among(k, names, n)) continue;
        buf_json(b, k);
        buf_putc(b, ':');
        json_write(&row->items[i], b);
        buf_putc(b, ',');
    }
}

int prompt_answer(struct buf *b, const struct tokenizer *t, const struct talk_answer *a,
                  struct err *e)
{
    struct buf text = {0};
    int rc = tokenizer_decode(t, a->ids, (size_t)a->n, true, &text, e);
    buf_puts(b, "\"answer\":");
    buf_json(b, (struct str){text.data ? text.data : "", text.len});
    buf_printf(b, ",\"answer_tokens\":%lld,\"answer_end\":\"%s\"", (long long)a->n,
               a->end == TALK_STOP ? "stop" : "length");
    buf_free(&text);
    return rc ? rc : buf_check(b, e);
}
