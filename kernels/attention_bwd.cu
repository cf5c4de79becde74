/* SPDX-License-Identifier: Apache-2.0 */
/* Attention backward, bf16: dq, dk, dv from dout, without atomics, so that equal inputs give equal
 * bits.
 *
 * Two kernels recompute the probabilities p = exp(scale q k^T - lse). One owns keys and iterates
 * over the queries of all heads that see them (dv = p^T dout, dk = scale ds^T q). The other owns
 * queries and iterates over their keys (dq = scale ds k). Here ds = p (dout v^T - delta), and delta
 * is the sum of dout o of a query. This takes seven products instead of five. FLOPs: 14 D for each
 * pair of query and key; limit: the rate of mma.sync. */
#include "attention.cuh"
#include "element.cuh"

/* ---- delta ---- */
/* Computes delta and zeroes the counters. A block has 32 queries of a head, 8 lanes for each, of
 * which each reads 8 elements at a time; delta of a head is contiguous. Bytes: o and dout read
 * once. */
enum { DELTA_ROWS = 32, DELTA_LANES = 8 };
static __global__ void attention_delta(const struct backward b, const bf16 *o)
{
    if (blockIdx.x == 0 && threadIdx.x < 2) b.counters[threadIdx.x] = 0;
    const int64_t t = blockIdx.x / b.f.heads * (int64_t)DELTA_ROWS + threadIdx.x / DELTA_LANES;
    const int64_t head = blockIdx.x % b.f.heads, at = t * b.f.o_stride + head * b.f.dim;
    float sum = 0, x[8], y[8];
    for (int c = threadIdx.x % DELTA_LANES * 8; t < b.f.Tq && c < b.f.dim; c += 8 * DELTA_LANES) {
        load<bf16, 8>(x, o + at + c);
        load<bf16, 8>(y, b.dout + at + c);
#pragma unroll
        for (int k = 0; k < 8; k++) sum += x[k] * y[k];
    }
#pragma unroll
    for (int k = DELTA_LANES / 2; k; k >>= 1) sum += __shfl_xor_sync(~0u, sum, k);
    if (t < b.f.Tq && threadIdx.x % DELTA_LANES == 0) b.delta[head * b.f.Tq + t] = sum;
}

/* ---- dq ---- */
/* Stores the dq rows of this warp; scales and rounds acc. */
template <int D, int M>
static __device__ __forceinline__ void store_rows(bf16 *to, int64_t stride, float acc[M][D / 8][4],
                                                  int row, int end, float scale)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int t = row + 16 * m + lane / 4 + 8 * i;
            if (t >= end) continue;
            bf16 *const at = to + t * stride + lane % 4 * 2;
#pragma unroll
            for (int d = 0; d < D / 8; d++)
                *(uint32_t *)(at + 8 * d) =
                    pack(acc[m][d][2 * i] * scale, acc[m][d][2 * i + 1] * scale);
        }
}

/* Replaces s by ds = p (dp - delta), with p = exp2(scale s - lse) where the query sees the key.
 * CAP: s has been through cap_scores, and ds is of the score before. */
template <int M, int N, bool CAP>
static __device__ __forceinline__ void
gradient_rows(float s[M][N / 8][4], const float dp[M][N / 8][4], const float lse[M][2],
              const float delta[M][2], const struct sight &see, int row, int key, bool partly,
              float scale)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int r = row + 16 * m + lane / 4 + 8 * i;
            const int from = partly ? see.from(r) : 0;
            const int to = partly ? min(see.to(r), see.k_end) : INT32_MAX;
#pragma unroll
            for (int n = 0; n < N / 8; n++)
#pragma unroll
                for (int j = 0; j < 2; j++) {
                    const int c = key + 8 * n + lane % 4 * 2 + j, x = 2 * i + j;
                    const float p = exp2_fast(fmaf(s[m][n][x], scale, -lse[m][i]));
                    const bool sees = c >= from && c < to;
                    const float ds = p * (dp[m][n][x] - delta[m][i]);
                    s[m][n][x] = !sees ? 0 : CAP ? ds * (1 - s[m][n][x] * s[m][n][x]) : ds;
                }
        }
}

template <int D, int BM, int BN, int WARPS, bool CAP>
__global__ void __launch_bounds__(WARPS * 32) attention_dq(const struct backward b)
{
    constexpr int M = BM / WARPS / 16, THREADS = WARPS * 32, S = tile<D>::STRIDE;
    extern __shared__ __align__(16) bf16 shared[];
    bf16 *const q_tile = shared, *const d_tile = q_tile + BM * S, *const k_tile = d_tile + BM * S,
                *const v_tile = k_tile + BN * S;
    const struct op_attention &a = b.f;
    const int head = blockIdx.y, kv_head = head / (a.heads / a.kv_heads), lane = threadIdx.x % 32;
    struct piece p;
    if (!find_piece(a.cu_q, query_ranges(a), BM, gridDim.x - 1 - blockIdx.x, &p)) return;
    const struct sight see(a, p.doc);
    const int end = p.first + p.rows, last = end - 1, to = min(see.to(last), see.k_end);
    const int own = threadIdx.x / 32 * 16 * M, row = p.first + own;
    const float scale = (float)(CAP ? a.cap : a.scale) * LOG2E;
    int key = see.k_begin + max(0, see.from(p.first) - see.k_begin) / BN * BN;
    const bf16 *k = (const bf16 *)a.k + key * a.kv_stride + kv_head * D;
    const bf16 *v = (const bf16 *)a.v + key * a.kv_stride + kv_head * D;
    float acc[M][D / 8][4] = {}, s[M][BN / 8][4], dp[M][BN / 8][4], lse[M][2], delta[M][2];

    tile_copy<D, BM, THREADS>(q_tile, (const bf16 *)a.q + p.first * a.q_stride + head * D,
                              a.q_stride, p.rows);
    tile_copy<D, BM, THREADS>(d_tile, b.dout + p.first * a.o_stride + head * D, a.o_stride, p.rows);
    if (key < to) tile_copy<D, BN, THREADS>(k_tile, k, a.kv_stride, see.k_end - key);
    copy_commit();
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int t = min(row + 16 * m + lane / 4 + 8 * i, last);
            lse[m][i] = ((const float *)a.lse)[head * a.Tq + t] * LOG2E;
            delta[m][i] = b.delta[head * a.Tq + t];
        }
    for (; key < to; key += BN) {
        copy_wait<0>();
        __syncthreads();
        tile_copy<D, BN, THREADS>(v_tile, v, a.kv_stride, see.k_end - key);
        copy_commit();
        product_rows<D, M, BN>(s, q_tile, own, k_tile);
        copy_wait<0>();
        __syncthreads();
        if (CAP) cap_scores<M, BN>(s, (float)(a.scale / a.cap));
        product_rows<D, M, BN>(dp, d_tile, own, v_tile);
        const bool partly = key + BN > see.to(p.first) || key < see.from(last);
        gradient_rows<M, BN, CAP>(s, dp, lse, delta, see, row, key, partly, scale);
        product_columns<D, M, BN>(acc, s, k_tile);
        k += BN * a.kv_stride;
        v += BN * a.kv_stride;
        __syncthreads();
        if (key + BN < to) tile_copy<D, BN, THREADS>(k_tile, k, a.kv_stride, see.k_end - key - BN);
        copy_commit();
    }
    copy_wait<0>();
    store_rows<D, M>(b.dq + head * D, a.q_stride, acc, row, end, (float)a.scale);
}

/* ---- dk and dv ---- */
/* Copies 4-byte values [0, n) of src; writes zeros beyond them. */
template <int N>
static __device__ __forceinline__ void copy_floats(float *dst, const float *src, int n)
{
    if (threadIdx.x < N)
        asm volatile(
            "cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(dst + threadIdx.x)),
            "l"(src + (threadIdx.x < n ? threadIdx.x : 0)), "r"(threadIdx.x < n ? 4 : 0)
            : "memory");
}

/* Replaces s^T by p and dp^T by ds, for keys along the rows and BQ queries along the columns. CAP:
 * as in gradient_rows. */
template <int BQ, bool CAP>
static __device__ __forceinline__ void
gradient_columns(float s[1][BQ / 8][4], float dp[1][BQ / 8][4], const float *lse,
                 const float *delta, const struct viewers &see, int key, int query, float scale)
{
    const int lane = threadIdx.x % 32;
    int first[2], last[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int j = key + lane / 4 + 8 * i;
        first[i] = j < see.k_end ? see.first_query(j) - query : BQ;
        last[i] = j < see.k_end ? see.last_query(j) - query : 0;
    }
#pragma unroll
    for (int n = 0; n < BQ / 8; n++)
#pragma unroll
        for (int j = 0; j < 2; j++) {
            const int c = 8 * n + lane % 4 * 2 + j;
            const float l = lse[c] * LOG2E, d = delta[c];
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const int x = 2 * i + j;
                const bool sees = c >= first[i] && c < last[i];
                const float p = sees ? exp2_fast(fmaf(s[0][n][x], scale, -l)) : 0;
                const float ds = sees ? p * (dp[0][n][x] - d) : 0;
                dp[0][n][x] = CAP ? ds * (1 - s[0][n][x] * s[0][n][x]) : ds;
                s[0][n][x] = p;
            }
        }
}

/* Queries of one head in shared memory. */
template <int D, int BQ> struct query_stage {
    bf16 q[BQ * tile<D>::STRIDE], dout[BQ * tile<D>::STRIDE];
    float lse[BQ], delta[BQ];
};

/* Stores the rows of dk or dv of this warp; scales acc. */
template <int D>
static __device__ __forceinline__ void store_keys(const struct backward &b, void *to,
                                                  float acc[1][D / 8][4], int kv_head, int row,
                                                  int end, float scale)
{
    if (b.wide)
        store_wide<D>((float *)to + kv_head * D, b.f.kv_stride, acc[0], row, end, scale);
    else
        store_rows<D, 1>((bf16 *)to + kv_head * D, b.f.kv_stride, acc, row, end, scale);
}

/* Computes the gradients selected by DK and DV; both where the registers suffice. */
template <int D, int BK, int BQ, bool DK, bool DV, bool CAP>
__global__ void __launch_bounds__(BK * 2) attention_dkv(const struct backward b)
{
    constexpr int THREADS = BK * 2, S = tile<D>::STRIDE; /* 16 keys per warp */
    extern __shared__ __align__(16) bf16 shared[];
    bf16 *const k_tile = shared, *const v_tile = k_tile + BK * S;
    query_stage<D, BQ> *const stage = (query_stage<D, BQ> *)(v_tile + BK * S);
    const struct op_attention &a = b.f;
    const int kv_head = blockIdx.y, group = a.heads / a.kv_heads, own = threadIdx.x / 32 * 16;
    struct piece p;
    if (!find_piece(a.cu_k, a.docs, BK, blockIdx.x, &p)) return;
    const struct viewers see(a, p.doc);
    const int end = p.first + p.rows;
    const int from = max(see.q_begin, see.first_query(p.first)), to = see.last_query(end - 1);
    const int tiles = max(0, (to - from + BQ - 1) / BQ), steps = tiles * group;
    const float scale = (float)(CAP ? a.cap : a.scale) * LOG2E;
    float dk[1][D / 8][4] = {}, dv[1][D / 8][4] = {}, s[1][BQ / 8][4], dp[1][BQ / 8][4];

    auto load = [&](int step) {
        if (step < steps) {
            query_stage<D, BQ> &x = stage[step & 1];
            const int head = kv_head * group + step / tiles, i = from + step % tiles * BQ;
            const int n = min(BQ, to - i);
            tile_copy<D, BQ, THREADS>(x.q, (const bf16 *)a.q + i * a.q_stride + head * D,
                                      a.q_stride, n);
            tile_copy<D, BQ, THREADS>(x.dout, b.dout + i * a.o_stride + head * D, a.o_stride, n);
            copy_floats<BQ>(x.lse, (const float *)a.lse + head * a.Tq + i, n);
            copy_floats<BQ>(x.delta, b.delta + head * a.Tq + i, n);
        }
        copy_commit();
    };
    const int64_t at = p.first * a.kv_stride + kv_head * D;
    tile_copy<D, BK, THREADS>(k_tile, (const bf16 *)a.k + at, a.kv_stride, p.rows);
    tile_copy<D, BK, THREADS>(v_tile, (const bf16 *)a.v + at, a.kv_stride, p.rows);
    load(0);
    for (int step = 0; step < steps; step++) {
        load(step + 1);
        copy_wait<1>();
        __syncthreads();
        const query_stage<D, BQ> &x = stage[step & 1];
        product_rows<D, 1, BQ>(s, k_tile, own, x.q);
        if (CAP) cap_scores<1, BQ>(s, (float)(a.scale / a.cap));
        product_rows<D, 1, BQ>(dp, v_tile, own, x.dout);
        gradient_columns<BQ, CAP>(s, dp, x.lse, x.delta, see, p.first + own,
                                  from + step % tiles * BQ, scale);
        if (DV) product_columns<D, 1, BQ>(dv, s, x.dout);
        if (DK) product_columns<D, 1, BQ>(dk, dp, x.q);
        __syncthreads();
    }
    copy_wait<0>();
    if (DK) store_keys<D>(b, b.dk, dk, kv_head, p.first + own, end, (float)a.scale);
    if (DV) store_keys<D>(b, b.dv, dv, kv_head, p.first + own, end, 1);
}

/* ---- launching ---- */
template <typename KERNEL>
static int start(KERNEL *kernel, dim3 grid, int threads, size_t shared, const struct backward &b,
                 cudaStream_t stream)
{
    cudaError_t rc =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared);
    if (rc != cudaSuccess) return rc;
    kernel<<<grid, (unsigned)threads, shared, stream>>>(b);
    return cudaGetLastError();
}

template <int D, int BK, int BQ, bool DK, bool DV, bool CAP>
static int start_dkv(const struct backward &b, cudaStream_t stream)
{
    const dim3 grid((unsigned)(b.f.Tk / BK + b.f.docs), (unsigned)b.f.kv_heads);
    return start(attention_dkv<D, BK, BQ, DK, DV, CAP>, grid, BK * 2,
                 tile<D>::bytes(2 * BK) + 2 * sizeof(query_stage<D, BQ>), b, stream);
}

template <int D, int BM, int BN, int BK, int BQ, bool CAP>
static int launch(const struct backward &b, cudaStream_t stream)
{
    const dim3 grid((unsigned)(b.f.Tq / BM + query_ranges(b.f)), (unsigned)b.f.heads);
    int rc = start(attention_dq<D, BM, BN, 4, CAP>, grid, 128, tile<D>::bytes(2 * BM + 2 * BN), b,
                   stream);
    if (rc) return rc;
    if constexpr (D < 256) {
        return start_dkv<D, BK, BQ, true, true, CAP>(b, stream);
    } else {
        rc = start_dkv<D, BK, BQ, true, false, CAP>(b, stream);
        return rc ? rc : start_dkv<D, BK, BQ, false, true, CAP>(b, stream);
    }
}

/* Zeroes rows outside all documents; without queries, all rows of dk and dv. */
static int zero_outside(const struct backward &b, cudaStream_t stream)
{
    const struct op_attention &a = b.f;
    const int words = b.wide ? 2 : 1, width = words * a.kv_heads * a.dim;
    const int docs = a.Tq ? a.docs : 0;
    int rc = attention_zero_outside(b.dq, a.q_stride, a.heads * a.dim, a.Tq, a.cu_q,
                                    query_ranges(a), stream);
    if (!rc)
        rc = attention_zero_outside(b.dk, words * a.kv_stride, width, a.Tk, a.cu_k, docs, stream);
    if (!rc)
        rc = attention_zero_outside(b.dv, words * a.kv_stride, width, a.Tk, a.cu_k, docs, stream);
    return rc;
}

static int launch_capped(const struct backward &b, cudaStream_t stream)
{
    return b.f.dim == 64    ? launch<64, 128, 64, 64, 64, true>(b, stream)
           : b.f.dim == 128 ? launch<128, 128, 32, 64, 64, true>(b, stream)
                            : launch<256, 64, 32, 64, 32, true>(b, stream);
}

int kernel_attention_grad(const struct op_attention_grad *a, const struct kernel_context *c)
{
    const cudaStream_t stream = c->stream;
    struct op_attention all = a->fwd; /* combines the addresses for the alignment check */
    all.o = (void *)((uintptr_t)a->dout | (uintptr_t)a->dq | (uintptr_t)a->dk | (uintptr_t)a->dv);
    if (!attention_fits(&all)) return attention_grad_plain(a, stream);
    const int64_t warps = a->fwd.Tq * a->fwd.heads;
    float *const delta = (float *)c->work;
    struct backward b = {a->fwd, (const bf16 *)a->dout, (bf16 *)a->dq, a->dk, a->dv, a->wide,
                         delta,  (int *)(delta + warps)};
    b.f.lse = (void *)a->lse;
    const bool none = a->fwd.docs == 0 || a->fwd.Tq == 0, hopper = attention_fits_hopper(&a->fwd);
    int rc = hopper ? 0 : zero_outside(b, stream);
    if (rc || none) return rc;
    const int64_t tiles = (a->fwd.Tq + DELTA_ROWS - 1) / DELTA_ROWS;
    attention_delta<<<(unsigned)(tiles * a->fwd.heads), DELTA_ROWS * DELTA_LANES, 0, stream>>>(
        b, (const bf16 *)a->o);
    if ((rc = cudaGetLastError()) != 0) return rc;
    if (hopper) {
        rc = attention_dq_hopper(&b, stream);
        return rc ? rc : attention_dkv_hopper(&b, stream);
    }
    if (a->fwd.cap > 0) return launch_capped(b, stream);
    switch (a->fwd.dim) {
    case 64:
        return launch<64, 128, 64, 64, 64, false>(b, stream);
    case 80:
        return launch<80, 128, 32, 64, 64, false>(b, stream);
    case 96:
        return launch<96, 128, 32, 64, 64, false>(b, stream);
    case 128:
        return launch<128, 128, 32, 64, 64, false>(b, stream);
    case 256:
        return launch<256, 64, 32, 64, 32, false>(b, stream);
    default:
        return cudaErrorInvalidValue;
    }
}
