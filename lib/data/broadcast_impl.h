/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of a stream that only rank 0 can read: a pipe. It reads, and tells the others. */
#ifndef SFT_DATA_BROADCAST_IMPL_H
#define SFT_DATA_BROADCAST_IMPL_H

#include "data/feed.h"
#include "parallel/mesh.h"

/* Everybody gets rank 0's header; its stages stay empty elsewhere. */
int broadcast_header(const struct mesh *m, struct stream_header *h, struct err *e);
/* What feed_next returned on rank 0 (rc, *s, *checksum, and its error), on every rank. */
int broadcast_step(const struct mesh *m, int rc, struct feed_step *s, uint64_t *checksum,
                   struct err *e);

#endif
