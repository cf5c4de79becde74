/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens that a tokenizer puts before a text, such as BOS. */
#ifndef SFT_TEXT_PREFIX_H
#define SFT_TEXT_PREFIX_H

#include "base/json.h"

enum { PREFIX_MAX = 8 };
struct prefix {
    uint32_t ids[PREFIX_MAX];
    size_t n;
};
/* Reads "post_processor" of tokenizer.json, or NULL: the tokens that tokenizer(text) of
 * transformers adds at the beginning. Post-processors that add none, or are not known, leave it
 * empty. ERR_DATA for a malformed template, and for more than PREFIX_MAX tokens. */
int prefix_load(struct prefix *p, const struct json *post_processor, struct err *e);

#endif
