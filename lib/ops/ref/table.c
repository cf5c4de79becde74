/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the reference's functions. */
#include "ref.h"

#ifdef REAL_F64
#define TABLE ref_table_f64
#else
#define TABLE ref_table_f32
#endif
extern const struct op_table TABLE;

const struct op_table TABLE = {
    .run =
        {
#define X(name) [OP_##name] = REF(name),
            OPS_LIST(X)
#undef X
        },
};
