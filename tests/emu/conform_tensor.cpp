/* SPDX-License-Identifier: Apache-2.0 */
#include "conform_tensor.h"

#include <cudaTypedefs.h>
#include <cuda_runtime.h>

#include "conform_number.h"

static int row_bytes(const struct tensor *t) { return t->dims[0] * t->element; }

/* Bytes from an element to the next of a dimension. */
static int stride(const struct tensor *t, int d)
{
    int n = d == 0 ? t->element : row_bytes(t);
    for (int i = 1; i < d; i++) n *= t->dims[i];
    return n;
}

int tensor_bytes(const struct tensor *t) { return stride(t, t->rank); }
static int step(const struct tensor *t, int d) { return d && t->step[d] ? t->step[d] : 1; }
static int held(const struct tensor *t, int d)
{
    return d < t->rank ? (t->box[d] + step(t, d) - 1) / step(t, d) : 1;
}
int box_bytes(const struct tensor *t)
{
    int n = t->element;
    for (int d = 0; d < t->rank; d++) n *= held(t, d);
    return n;
}

static int width(const struct tensor *t)
{
    return t->swizzle == CU_TENSOR_MAP_SWIZZLE_NONE
               ? 0
               : 16 << (t->swizzle - CU_TENSOR_MAP_SWIZZLE_NONE);
}

/* Bytes in shared memory from a row of the box to the next. */
static int pitch(const struct tensor *t)
{
    const int row = held(t, 0) * t->element;
    return row < width(t) ? width(t) : row;
}

int shared_bytes(const struct tensor *t)
{
    return box_bytes(t) / (held(t, 0) * t->element) * pitch(t);
}

/* Where the box's byte lies in shared memory that is aligned to 1024 bytes. */
static int swizzled(const struct tensor *t, int offset)
{
    static const int masks[] = {0, 1, 3, 7};
    const int mask = masks[t->swizzle - CU_TENSOR_MAP_SWIZZLE_NONE];
    return offset ^ (offset >> 7 & mask) << 4;
}

/* Calls f for each element of the box: its offset in shared memory, and in the tensor or -1. */
template <class F> static void each(const struct tensor *t, F f)
{
    const int n = box_bytes(t) / t->element;
    for (int i = 0; i < n; i++) {
        int rest = i, at = 0;
        for (int d = 0; d < t->rank; d++) {
            const int c = t->at[d] + rest % held(t, d) * step(t, d);
            rest /= held(t, d);
            if (c < 0 || c >= t->dims[d])
                at = -1;
            else if (at >= 0)
                at += c * stride(t, d);
        }
        f(swizzled(t, i / held(t, 0) * pitch(t) + i % held(t, 0) * t->element), at);
    }
}

int tensor_map(const struct tensor *t, const void *address, CUtensorMap *map)
{
    PFN_cuTensorMapEncodeTiled_v12000 encode;
    enum cudaDriverEntryPointQueryResult found;
    cudaError_t e = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", (void **)&encode,
                                                     12000, cudaEnableDefault, &found);
    if (e || found != cudaDriverEntryPointSuccess) return cudaErrorSymbolNotFound;
    cuuint64_t dims[MOST], strides[MOST];
    cuuint32_t box[MOST], steps[MOST];
    for (int d = 0; d < t->rank; d++) {
        dims[d] = (cuuint64_t)t->dims[d], box[d] = (cuuint32_t)t->box[d];
        steps[d] = (cuuint32_t)step(t, d);
        if (d) strides[d - 1] = (cuuint64_t)stride(t, d);
    }
    const CUresult r =
        encode(map, t->type, (cuuint32_t)t->rank, (void *)address, dims, strides, box, steps,
               CU_TENSOR_MAP_INTERLEAVE_NONE, t->swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
               t->fill_nan ? CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA
                           : CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    return r ? cudaErrorInvalidValue : cudaSuccess;
}

/* The fill of floats is a NaN of its own, or 0. */
static uint32_t outside(const struct tensor *t) { return t->fill_nan ? 0x7ff77ff7 : 0; }

/* TFLOAT32 is rounded on its way; FLOAT32_FTZ keeps what is tiny. */
static uint64_t loaded(const struct tensor *t, uint64_t v)
{
    if (t->type != CU_TENSOR_MAP_DATA_TYPE_TFLOAT32) return v;
    return number_round(&TF32, float_of((uint32_t)v), RN, 0) << 13;
}

int want_loaded(const struct form *f, const void *in, void *want)
{
    const struct tensor *t = (const struct tensor *)f->extra;
    memset(want, FILL, f->out_bytes);
    each(t, [&](int to, int from) {
        uint64_t v = outside(t);
        if (from >= 0) memcpy(&v, (const char *)in + from, (size_t)t->element);
        if (from >= 0) v = loaded(t, v);
        memcpy((char *)want + to, &v, (size_t)t->element);
    });
    return 1;
}

int want_stored(const struct form *f, const void *in, void *want)
{
    const struct tensor *t = (const struct tensor *)f->extra;
    memset(want, PRESET, f->out_bytes);
    each(t, [&](int from, int to) {
        if (to >= 0) memcpy((char *)want + to, (const char *)in + from, (size_t)t->element);
    });
    return 1;
}

static uint32_t reduce(int op, const struct tensor *t, uint32_t a, uint32_t b)
{
    if (op == MIN) return (int32_t)a < (int32_t)b ? a : b;
    if (op == MAX) return (int32_t)a > (int32_t)b ? a : b;
    if (op == AND) return a & b;
    if (t->type == CU_TENSOR_MAP_DATA_TYPE_FLOAT32) return bits_of(float_of(a) + float_of(b));
    if (t->type == CU_TENSOR_MAP_DATA_TYPE_BFLOAT16) return d2b(b2d(a) + b2d(b));
    if (t->type == CU_TENSOR_MAP_DATA_TYPE_FLOAT16) return d2h(h2d(a) + h2d(b));
    return a + b;
}

int want_reduced(const struct form *f, const void *in, void *want)
{
    const struct tensor *t = (const struct tensor *)f->extra;
    memcpy(want, (const char *)in + shared_bytes(t), f->out_bytes);
    each(t, [&](int from, int to) {
        uint32_t a = 0, b = 0;
        if (to < 0) return;
        memcpy(&a, (char *)want + to, (size_t)t->element);
        memcpy(&b, (const char *)in + from, (size_t)t->element);
        a = reduce(f->arg[0], t, a, b);
        memcpy((char *)want + to, &a, (size_t)t->element);
    });
    return 1;
}

/* Small integers, exact in each type. */
void fill_small(const struct form *f, void *in)
{
    const struct tensor *t = (const struct tensor *)f->extra;
    for (unsigned i = 0; i < f->in_bytes / (unsigned)t->element; i++) {
        const int v = (int)(mix(i) % 31) - 15;
        uint32_t bits = (uint32_t)v;
        if (t->type == CU_TENSOR_MAP_DATA_TYPE_FLOAT32) bits = bits_of((float)v);
        if (t->type == CU_TENSOR_MAP_DATA_TYPE_BFLOAT16) bits = d2b(v);
        if (t->type == CU_TENSOR_MAP_DATA_TYPE_FLOAT16) bits = d2h(v);
        memcpy((char *)in + i * (unsigned)t->element, &bits, (size_t)t->element);
    }
}

void fill_edges(const struct form *f, void *in)
{
    for (unsigned i = 0; i < f->in_bytes / 4; i++)
        ((uint32_t *)in)[i] = (uint32_t)sample(K_F32, 0, i % 96);
}
