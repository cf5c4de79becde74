/* SPDX-License-Identifier: Apache-2.0 */
/* The "pre_tokenizer" of tokenizer.json: cuts text into the words that the model sees. */
#ifndef SFT_TEXT_PRETOK_H
#define SFT_TEXT_PRETOK_H

#include "base/json.h"
#include "regex/regex.h"
#include "text/ntext.h"

struct pretok; /* a list of steps, maybe empty; immutable */
struct pretok *pretok_load(const struct json *o, struct err *e); /* o NULL or null: none */
void pretok_free(struct pretok *p);
/* True when the last step writes bytes in the byte-level alphabet; pretok_drop_bytes leaves that
 * step to the model. */
bool pretok_ends_in_bytes(const struct pretok *p);
void pretok_drop_bytes(struct pretok *p);

/* The state that the steps work on: the text and its pieces, and room for the next ones. */
struct pretok_state {
    struct ntext text, spare;
    struct pieces pieces, next;
    struct regex_mem mem;
};
void pretok_state_free(struct pretok_state *s);
/* Makes `spare` and `next` the present ones. */
void pretok_state_turn(struct pretok_state *s, bool text);
int pretok_apply(const struct pretok *p, struct pretok_state *s, struct err *e);

#endif
