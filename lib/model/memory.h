/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a rank: a plan, and the two allocations that it describes. */
#ifndef SFT_MODEL_MEMORY_H
#define SFT_MODEL_MEMORY_H

#include "model/plan.h"
#include "ops/ops.h"

struct memory {
    struct plan plan;
    struct device *device;
    void *arena, *host; /* the plan's allocations, on the device and on the host */
    struct device_work work[DEVICE_QUEUES]; /* scratch of the operations of each queue */
};

/* Places the plan. rehearse(arg) runs the operations of the run on a device that computes nothing
 * and asks the real device for the scratch size of each operation. The largest size of each queue
 * becomes a buffer at the plan's end. *device is the pointer through which those operations find
 * their device; it is replaced during the rehearsal. */
int memory_place(struct memory *m, struct device **device, void (*rehearse)(void *arg), void *arg,
                 struct err *e);
/* Allocates the plan, filled with zeros, and stores all addresses. */
int memory_alloc(struct memory *m, struct err *e);
/* Sets the device's scratch; memory_alloc does it too. */
void memory_use(struct memory *m);
/* Frees the allocations and the plan, but not the device. */
void memory_free(struct memory *m);

#endif
