/* SPDX-License-Identifier: Apache-2.0 */
/* The reduction of the ranks' blocks in rank order, for collectives. */
#ifndef SFT_KERNELS_FOLD_H
#define SFT_KERNELS_FOLD_H

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif
#include "base/dtype.h"

struct fold {
    void *into;         /* [n]; may be own */
    const void *own;    /* [n], the block of this rank */
    const void *others; /* [ranks - 1, n], the blocks of the other ranks in rank order */
    int rank, ranks;
    size_t n;
    enum dtype type; /* DT_F32, DT_BF16 or DT_F64 */
    int largest;     /* 1: the maximum, else the sum */
};
/* into = ((block 0 + block 1) + block 2) + ..., or the elementwise maximum, with the bits of
 * comm_fold: bf16 is reduced in fp32 and rounded once. Returns 0 or a cudaError_t. */
int kernel_fold(const struct fold *f, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif
