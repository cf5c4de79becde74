/* SPDX-License-Identifier: Apache-2.0 */
/* cuTensorMapEncodeTiled, with the driver's own refusals, and how a program finds it. The map has
 * a layout of the emulator's; a kernel only passes it to copies. */
#include <cuda.h>
#include <stdio.h>
#include <string.h>

#include "bulk.h"
#include "runtime.h"

enum { BOX_MOST = 256, STEP_MOST = 8 };
static const uint8_t sizes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};

static CUresult refuse(const char *why)
{
    fprintf(stderr, "emulator: cuTensorMapEncodeTiled: %s\n", why);
    return CUDA_ERROR_INVALID_VALUE;
}

/* Returns what the driver refuses in a dimension, or NULL. */
static const char *bad_dimension(const struct tensor *t, const cuuint64_t *dims,
                                 const cuuint32_t *box, const cuuint32_t *steps, int d)
{
    if (!dims[d] || dims[d] > 1ull << 32) return "a dimension is 0 or above 2^32";
    if (!box[d] || box[d] > BOX_MOST) return "a box's side is 0 or above 256";
    if (!steps[d] || steps[d] > STEP_MOST) return "an element stride is 0 or above 8";
    if (d && (t->stride[d] % 16 || t->stride[d] >= 1ull << 40))
        return "a stride is not a multiple of 16, or 2^40 and more";
    if (d && t->stride[d] < (d == 1 ? dims[0] * t->stride[0] : t->stride[d - 1]))
        return "a stride is less than the dimension before";
    return NULL;
}

static const char *bad(const struct tensor *t, const cuuint64_t *dims, const cuuint32_t *box,
                       const cuuint32_t *steps)
{
    const uint32_t row = box[0] * (uint32_t)t->stride[0], width = 16u << t->swizzle;
    if (t->address % 16) return "the address is not a multiple of 16";
    for (int d = 0; d < t->rank; d++) {
        const char *why = bad_dimension(t, dims, box, steps, d);
        if (why) return why;
    }
    if (row % 16) return "the box's row is not a multiple of 16 bytes";
    if (t->swizzle && row > width) return "the box's row is wider than the swizzle";
    if (t->fill && t->type < CU_TENSOR_MAP_DATA_TYPE_FLOAT16) return "a NaN fill of integers";
    return NULL;
}

static CUresult encode(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *address,
                       const cuuint64_t *dims, const cuuint64_t *strides, const cuuint32_t *box,
                       const cuuint32_t *steps, CUtensorMapInterleave interleave,
                       CUtensorMapSwizzle swizzle, CUtensorMapL2promotion l2,
                       CUtensorMapFloatOOBfill fill)
{
    struct tensor t = {.magic = TENSOR_MAGIC, .address = (uint64_t)(uintptr_t)address};
    (void)l2;
    if ((uintptr_t)map % 64) return refuse("the map is not aligned to 64 bytes");
    if (!rank || rank > DIMS) return refuse("a rank that is not 1 to 5");
    if ((unsigned)type >= sizeof sizes || swizzle > CU_TENSOR_MAP_SWIZZLE_128B || interleave)
        return refuse("a type, swizzle or interleaving that is not emulated");
    t.rank = (uint8_t)rank, t.type = (uint8_t)type, t.swizzle = (uint8_t)swizzle;
    t.fill = (uint8_t)fill, t.stride[0] = sizes[type];
    for (cuuint32_t d = 0; d < rank; d++) {
        t.dim[d] = (uint32_t)dims[d], t.box[d] = (uint16_t)box[d];
        t.step[d] = d ? (uint8_t)steps[d] : 1;
        if (d) t.stride[d] = strides[d - 1];
    }
    const char *why = bad(&t, dims, box, steps);
    if (why) return refuse(why);
    memset(map, 0, sizeof *map);
    memcpy(map, &t, sizeof t);
    return CUDA_SUCCESS;
}

static cudaError_t find(const char *name, void **f, enum cudaDriverEntryPointQueryResult *result)
{
    const bool found = !strcmp(name, "cuTensorMapEncodeTiled");
    const union {
        CUresult (*function)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                             const cuuint64_t *, const cuuint64_t *, const cuuint32_t *,
                             const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                             CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
        void *address;
    } entry = {encode};
    *f = found ? entry.address : NULL;
    if (result) *result = found ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return found || result ? cudaSuccess : cudaErrorSymbolNotFound;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **f, unsigned version,
                                             unsigned long long flags,
                                             enum cudaDriverEntryPointQueryResult *result)
{
    (void)version, (void)flags;
    return find(name, f, result);
}
cudaError_t cudaGetDriverEntryPoint(const char *name, void **f, unsigned long long flags,
                                    enum cudaDriverEntryPointQueryResult *result)
{
    (void)flags;
    return find(name, f, result);
}
