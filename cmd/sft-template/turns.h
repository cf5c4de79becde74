/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations of a stream as JSON values, which is what a chat template takes. */
#ifndef SFT_TEMPLATE_TURNS_H
#define SFT_TEMPLATE_TURNS_H

#include "base/json.h"
#include "stream/stream.h"

/* Copies what a template needs of rec into the arena: it may then go to another thread. */
int turns_copy(const struct stream_record *rec, struct arena *a, struct stream_record *to,
               struct err *e);
/* *messages: an array of objects; *tools: an array, or NULL. Texts are those of rec. */
int turns_json(const struct stream_record *rec, struct arena *a, const struct json **messages,
               const struct json **tools, struct err *e);

#endif
