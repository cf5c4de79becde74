/* SPDX-License-Identifier: Apache-2.0 */
/* The backends "ref" and "ref64": the plain C of lib/ops/ref in float and in double. */
#include "ops/table.h"

extern const struct op_table ref_table_f32, ref_table_f64;

struct device *ref_open(bool wide, int threads, struct err *e)
{
    const struct op_table *t = wide ? &ref_table_f64 : &ref_table_f32;
    struct host_device *h = host_open(wide ? "ref64" : "ref", t, threads, e);
    if (!h) return NULL;
    h->d.has_bf16 = !wide;
    return &h->d;
}
