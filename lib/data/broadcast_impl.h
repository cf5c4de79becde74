/* SPDX-License-Identifier: Apache-2.0 */
/* Broadcasts the steps of a stream that only rank 0 can read: a pipe. */
#ifndef SFT_DATA_BROADCAST_IMPL_H
#define SFT_DATA_BROADCAST_IMPL_H

#include "data/feed.h"
#include "parallel/mesh.h"

/* All ranks get rank 0's header; its stages stay empty on the others. */
int broadcast_header(const struct mesh *m, struct stream_header *h, struct err *e);
/* All ranks get the result of feed_next on rank 0: rc, *s, *checksum and the error. */
int broadcast_step(const struct mesh *m, int rc, struct feed_step *s, uint64_t *checksum,
                   struct err *e);

#endif
