/* SPDX-License-Identifier: Apache-2.0 */
/* cuBLASLt, opened once a device. */
#ifndef SFT_KERNELS_MATMUL_H
#define SFT_KERNELS_MATMUL_H

#ifdef __cplusplus
extern "C" {
#endif
/* *blas is for kernel_context.blas; 0 or a code as kernel_matmul's. Close it in either case. */
int kernel_blas_open(void **blas);
void kernel_blas_close(void *blas);
#ifdef __cplusplus
}
#endif
#endif
