/* SPDX-License-Identifier: Apache-2.0 */
/* The memory plan: every buffer of a run with its class and lifetime, placed in one allocation. */
#ifndef SFT_MODEL_PLAN_H
#define SFT_MODEL_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

enum plan_class {
    PLAN_WEIGHTS,
    PLAN_MASTER,
    PLAN_MOMENTS,
    PLAN_GRADIENTS,
    PLAN_ACTIVATIONS,
    PLAN_WORKSPACE,
    PLAN_COMMUNICATION, /* buffers of collectives */
    PLAN_DATA,          /* batches, positions, prefetch */
    PLAN_STAGING,       /* buffers from which a checkpoint is written */
    PLAN_RESERVE,       /* memory for a sealed program, see base/mem.h */
    PLAN_CLASSES
};

/* A buffer that lives from time `begin` to `end`, both included; times are the steps of the layer
 * plan. */
struct plan_buffer {
    enum plan_class class;
    const char *name; /* a literal */
    int layer;        /* -1: none */
    size_t bytes, offset;
    int begin, end;
    bool host;   /* in host memory, on every device */
    void **slot; /* receives the address when the plan is bound */
};
enum { PLAN_ALWAYS = -1 }; /* as begin: the buffer lives for the whole run */

struct plan {
    struct plan_buffer *b;
    size_t count, cap;
    size_t total; /* bytes of the allocation, after plan_place */
    size_t host;  /* bytes of the second allocation, in host memory */
    bool failed;  /* an addition failed; plan_place reports it */
    struct err why;
};
/* Adds a buffer of count * size bytes; plan_place reports a failure. */
void plan_add(struct plan *p, enum plan_class class, const char *name, int layer, size_t count,
              size_t size, int begin, int end, void **slot);
/* Adds a buffer in host memory for the whole run. */
void plan_add_host(struct plan *p, enum plan_class class, const char *name, size_t bytes,
                   void **slot);
/* Moves the buffers from number `first` on to a time behind the lifetimes of those before them:
 * they are all of something that runs when nothing of the others does, and live only then. Those
 * that live for the whole run do so no longer, unless they are in host memory. */
void plan_behind(struct plan *p, size_t first);
/* Returns a time after the lifetimes of all buffers so far. */
int plan_after(const struct plan *p);
/* Assigns every buffer an offset so that no two buffers with overlapping lifetimes overlap. */
int plan_place(struct plan *p, struct err *e);
/* Stores base + offset through every slot; for buffers in host memory, host + offset. */
void plan_bind(const struct plan *p, void *base, void *host);
void plan_free(struct plan *p);
/* Returns the bytes of both allocations. */
static inline size_t plan_size(const struct plan *p) { return p->total + p->host; }

/* Print the table by class: the number of buffers, the sum of their bytes, and the most bytes that
 * live at one time; and the size of both allocations. The output is text for people, or the members
 * of a JSON object, where the host's buffers come last and "host" is their allocation. */
void plan_print(const struct plan *p, struct buf *b);
void plan_json(const struct plan *p, struct buf *b);

#endif
