/* SPDX-License-Identifier: Apache-2.0 */
/* cuBLASLt, opened once per device. */
#ifndef SFT_KERNELS_MATMUL_H
#define SFT_KERNELS_MATMUL_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif
/* Opens *blas for kernel_context.blas. Returns 0 or a code as kernel_matmul. The caller closes it
 * in either case. */
int kernel_blas_open(void **blas);
void kernel_blas_close(void *blas);
size_t kernel_blas_version(void); /* of cuBLASLt */
#ifdef __cplusplus
}
#endif
#endif
