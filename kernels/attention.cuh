/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the attention kernels: the arguments, the documents, and the keys that a query sees.
 * Formulas are those of FlashAttention-2 (Dao 2023, arXiv 2307.08691). */
#ifndef SFT_KERNELS_ATTENTION_CUH
#define SFT_KERNELS_ATTENTION_CUH

#include <cuda_runtime.h>
#include <math.h>

#include "kernels.h"
#include "tile.cuh"

/* One tile of a document: rows [first, first + rows) of [begin, end). */
struct piece {
    int doc, first, rows;
};

/* Finds the tile of slot i. Documents have tiles of `size` rows and begin at cu[d]: document d has
 * the slots from cu[d] / size + d on. There are at least as many slots as tiles, so no list of
 * tiles is needed. Returns false when slot i has no tile. */
static __device__ __forceinline__ bool find_piece(const int32_t *cu, int docs, int size, int slot,
                                                  struct piece *p)
{
    int low = 0, high = docs; /* the last document whose slots begin at or before slot */
    while (high - low > 1) {
        const int mid = (low + high) / 2;
        if (cu[mid] / size + mid <= slot)
            low = mid;
        else
            high = mid;
    }
    const int begin = cu[low], end = cu[low + 1];
    p->doc = low;
    p->first = begin + (slot - (begin / size + low)) * size;
    p->rows = min(size, end - p->first);
    return p->rows > 0;
}

/* The keys [*from, *to) that query row i of document d sees. */
struct sight {
    int q_end, k_begin, k_end, window;
    sight() = default;
    __device__ __forceinline__ sight(const struct op_attention &a, int d)
        : q_end(a.cu_q[d + 1]), k_begin(a.cu_k[d]), k_end(a.cu_k[d + 1]), window(a.window)
    {
    }
    __device__ __forceinline__ int to(int i) const { return k_end - q_end + i + 1; }
    __device__ __forceinline__ int from(int i) const
    {
        return window > 0 ? max(k_begin, to(i) - window) : k_begin;
    }
    /* Returns the first query that sees key j; below: the end of these queries. */
    __device__ __forceinline__ int first_query(int j) const { return j + q_end - k_end; }
    __device__ __forceinline__ int last_query(int j) const
    {
        return window > 0 ? min(q_end, first_query(j) + window) : q_end;
    }
};

/* The arguments of the backward kernels. */
struct backward {
    struct op_attention f; /* q, k, v, lse and the shapes */
    const bf16 *dout;
    bf16 *dq, *dk, *dv;
    float *delta;  /* [heads, Tq] */
    int *counters; /* [2], 0 once attention_delta has run */
};

static constexpr float LOG2E = 1.4426950408889634f;

static __device__ __forceinline__ float exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* Returns true if the tensor-core kernels support the arguments: bf16, a supported dimension, and
 * rows that begin at multiples of 16 bytes. */
static inline bool attention_fits(const struct op_attention *a)
{
    const int dims[] = {64, 80, 96, 128, 256};
    bool known = false;
    for (int d : dims) known = known || a->dim == d;
    const int64_t odd = (a->q_stride | a->kv_stride | a->o_stride) % 8;
    const uintptr_t at = (uintptr_t)a->q | (uintptr_t)a->k | (uintptr_t)a->v | (uintptr_t)a->o;
    return known && a->dtype == DT_BF16 && odd == 0 && at % 16 == 0;
}
/* Returns true if the kernels for sm_90a support the arguments on this device; attention_fits
 * holds.
 */
bool attention_fits_hopper(const struct op_attention *a);
int attention_forward_hopper(const struct op_attention *a, int *counter, cudaStream_t stream);
int attention_dq_hopper(const struct backward *b, cudaStream_t stream);
int attention_dkv_hopper(const struct backward *b, cudaStream_t stream);
int attention_plain(const struct op_attention *a, cudaStream_t stream);
int attention_grad_plain(const struct op_attention_grad *a, cudaStream_t stream);

/* Zeroes the first `width` elements of the rows of x[T, stride] outside all documents. */
int attention_zero_outside(void *x, int64_t stride, int width, int64_t T, const int32_t *cu,
                           int docs, cudaStream_t stream);

#endif
