/* SPDX-License-Identifier: Apache-2.0 */
/* Internal declarations of documents: the memory of cJSON. */
#ifndef SFT_BASE_DOC_IMPL_H
#define SFT_BASE_DOC_IMPL_H

#include <stdbool.h>

/* True when cJSON got no memory in this thread since its last doc_memory(): cJSON itself tells an
 * allocation that failed and a text that is not JSON by the same NULL. */
extern _Thread_local bool doc_short;
/* Comes before any call of cJSON: it takes memory from mem.h, in a sealed program too. */
void doc_memory(void);

#endif
