/* SPDX-License-Identifier: Apache-2.0 */
/* TRL's prompt and completion, {"prompt":..,"completion":..} with two texts or two lists of
 * messages, and plain text, {"text":".."}. A text becomes a message without a role, which no chat
 * template renders. */
#include "rows/impl.h"

void row_prompt_keys(const struct row_keys *keys, const struct json *row, const char **prompt,
                     const char **completion)
{
    bool named = json_get(row, keys->prompt) && json_get(row, keys->response);
    *prompt = named ? keys->prompt : "prompt";
    *completion = named ? keys->response : "completion";
}

static int add_lists(const struct row_keys *keys, const struct json *row, const struct json *p,
                     const struct json *c, struct arena *a, struct stream_record *rec,
                     const char **empty, struct err *e)
{
    const char *prompt, *completion, *unused = NULL;
    row_prompt_keys(keys, row, &prompt, &completion);
    if (row_room(rec, p->count + c->count, a, e)) return -1;
    if (row_add_messages(keys, p, true, a, rec, &unused, e)) return err_prefix(e, "%s", prompt);
    *empty = row_no_answer;
    if (row_add_messages(keys, c, false, a, rec, empty, e)) return err_prefix(e, "%s", completion);
    if (rec->nmessages == 0) return err_set(e, ERR_DATA, "both lists of messages are empty");
    return row_tools(row, a, rec, e);
}

static int add_texts(struct str prompt, struct str completion, struct arena *a,
                     struct stream_record *rec, const char **empty, struct err *e)
{
    *empty = completion.n ? NULL : "the completion is empty";
    if (row_room(rec, 2, a, e) || row_add(rec, "", prompt, a, e) ||
        row_copy(&rec->messages[0].extra, STR("{\"train\":false}"), a, e))
        return -1;
    return row_add(rec, "", completion, a, e);
}

int row_prompt(const struct row_keys *keys, const struct json *row, struct arena *a,
               struct stream_record *rec, const char **empty, struct err *e)
{
    const char *prompt, *completion;
    row_prompt_keys(keys, row, &prompt, &completion);
    const struct json *p = row_need(row, prompt, "name it with --prompt-key", e);
    const struct json *c = p ? row_need(row, completion, "name it with --response-key", e) : NULL;
    if (!c) return -1;
    if (p->kind == JSON_ARRAY && c->kind == JSON_ARRAY)
        return add_lists(keys, row, p, c, a, rec, empty, e);
    if (p->kind == JSON_STRING && c->kind == JSON_STRING)
        return add_texts(p->s, c->s, a, rec, empty, e);
    return err_set(e, ERR_DATA,
                   "\"%s\" is %s and \"%s\" is %s; both are strings, or both lists of messages",
                   prompt, row_kind(p), completion, row_kind(c));
}

int row_text(const struct row_keys *keys, const struct json *row, struct arena *a,
             struct stream_record *rec, const char **empty, struct err *e)
{
    struct str text;
    const struct json *v = row_need(row, keys->text, "name it with --text-key", e);
    if (!v || row_string(v, keys->text, true, &text, e) || row_room(rec, 1, a, e)) return -1;
    *empty = text.n ? NULL : "the text is empty";
    return row_add(rec, "", text, a, e);
}
