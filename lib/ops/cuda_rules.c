/* SPDX-License-Identifier: Apache-2.0 */
/* The scratch of each operation of the CUDA backend. */
#include "ops/cuda_rules.h"

int cuda_norm_blocks(int64_t rows)
{
    return (int)(rows < CUDA_NORM_BLOCKS ? rows : CUDA_NORM_BLOCKS);
}

static size_t rmsnorm_grad(const struct op_rmsnorm_grad *a)
{
    return (size_t)cuda_norm_blocks(norm_rows(a->T, a->heads)) * (size_t)a->H * sizeof(float);
}

static size_t attention_grad(const struct op_attention_grad *a)
{
    return (size_t)a->fwd.heads * (size_t)a->fwd.Tq * sizeof(float);
}

static size_t bias_grad(const struct op_bias_grad *a)
{
    return (size_t)a->n * CUDA_BIAS_PARTS * sizeof(float);
}

size_t cuda_work_bytes(enum op_id op, const void *args)
{
    switch (op) {
    case OP_matmul:
        return CUDA_MATMUL_WORK;
    case OP_rmsnorm_grad:
        return rmsnorm_grad(args);
    case OP_attention_grad:
        return attention_grad(args);
    case OP_bias_grad:
        return bias_grad(args);
    case OP_sum:
        return CUDA_SUM_BLOCKS * sizeof(double);
    default:
        return 0;
    }
}
