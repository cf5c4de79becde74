/* SPDX-License-Identifier: Apache-2.0 */
/* ring VARIANT: C = A B' of 64 x 64 by 256 in bf16, as a Hopper kernel does it: a warp loads tiles
 * with tensor copies into a ring of stages, a warpgroup multiplies them with wgmma, and a tensor
 * copy stores C. Each variant but `good` has one fault. Prints "right" or "wrong". */
#include <cstdio>
#include <cstring>
#include <cudaTypedefs.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>

enum { M = 64, N = 64, K = 256, DEPTH = 64, STAGES = 2, STEPS = K / DEPTH, TILE = M * DEPTH * 2 };
enum variant {
    GOOD,
    NO_PROXY_FENCE,    /* before the copy of C */
    NO_INIT_FENCE,     /* after mbarrier.init */
    NO_REGISTER_FENCE, /* wgmma.fence */
    LOOSE_WAIT,        /* wgmma.wait_group 1 */
    NO_EMPTY_WAIT,     /* the producer does not wait for a free stage */
    WRONG_PARITY,
    WRONG_SWIZZLE,
    BYTES_TOO_MANY,
    BYTES_TOO_FEW,
    WARP_MISSING,
    NO_BULK_WAIT,
    NO_START, /* the barrier behind mbarrier.init */
    VARIANTS
};
static const char *const names[VARIANTS] = {
    "good",          "no-proxy-fence", "no-init-fence", "no-register-fence", "loose-wait",
    "no-empty-wait", "wrong-parity",   "wrong-swizzle", "too-many-bytes",    "too-few-bytes",
    "warp-missing",  "no-bulk-wait",   "no-start"};

struct shared {
    __align__(1024) char a[STAGES][TILE], b[STAGES][TILE];
    __align__(1024) char c[M * N * 4];
    uint64_t full[STAGES], empty[STAGES];
};

static __device__ uint32_t at(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }
static __device__ void start(uint64_t *barrier, uint32_t n)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(at(barrier)), "r"(n) : "memory");
}
static __device__ void wait(uint64_t *barrier, uint32_t parity)
{
    asm volatile("{.reg .pred p; again: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1; "
                 "@!p bra again;}" ::"r"(at(barrier)),
                 "r"(parity)
                 : "memory");
}
static __device__ void arrive(uint64_t *barrier)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(at(barrier)) : "memory");
}
static __device__ void load(void *to, const CUtensorMap *map, int x, int y, uint64_t *barrier)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%2, %3}], [%4];" ::"r"(at(to)),
                 "l"(map), "r"(x), "r"(y), "r"(at(barrier))
                 : "memory");
}

template <int v>
static __device__ void produce(struct shared *s, const CUtensorMap *a, const CUtensorMap *b)
{
    const uint32_t bytes = 2 * TILE + (v == BYTES_TOO_MANY) * 16 - (v == BYTES_TOO_FEW) * TILE;
    for (int k = 0; k < STEPS; k++) {
        const int stage = k % STAGES;
        if (v != NO_EMPTY_WAIT) wait(&s->empty[stage], (k / STAGES & 1) ^ 1);
        asm volatile(
            "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(at(&s->full[stage])),
            "r"(bytes)
            : "memory");
        load(s->a[stage], a, k * DEPTH, 0, &s->full[stage]);
        load(s->b[stage], b, k * DEPTH, 0, &s->full[stage]);
    }
}

#define D4(i)  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define D16(i) D4(i), D4(i + 4), D4(i + 8), D4(i + 12)
static __device__ void multiply(float d[32], uint64_t a, uint64_t b)
{
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
                 "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
                 "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, "
                 "%32, %33, 1, 1, 1, 0, 0;"
                 : D16(0), D16(16)
                 : "l"(a), "l"(b)
                 : "memory");
}
/* A tile whose rows have 128 bytes, in K-major order. */
template <int v> static __device__ uint64_t descriptor(const void *tile)
{
    const uint64_t swizzle = v == WRONG_SWIZZLE ? 2 : 1;
    return (at(tile) & 0x3ffff) >> 4 | 1ull << 16 | 64ull << 32 | swizzle << 62;
}

template <int v> static __device__ void consume(struct shared *s, float d[32])
{
    const int warp = threadIdx.x / 32;
    for (int k = 0; k < STEPS; k++) {
        const int stage = k % STAGES;
        wait(&s->full[stage], (k / STAGES & 1) ^ (v == WRONG_PARITY && k == 1));
        if (v != NO_REGISTER_FENCE) asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
        for (int i = 0; i < DEPTH / 16; i++)
            if (v != WARP_MISSING || warp != 3 || k < STEPS - 1)
                multiply(d, descriptor<v>(s->a[stage] + 32 * i),
                         descriptor<v>(s->b[stage] + 32 * i));
        asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
        if (v == LOOSE_WAIT)
            asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");
        else
            asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
        if (threadIdx.x % 32 == 0) arrive(&s->empty[stage]);
    }
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
}

template <int v> static __device__ void store(struct shared *s, const CUtensorMap *c, float d[32])
{
    const int t = threadIdx.x;
    for (int i = 0; i < 32; i++) {
        const int row = t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8;
        ((float *)s->c)[row * N + i / 4 * 8 + t % 4 * 2 + i % 2] = d[i];
    }
    if (v != NO_PROXY_FENCE) asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    asm volatile("bar.sync 1, 128;" ::: "memory");
    if (t) return;
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%1, %1}], [%2]; "
                 "cp.async.bulk.commit_group;" ::"l"(c),
                 "r"(0), "r"(at(s->c))
                 : "memory");
    if (v != NO_BULK_WAIT) asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
}

template <int v>
__global__ void __launch_bounds__(160)
    ring(const __grid_constant__ CUtensorMap a, const __grid_constant__ CUtensorMap b,
         const __grid_constant__ CUtensorMap c)
{
    extern __shared__ __align__(1024) char memory[];
    struct shared *s = (struct shared *)memory;
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) start(&s->full[i], 1), start(&s->empty[i], 4);
        if (v != NO_INIT_FENCE) asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    if (v != NO_START) __syncthreads();
    if (threadIdx.x >= 128) {
        if (threadIdx.x == 128) produce<v>(s, &a, &b);
        return;
    }
    float d[32] = {};
    consume<v>(s, d);
    store<v>(s, &c, d);
}

/* ---- host ---- */
static PFN_cuTensorMapEncodeTiled_v12000 encode;
static int map_of(CUtensorMap *map, CUtensorMapDataType type, unsigned size, void *address,
                  unsigned columns, unsigned box, CUtensorMapSwizzle swizzle)
{
    const cuuint64_t dims[] = {columns, 64}, strides[] = {columns * size};
    const cuuint32_t boxes[] = {box, 64}, steps[] = {1, 1};
    return encode(map, type, 2, address, dims, strides, boxes, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                  swizzle, CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
}

static void *kernels[VARIANTS];
template <int v> static void fill_kernels(void)
{
    kernels[v] = (void *)ring<v>;
    if constexpr (v + 1 < VARIANTS) fill_kernels<v + 1>();
}

static __nv_bfloat16 a[M][K], b[N][K];
static float c[M][N];
static int compare(void)
{
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            float sum = 0;
            for (int k = 0; k < K; k++)
                sum += __bfloat162float(a[i][k]) * __bfloat162float(b[j][k]);
            if (sum != c[i][j])
                return printf("wrong: C[%d][%d] is %g, not %g\n", i, j, c[i][j], sum), 1;
        }
    return puts("right"), 0;
}

static int run(int v)
{
    void *da, *db, *dc;
    CUtensorMap maps[3];
    void *args[] = {&maps[0], &maps[1], &maps[2]};
    cudaMalloc(&da, sizeof a), cudaMalloc(&db, sizeof b), cudaMalloc(&dc, sizeof c);
    cudaMemcpy(da, a, sizeof a, cudaMemcpyHostToDevice);
    cudaMemcpy(db, b, sizeof b, cudaMemcpyHostToDevice);
    const CUtensorMapDataType bf16 = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    if (map_of(&maps[0], bf16, 2, da, K, DEPTH, CU_TENSOR_MAP_SWIZZLE_128B) ||
        map_of(&maps[1], bf16, 2, db, K, DEPTH, CU_TENSOR_MAP_SWIZZLE_128B) ||
        map_of(&maps[2], CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 4, dc, N, N, CU_TENSOR_MAP_SWIZZLE_NONE))
        return puts("no tensor map"), 1;
    cudaFuncSetAttribute(kernels[v], cudaFuncAttributeMaxDynamicSharedMemorySize,
                         sizeof(struct shared));
    cudaLaunchKernel(kernels[v], dim3(1), dim3(160), args, sizeof(struct shared), 0);
    cudaError_t e = cudaDeviceSynchronize();
    if (!e) e = cudaMemcpy(c, dc, sizeof c, cudaMemcpyDeviceToHost);
    if (e) return printf("fault: %s\n", cudaGetErrorString(e)), 1;
    return compare();
}

int main(int argc, char **argv)
{
    int v = 0;
    while (v < VARIANTS && argc == 2 && strcmp(argv[1], names[v])) v++;
    if (argc != 2 || v == VARIANTS) return fprintf(stderr, "usage: ring VARIANT\n"), 64;
    cudaDriverEntryPointQueryResult found;
    if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", (void **)&encode, 12000,
                                         cudaEnableDefault, &found) ||
        !encode)
        return puts("no cuTensorMapEncodeTiled"), 1;
    for (int i = 0; i < 64; i++)
        for (int k = 0; k < K; k++) {
            a[i][k] = __float2bfloat16((float)((i * 7 + k * 3) % 13 - 6));
            b[i][k] = __float2bfloat16((float)((i * 5 + k * 11) % 9 - 4));
        }
    fill_kernels<0>();
    return run(v);
}
