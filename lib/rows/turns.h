/* SPDX-License-Identifier: Apache-2.0 */
/* Records of a stream as the conversations that lib/chat renders. */
#ifndef SFT_ROWS_TURNS_H
#define SFT_ROWS_TURNS_H

#include "chat/chat.h"
#include "stream/stream.h"

/* Copies the parts of rec that a template needs into the arena, so that another thread can use them
 * after the reader has gone on. Token ids are not copied. 0, or -1 with ERR_MEMORY. */
int turns_copy(const struct stream_record *rec, struct arena *a, struct stream_record *to,
               struct err *e);
/* Makes the conversation of rec. Its strings are those of rec; the rest is in the arena. -1 with
 * ERR_DATA when a field that holds JSON does not parse. */
int turns_chat(const struct stream_record *rec, struct arena *a, struct chat_conversation *out,
               struct err *e);

#endif
