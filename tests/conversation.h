/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations of lib/chat from JSON, for tests. */
#ifndef SFT_TEST_CONVERSATION_H
#define SFT_TEST_CONVERSATION_H

#include "base/json.h"
#include "chat/chat.h"

/* The conversation of a list of messages as rows have them; no messages where it is not one. tools
 * may be NULL. The result shares the memory of both and uses the arena. */
static inline struct chat_conversation conversation_of(const struct json *messages,
                                                       const struct json *tools, struct arena *a)
{
    struct chat_conversation conv = {.tools = tools};
    if (!messages || messages->kind != JSON_ARRAY) return conv;
    struct chat_message *m = arena_alloc(a, messages->count * sizeof *m, NULL);
    for (size_t i = 0; m && i < messages->count; i++) {
        const struct json *from = &messages->items[i];
        if (from->kind != JSON_OBJECT) return conv;
        const struct json *role = json_get(from, "role"), *content = json_get(from, "content");
        m[i] = (struct chat_message){.members = from};
        if (role && role->kind == JSON_STRING) m[i].role = role->s;
        if (content && content->kind == JSON_STRING) m[i].content = content->s;
    }
    conv.messages = m;
    conv.nmessages = m ? messages->count : 0;
    return conv;
}

#endif
