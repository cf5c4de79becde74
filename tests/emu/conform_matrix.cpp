/* SPDX-License-Identifier: Apache-2.0 */
#include "conform_matrix.h"

#include "conform.h"
#include "conform_number.h"

int element_bits(enum element e)
{
    static const int bits[] = {16, 16, 32, 32, 8, 8, 8, 8, 4, 4, 32};
    return bits[e];
}

static const struct number *number_of(enum element e)
{
    static const struct number *const numbers[] = {&BF16, &F16, &TF32, &F32, &E4M3, &E5M2};
    return e <= E_E5M2 ? numbers[e] : NULL;
}

double element_value(enum element e, uint32_t bits)
{
    if (e == E_TF32) return number_value(&TF32, bits >> 13);
    if (number_of(e)) return number_value(number_of(e), bits);
    if (e == E_S8) return (int8_t)bits;
    if (e == E_S4) return (int8_t)(bits << 4) >> 4;
    if (e == E_S32) return (int32_t)bits;
    return bits;
}

uint32_t element_bits_of(enum element e, double x)
{
    if (e == E_TF32) return number_round(&TF32, x, RN, 0) << 13;
    if (number_of(e)) return number_round(number_of(e), x, RN, 0);
    return (uint32_t)(int32_t)x & (element_bits(e) == 32 ? ~0u : (1u << element_bits(e)) - 1);
}

uint32_t element_drawn(enum element e, int real, uint64_t counter)
{
    const uint64_t r = mix(counter);
    if (real) return element_bits_of(e, ldexp((double)(int64_t)r, -63));
    return element_bits_of(e, e == E_U8 || e == E_U4 ? (int)(r % 8) : (int)(r % 9) - 4);
}
