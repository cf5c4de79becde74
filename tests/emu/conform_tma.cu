/* SPDX-License-Identifier: Apache-2.0 */
/* Tensor copies through tensor maps: boxes of one to five dimensions, swizzles, fills outside of
 * the tensor, strides, stores and reductions. */
#include "conform_device.h"
#include "conform_tensor.h"

#if CONFORM_SM >= 90
static struct family here("tma");

enum { SHARED = 16384 };

struct corner {
    int c[MOST];
};
#define LOAD_ASM(dims, coordinates, ...)                                                           \
    asm volatile("cp.async.bulk.tensor." dims ".shared::cluster.global.tile.mbarrier::"            \
                 "complete_tx::bytes [%0], [%1, {" coordinates "}], [%2];" ::"r"(to),              \
                 "l"(&map), "r"(bar), __VA_ARGS__                                                  \
                 : "memory")
#define STORE_ASM(op, dims, coordinates, ...)                                                      \
    asm volatile(op                                                                                \
                 "." dims ".global.shared::cta" coordinates                                        \
                 "], [%1]; cp.async.bulk.commit_group; cp.async.bulk.wait_group 0;" ::"l"(&map),   \
                 "r"(from), __VA_ARGS__                                                            \
                 : "memory")

template <int rank>
__global__ void tensor_load(const __grid_constant__ CUtensorMap map, struct corner at, int bytes,
                            int arriving, void *out)
{
    extern __shared__ __align__(1024) char s[];
    __shared__ uint64_t barrier;
    if (threadIdx.x == 0) {
        barrier_init(&barrier, 1);
        asm volatile("fence.mbarrier_init.release.cluster; prefetch.tensormap [%0];" ::"l"(&map)
                     : "memory");
    }
    for (int i = threadIdx.x; i < bytes / 4; i += blockDim.x)
        ((uint32_t *)s)[i] = 0x01010101 * FILL;
    asm volatile("fence.proxy.async;" ::: "memory");
    __syncthreads();
    const uint32_t to = shared_address(s), bar = shared_address(&barrier);
    if (threadIdx.x == 0) {
        barrier_expect(&barrier, arriving);
        if (rank == 1) LOAD_ASM("1d", "%3", "r"(at.c[0]));
        if (rank == 2) LOAD_ASM("2d", "%3, %4", "r"(at.c[0]), "r"(at.c[1]));
        if (rank == 3) LOAD_ASM("3d", "%3, %4, %5", "r"(at.c[0]), "r"(at.c[1]), "r"(at.c[2]));
        if (rank == 4)
            LOAD_ASM("4d", "%3, %4, %5, %6", "r"(at.c[0]), "r"(at.c[1]), "r"(at.c[2]),
                     "r"(at.c[3]));
        if (rank == 5)
            LOAD_ASM("5d", "%3, %4, %5, %6, %7", "r"(at.c[0]), "r"(at.c[1]), "r"(at.c[2]),
                     "r"(at.c[3]), "r"(at.c[4]));
    }
    barrier_wait(&barrier, 0);
    copy_words(out, s, bytes);
}

#define STORE_RANKS(op, suffix)                                                                    \
    if (rank == 1) STORE_ASM(op, "1d", suffix "%2}", "r"(at.c[0]));                                \
    if (rank == 2) STORE_ASM(op, "2d", suffix "%2, %3}", "r"(at.c[0]), "r"(at.c[1]));              \
    if (rank == 3)                                                                                 \
        STORE_ASM(op, "3d", suffix "%2, %3, %4}", "r"(at.c[0]), "r"(at.c[1]), "r"(at.c[2]));       \
    if (rank == 4)                                                                                 \
        STORE_ASM(op, "4d", suffix "%2, %3, %4, %5}", "r"(at.c[0]), "r"(at.c[1]), "r"(at.c[2]),    \
                  "r"(at.c[3]));                                                                   \
    if (rank == 5)                                                                                 \
        STORE_ASM(op, "5d", suffix "%2, %3, %4, %5, %6}", "r"(at.c[0]), "r"(at.c[1]),              \
                  "r"(at.c[2]), "r"(at.c[3]), "r"(at.c[4]));

template <int rank, int op>
__global__ void tensor_store(const __grid_constant__ CUtensorMap map, struct corner at, int bytes,
                             const void *in)
{
    extern __shared__ __align__(1024) char s[];
    copy_words(s, in, bytes);
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    const uint32_t from = shared_address(s);
    if (threadIdx.x) return;
    if (op == PLAIN) { STORE_RANKS("cp.async.bulk.tensor", ".tile.bulk_group [%0, {") }
    if (op == ADD) { STORE_RANKS("cp.reduce.async.bulk.tensor", ".add.tile.bulk_group [%0, {") }
    if (op == MIN) { STORE_RANKS("cp.reduce.async.bulk.tensor", ".min.tile.bulk_group [%0, {") }
    if (op == MAX) { STORE_RANKS("cp.reduce.async.bulk.tensor", ".max.tile.bulk_group [%0, {") }
    if (op == AND) { STORE_RANKS("cp.reduce.async.bulk.tensor", ".and.tile.bulk_group [%0, {") }
}

static struct corner corner_of(const struct tensor *t)
{
    struct corner c;
    memcpy(c.c, t->at, sizeof c.c);
    return c;
}

template <int rank> int launch_load(const struct form *f, const void *in, void *out)
{
    const struct tensor *t = (const struct tensor *)f->extra;
    CUtensorMap map;
    const int e = tensor_map(t, in, &map);
    if (e) return e;
    tensor_load<rank><<<1, 64, SHARED>>>(map, corner_of(t), shared_bytes(t), box_bytes(t), out);
    return cudaGetLastError();
}

/* For reductions the tensor holds the input's second part before. */
template <int rank, int op> int launch_store(const struct form *f, const void *in, void *out)
{
    const struct tensor *t = (const struct tensor *)f->extra;
    CUtensorMap map;
    int e = tensor_map(t, out, &map);
    if (!e && op != PLAIN)
        e = cudaMemcpy(out, (const char *)in + shared_bytes(t), f->out_bytes,
                       cudaMemcpyDeviceToDevice);
    if (e) return e;
    tensor_store<rank, op><<<1, 64, SHARED>>>(map, corner_of(t), shared_bytes(t), in);
    return cudaGetLastError();
}

static const char *printed_type(const struct tensor *t)
{
    return t->element == 1 ? "b8" : t->element == 2 ? "u16" : t->element == 4 ? "u32" : "u64";
}

static struct form load_form(const struct tensor *t,
                             int (*launch)(const struct form *, const void *, void *))
{
    struct form f = form_new(t->name, printed_type(t), NULL, 64, (unsigned)tensor_bytes(t),
                             (unsigned)shared_bytes(t));
    f.extra = t, f.launch = launch, f.want = want_loaded;
    return f;
}

static struct form store_form(const struct tensor *t,
                              int (*launch)(const struct form *, const void *, void *))
{
    struct form f = form_new(t->name, printed_type(t), NULL, 64, (unsigned)shared_bytes(t),
                             (unsigned)tensor_bytes(t));
    f.extra = t, f.launch = launch, f.want = want_stored, f.preset = 1;
    return f;
}

static struct form reduce_form(const struct tensor *t, int op,
                               int (*launch)(const struct form *, const void *, void *))
{
    struct form f = store_form(t, launch);
    f.in_bytes = (unsigned)(shared_bytes(t) + tensor_bytes(t));
    f.fill = fill_small, f.want = want_reduced, f.preset = 0, f.arg[0] = op;
    return f;
}

#define TYPE(x)    CU_TENSOR_MAP_DATA_TYPE_##x
#define SWIZZLE(x) CU_TENSOR_MAP_SWIZZLE_##x
#define P(...)     __VA_ARGS__
#define TENSOR(id, name, type, size, rank, ...)                                                    \
    static const struct tensor CAT(tensor_, id) = {name, TYPE(type), size, rank, __VA_ARGS__};
#define LOAD(rank, variant, type, size, ...)                                                       \
    LOAD_(__COUNTER__, rank, variant, type, size, __VA_ARGS__)
#define LOAD_(id, rank, variant, type, size, ...)                                                  \
    TENSOR(id, "cp.async.bulk.tensor." #rank "d.shared::cluster.global/" variant, type, size,      \
           rank, __VA_ARGS__)                                                                      \
    FORM(load_form(&CAT(tensor_, id), launch_load<rank>))
#define LOAD_EDGES(rank, variant, type, size, ...)                                                 \
    LOAD_EDGES_(__COUNTER__, rank, variant, type, size, __VA_ARGS__)
#define LOAD_EDGES_(id, rank, variant, type, size, ...)                                            \
    TENSOR(id, "cp.async.bulk.tensor." #rank "d.shared::cluster.global/" variant, type, size,      \
           rank, __VA_ARGS__)                                                                      \
    FORM(with_fill(load_form(&CAT(tensor_, id), launch_load<rank>), fill_edges))
#define STORE(rank, variant, type, size, ...)                                                      \
    STORE_(__COUNTER__, rank, variant, type, size, __VA_ARGS__)
#define STORE_(id, rank, variant, type, size, ...)                                                 \
    TENSOR(id, "cp.async.bulk.tensor." #rank "d.global.shared::cta/" variant, type, size, rank,    \
           __VA_ARGS__)                                                                            \
    FORM(store_form(&CAT(tensor_, id), (launch_store<rank, PLAIN>)))
#define REDUCE(rank, op, variant, type, size, ...)                                                 \
    REDUCE_(__COUNTER__, rank, op, variant, type, size, __VA_ARGS__)
#define REDUCE_(id, rank, op, variant, type, size, ...)                                            \
    TENSOR(id, "cp.reduce.async.bulk.tensor." #rank "d.global.shared::cta/" variant, type, size,   \
           rank, __VA_ARGS__)                                                                      \
    FORM(reduce_form(&CAT(tensor_, id), op, (launch_store<rank, op>)))

/* rank, variant, type and its bytes, tensor, box, first coordinate, steps, swizzle, NaN fill. */
LOAD(1, "bf16", BFLOAT16, 2, {256}, {64}, {32}, {}, SWIZZLE(NONE), 0)
LOAD(1, "f32,past-the-end", FLOAT32, 4, {100}, {64}, {68}, {}, SWIZZLE(NONE), 0)
LOAD(1, "u8,before-the-start", UINT8, 1, {256}, {128}, {-16}, {}, SWIZZLE(NONE), 0)
LOAD(1, "u64", UINT64, 8, {64}, {16}, {8}, {}, SWIZZLE(NONE), 0)
LOAD(2, "bf16", BFLOAT16, 2, P({64, 16}), P({16, 8}), P({8, 3}), {}, SWIZZLE(NONE), 0)
LOAD(2, "bf16,32B", BFLOAT16, 2, P({64, 32}), P({16, 16}), P({16, 5}), {}, SWIZZLE(32B), 0)
LOAD(2, "bf16,64B", BFLOAT16, 2, P({64, 32}), P({32, 16}), P({32, 5}), {}, SWIZZLE(64B), 0)
LOAD(2, "bf16,128B", BFLOAT16, 2, P({128, 32}), P({64, 16}), P({64, 5}), {}, SWIZZLE(128B), 0)
LOAD(2, "f32,128B", FLOAT32, 4, P({64, 32}), P({32, 12}), P({8, 1}), {}, SWIZZLE(128B), 0)
LOAD(2, "u8,64B", UINT8, 1, P({128, 16}), P({64, 8}), P({16, 2}), {}, SWIZZLE(64B), 0)
LOAD(2, "bf16,32B,narrow", BFLOAT16, 2, P({64, 32}), P({8, 16}), P({8, 2}), {}, SWIZZLE(32B), 0)
LOAD(2, "bf16,128B,outside", BFLOAT16, 2, P({72, 20}), P({64, 16}), P({40, 12}), {}, SWIZZLE(128B),
     0)
LOAD(2, "bf16,128B,before", BFLOAT16, 2, P({72, 20}), P({64, 8}), P({-8, -3}), {}, SWIZZLE(128B), 0)
LOAD(2, "bf16,all-outside", BFLOAT16, 2, P({64, 16}), P({16, 4}), P({64, 20}), {}, SWIZZLE(NONE), 0)
LOAD(2, "bf16,nan", BFLOAT16, 2, P({72, 20}), P({32, 8}), P({56, 16}), {}, SWIZZLE(NONE), 1)
LOAD(2, "f16,nan", FLOAT16, 2, P({72, 20}), P({32, 8}), P({-8, 16}), {}, SWIZZLE(NONE), 1)
LOAD(2, "f32,nan", FLOAT32, 4, P({36, 20}), P({16, 8}), P({28, -2}), {}, SWIZZLE(NONE), 1)
LOAD(2, "tf32", TFLOAT32, 4, P({36, 20}), P({16, 8}), P({4, 2}), {}, SWIZZLE(NONE), 0)
LOAD(2, "f32_ftz", FLOAT32_FTZ, 4, P({36, 20}), P({16, 8}), P({4, 2}), {}, SWIZZLE(NONE), 0)
LOAD_EDGES(2, "tf32,edges", TFLOAT32, 4, P({32, 12}), P({16, 8}), P({0, 0}), {}, SWIZZLE(NONE), 0)
LOAD_EDGES(2, "f32_ftz,edges", FLOAT32_FTZ, 4, P({32, 12}), P({16, 8}), P({0, 0}), {},
           SWIZZLE(NONE), 0)
LOAD(2, "bf16,128B,narrow", BFLOAT16, 2, P({64, 16}), P({16, 12}), P({8, 2}), {}, SWIZZLE(128B), 0)
LOAD(2, "bf16,steps", BFLOAT16, 2, P({64, 32}), P({16, 16}), P({8, 3}), P({1, 2}), SWIZZLE(NONE), 0)
LOAD(2, "bf16,steps,outside", BFLOAT16, 2, P({64, 32}), P({16, 15}), P({8, 20}), P({1, 3}),
     SWIZZLE(NONE), 0)
LOAD(3, "bf16", BFLOAT16, 2, P({32, 8, 6}), P({16, 4, 3}), P({8, 2, 1}), {}, SWIZZLE(NONE), 0)
LOAD(3, "bf16,128B,outside", BFLOAT16, 2, P({64, 6, 5}), P({64, 4, 3}), P({0, 4, 3}), {},
     SWIZZLE(128B), 0)
LOAD(3, "bf16,64B,before", BFLOAT16, 2, P({64, 6, 5}), P({32, 4, 3}), P({16, -1, -2}), {},
     SWIZZLE(64B), 0)
LOAD(4, "bf16", BFLOAT16, 2, P({16, 4, 5, 3}), P({8, 2, 3, 2}), P({8, 1, 2, 1}), {}, SWIZZLE(NONE),
     0)
LOAD(4, "bf16,128B,outside", BFLOAT16, 2, P({64, 4, 5, 3}), P({64, 2, 2, 2}), P({0, 3, 4, 2}), {},
     SWIZZLE(128B), 0)
LOAD(5, "f32", FLOAT32, 4, P({8, 3, 4, 3, 3}), P({4, 2, 2, 2, 2}), P({4, 1, 1, 1, 0}), {},
     SWIZZLE(NONE), 0)
LOAD(5, "f32,outside", FLOAT32, 4, P({8, 3, 4, 3, 3}), P({8, 2, 2, 2, 2}), P({4, 2, 3, 2, -1}), {},
     SWIZZLE(32B), 0)

/* A corner of a store has no negative coordinate: one makes the instruction illegal. */
STORE(1, "bf16", BFLOAT16, 2, {256}, {64}, {32}, {}, SWIZZLE(NONE), 0)
STORE(1, "f32,past-the-end", FLOAT32, 4, {100}, {64}, {68}, {}, SWIZZLE(NONE), 0)
STORE(2, "bf16", BFLOAT16, 2, P({64, 16}), P({16, 8}), P({8, 3}), {}, SWIZZLE(NONE), 0)
STORE(2, "bf16,32B", BFLOAT16, 2, P({32, 12}), P({16, 8}), P({16, 3}), {}, SWIZZLE(32B), 0)
STORE(2, "bf16,64B", BFLOAT16, 2, P({64, 12}), P({32, 8}), P({32, 3}), {}, SWIZZLE(64B), 0)
STORE(2, "bf16,128B", BFLOAT16, 2, P({64, 20}), P({64, 16}), P({0, 2}), {}, SWIZZLE(128B), 0)
STORE(2, "bf16,128B,outside", BFLOAT16, 2, P({72, 12}), P({64, 16}), P({40, 7}), {}, SWIZZLE(128B),
      0)
STORE(2, "bf16,64B,narrow", BFLOAT16, 2, P({64, 12}), P({16, 8}), P({24, 3}), {}, SWIZZLE(64B), 0)
STORE(2, "bf16,steps", BFLOAT16, 2, P({32, 16}), P({16, 8}), P({8, 3}), P({1, 2}), SWIZZLE(NONE), 0)
STORE(3, "bf16,outside", BFLOAT16, 2, P({32, 6, 4}), P({16, 4, 3}), P({24, 4, 2}), {},
      SWIZZLE(NONE), 0)
STORE(4, "bf16,64B", BFLOAT16, 2, P({32, 3, 4, 2}), P({32, 2, 2, 2}), P({0, 1, 1, 1}), {},
      SWIZZLE(64B), 0)
STORE(5, "f32", FLOAT32, 4, P({4, 3, 3, 3, 3}), P({4, 2, 2, 2, 2}), P({0, 1, 2, 1, 2}), {},
      SWIZZLE(NONE), 0)

REDUCE(1, ADD, "add,f32", FLOAT32, 4, {128}, {64}, {32}, {}, SWIZZLE(NONE), 0)
REDUCE(2, ADD, "add,f32,128B,outside", FLOAT32, 4, P({40, 12}), P({32, 8}), P({16, 7}), {},
       SWIZZLE(128B), 0)
REDUCE(2, ADD, "add,bf16,64B", BFLOAT16, 2, P({64, 12}), P({32, 8}), P({32, 3}), {}, SWIZZLE(64B),
       0)
REDUCE(2, ADD, "add,f16", FLOAT16, 2, P({32, 12}), P({16, 8}), P({8, 3}), {}, SWIZZLE(NONE), 0)
REDUCE(2, ADD, "add,s32", INT32, 4, P({32, 12}), P({16, 8}), P({8, 3}), {}, SWIZZLE(NONE), 0)
REDUCE(2, MIN, "min,s32", INT32, 4, P({32, 12}), P({16, 8}), P({8, 3}), {}, SWIZZLE(NONE), 0)
REDUCE(2, MAX, "max,s32", INT32, 4, P({32, 12}), P({16, 8}), P({8, 3}), {}, SWIZZLE(NONE), 0)
REDUCE(2, AND, "and,u32", UINT32, 4, P({32, 12}), P({16, 8}), P({8, 3}), {}, SWIZZLE(NONE), 0)
REDUCE(3, ADD, "add,f32", FLOAT32, 4, P({16, 6, 4}), P({8, 4, 2}), P({4, 3, 1}), {}, SWIZZLE(NONE),
       0)
REDUCE(4, ADD, "add,f32", FLOAT32, 4, P({16, 3, 3, 2}), P({8, 2, 2, 2}), P({4, 1, 1, 0}), {},
       SWIZZLE(NONE), 0)
#endif
