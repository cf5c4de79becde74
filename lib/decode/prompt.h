/* SPDX-License-Identifier: Apache-2.0 */
/* A row of a file of prompts: an object with "prompt", a text, or "messages", a conversation. Its
 * answer is written as the row with members of the answer. */
#ifndef SFT_DECODE_PROMPT_H
#define SFT_DECODE_PROMPT_H

#include "base/json.h"
#include "decode/talk.h"

enum { PROMPT_MESSAGES = 4096 };
struct prompt {
    struct chat_message messages[PROMPT_MESSAGES]; /* their texts are the row's */
    size_t n;
};
/* Makes the conversation of a row. system: a system prompt, where the row does not begin with one
 * of its own; NULL: none. ERR_DATA, without the row's place, for a row of another form. */
int prompt_read(struct prompt *p, const struct json *row, const char *system, struct err *e);

/* Appends the members of the row but those that prompt_answer writes or that have one of these
 * names (NULL: none), each with a comma behind it. */
void prompt_members(struct buf *b, const struct json *row, const char *const names[], size_t n);
/* Appends "answer", its tokens and its end as members. */
int prompt_answer(struct buf *b, const struct tokenizer *t, const struct talk_answer *a,
                  struct err *e);

#endif
