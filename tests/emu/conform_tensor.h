/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors for tensor copies, on the host: their maps, where a box's elements lie, and the values
 * that a copy must leave. */
#ifndef CONFORM_TENSOR_H
#define CONFORM_TENSOR_H

#include <cuda.h>

#include "conform.h"

enum { MOST = 5, FILL = 0x77 };

struct tensor {
    const char *name;
    CUtensorMapDataType type;
    int element, rank;
    int dims[MOST], box[MOST], at[MOST], step[MOST];
    CUtensorMapSwizzle swizzle;
    int fill_nan;
};

/* Bytes of the whole tensor, of the box's elements, and of shared memory that the box takes: where
 * it is swizzled, each row takes the whole width of the swizzle. */
int tensor_bytes(const struct tensor *t);
int box_bytes(const struct tensor *t);
int shared_bytes(const struct tensor *t);

/* A map of the tensor at address; 0 or a cudaError_t. */
int tensor_map(const struct tensor *t, const void *address, CUtensorMap *map);

/* For form.fill: small integers, exact in each type, or the edges of float. */
void fill_small(const struct form *f, void *in);
void fill_edges(const struct form *f, void *in);

/* For form.want: shared memory, which holds FILL before, after a load; the tensor after a store or,
 * with arg[0] the operation, a reduction. The input is shared memory, then for a reduction the
 * tensor. */
enum { PLAIN, ADD, MIN, MAX, AND };
int want_loaded(const struct form *f, const void *in, void *want);
int want_stored(const struct form *f, const void *in, void *want);
int want_reduced(const struct form *f, const void *in, void *want);

#endif
