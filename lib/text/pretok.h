/* SPDX-License-Identifier: Apache-2.0 */
/* The "pre_tokenizer" of tokenizer.json: splits the text into the words that BPE encodes. */
#ifndef SFT_TEXT_PRETOK_H
#define SFT_TEXT_PRETOK_H

#include "base/json.h"
#include "regex/regex.h"
#include "text/ntext.h"

struct pretok; /* a list of steps; immutable */
/* Loads the pre-tokenizer; o NULL or null: it has no steps. NULL with ERR_DATA or ERR_MEMORY. */
struct pretok *pretok_load(const struct json *o, struct err *e);
void pretok_free(struct pretok *p);
/* True when the last step writes bytes in the byte-level alphabet. pretok_drop_bytes() removes that
 * step, for a model that encodes raw bytes. */
bool pretok_ends_in_bytes(const struct pretok *p);
void pretok_drop_bytes(struct pretok *p);

/* The text and the pieces that the steps transform, and the buffers for their results. */
struct pretok_state {
    struct ntext text, spare;
    struct pieces pieces, next;
    struct regex_mem mem;
    size_t most; /* bytes that a step may make of the text */
};
void pretok_state_free(struct pretok_state *s);
/* Makes `next` the pieces and, if `text` is set, `spare` the text. */
void pretok_state_swap(struct pretok_state *s, bool text);
int pretok_apply(const struct pretok *p, struct pretok_state *s, struct err *e);

#endif
