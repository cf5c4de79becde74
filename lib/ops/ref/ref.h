/* SPDX-License-Identifier: Apache-2.0 */
/* The reference: every operation in simple C, compiled once with REAL = float and once with REAL =
 * double. Speed does not matter; tests compare other backends with it. Elements of any type are
 * loaded to REAL, and rounded to their type when stored. */
#ifndef SFT_OPS_REF_H
#define SFT_OPS_REF_H

#include <math.h>
#include <string.h>
#include <tgmath.h>
#undef I /* defined by complex.h; here the intermediate size */

#include "ops/table.h"

#ifdef REAL_F64
#define REF(name) ref_##name##_f64
#else
#define REF(name) ref_##name##_f32
#endif

/* Returns the accumulation type for operands of type t. */
static inline enum dtype real_of(enum dtype t) { return t == DT_F64 ? DT_F64 : DT_F32; }

/* Returns bf16 if t is bf16, else the accumulation type. */
static inline enum dtype kept_as(enum dtype t, enum dtype real)
{
    return t == DT_BF16 ? DT_BF16 : real;
}

static inline REAL get(const void *p, int64_t i, enum dtype t)
{
    switch (t) {
    case DT_F32:
        return (REAL)((const float *)p)[i];
    case DT_BF16:
        return (REAL)bf16_to_f32(((const uint16_t *)p)[i]);
    case DT_F64:
        return (REAL)((const double *)p)[i];
    case DT_I32:
        return (REAL)((const int32_t *)p)[i];
    default: /* occurs in files only */
        return 0;
    }
}

static inline void put(void *p, int64_t i, enum dtype t, REAL x)
{
    switch (t) {
    case DT_F32:
        ((float *)p)[i] = (float)x;
        break;
    case DT_BF16:
        ((uint16_t *)p)[i] = bf16_from_f32((float)x);
        break;
    case DT_F64:
        ((double *)p)[i] = (double)x;
        break;
    case DT_I32:
        ((int32_t *)p)[i] = (int32_t)x;
        break;
    default: /* occurs in files only */
        break;
    }
}

#define X(name) void REF(name)(struct device * d, const void *args);
OPS_LIST(X)
#undef X

/* Begins the function of operation `name`; its arguments are *a. */
#define REF_OP(name)                                                                               \
    static void name##_op(const struct op_##name *a);                                              \
    void REF(name)(struct device * d, const void *args)                                            \
    {                                                                                              \
        (void)d;                                                                                   \
        name##_op(args);                                                                           \
    }                                                                                              \
    static void name##_op(const struct op_##name *a)

#endif
