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

/* Makes a map of three dimensions of bf16; strides of the last two, in elements. */
static int make_map(CUtensorMap *map, const void *x, const cuuint64_t sizes[3],
                    const cuuint64_t strides[2], const cuuint32_t box[3])
{
    static const PFN_cuTensorMapEncodeTiled_v12000 encode = encoder();
    if (!encode) return cudaErrorNotSupported;
    const cuuint64_t bytes[] = {strides[0] * 2, strides[1] * 2};
    const cuuint32_t steps[] = {1, 1, 1};
    const CUresult rc =
        encode(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, (void *)x, sizes, bytes, box, steps,
               CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
               CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    return rc ? cudaErrorInvalidValue : cudaSuccess;
}

int map_heads(CUtensorMap *map, const void *x, int64_t T, int64_t stride, int heads, int dim,
              int rows)
{
    const cuuint64_t sizes[] = {(cuuint64_t)dim, (cuuint64_t)heads, (cuuint64_t)T};
    const cuuint64_t strides[] = {(cuuint64_t)dim, (cuuint64_t)stride};
    const cuuint32_t box[] = {BLOCK_COLUMNS, 1, (cuuint32_t)rows};
    return make_map(map, x, sizes, strides, box);
}

int map_matrices(CUtensorMap *map, const void *x, int64_t matrices, int64_t rows, int64_t columns)
{
    const cuuint64_t sizes[] = {(cuuint64_t)columns, (cuuint64_t)rows, (cuuint64_t)matrices};
    const cuuint64_t strides[] = {(cuuint64_t)columns, (cuuint64_t)(rows * columns)};
    const cuuint32_t box[] = {BLOCK_COLUMNS, BLOCK_COLUMNS, 1};
    return make_map(map, x, sizes, strides, box);
}
