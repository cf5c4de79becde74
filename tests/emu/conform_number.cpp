/* SPDX-License-Identifier: Apache-2.0 */
#include "conform_number.h"

#include <fenv.h>
#include <string.h>

const struct number F16 = {5, 10, 0}, BF16 = {8, 7, 0}, TF32 = {8, 10, 0}, E4M3 = {4, 3, 1},
                    E5M2 = {5, 2, 0}, F32 = {8, 23, 0};

static int bias_of(const struct number *n) { return (1 << (n->exponent - 1)) - 1; }

static uint32_t infinity_of(const struct number *n)
{
    return (uint32_t)((1 << n->exponent) - 1) << n->mantissa;
}

static uint32_t nan_of(const struct number *n) { return (1u << (n->exponent + n->mantissa)) - 1; }

static uint32_t largest_of(const struct number *n)
{
    return n->finite ? nan_of(n) - 1 : infinity_of(n) - 1;
}

double number_value(const struct number *n, uint32_t bits)
{
    const uint32_t magnitude = bits & nan_of(n);
    const int sign = (int)(bits >> (n->exponent + n->mantissa)) & 1;
    const int e = (int)(magnitude >> n->mantissa);
    const uint32_t m = magnitude & ((1u << n->mantissa) - 1);
    double x;
    if (n->finite ? magnitude == nan_of(n) : magnitude > infinity_of(n))
        x = NAN;
    else if (!n->finite && magnitude == infinity_of(n))
        x = INFINITY;
    else if (e == 0)
        x = ldexp(m, 1 - bias_of(n) - n->mantissa);
    else
        x = ldexp(m + (1u << n->mantissa), e - bias_of(n) - n->mantissa);
    return sign ? -x : x;
}

/* x >= 0 in units of the last place of its binade, rounded. */
static double round_units(double units, enum round_mode mode, int negative)
{
    const double low = floor(units), rest = units - low;
    int up = 0;
    if (mode == RN) up = rest > 0.5 || (rest == 0.5 && fmod(low, 2) == 1);
    if (mode == RNA) up = rest >= 0.5;
    if (mode == RP) up = rest > 0 && !negative;
    if (mode == RM) up = rest > 0 && negative;
    return low + up;
}

static uint32_t overflow(const struct number *n, enum round_mode mode, int negative, int flags)
{
    const int inward = mode == RZ || (mode == RP && negative) || (mode == RM && !negative);
    if ((flags & SATURATE) || inward) return largest_of(n);
    return n->finite ? nan_of(n) : infinity_of(n);
}

uint32_t number_round(const struct number *n, double x, enum round_mode mode, int flags)
{
    const int negative = signbit(x) != 0, lowest = 1 - bias_of(n);
    const uint32_t sign = (uint32_t)negative << (n->exponent + n->mantissa);
    if (isnan(x)) return nan_of(n);
    if ((flags & RELU) && negative) return 0;
    if (isinf(x)) {
        if (flags & SATURATE) return sign | largest_of(n);
        return sign | (n->finite ? nan_of(n) : infinity_of(n));
    }
    int e = x == 0 ? lowest : ilogb(x);
    if (e < lowest) e = lowest;
    const double units = round_units(ldexp(fabs(x), n->mantissa - e), mode, negative);
    /* The mantissa's carry moves into the exponent by itself. */
    const double code = units + ldexp(e - lowest, n->mantissa);
    if (code > largest_of(n)) return sign | overflow(n, mode, negative, flags);
    return sign | (uint32_t)code;
}

double sum_odd(double a, double b)
{
    const double s = a + b, t = s - a, error = (a - (s - t)) + (b - t);
    uint64_t bits = bits_of(s);
    if (!isfinite(s) || error == 0 || (bits & 1)) return s;
    /* The neighbour towards the exact sum is odd. */
    bits += (error > 0) == (s > 0) ? 1 : -1;
    double odd;
    memcpy(&odd, &bits, sizeof odd);
    return odd;
}

double fma_odd(double a, double b, double c) { return sum_odd(a * b, c); }

uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void set_mode(enum round_mode mode)
{
    static const int modes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
    fesetround(modes[mode]);
}

/* volatile keeps the operation between the changes of mode. */
template <class T> static T operate(enum round_mode mode, char op, T a_, T b_)
{
    volatile T a = a_, b = b_, z;
    set_mode(mode);
    if (op == '+')
        z = a + b;
    else if (op == '-')
        z = a - b;
    else if (op == '*')
        z = a * b;
    else if (op == '/')
        z = a / b;
    else
        z = sqrt(a);
    set_mode(RN);
    return z;
}

float rounded(enum round_mode mode, char op, float a, float b)
{
    return operate<float>(mode, op, a, b);
}

double rounded(enum round_mode mode, char op, double a, double b)
{
    return operate<double>(mode, op, a, b);
}

float rounded_fma(enum round_mode mode, float a_, float b_, float c_)
{
    volatile float a = a_, b = b_, c = c_;
    set_mode(mode);
    volatile float z = fmaf(a, b, c);
    set_mode(RN);
    return z;
}

double rounded_fma(enum round_mode mode, double a_, double b_, double c_)
{
    volatile double a = a_, b = b_, c = c_;
    set_mode(mode);
    volatile double z = fma(a, b, c);
    set_mode(RN);
    return z;
}

static double to_integer(enum round_mode mode, double x)
{
    return mode == RN ? nearbyint(x) : mode == RZ ? trunc(x) : mode == RM ? floor(x) : ceil(x);
}

int64_t to_signed(enum round_mode mode, double x, int bits, int64_t nan)
{
    const double limit = ldexp(1, bits - 1), i = to_integer(mode, x);
    if (isnan(x)) return nan;
    if (i >= limit) return (int64_t)(((uint64_t)1 << (bits - 1)) - 1);
    if (i < -limit) return (int64_t)-limit;
    return (int64_t)i;
}

uint64_t to_unsigned(enum round_mode mode, double x, int bits, uint64_t nan)
{
    const double limit = ldexp(1, bits), i = to_integer(mode, x);
    if (isnan(x)) return nan;
    if (i >= limit) return bits == 64 ? ~(uint64_t)0 : ((uint64_t)1 << bits) - 1;
    return i <= 0 ? 0 : (uint64_t)i;
}

float from_signed(enum round_mode mode, int64_t x_)
{
    volatile int64_t x = x_;
    set_mode(mode);
    volatile float z = (float)x;
    set_mode(RN);
    return z;
}

float from_unsigned(enum round_mode mode, uint64_t x_)
{
    if (x_ >> 63 == 0) return from_signed(mode, (int64_t)x_);
    /* Half with the lost bit kept: exact, as the float has far fewer bits. */
    return 2 * from_signed(mode, (int64_t)(x_ >> 1 | (x_ & 1)));
}
