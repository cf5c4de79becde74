/* SPDX-License-Identifier: Apache-2.0 */
/* Stores all samples of the input on disk; only their lengths stay in memory. */
#ifndef SFT_PACK_SPOOL_H
#define SFT_PACK_SPOOL_H

#include "stream/stream.h"

struct spool;
struct spool *spool_new(struct err *e);
int spool_add(struct spool *s, const struct stream_sample *sample, struct err *e);
uint32_t spool_count(const struct spool *s);
const uint32_t *spool_lengths(const struct spool *s); /* [count] tokens of each sample */
/* Makes the samples readable. No spool_add may follow. */
int spool_close(struct spool *s, struct err *e);
struct stream_sample spool_get(const struct spool *s, uint32_t i); /* valid until spool_free */
uint32_t spool_labels(const struct spool *s, uint32_t i);          /* trained tokens of sample i */
void spool_free(struct spool *s);                                  /* NULL is fine */

#endif
