/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of training come first, those of validation behind them. */
#include "data/rooms.h"

#include "base/mem.h"

size_t feed_rooms_bytes(const struct feed_rooms *r)
{
    size_t bytes = feed_room_bytes(&r->training, r->ahead);
    if (r->validates && mem_add(bytes, feed_room_bytes(&r->validation, 0), &bytes)) return SIZE_MAX;
    return bytes;
}

void *feed_rooms_validation(const struct feed_rooms *r, void *memory)
{
    return (char *)memory + feed_room_bytes(&r->training, r->ahead);
}

size_t feed_rooms_reading(const struct feed_rooms *r, uint64_t length)
{
    enum { ROW = 64 }; /* a row's place among the ranks */
    const size_t rows = (size_t)(r->training.rows + r->validation.rows);
    return stream_room(length) * (r->validates ? 2 : 1) + rows * ROW;
}
