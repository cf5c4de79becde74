/* SPDX-License-Identifier: Apache-2.0 */
/* The scratch of each operation. */
#include "kernels.h"

size_t matmul_work(const struct op_matmul *a);
size_t rmsnorm_grad_work(const struct op_rmsnorm_grad *a);
size_t attention_grad_work(const struct op_attention_grad *a);
size_t bias_grad_work(const struct op_bias_grad *a);
size_t sum_work(const struct op_sum *a);

size_t kernel_work(enum op_id op, const void *args)
{
    switch (op) {
    case OP_matmul:
        return matmul_work((const struct op_matmul *)args);
    case OP_rmsnorm_grad:
        return rmsnorm_grad_work((const struct op_rmsnorm_grad *)args);
    case OP_attention_grad:
        return attention_grad_work((const struct op_attention_grad *)args);
    case OP_bias_grad:
        return bias_grad_work((const struct op_bias_grad *)args);
    case OP_sum:
        return sum_work((const struct op_sum *)args);
    default:
        return 0;
    }
}
