/* SPDX-License-Identifier: Apache-2.0 */
/* The fast CPU operations, compiled once for each instruction set (ISA: base, v3, v4). OpenMP uses
 * static or per-task scheduling over work that is cut by shape alone, and reductions run in the
 * order of the cuts: the number of threads never changes the result. */
#ifndef SFT_OPS_CPU_H
#define SFT_OPS_CPU_H

#include "ops/cpu/simd.h"
#include "ops/table.h"

#define CPU_PASTE(a, b, c) a##b##_##c
#define CPU_NAME(a, b, c)  CPU_PASTE(a, b, c)
#define CPU(name)          CPU_NAME(cpu_, name, ISA)
#define CPU_WORK_OF(name)  CPU_NAME(cpu_work_, name, ISA)

#define X(name)                                                                                    \
    void CPU(name)(struct device * d, const void *args);                                           \
    size_t CPU_WORK_OF(name)(struct device * d, const void *args);
OPS_LIST(X)
#undef X

/* Begins the function of operation `name`; its arguments are *a, its device d. */
#define CPU_OP(name)                                                                               \
    static void name##_op(struct device *d, const struct op_##name *a);                            \
    void CPU(name)(struct device * d, const void *args) { name##_op(d, args); }                    \
    static void name##_op(struct device *d, const struct op_##name *a)
/* Begins the function that returns the scratch of the operation. */
#define CPU_WORK(name)                                                                             \
    static size_t name##_work(struct device *d, const struct op_##name *a);                        \
    size_t CPU_WORK_OF(name)(struct device * d, const void *args) { return name##_work(d, args); } \
    static size_t name##_work(struct device *d, const struct op_##name *a)

/* Runs a parallel loop over [0, n); the pragma's clauses follow d. One piece, as decoding often
 * has, wakes no other thread. */
#define PRAGMA(x) _Pragma(#x)
#define PARALLEL_FOR(d, i, n)                                                                      \
    PRAGMA(omp parallel for schedule(static) num_threads((n) > 1 ? (d)->threads : 1))              \
    for (int64_t i = 0; i < (n); i++)
/* Runs the same loop for pieces of unequal size: an idle thread takes the next `few` pieces. */
#define PARALLEL_DYNAMIC(d, i, n, few)                                                             \
    PRAGMA(omp parallel for schedule(dynamic, few) num_threads((n) > 1 ? (d)->threads : 1))        \
    for (int64_t i = 0; i < (n); i++)

/* Calls f(..., DT_BF16) or f(..., DT_F32), so that f is compiled for each type. */
#define BY_DTYPE(t, f, ...) ((t) == DT_BF16 ? f(__VA_ARGS__, DT_BF16) : f(__VA_ARGS__, DT_F32))

static inline int64_t cpu_blocks(int64_t n, int64_t size) { return (n + size - 1) / size; }
static inline int64_t cpu_min(int64_t a, int64_t b) { return a < b ? a : b; }

#endif
