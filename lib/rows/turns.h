/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations of a stream as JSON values, which is what a chat template takes. */
#ifndef SFT_ROWS_TURNS_H
#define SFT_ROWS_TURNS_H

#include "chat/chat.h"
#include "stream/stream.h"

/* Copies what a template needs of rec into the arena: it may then go to another thread. */
int turns_copy(const struct stream_record *rec, struct arena *a, struct stream_record *to,
               struct err *e);
/* The conversation in the arena; texts are those of rec. */
int turns_json(const struct stream_record *rec, struct arena *a, struct chat_conversation *out,
               struct err *e);

#endif
