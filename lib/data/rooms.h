/* SPDX-License-Identifier: Apache-2.0 */
/* The memory through which a run reads its streams. */
#ifndef SFT_DATA_ROOMS_H
#define SFT_DATA_ROOMS_H

#include "data/feed.h"

struct feed_rooms {
    struct feed_room training; /* of a step */
    unsigned ahead;            /* training steps that are read before they are wanted */
    struct feed_room validation;
    bool validates; /* the run has a stream for validation, whose steps need memory too */
};
/* Bytes for the steps of both streams; SIZE_MAX when they are too many. */
size_t feed_rooms_bytes(const struct feed_rooms *r);
/* The part for validation's steps in `memory`, which has feed_rooms_bytes(r); training's part is
 * the beginning. */
void *feed_rooms_validation(const struct feed_rooms *r, void *memory);
/* Bytes that the readers of both streams allocate while they read rows of up to `length` tokens. */
size_t feed_rooms_reading(const struct feed_rooms *r, uint64_t length);

#endif
