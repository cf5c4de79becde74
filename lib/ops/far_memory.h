/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of the device "far": it faults on access unless it is opened. */
#ifndef SFT_OPS_FAR_MEMORY_H
#define SFT_OPS_FAR_MEMORY_H

#include <stddef.h>

#include "base/err.h"

/* Buffers, closed when they are new. An empty struct has none. */
struct far_memory {
    struct far_region *regions;
};
enum far_access { FAR_NONE, FAR_READ, FAR_WRITE /* and read */ };
/* Allows access to all buffers. ERR_INTERNAL when the system refuses. */
int far_memory_access(const struct far_memory *m, enum far_access how, struct err *e);
/* Allocates a buffer; NULL with ERR_MEMORY. An access behind its end, up to alignment, faults at
 * any time. */
void *far_memory_alloc(struct far_memory *m, size_t bytes, struct err *e);
void far_memory_free(struct far_memory *m, void *p, size_t bytes);
void far_memory_end(struct far_memory *m); /* frees all buffers */

#endif
