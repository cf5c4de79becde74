/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of an answer, and the tokens that end a turn. Internal to lib/decode. */
#ifndef SFT_DECODE_TALK_IMPL_H
#define SFT_DECODE_TALK_IMPL_H

#include "decode/talk.h"

/* Finds them in config.json, generation_config.json and the tokenizer. */
int stops_find(struct stops *s, const struct talk_with *with, struct err *e);
bool stops_at(const struct stops *s, int64_t id);

/* Begins to make answers. watch may be NULL. */
void talk_start(struct talk *t, const struct talk_watch *watch);
/* Begins the answer to document d, after talk_read, with the token that was chosen. */
int talk_answer_to(struct talk *t, struct talk_doc *d, struct talk_answer *a, struct err *e);
/* Adds a token to every answer that has not ended. Returns how many there were, -1 on failure. A
 * document whose answer has ended has none any more, and stays in the cache. */
int32_t talk_step(struct talk *t, struct err *e);
/* Returns the number of tokens that d and the prompt begin with; one of the prompt is left. */
int64_t talk_same(const struct talk_doc *d, const struct token_list *prompt);

#endif
