/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of 16 bits, and of 8, and their arithmetic: results are rounded once, to nearest even. */
#ifndef EMU_HALF_H
#define EMU_HALF_H

#include <stdbool.h>
#include <stdint.h>

enum half_format { HALF_F16, HALF_BF16 };

double half_value(enum half_format f, uint16_t bits);
/* Rounds x, whose exact value is x plus a rest of the sign of `rest`. */
uint16_t half_round(enum half_format f, double x, double rest);
uint16_t half_add(enum half_format f, uint16_t a, uint16_t b);
uint16_t half_mul(enum half_format f, uint16_t a, uint16_t b);
uint16_t half_fma(enum half_format f, uint16_t a, uint16_t b, uint16_t c);
/* The larger, or the smaller; -0 is less than +0. nan: a NaN gives NaN, else the number beside it.
 */
uint16_t half_pick(enum half_format f, uint16_t a, uint16_t b, bool larger, bool nan);
bool half_nan(enum half_format f, uint16_t bits);
/* Values of the formats e4m3 and e5m2. */
float fp8_value(bool e5m2, uint8_t bits);

#endif
