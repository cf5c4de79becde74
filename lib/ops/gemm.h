/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products of the CPU backend. */
#ifndef SFT_OPS_GEMM_H
#define SFT_OPS_GEMM_H

#include "ops/table.h"

/* matmul.c: the operation. d is a host_device with a gemm. */
void gemm_matmul(struct device *d, const struct op_matmul *a);
size_t gemm_matmul_work(struct device *d, const struct op_matmul *a);

/* gemm.c: products of one thread each, and the cache of what oneDNN made for them. */
struct gemm *gemm_new(int threads, struct err *e);
void gemm_free(struct gemm *g); /* NULL is fine */
/* True if oneDNN has fast products of bf16 on this CPU. The environment variable ONEDNN_MAX_CPU_ISA
 * can take them from it. */
bool gemm_has_bf16(void);

/* The key of a product's code: sizes and leading dimensions as in op_matmul, flags, types. All
 * bytes count (it has no padding). */
struct gemm_shape {
    int64_t m, n, k, lda, ldb, ldc;
    int32_t ta, tb, accumulate, bias, ab, c;
};
struct gemm_args {
    void *c, *scratch;
    const void *a, *b, *bias;
};
struct gemm_tile;
/* The product of this shape: found, or made in the place of the one used longest ago; valid until
 * many other shapes were asked for. NULL: ERR_DEVICE or ERR_MEMORY. Not for two threads at once. */
struct gemm_tile *gemm_tile_get(struct gemm *g, const struct gemm_shape *k, struct err *e);
size_t gemm_tile_scratch(const struct gemm_tile *t); /* bytes */
/* Runs it on the calling thread, number `thread` of the device's. 0, or a status for gemm_failed.
 * omp_set_num_threads(1) must hold. */
int gemm_tile_run(struct gemm *g, const struct gemm_tile *t, int thread, const struct gemm_args *a);
int gemm_failed(int status, const struct gemm_shape *k, struct err *e); /* -1, with e filled */

#endif
