/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the attention kernels: the arguments, the documents, and the keys that a query sees.
 * Formulas are those of FlashAttention-2 (Dao 2023, arXiv 2307.08691). */
#ifndef SFT_KERNELS_ATTENTION_CUH
#define SFT_KERNELS_ATTENTION_CUH

#include <cuda_runtime.h>
#include <math.h>

#include "cap.cuh"
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

/* Returns the number of ranges in cu_q: documents, or two chunks of each. */
static __host__ __device__ __forceinline__ int query_ranges(const struct op_attention &a)
{
    return a.key_end ? 2 * a.docs : a.docs;
}

/* The keys [*from, *to) that query row i of range r of cu_q sees. */
struct sight {
    int q_end, k_begin, k_end, window;
    sight() = default;
    __device__ __forceinline__ sight(const struct op_attention &a, int r)
        : q_end(a.cu_q[r + 1]), k_begin(a.cu_k[a.key_end ? r / 2 : r]),
          k_end(a.key_end ? a.key_end[r] : a.cu_k[r + 1]), window(a.window)
    {
    }
    __device__ __forceinline__ int to(int i) const { return k_end - q_end + i + 1; }
    __device__ __forceinline__ int from(int i) const
    {
        return window > 0 ? max(k_begin, to(i) - window) : k_begin;
    }
};

/* The queries of document d that see a key. The positions of a document's queries rise, also from
 * one chunk to the next, so these queries are adjacent. */
struct viewers {
    int q_begin, q_end, k_end; /* of the document */
    int middle, middle_key;    /* ends of the first chunk's queries and keys */
    int last_key, window;      /* end of the keys that the last query sees */
    viewers() = default;
    __device__ __forceinline__ viewers(const struct op_attention &a, int d)
        : k_end(a.cu_k[d + 1]), middle(INT32_MIN), middle_key(INT32_MIN), last_key(k_end),
          window(a.window)
    {
        const int r = a.key_end ? 2 * d : d;
        q_begin = a.cu_q[r];
        q_end = a.cu_q[a.key_end ? r + 2 : r + 1];
        if (!a.key_end) return;
        middle = a.cu_q[r + 1];
        middle_key = a.key_end[r];
        last_key = a.key_end[r + 1];
    }
    /* Returns the first query that sees key j; below: the end of these queries. Both may lie before
     * q_begin. */
    __device__ __forceinline__ int first_query(int j) const
    {
        return j < middle_key ? j + middle - middle_key : max(middle, j + q_end - last_key);
    }
    __device__ __forceinline__ int last_query(int j) const
    {
        return window > 0 ? min(q_end, first_query(j + window)) : q_end;
    }
};

/* The arguments of the backward kernels. */
struct backward {
    struct op_attention f; /* q, k, v, lse and the shapes */
    const bf16 *dout;
    bf16 *dq;
    void *dk, *dv; /* bf16, or float if wide */
    bool wide;
    float *delta;  /* [heads, Tq] */
    int *counters; /* [2], 0 once attention_delta has run */
};

static constexpr float LOG2E = 1.4426950408889634f;

/* Stores the rows of a warp that lie before `end` as floats; `row` is the first. */
template <int D>
static __device__ __forceinline__ void
store_wide(float *to, int64_t stride, const float (&acc)[D / 8][4], int row, int end, float scale)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int t = row + lane / 4 + 8 * i;
        if (t >= end) continue;
        float *const at = to + t * stride + lane % 4 * 2;
#pragma unroll
        for (int d = 0; d < D / 8; d++)
            *(float2 *)(at + 8 * d) = make_float2(acc[d][2 * i] * scale, acc[d][2 * i + 1] * scale);
    }
}

static __device__ __forceinline__ float exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* Returns true if the tensor-core kernels support the arguments: bf16, a supported dimension (fewer
 * with a cap), and rows that begin at multiples of 16 bytes. */
static inline bool attention_fits(const struct op_attention *a)
{
    const int dims[] = {64, 128, 256, 80, 96};
    bool known = false;
    for (int i = 0; i < (a->cap > 0 ? 3 : 5); i++) known = known || a->dim == dims[i];
    const int64_t odd = (a->q_stride | a->kv_stride | a->o_stride) % 8;
    const uintptr_t at = (uintptr_t)a->q | (uintptr_t)a->k | (uintptr_t)a->v | (uintptr_t)a->o;
    return known && a->dtype == DT_BF16 && odd == 0 && at % 16 == 0;
}
/* Returns true if the kernels for sm_90a support the arguments on this device, which they do
 * without a cap; attention_fits holds. */
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
