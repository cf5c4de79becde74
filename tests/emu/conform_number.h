/* SPDX-License-Identifier: Apache-2.0 */
/* Number formats on the host, for the values that a form must give. */
#ifndef CONFORM_NUMBER_H
#define CONFORM_NUMBER_H

#include <math.h>
#include <stdint.h>

enum round_mode { RN, RZ, RM, RP, RNA };
enum { SATURATE = 1, RELU = 2 };

/* Bits of a format: sign, exponent, mantissa. finite: the highest exponent holds numbers, and only
 * the highest code is NaN (e4m3). */
struct number {
    int exponent, mantissa, finite;
};
extern const struct number F16, BF16, TF32, E4M3, E5M2, F32;

double number_value(const struct number *n, uint32_t bits);
/* Overflow goes to infinity, or with SATURATE to the largest number; NaN has all bits but the sign
 * set. RELU turns negative values into 0. */
uint32_t number_round(const struct number *n, double x, enum round_mode mode, int flags);
/* a * b + c and a + b, rounded to odd: rounding them again to at most 51 bits is exact. */
double fma_odd(double a, double b, double c);
double sum_odd(double a, double b);

static inline double h2d(uint32_t h) { return number_value(&F16, h & 0xffff); }
static inline double b2d(uint32_t h) { return number_value(&BF16, h & 0xffff); }
static inline uint16_t d2h(double x) { return (uint16_t)number_round(&F16, x, RN, 0); }
static inline uint16_t d2b(double x) { return (uint16_t)number_round(&BF16, x, RN, 0); }
static inline uint32_t pair(uint16_t low, uint16_t high) { return low | (uint32_t)high << 16; }

static inline float ftz(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x; }
static inline float sat(float x) { return x > 0 ? (x < 1 ? x : 1) : 0; }
uint32_t bits_of(float x);
uint64_t bits_of(double x);
float float_of(uint32_t bits);

/* Operations in a rounding mode, '+', '-', '*', '/', and 's' for the root of a. */
float rounded(enum round_mode mode, char op, float a, float b);
double rounded(enum round_mode mode, char op, double a, double b);
float rounded_fma(enum round_mode mode, float a, float b, float c);
double rounded_fma(enum round_mode mode, double a, double b, double c);
/* x as an integer in a rounding mode, clamped to [low, high]; NaN gives nan. */
int64_t to_signed(enum round_mode mode, double x, int bits, int64_t nan);
uint64_t to_unsigned(enum round_mode mode, double x, int bits, uint64_t nan);
float from_signed(enum round_mode mode, int64_t x);
float from_unsigned(enum round_mode mode, uint64_t x);

#endif
