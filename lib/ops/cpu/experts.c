/* SPDX-License-Identifier: Apache-2.0 */
/* Operations of mixtures of experts, by the reference's code. */
#include "ops/cpu/cpu.h"

#define FROM_REFERENCE(name)                                                                       \
    op_fn ref_##name##_f32;                                                                        \
    CPU_OP(name) { ref_##name##_f32(d, a); }

FROM_REFERENCE(route)
FROM_REFERENCE(route_grad)
FROM_REFERENCE(load)
FROM_REFERENCE(load_loss)
FROM_REFERENCE(grouped)
FROM_REFERENCE(combine)
FROM_REFERENCE(combine_grad)
