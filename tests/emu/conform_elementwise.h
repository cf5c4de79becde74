/* SPDX-License-Identifier: Apache-2.0 */
/* Forms that compute a lane's result from that lane's operands. UN, BI and TRI take the opcode, the
 * types of result and operands and, where it is known, the result as an expression of a, b and c;
 * UNX, BIX and TRIX take the text of the asm too, UNT and BIT a tolerance. */
#ifndef CONFORM_ELEMENTWISE_H
#define CONFORM_ELEMENTWISE_H

#include "conform.h"
#include "conform_number.h"

enum { LANES = 96 };

template <class T> __host__ __device__ typename T::reg slot(const void *in, int operand, int lane)
{
    return *(const typename T::reg *)((const uint64_t *)in + operand * LANES + lane);
}

template <class Op> __global__ void unary(const void *in, void *out)
{
    const int i = threadIdx.x;
    ((typename Op::R::reg *)out)[i] = Op::f(slot<typename Op::A>(in, 0, i));
}

template <class Op> __global__ void binary(const void *in, void *out)
{
    const int i = threadIdx.x;
    ((typename Op::R::reg *)out)[i] =
        Op::f(slot<typename Op::A>(in, 0, i), slot<typename Op::B>(in, 1, i));
}

template <class Op> __global__ void ternary(const void *in, void *out)
{
    const int i = threadIdx.x;
    ((typename Op::R::reg *)out)[i] =
        Op::f(slot<typename Op::A>(in, 0, i), slot<typename Op::B>(in, 1, i),
              slot<typename Op::C>(in, 2, i));
}

static inline void fill_lanes(const struct form *f, void *in)
{
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < LANES; i++)
            ((uint64_t *)in)[k * LANES + i] = sample((enum kind)f->arg[k], k, i);
}

template <class Op> int want_unary(const struct form *, const void *in, void *want)
{
    for (int i = 0; i < LANES; i++)
        if (!Op::want(((typename Op::R::reg *)want)[i], slot<typename Op::A>(in, 0, i))) return 0;
    return 1;
}

template <class Op> int want_binary(const struct form *, const void *in, void *want)
{
    for (int i = 0; i < LANES; i++)
        if (!Op::want(((typename Op::R::reg *)want)[i], slot<typename Op::A>(in, 0, i),
                      slot<typename Op::B>(in, 1, i)))
            return 0;
    return 1;
}

template <class Op> int want_ternary(const struct form *, const void *in, void *want)
{
    for (int i = 0; i < LANES; i++)
        if (!Op::want(((typename Op::R::reg *)want)[i], slot<typename Op::A>(in, 0, i),
                      slot<typename Op::B>(in, 1, i), slot<typename Op::C>(in, 2, i)))
            return 0;
    return 1;
}

static inline struct form lanes_form(const char *name, const char *type, const char *tolerance,
                                     kernel_fn *kernel, size_t size, int a, int b, int c)
{
    struct form f = form_new(name, type, kernel, LANES, 3 * LANES * 8, LANES * (unsigned)size);
    f.tolerance = tolerance;
    f.fill = fill_lanes;
    f.arg[0] = a, f.arg[1] = b, f.arg[2] = c;
    return f;
}

/* Anonymous: without it the linker takes equal names of two files for one function, and a form is
 * held to another's value. */
#define UNX_(id, name, tol, text, r, a_, ...)                                                      \
    namespace                                                                                      \
    {                                                                                              \
    struct CAT(op_, id) {                                                                          \
        typedef T_##r R;                                                                           \
        typedef T_##a_ A;                                                                          \
        static __device__ R::reg f(A::reg a)                                                       \
        {                                                                                          \
            R::reg z;                                                                              \
            asm volatile(text : "=" CON_##r(z) : CON_##a_(a));                                     \
            return z;                                                                              \
        }                                                                                          \
        static bool want(R::reg &z, A::reg a)                                                      \
        {                                                                                          \
            (void)z, (void)a;                                                                      \
            return false __VA_OPT__(|| (z = (R::reg)(__VA_ARGS__), true));                         \
        }                                                                                          \
    };                                                                                             \
    }                                                                                              \
    FORM(with_want(lanes_form(name, #r, tol, unary<CAT(op_, id)>, sizeof(T_##r::reg),              \
                              T_##a_::kind, T_##a_::kind, T_##a_::kind),                           \
                   want_unary<CAT(op_, id)>))
#define BIX_(id, name, tol, text, r, a_, b_, ...)                                                  \
    namespace                                                                                      \
    {                                                                                              \
    struct CAT(op_, id) {                                                                          \
        typedef T_##r R;                                                                           \
        typedef T_##a_ A;                                                                          \
        typedef T_##b_ B;                                                                          \
        static __device__ R::reg f(A::reg a, B::reg b)                                             \
        {                                                                                          \
            R::reg z;                                                                              \
            asm volatile(text : "=" CON_##r(z) : CON_##a_(a), CON_##b_(b));                        \
            return z;                                                                              \
        }                                                                                          \
        static bool want(R::reg &z, A::reg a, B::reg b)                                            \
        {                                                                                          \
            (void)z, (void)a, (void)b;                                                             \
            return false __VA_OPT__(|| (z = (R::reg)(__VA_ARGS__), true));                         \
        }                                                                                          \
    };                                                                                             \
    }                                                                                              \
    FORM(with_want(lanes_form(name, #r, tol, binary<CAT(op_, id)>, sizeof(T_##r::reg),             \
                              T_##a_::kind, T_##b_::kind, T_##b_::kind),                           \
                   want_binary<CAT(op_, id)>))
#define TRIX_(id, name, tol, text, r, a_, b_, c_, ...)                                             \
    namespace                                                                                      \
    {                                                                                              \
    struct CAT(op_, id) {                                                                          \
        typedef T_##r R;                                                                           \
        typedef T_##a_ A;                                                                          \
        typedef T_##b_ B;                                                                          \
        typedef T_##c_ C;                                                                          \
        static __device__ R::reg f(A::reg a, B::reg b, C::reg c)                                   \
        {                                                                                          \
            R::reg z;                                                                              \
            asm volatile(text : "=" CON_##r(z) : CON_##a_(a), CON_##b_(b), CON_##c_(c));           \
            return z;                                                                              \
        }                                                                                          \
        static bool want(R::reg &z, A::reg a, B::reg b, C::reg c)                                  \
        {                                                                                          \
            (void)z, (void)a, (void)b, (void)c;                                                    \
            return false __VA_OPT__(|| (z = (R::reg)(__VA_ARGS__), true));                         \
        }                                                                                          \
    };                                                                                             \
    }                                                                                              \
    FORM(with_want(lanes_form(name, #r, tol, ternary<CAT(op_, id)>, sizeof(T_##r::reg),            \
                              T_##a_::kind, T_##b_::kind, T_##c_::kind),                           \
                   want_ternary<CAT(op_, id)>))

#define UNX(name, text, ...)  UNX_(__COUNTER__, name, NULL, text, __VA_ARGS__)
#define BIX(name, text, ...)  BIX_(__COUNTER__, name, NULL, text, __VA_ARGS__)
#define TRIX(name, text, ...) TRIX_(__COUNTER__, name, NULL, text, __VA_ARGS__)
#define UN(op, ...)           UNX_(__COUNTER__, op, NULL, op " %0, %1;", __VA_ARGS__)
#define BI(op, ...)           BIX_(__COUNTER__, op, NULL, op " %0, %1, %2;", __VA_ARGS__)
#define TRI(op, ...)          TRIX_(__COUNTER__, op, NULL, op " %0, %1, %2, %3;", __VA_ARGS__)
#define UNT(op, tol, ...)     UNX_(__COUNTER__, op, tol, op " %0, %1;", __VA_ARGS__)
#define UNTX(name, tol, ...)  UNX_(__COUNTER__, name, tol, __VA_ARGS__)
#define BIT(op, tol, ...)     BIX_(__COUNTER__, op, tol, op " %0, %1, %2;", __VA_ARGS__)

/* A predicate as 0 or 1. */
#define PRED(body) "{.reg .pred p, q; " body " selp.u32 %0, 1, 0, p;}"

#endif
