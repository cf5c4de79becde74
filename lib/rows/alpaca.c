/* SPDX-License-Identifier: Apache-2.0 */
/* Rows with one question and one answer, and the turns before them:
 * {"instruction":"..","input":"..","output":"..","history":[["question","answer"],...]}. */
#include <string.h>

#include "rows/impl.h"

/* Joins prompt and query by a newline; an empty query adds nothing. */
static int join(struct str *to, struct str prompt, struct str query, struct arena *a, struct err *e)
{
    char *p = arena_alloc(a, prompt.n + query.n + 2, e);
    if (!p) return -1;
    memcpy(p, prompt.p, prompt.n);
    *to = (struct str){p, prompt.n};
    if (query.n == 0) return 0;
    p[prompt.n] = '\n';
    memcpy(p + prompt.n + 1, query.p, query.n);
    to->n += query.n + 1;
    return 0;
}

/* ---- the turns before the question ---- */
static int add_pair(const struct json *pair, struct arena *a, struct stream_record *rec,
                    struct err *e)
{
    static const char *const roles[] = {"user", "assistant"};
    if (pair->kind != JSON_ARRAY || pair->count != 2)
        return err_set(e, ERR_DATA, "is not a question and an answer, [\"..\", \"..\"]");
    for (size_t i = 0; i < 2; i++) {
        const struct json *v = &pair->items[i];
        if (v->kind != JSON_STRING)
            return err_set(e, ERR_DATA, "its %s is %s, not a string", i ? "answer" : "question",
                           row_kind(v));
        if (row_add(rec, roles[i], v->s, a, e)) return -1;
    }
    return 0;
}

/* Sets *pairs to the list of the turns before the question; NULL: there are none. */
static int get_history(const struct row_keys *k, const struct json *row, const struct json **pairs,
                       struct err *e)
{
    const struct json *v = k->history ? json_get(row, k->history) : NULL;
    *pairs = row_filled(v) ? v : NULL;
    if (!*pairs || v->kind == JSON_ARRAY) return 0;
    return err_set(e, ERR_DATA, "\"%s\" is %s, not a list of questions and answers", k->history,
                   row_kind(v));
}

static int add_history(const struct row_keys *k, const struct json *pairs, struct arena *a,
                       struct stream_record *rec, struct err *e)
{
    for (size_t i = 0; pairs && i < pairs->count; i++)
        if (add_pair(&pairs->items[i], a, rec, e))
            return err_prefix(e, "\"%s\": entry %zu", k->history, i);
    return 0;
}

/* ---- the row ---- */
/* A file that is one list of messages looks like an array of rows. */
static bool is_message(const struct json *row)
{
    return (json_get(row, "role") && json_get(row, "content")) ||
           (json_get(row, "from") && json_get(row, "value"));
}

int row_alpaca(const struct row_keys *k, const struct json *row, struct arena *a,
               struct stream_record *rec, const char **empty, struct err *e)
{
    struct str prompt, query, response, user;
    const struct json *pairs, *p = json_get(row, k->prompt);
    if (!p && is_message(row))
        return err_set(e, ERR_DATA,
                       "is one message, not a row; a row is a list of messages, [{..}, {..}] on a "
                       "line of its own or {\"messages\": [{..}, {..}]}");
    if (!p) p = row_need(row, k->prompt, "name it with --prompt-key", e);
    const struct json *r = p ? row_need(row, k->response, "name it with --response-key", e) : NULL;
    if (!r || row_string(p, k->prompt, false, &prompt, e) ||
        row_string(r, k->response, true, &response, e) || get_history(k, row, &pairs, e) ||
        row_string(k->query ? json_get(row, k->query) : NULL, k->query, true, &query, e))
        return -1;
    *empty = response.n ? NULL : "the response is empty";
    if (row_room(rec, 2 + (pairs ? 2 * pairs->count : 0), a, e) ||
        add_history(k, pairs, a, rec, e) || join(&user, prompt, query, a, e) ||
        row_add(rec, "user", user, a, e))
        return -1;
    if (!response.n) return 0; /* ROLL makes no message of an empty answer */
    return row_add(rec, "assistant", response, a, e);
}
