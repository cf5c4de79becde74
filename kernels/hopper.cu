/* SPDX-License-Identifier: Apache-2.0 */
/* The host's part of what only sm_90a has: tensor maps, and whether the device is one. */
#include "hopper.cuh"

#include <cudaTypedefs.h>
#include <cuda_runtime_api.h>

static int attribute(enum cudaDeviceAttr which)
{
    int device, value;
    if (cudaGetDevice(&device) || cudaDeviceGetAttribute(&value, which, device)) return 0;
    return value;
}

/* Code for sm_90a runs on compute capability 9.0 and on no later one. */
bool is_hopper(void)
{
    return attribute(cudaDevAttrComputeCapabilityMajor) == 9 &&
           attribute(cudaDevAttrComputeCapabilityMinor) == 0;
}

int multiprocessors(void)
{
    const int n = attribute(cudaDevAttrMultiProcessorCount);
    return n > 0 ? n : 1;
}

/* The driver's function, without linking libcuda; NULL: it has none. */
static PFN_cuTensorMapEncodeTiled_v12000 encoder(void)
{
    void *f = NULL;
    enum cudaDriverEntryPointQueryResult found;
    const cudaError_t rc = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &f, 12000,
                                                            cudaEnableDefault, &found);
    return rc || found != cudaDriverEntryPointSuccess ? NULL : (PFN_cuTensorMapEncodeTiled_v12000)f;
}

int map_heads(CUtensorMap *map, const void *x, int64_t T, int64_t stride, int heads, int dim,
              int rows)
{
    static const PFN_cuTensorMapEncodeTiled_v12000 encode = encoder();
    if (!encode) return cudaErrorNotSupported;
    const cuuint64_t sizes[] = {(cuuint64_t)dim, (cuuint64_t)heads, (cuuint64_t)T};
    const cuuint64_t strides[] = {(cuuint64_t)dim * 2, (cuuint64_t)stride * 2}; /* bytes */
    const cuuint32_t box[] = {BLOCK_COLUMNS, 1, (cuuint32_t)rows}, steps[] = {1, 1, 1};
    const CUresult rc =
        encode(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, (void *)x, sizes, strides, box, steps,
               CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
               CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    return rc ? cudaErrorInvalidValue : cudaSuccess;
}
