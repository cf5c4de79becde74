/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's library. Its presence tells a program that a driver is installed; the emulated
 * runtime does not call it. */
#include <cuda.h>

CUresult cuDriverGetVersion(int *v) { return *v = CUDA_VERSION, CUDA_SUCCESS; }
