/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of 16 bits and 8. */
#include "half.h"

#include <math.h>
#include <string.h>

struct shape {
    int exponent, mantissa; /* bits */
};
static const struct shape shapes[] = {[HALF_F16] = {5, 10}, [HALF_BF16] = {8, 7}};

static uint16_t infinity_of(enum half_format f) { return f == HALF_F16 ? 0x7c00 : 0x7f80; }
bool half_nan(enum half_format f, uint16_t bits) { return (bits & 0x7fff) > infinity_of(f); }

double half_value(enum half_format f, uint16_t bits)
{
    if (f == HALF_BF16) {
        const uint32_t b = (uint32_t)bits << 16;
        float x;
        memcpy(&x, &b, sizeof x);
        return x;
    }
    const int e = bits >> 10 & 31, m = bits & 1023;
    const double v = e == 31 ? (m ? NAN : INFINITY) : ldexp(e ? m | 1024 : m, (e ? e : 1) - 25);
    return bits & 0x8000 ? -v : v;
}

/* The mantissa with a last bit of 1 where the value is not exact, so that it is rounded once. */
static uint64_t odd(double x, double rest)
{
    uint64_t b;
    memcpy(&b, &x, sizeof b);
    if (rest == 0) return b;
    if ((rest > 0) != (x > 0)) b--;
    return b | 1;
}

uint16_t half_round(enum half_format f, double x, double rest)
{
    const struct shape s = shapes[f];
    const int bias = (1 << (s.exponent - 1)) - 1, least = 1 - bias;
    if (isnan(x)) return 0x7fff;
    const uint64_t b = odd(x, isfinite(x) ? rest : 0);
    const uint16_t sign = (uint16_t)(b >> 48 & 0x8000);
    if (isinf(x)) return sign | infinity_of(f);
    const int e = (int)(b >> 52 & 2047) - 1023;
    const int shift = 52 - s.mantissa + (e < least ? least - e : 0);
    if (shift > 54) return sign;
    const uint64_t m = (b & ((1ull << 52) - 1)) | 1ull << 52, part = m & ((1ull << shift) - 1),
                   half = 1ull << (shift - 1);
    uint64_t q = m >> shift;
    q += part > half || (part == half && q & 1);
    if (e >= least) q += ((uint64_t)(e + bias) << s.mantissa) - (1ull << s.mantissa);
    return sign | (uint16_t)(q > infinity_of(f) ? infinity_of(f) : q);
}

/* Returns the part of a + b that is lost in rounding. */
static double lost(double a, double b)
{
    const volatile double sum = a + b, other = sum - a;
    const volatile double x = sum - other;
    const volatile double y = a - x, z = b - other;
    return y + z;
}

uint16_t half_add(enum half_format f, uint16_t a, uint16_t b)
{
    const double x = half_value(f, a), y = half_value(f, b);
    return half_round(f, x + y, lost(x, y));
}

uint16_t half_mul(enum half_format f, uint16_t a, uint16_t b)
{
    return half_round(f, half_value(f, a) * half_value(f, b), 0);
}

uint16_t half_fma(enum half_format f, uint16_t a, uint16_t b, uint16_t c)
{
    const double x = half_value(f, a) * half_value(f, b), y = half_value(f, c);
    return half_round(f, x + y, lost(x, y));
}

/* The order of numbers, -0 before +0. */
static int key(uint16_t a) { return a & 0x8000 ? -(a & 0x7fff) - 1 : a & 0x7fff; }

uint16_t half_pick(enum half_format f, uint16_t a, uint16_t b, bool larger, bool nan)
{
    const bool a_nan = half_nan(f, a), b_nan = half_nan(f, b);
    if (a_nan || b_nan) return nan || (a_nan && b_nan) ? 0x7fff : a_nan ? b : a;
    return (key(a) > key(b)) == larger ? a : b;
}

float fp8_value(bool e5m2, uint8_t bits)
{
    if (e5m2) return (float)half_value(HALF_F16, (uint16_t)(bits << 8));
    const int e = bits >> 3 & 15, m = bits & 7;
    const float v = (bits & 127) == 127 ? NAN : ldexpf((float)(e ? m | 8 : m), (e ? e : 1) - 10);
    return bits & 128 ? -v : v;
}
