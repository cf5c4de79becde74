/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products of the CPU backend. */
#ifndef SFT_OPS_GEMM_H
#define SFT_OPS_GEMM_H

#include "ops/table.h"

/* matmul.c: the operation. d is a host_device with a gemm. */
void gemm_matmul(struct device *d, const struct op_matmul *a);
size_t gemm_matmul_work(struct device *d, const struct op_matmul *a);
/* [0, n) in pieces of `size`; the last piece has `last`. */
struct gemm_cut {
    int64_t size, count, last;
};
/* Returns at most `count` pieces, whose size is a multiple of a vector's; n and count are positive.
 */
struct gemm_cut gemm_cut_even(int64_t n, int64_t count);
/* Cuts an m x n result into tiles that balance the threads and read little of both operands. */
void gemm_cut_tiles(int64_t m, int64_t n, struct gemm_cut *rows, struct gemm_cut *columns);
enum { GEMM_TILE_M = 256, GEMM_TILE_N = 576 }; /* the most of a tile; measured: docs/ops.md */

/* gemm.c: single-threaded products and the cache of oneDNN primitives. */
struct gemm *gemm_new(int threads, struct err *e);
void gemm_free(struct gemm *g); /* accepts NULL */
/* Returns true if oneDNN has fast bf16 products on this CPU. The environment variable
 * ONEDNN_MAX_CPU_ISA can disable them. */
bool gemm_has_bf16(void);

/* The cache key of a product: sizes and leading dimensions as in op_matmul, flags, types. It has no
 * padding; all bytes are compared. */
struct gemm_shape {
    int64_t m, n, k, lda, ldb, ldc;
    int32_t ta, tb, accumulate, bias, ab, c;
};
struct gemm_args {
    void *c, *scratch;
    const void *a, *b, *bias;
};
struct gemm_tile;
/* Returns the product of this shape from the LRU cache; valid until many other shapes are
 * requested. Returns NULL with ERR_DEVICE or ERR_MEMORY. Not thread-safe. */
struct gemm_tile *gemm_tile_get(struct gemm *g, const struct gemm_shape *k, struct err *e);
size_t gemm_tile_scratch(const struct gemm_tile *t); /* bytes */
/* Returns scratch of `each` bytes for each thread of the device: the `room` bytes at p, or memory
 * of its own, kept until gemm_free, if these do not suffice. What oneDNN needs does not grow evenly
 * with the rows (with AMX and an odd stride 4 KiB for 32 rows, 2 MiB for 31), so that no rehearsal
 * of some numbers of rows finds the most. NULL with ERR_MEMORY. Not thread-safe. */
char *gemm_scratch(struct gemm *g, void *p, size_t room, size_t each, struct err *e);
/* Runs the product on the calling thread, number `thread` of the device. Returns 0, or a status for
 * gemm_failed. omp_set_num_threads(1) must be in effect. */
int gemm_tile_run(struct gemm *g, const struct gemm_tile *t, int thread, const struct gemm_args *a);
int gemm_failed(int status, const struct gemm_shape *k, struct err *e); /* returns -1 and fills e */

#endif
