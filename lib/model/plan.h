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
    PLAN_COMMUNICATION, /* what collectives go through */
    PLAN_DATA,          /* batches, positions, read-ahead */
    PLAN_STAGING,       /* what a checkpoint is written from */
    PLAN_RESERVE,       /* what a sealed program allocates from, see base/mem.h */
    PLAN_CLASSES
};

/* Lives from time `begin` to `end`, both included; times are the steps of the layer plan. */
struct plan_buffer {
    enum plan_class class;
    const char *name; /* a literal */
    int layer;        /* -1: none */
    size_t bytes, offset;
    int begin, end;
    bool host;   /* in the host's memory, whatever the device is */
    void **slot; /* receives the address when the plan is bound */
};
enum { PLAN_ALWAYS = -1 }; /* as begin: lives for the whole run */

struct plan {
    struct plan_buffer *b;
    size_t count, cap;
    size_t total; /* bytes of the allocation, after plan_place */
    size_t host;  /* bytes beside it, in the host's memory */
    bool failed;  /* an addition failed; plan_place reports it */
    struct err why;
};
/* Adds a buffer of count * size bytes; a failure is kept for plan_place. */
void plan_add(struct plan *p, enum plan_class class, const char *name, int layer, size_t count,
              size_t size, int begin, int end, void **slot);
/* Adds a buffer of the host's memory for the whole run. */
void plan_add_host(struct plan *p, enum plan_class class, const char *name, size_t bytes,
                   void **slot);
/* A time after those of all buffers so far, at which none of them is in use. */
int plan_after(const struct plan *p);
/* Gives every buffer an offset such that no two that live at the same time overlap. */
int plan_place(struct plan *p, struct err *e);
/* Stores base + offset through every slot; of the buffers in the host's memory, host + offset. */
void plan_bind(const struct plan *p, void *base, void *host);
void plan_free(struct plan *p);
/* All that it allocates. */
static inline size_t plan_size(const struct plan *p) { return p->total + p->host; }

/* The table by class: number of buffers, their bytes added up, the most that live at one time; and
 * the size of the allocation. As text for people, or as the members of a JSON object, where the
 * host's buffers follow the others. */
void plan_print(const struct plan *p, struct buf *b);
void plan_json(const struct plan *p, struct buf *b);

#endif
