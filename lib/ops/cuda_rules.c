/* SPDX-License-Identifier: Apache-2.0 */
/* The scratch of each operation of the CUDA backend. */
#include "ops/cuda_rules.h"

int cuda_norm_blocks(int64_t rows, int64_t H)
{
    const int64_t threads = (H / 8 + 31) / 32 * 32;
    const int64_t each = threads < 64 ? 8 : threads < 512 ? 512 / threads : 1;
    const int64_t most = CUDA_NORM_BLOCKS * each;
    return (int)(rows < most ? rows : most);
}

int64_t cuda_embed_windows(int64_t T)
{
    return T > CUDA_EMBED_RUN ? (T + CUDA_EMBED_RUN - 1) / CUDA_EMBED_RUN : 0;
}

int64_t cuda_bias_parts(int64_t n, int64_t width)
{
    const int64_t columns = n > width ? (n + width - 1) / width : 1, parts = 132 * 4 / columns;
    return parts < 1 ? 1 : parts > 128 ? 128 : parts;
}

int64_t cuda_route_chunks(int64_t T, int32_t K)
{
    return (T * K + CUDA_ROUTE_CHUNK - 1) / CUDA_ROUTE_CHUNK;
}

/* The rows of each chunk's choices of each expert. */
static size_t dispatch(const struct op_dispatch *a)
{
    return (size_t)(cuda_route_chunks(a->T, a->K) * a->E) * sizeof(int32_t);
}

static size_t embed_grad(const struct op_embed_grad *a)
{
    return (size_t)(2 * cuda_embed_windows(a->T) * a->H) * sizeof(float);
}

static size_t rmsnorm_grad(const struct op_rmsnorm_grad *a)
{
    return (size_t)cuda_norm_blocks(norm_rows(a->T, a->heads), a->H) * (size_t)a->H * sizeof(float);
}

/* delta, then the counters of dq and of dk with dv. */
static size_t attention_grad(const struct op_attention_grad *a)
{
    return (size_t)a->fwd.heads * (size_t)a->fwd.Tq * sizeof(float) + 2 * sizeof(int);
}

/* Blocks with fewer than 256 columns have fewer parts. */
static size_t bias_grad(const struct op_bias_grad *a)
{
    return (size_t)(a->n * cuda_bias_parts(a->n, 256)) * sizeof(float);
}

size_t cuda_work_bytes(enum op_id op, const void *args)
{
    switch (op) {
    case OP_matmul:
        return CUDA_MATMUL_WORK;
    case OP_embed_grad:
        return embed_grad(args);
    case OP_rmsnorm_grad:
        return rmsnorm_grad(args);
    case OP_attention:
        return sizeof(int); /* a counter */
    case OP_attention_grad:
        return attention_grad(args);
    case OP_bias_grad:
        return bias_grad(args);
    case OP_dispatch:
        return dispatch(args);
    case OP_sum:
        return CUDA_SUM_BLOCKS * sizeof(double);
    default:
        return 0;
    }
}
