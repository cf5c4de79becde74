/* SPDX-License-Identifier: Apache-2.0 */
/* The table of this instruction set's functions. */
#include "ops/cpu/cpu.h"

#define TABLE CPU_NAME(cpu_, table, ISA)
extern const struct op_table TABLE;

const struct op_table TABLE = {
    .run =
        {
#define X(name) [OP_##name] = CPU(name),
            OPS_LIST(X)
#undef X
        },
    .work = {[OP_matmul] = CPU_WORK_OF(matmul),
             [OP_grouped] = CPU_WORK_OF(grouped),
             [OP_rmsnorm_grad] = CPU_WORK_OF(rmsnorm_grad),
             [OP_attention] = CPU_WORK_OF(attention),
             [OP_attention_grad] = CPU_WORK_OF(attention_grad),
             [OP_sum] = CPU_WORK_OF(sum)},
};
