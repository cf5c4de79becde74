/* SPDX-License-Identifier: Apache-2.0 */
/* Products of matrices for wgmma, on the host: their layouts in shared memory, descriptors and
 * values. */
#ifndef CONFORM_PRODUCT_H
#define CONFORM_PRODUCT_H

#include "conform.h"
#include "conform_matrix.h"

enum { WARPGROUP = 128, IMAGE = 16384 };

/* How a matrix lies in shared memory. width: of the swizzle in bytes, 0 for none. */
struct layout {
    int width, mn_major;
};

struct product {
    const char *name;
    enum element a, b, d;
    int n, depth, steps; /* steps: products added up, depth apart */
    struct layout a_layout, b_layout;
    int a_in_registers, keep, a_sign, b_sign, real;
};

/* The kernel's input; a_image holds fragments when A is in registers. */
struct input {
    uint64_t a_descriptor, b_descriptor;
    uint32_t a_step, b_step, keep, steps;
    uint32_t a_image[IMAGE / 4], b_image[IMAGE * 2 / 4];
};

/* The value that register i of D holds before. */
__host__ __device__ static inline int first_value(int thread, int i)
{
    return (thread * 3 + i) % 7 - 3;
}

/* A form of p, whose name and numbers must outlive it; extra is p. */
struct form product_form(const struct product *p, kernel_fn *kernel);
int want_product(const struct form *f, const void *in, void *want);

#endif
