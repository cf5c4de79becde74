/* SPDX-License-Identifier: Apache-2.0 */
/* The memory rules of the CUDA backend. The kernels and the plan share them, so that a plan needs
 * neither a GPU nor the plugin. */
#ifndef SFT_OPS_CUDA_RULES_H
#define SFT_OPS_CUDA_RULES_H

#ifdef __cplusplus
extern "C" {
#endif
#include "ops/ops.h"

/* Blocks whose partial sums a second kernel adds in order. */
enum { CUDA_NORM_BLOCKS = 264, CUDA_SUM_BLOCKS = 528 };
/* cuBLASLt's workspace, the same for all products: a plan cannot ask the heuristic. */
#define CUDA_MATMUL_WORK ((size_t)32 << 20)
/* The compute capability from which the kernels run: mma.sync with bf16, cp.async. */
enum { CUDA_LEAST = 80 };

/* A chunk of C targets takes 6 C H V operations and moves the bf16 projection and its fp32 gradient
 * twice, 10 H V bytes. An H100 does about 200 operations in the time of a byte, so C must be well
 * above 350: 1 GiB gives 1728 at a vocabulary of 152064, and twice that with bf16 logits. */
#define CUDA_HEAD                                                                                  \
    (struct device_head) { .bytes = (size_t)1 << 30, .most = 8192 }

/* Device memory beside the plan. CUDA takes CUDA_CONTEXT for its context and the code of kernels
 * (535 MiB were measured on an H200, with all kernels of a step loaded); NCCL takes CUDA_PEERS for
 * the buffers of a job of several ranks. */
#define CUDA_CONTEXT ((size_t)576 << 20)
#define CUDA_PEERS   ((size_t)256 << 20)

/* Returns the number of blocks that normalise so many rows of H elements in the backward pass. A
 * block has a thread for each 8 of a row, at most 512; together about CUDA_NORM_BLOCKS x 512. */
int cuda_norm_blocks(int64_t rows, int64_t H);
/* Rows of one id that a block of the embedding's gradient sums, and the windows of so many rows
 * into which longer runs are cut; 0 windows: no run is longer. */
enum { CUDA_EMBED_RUN = 64 };
int64_t cuda_embed_windows(int64_t T);
/* Returns the parts into which the gradient of a bias of n elements cuts the rows, where a block
 * has `width` columns: as many as make one round of blocks on 132 multiprocessors, at most 128. */
int64_t cuda_bias_parts(int64_t n, int64_t width);
/* Choices of experts that a warp counts, and the chunks of so many. */
enum { CUDA_ROUTE_CHUNK = 1024 };
int64_t cuda_route_chunks(int64_t T, int32_t K);
/* Returns the scratch of an operation in bytes. */
size_t cuda_work_bytes(enum op_id op, const void *args);

#ifdef __cplusplus
}
#endif
#endif
