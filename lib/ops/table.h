/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the backends: the function type of an operation, and devices in host memory. */
#ifndef SFT_OPS_TABLE_H
#define SFT_OPS_TABLE_H

#include "ops/ops.h"

/* Runs an operation on memory that the caller can access; device_fail keeps a failure. */
typedef void op_fn(struct device *d, const void *args);
/* Returns the scratch of an operation in bytes. */
typedef size_t op_work_fn(struct device *d, const void *args);

/* One implementation of all operations; work[op] NULL: no scratch. */
struct op_table {
    op_fn *run[OP_COUNT];
    op_work_fn *work[OP_COUNT];
};

/* A device whose memory is the host's and whose operations run at once. */
struct host_device {
    struct device d; /* first, so that a struct device * is one of these */
    struct ops ops;  /* target of d.ops */
    const struct op_table *table;
    struct gemm *gemm;                 /* matrix products of "cpu"; else NULL */
    void (*release)(struct device *d); /* frees what the backend added; may be NULL */
    double mark[DEVICE_MARKS];         /* times of log_clock */
    bool failed;
    struct err error; /* the first failure since the last sync */
};
/* Opens a host device; name is kept, not copied; device_close closes it. */
struct host_device *host_open(const char *name, const struct op_table *t, int threads,
                              struct err *e);
/* 128 MiB are a few times the cache, so that a chunk's products run at full speed, and small beside
 * the activations. fp32 costs no time beyond that of the products. */
#define HOST_HEAD                                                                                  \
    (struct device_head) { .bytes = (size_t)128 << 20, .most = 1024 }
/* Allocates for a device without special host memory: mem_aligned. */
void *host_plain_alloc(struct device *d, size_t bytes, struct err *e);
void host_plain_free(struct device *d, void *p, size_t bytes);
/* Keeps the first failure for the next sync or download. */
void device_fail(struct device *d, const struct err *e);
size_t op_args_size(enum op_id op);
/* Returns the address of element i of type t. */
static inline void *elem(const void *p, int64_t i, enum dtype t)
{
    return (char *)(uintptr_t)p + i * (int64_t)dtype_size(t);
}

struct device *ref_open(bool wide, int threads, struct err *e);
/* Opens a CPU device. isa: "base", "v3", "v4", or NULL: the best that this CPU has. */
struct device *cpu_open(const char *isa, int threads, struct err *e);
/* Opens a GPU. index: the GPU as text; NULL: the first. ERR_DEVICE when there is none. */
struct device *cuda_open(const char *index, struct err *e);
/* Returns the number of GPUs. 0: there is none, with the reason as *e unless the machine has
 * nothing of CUDA; *hidden: it has a GPU or a driver that this program cannot use. -1 with
 * ERR_DEVICE: the driver fails. quick: the plugin is not loaded where there is no driver. */
int cuda_find(bool quick, bool *hidden, struct err *e);
/* A kind of GPU, such as "h100", whose memory alone is planned. */
bool cuda_plan_knows(const char *kind);
const char *cuda_plan_kinds(void); /* the kinds, as a message lists them */
/* Opens a device for planning; `kind` is one that is known. ERR_MEMORY. */
struct device *cuda_plan_open(const char *kind, struct err *e);
/* Takes ownership of `inner`. */
struct device *far_open(struct device *inner, uint64_t seed, struct err *e);

#endif
