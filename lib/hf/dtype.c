/* SPDX-License-Identifier: Apache-2.0 */
/* The two spellings of each element type. */
#include "hf/dtype.h"

static const struct {
    const char *name, *torch;
} spelt[DT_COUNT] = {
    [DT_F32] = {"F32", "float32"},
    [DT_F16] = {"F16", "float16"},
    [DT_BF16] = {"BF16", "bfloat16"},
    [DT_F64] = {"F64", "float64"},
    [DT_I64] = {"I64", "int64"},
    [DT_I32] = {"I32", "int32"},
    [DT_I16] = {"I16", "int16"},
    [DT_I8] = {"I8", "int8"},
    [DT_U64] = {"U64", "uint64"},
    [DT_U32] = {"U32", "uint32"},
    [DT_U16] = {"U16", "uint16"},
    [DT_U8] = {"U8", "uint8"},
    [DT_BOOL] = {"BOOL", "bool"},
    [DT_F8_E4M3] = {"F8_E4M3", "float8_e4m3fn"},
    [DT_F8_E5M2] = {"F8_E5M2", "float8_e5m2"},
};

const char *hf_dtype_name(enum dtype t) { return spelt[t].name; }
const char *hf_dtype_torch(enum dtype t) { return spelt[t].torch; }

int hf_dtype_find(struct str name, enum dtype *out)
{
    for (int t = 0; t < DT_COUNT; t++) {
        if (str_is(name, spelt[t].name) || str_is(name, spelt[t].torch)) {
            *out = (enum dtype)t;
            return 0;
        }
    }
    return -1;
}
