/* SPDX-License-Identifier: Apache-2.0 */
/* Attention forward, bf16: o = softmax(scale q k^T) v within documents, and the log of the sums.
 *
 * A block computes one head for BM queries of a document; it iterates over the keys that they see
 * in tiles of BN, with the running maximum and sum of each query. Copies of V overlap the product
 * with K; copies of the next K overlap the softmax and the product with V. FLOPs: 4 D for each pair
 * of query and key; limit: the rate of mma.sync, about 0.6 of the rate of wgmma. */
#include "softmax.cuh"

template <int D, int BM, int BN, int WARPS> struct forward_shape {
    enum { M = BM / WARPS / 16, THREADS = WARPS * 32 };
    static constexpr size_t shared = tile<D>::bytes(BM + 2 * BN);
};

template <int D, int M>
static __device__ __forceinline__ void store(const struct op_attention &a, struct softmax<M> &r,
                                             float acc[M][D / 8][4], int head, int row, int end,
                                             float scale)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int t = row + 16 * m + lane / 4 + 8 * i;
            const float sum = quad_sum(r.sum[m][i]), inverse = sum > 0 ? 1 / sum : 0;
            if (t >= end) continue;
            bf16 *o = (bf16 *)a.o + t * a.o_stride + head * D + lane % 4 * 2;
#pragma unroll
            for (int d = 0; d < D / 8; d++)
                *(uint32_t *)(o + 8 * d) =
                    pack(acc[m][d][2 * i] * inverse, acc[m][d][2 * i + 1] * inverse);
            if (a.lse && lane % 4 == 0)
                ((float *)a.lse)[head * a.Tq + t] = softmax_log(r, m, i, sum, scale);
        }
}

template <int D, int BM, int BN, int WARPS, bool CAP>
__global__ void __launch_bounds__(WARPS * 32) attention_forward(const struct op_attention a)
{
    typedef forward_shape<D, BM, BN, WARPS> shape;
    constexpr int M = shape::M, THREADS = shape::THREADS;
    extern __shared__ __align__(16) bf16 shared[];
    bf16 *const q_tile = shared, *const k_tile = q_tile + BM * tile<D>::STRIDE,
                *const v_tile = k_tile + BN * tile<D>::STRIDE;
    const int head = blockIdx.y, kv_head = head / (a.heads / a.kv_heads);
    struct piece p;
    /* rows with many tiles run first, so that the last blocks are short */
    if (!find_piece(a.cu_q, query_ranges(a), BM, gridDim.x - 1 - blockIdx.x, &p)) return;
    const struct sight see(a, p.doc);
    const int last = p.first + p.rows - 1, to = min(see.to(last), see.k_end);
    const int row = p.first + threadIdx.x / 32 * 16 * M;
    const float scale = (float)(CAP ? a.cap : a.scale) * LOG2E;
    int key = see.k_begin + max(0, see.from(p.first) - see.k_begin) / BN * BN;
    const bf16 *const q = (const bf16 *)a.q + p.first * a.q_stride + head * D;
    const bf16 *k = (const bf16 *)a.k + key * a.kv_stride + kv_head * D;
    const bf16 *v = (const bf16 *)a.v + key * a.kv_stride + kv_head * D;
    float acc[M][D / 8][4] = {}, s[M][BN / 8][4], shrink[M][2];
    struct softmax<M> r;

    tile_copy<D, BM, THREADS>(q_tile, q, a.q_stride, p.rows);
    if (key < to) tile_copy<D, BN, THREADS>(k_tile, k, a.kv_stride, see.k_end - key);
    copy_commit();
    for (; key < to; key += BN) {
        copy_wait<0>();
        __syncthreads();
        tile_copy<D, BN, THREADS>(v_tile, v, a.kv_stride, see.k_end - key);
        copy_commit();
        product_rows<D, M, BN>(s, q_tile, threadIdx.x / 32 * 16 * M, k_tile);
        copy_wait<0>();
        __syncthreads();
        k += BN * a.kv_stride;
        v += BN * a.kv_stride;
        if (key + BN < to) tile_copy<D, BN, THREADS>(k_tile, k, a.kv_stride, see.k_end - key - BN);
        copy_commit();
        if (CAP) cap_scores<M, BN>(s, (float)(a.scale / a.cap));
        if (key + BN > see.to(p.first) || key < see.from(last)) hide<M, BN>(s, see, row, key);
        softmax_step<M, BN>(r, s, shrink, scale);
        softmax_shrink<D, M>(acc, shrink);
        product_columns<D, M, BN>(acc, s, v_tile);
    }
    copy_wait<0>();
    store<D, M>(a, r, acc, head, row, p.first + p.rows, scale);
}

/* Zeroes the rows of o outside all documents. */
static __global__ void attention_outside(bf16 *o, int64_t stride, int width, int64_t T,
                                         const int32_t *cu, int docs)
{
    const int64_t before = cu[0], rows = before + T - cu[docs];
    for (int64_t i = blockIdx.x; i < rows; i += gridDim.x) {
        const int64_t t = i < before ? i : i - before + cu[docs];
        for (int c = threadIdx.x; c < width; c += blockDim.x)
            o[t * stride + c] = __float2bfloat16(0);
    }
}

int attention_zero_outside(void *o, int64_t stride, int width, int64_t T, const int32_t *cu,
                           int docs, cudaStream_t stream)
{
    if (T == 0) return 0;
    attention_outside<<<(unsigned)(T < 64 ? T : 64), 128, 0, stream>>>((bf16 *)o, stride, width, T,
                                                                       cu, docs);
    return cudaGetLastError();
}

template <int D, int BM, int BN, int WARPS, bool CAP>
static int launch(const struct op_attention *a, cudaStream_t stream)
{
    typedef forward_shape<D, BM, BN, WARPS> shape;
    const dim3 grid((unsigned)(a->Tq / BM + query_ranges(*a)), (unsigned)a->heads);
    cudaError_t rc =
        cudaFuncSetAttribute(attention_forward<D, BM, BN, WARPS, CAP>,
                             cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shape::shared);
    if (rc != cudaSuccess) return rc;
    attention_forward<D, BM, BN, WARPS, CAP><<<grid, shape::THREADS, shape::shared, stream>>>(*a);
    return cudaGetLastError();
}

static int launch_capped(const struct op_attention *a, cudaStream_t stream)
{
    return a->dim == 64    ? launch<64, 128, 64, 4, true>(a, stream)
           : a->dim == 128 ? launch<128, 128, 64, 4, true>(a, stream)
                           : launch<256, 64, 64, 4, true>(a, stream);
}

int kernel_attention(const struct op_attention *a, const struct kernel_context *c)
{
    const cudaStream_t stream = c->stream;
    if (!attention_fits(a)) return attention_plain(a, stream);
    if (attention_fits_hopper(a)) return attention_forward_hopper(a, (int *)c->work, stream);
    int rc = attention_zero_outside(a->o, a->o_stride, a->heads * a->dim, a->Tq, a->cu_q,
                                    query_ranges(*a), stream);
    if (rc || a->docs == 0 || a->Tq == 0) return rc;
    if (a->cap > 0) return launch_capped(a, stream);
    switch (a->dim) {
    case 64:
        return launch<64, 128, 64, 4, false>(a, stream);
    case 80:
        return launch<80, 128, 64, 4, false>(a, stream);
    case 96:
        return launch<96, 128, 64, 4, false>(a, stream);
    case 128:
        return launch<128, 128, 64, 4, false>(a, stream);
    case 256:
        return launch<256, 64, 64, 4, false>(a, stream);
    default:
        return cudaErrorInvalidValue;
    }
}
