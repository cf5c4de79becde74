/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens that end a turn. Internal to lib/decode. */
#ifndef SFT_DECODE_TALK_IMPL_H
#define SFT_DECODE_TALK_IMPL_H

#include "decode/talk.h"

/* Finds them in config.json, generation_config.json and the tokenizer. */
int stops_find(struct stops *s, const struct talk_with *with, struct err *e);
bool stops_at(const struct stops *s, int64_t id);

#endif
