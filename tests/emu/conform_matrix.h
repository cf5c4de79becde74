/* SPDX-License-Identifier: Apache-2.0 */
/* Elements of matrices on the host. */
#ifndef CONFORM_MATRIX_H
#define CONFORM_MATRIX_H

#include <stdint.h>

enum element { E_BF16, E_F16, E_TF32, E_F32, E_E4M3, E_E5M2, E_S8, E_U8, E_S4, E_U4, E_S32 };

int element_bits(enum element e);
double element_value(enum element e, uint32_t bits);
uint32_t element_bits_of(enum element e, double x);
/* The counter-th of a type's values: integers of -4 to 4 (0 to 7 if unsigned), or with real
 * numbers of -1 to 1 with all bits of the mantissa in use. */
uint32_t element_drawn(enum element e, int real, uint64_t counter);

#endif
