/* SPDX-License-Identifier: Apache-2.0 */
/* Launchers of the CUDA kernels, in plain C: one for each operation of lib/ops/ops.h, which defines
 * the arguments. Each launcher queues its kernels on the stream of the context and returns 0 or a
 * cudaError_t (matmul may also return KERNEL_BLAS + a cublasStatus_t). Types are DT_F32 and
 * DT_BF16; pointers are device pointers. Sums have a fixed order that depends on the shapes alone;
 * no result depends on the order of atomic additions. */
#ifndef SFT_KERNELS_KERNELS_H
#define SFT_KERNELS_KERNELS_H

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif
#include "ops/ops.h"

struct kernel_context {
    cudaStream_t stream;
    void *work; /* cuda_work_bytes of ops/cuda_rules.h, aligned to 256 */
    void *blas; /* cublasLtHandle_t */
};
enum { KERNEL_BLAS = 100000 };

#define X(name) int kernel_##name(const struct op_##name *a, const struct kernel_context *c);
OPS_LIST(X)
#undef X

#ifdef __cplusplus
}
#endif
#endif
