/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions. */
#include "conform_elementwise.h"

static struct family here("cvt");

/* Integers of each width. */
UN("cvt.s64.s32", s64, s32, a)
UN("cvt.u64.u32", u64, u32, a)
UN("cvt.s32.s64", s32, s64, a)
UN("cvt.u32.u64", u32, u64, a)
UN("cvt.s32.s16", s32, s16, a)
UN("cvt.u32.u16", u32, u16, a)
UN("cvt.s64.s16", s64, s16, a)
UN("cvt.u64.u16", u64, u16, a)
UN("cvt.u16.u32", u16, u32, a)
UN("cvt.s16.s32", s16, s32, a)
UN("cvt.u16.u64", u16, u64, a)
UN("cvt.s32.s8", s32, s8, (int8_t)a)
UN("cvt.u32.u8", u32, u8, (uint8_t)a)
UN("cvt.s16.s8", s16, s16, (int8_t)a)
UN("cvt.u16.u8", u16, u16, (uint8_t)a)
UN("cvt.s64.s8", s64, s8, (int8_t)a)
UN("cvt.u64.u8", u64, u8, (uint8_t)a)
UN("cvt.s8.s32", s32, s32, (int8_t)a)
UN("cvt.u8.u32", u32, u32, (uint8_t)a)
UN("cvt.u8.u16", u16, u16, (uint8_t)a)
UN("cvt.s8.s64", s32, s64, (int8_t)a)
UN("cvt.s32.u32", s32, u32, a)
UN("cvt.u32.s32", u32, s32, a)
UN("cvt.u64.s32", u64, s32, (int64_t)a)
UN("cvt.sat.s8.s32", s32, s32, a<-128 ? -128 : a> 127 ? 127 : a)
UN("cvt.sat.u8.s32", u32, s32, a<0 ? 0 : a> 255 ? 255 : a)
UN("cvt.sat.s16.s32", s16, s32, a<-32768 ? -32768 : a> 32767 ? 32767 : a)
UN("cvt.sat.u16.s32", u16, s32, a<0 ? 0 : a> 65535 ? 65535 : a)
UN("cvt.sat.s32.s64", s32, s64, a<INT32_MIN ? INT32_MIN : a> INT32_MAX ? INT32_MAX : a)
UN("cvt.sat.u32.s64", u32, s64, a<0 ? 0 : a> UINT32_MAX ? UINT32_MAX : a)
UN("cvt.sat.s32.u32", s32, u32, a > INT32_MAX ? INT32_MAX : a)
UN("cvt.sat.u32.s32", u32, s32, a < 0 ? 0 : a)
BI("cvt.pack.sat.s16.s32", u32, s32, s32)
BI("cvt.pack.sat.u16.s32", u32, s32, s32)
TRI("cvt.pack.sat.s8.s32.b32", u32, s32, s32, u32)
TRI("cvt.pack.sat.u8.s32.b32", u32, s32, s32, u32)

/* Floats to integers, the four roundings. */
#define TO_INTEGERS(mode, m)                                                                       \
    UN("cvt." #mode ".s32.f32", s32, f32, to_signed(m, a, 32, 0))                                  \
    UN("cvt." #mode ".u32.f32", u32, f32, to_unsigned(m, a, 32, 0))                                \
    UN("cvt." #mode ".s64.f32", s64, f32, to_signed(m, a, 64, INT64_MIN))                          \
    UN("cvt." #mode ".u64.f32", u64, f32, to_unsigned(m, a, 64, (uint64_t)1 << 63))                \
    UN("cvt." #mode ".s32.f64", s32, f64, to_signed(m, a, 32, INT32_MIN))                          \
    UN("cvt." #mode ".u32.f64", u32, f64, to_unsigned(m, a, 32, (uint32_t)1 << 31))                \
    UN("cvt." #mode ".s64.f64", s64, f64, to_signed(m, a, 64, INT64_MIN))                          \
    UN("cvt." #mode ".u64.f64", u64, f64, to_unsigned(m, a, 64, (uint64_t)1 << 63))                \
    UN("cvt." #mode ".s32.f16", s32, f16, to_signed(m, h2d(a), 32, 0))                             \
    UN("cvt." #mode ".u32.f16", u32, f16, to_unsigned(m, h2d(a), 32, 0))                           \
    UN("cvt." #mode ".s64.f16", s64, f16, to_signed(m, h2d(a), 64, INT64_MIN))                     \
    UN("cvt." #mode ".s16.f16", s16, f16, to_signed(m, h2d(a), 16, 0))                             \
    UN("cvt." #mode ".u16.f16", u16, f16, to_unsigned(m, h2d(a), 16, 0))                           \
    UN("cvt." #mode ".s16.f32", s16, f32, to_signed(m, a, 16, 0))                                  \
    UN("cvt." #mode ".u16.f32", u16, f32, to_unsigned(m, a, 16, 0))                                \
    UN("cvt." #mode ".s8.f32", s32, f32, to_signed(m, a, 8, 0))                                    \
    UN("cvt." #mode ".u8.f32", u32, f32, to_unsigned(m, a, 8, 0))                                  \
    UN("cvt." #mode ".ftz.s32.f32", s32, f32, to_signed(m, ftz(a), 32, 0))                         \
    UN("cvt." #mode ".f32.f32", f32, f32)                                                          \
    UN("cvt." #mode ".ftz.f32.f32", f32, f32)                                                      \
    UN("cvt." #mode ".f64.f64", f64, f64)                                                          \
    UN("cvt." #mode ".f16.f16", f16, f16)
TO_INTEGERS(rni, RN)
TO_INTEGERS(rzi, RZ)
TO_INTEGERS(rmi, RM)
TO_INTEGERS(rpi, RP)
UN("cvt.rzi.ftz.u32.f32", u32, f32, to_unsigned(RZ, ftz(a), 32, 0))
UN("cvt.rni.ftz.u64.f32", u64, f32)
UN("cvt.rzi.s8.f16", s32, f16)
UN("cvt.rzi.u8.f16", u32, f16)
UN("cvt.rzi.u64.f16", u64, f16)
UN("cvt.rni.sat.s32.f32", s32, f32, to_signed(RN, a, 32, 0))

/* Integers to floats. */
#define FROM_INTEGERS(mode, m)                                                                     \
    UN("cvt." #mode ".f32.s32", f32, s32, from_signed(m, a))                                       \
    UN("cvt." #mode ".f32.u32", f32, u32, from_unsigned(m, a))                                     \
    UN("cvt." #mode ".f32.s64", f32, s64, from_signed(m, a))                                       \
    UN("cvt." #mode ".f32.u64", f32, u64, from_unsigned(m, a))                                     \
    UN("cvt." #mode ".f64.s64", f64, s64)                                                          \
    UN("cvt." #mode ".f64.u64", f64, u64)                                                          \
    UN("cvt." #mode ".f32.s16", f32, s16, a)                                                       \
    UN("cvt." #mode ".f32.u16", f32, u16, a)                                                       \
    UN("cvt." #mode ".f32.s8", f32, s8, (int8_t)a)                                                 \
    UN("cvt." #mode ".f32.u8", f32, u8, (uint8_t)a)                                                \
    UN("cvt." #mode ".f64.s32", f64, s32, a)                                                       \
    UN("cvt." #mode ".f64.u32", f64, u32, a)                                                       \
    UN("cvt." #mode ".f16.s32", f16, s32, number_round(&F16, a, m, 0))                             \
    UN("cvt." #mode ".f16.u32", f16, u32, number_round(&F16, a, m, 0))                             \
    UN("cvt." #mode ".f16.s64", f16, s64)                                                          \
    UN("cvt." #mode ".f16.u16", f16, u16, number_round(&F16, a, m, 0))                             \
    UN("cvt." #mode ".f16.s16", f16, s16, number_round(&F16, a, m, 0))                             \
    UN("cvt." #mode ".f32.f64", f32, f64, isnan(a) ? NAN : float_of(number_round(&F32, a, m, 0)))  \
    UN("cvt." #mode ".f16.f64", f16, f64, number_round(&F16, a, m, 0))
FROM_INTEGERS(rn, RN)
FROM_INTEGERS(rz, RZ)
FROM_INTEGERS(rm, RM)
FROM_INTEGERS(rp, RP)
UN("cvt.rn.sat.f32.s32", f32, s32, sat((float)a))
UN("cvt.rn.ftz.f32.f64", f32, f64, ftz(isnan(a) ? NAN : float_of(number_round(&F32, a, RN, 0))))
UN("cvt.rn.sat.f32.f64", f32, f64)

/* Between floats. */
UN("cvt.f64.f32", f64, f32, (double)a)
UN("cvt.ftz.f64.f32", f64, f32, (double)ftz(a))
UN("cvt.f32.f16", f32, f16, h2d(a))
UN("cvt.ftz.f32.f16", f32, f16)
UN("cvt.f64.f16", f64, f16, h2d(a))
UN("cvt.sat.f32.f32", f32, f32, sat(a))
UN("cvt.ftz.f32.f32", f32, f32, ftz(a))
UN("cvt.ftz.sat.f32.f32", f32, f32, sat(ftz(a)))
UN("cvt.sat.f64.f64", f64, f64)
UN("cvt.sat.f16.f16", f16, f16)
UN("cvt.rn.sat.f16.f32", f16, f32)
UN("cvt.rn.f16.f32", f16, f32, d2h(a))
UN("cvt.rz.f16.f32", f16, f32, number_round(&F16, a, RZ, 0))
UN("cvt.rm.f16.f32", f16, f32, number_round(&F16, a, RM, 0))
UN("cvt.rp.f16.f32", f16, f32, number_round(&F16, a, RP, 0))
UN("cvt.rn.ftz.f16.f32", f16, f32)
UN("cvt.rn.relu.f16.f32", f16, f32, number_round(&F16, a, RN, RELU))
UN("cvt.rz.relu.f16.f32", f16, f32, number_round(&F16, a, RZ, RELU))
UN("cvt.rn.bf16.f32", bf16, f32, d2b(a))
UN("cvt.rz.bf16.f32", bf16, f32, number_round(&BF16, a, RZ, 0))
UN("cvt.rn.relu.bf16.f32", bf16, f32, number_round(&BF16, a, RN, RELU))
UN("cvt.rz.relu.bf16.f32", bf16, f32, number_round(&BF16, a, RZ, RELU))
#define PACK(n, m, flags)                                                                          \
    pair((uint16_t)number_round(&n, b, m, flags), (uint16_t)number_round(&n, a, m, flags))
BI("cvt.rn.f16x2.f32", f16x2, f32, f32, PACK(F16, RN, 0))
BI("cvt.rz.f16x2.f32", f16x2, f32, f32, PACK(F16, RZ, 0))
BI("cvt.rn.relu.f16x2.f32", f16x2, f32, f32, PACK(F16, RN, RELU))
BI("cvt.rn.bf16x2.f32", bf16x2, f32, f32, PACK(BF16, RN, 0))
BI("cvt.rz.bf16x2.f32", bf16x2, f32, f32, PACK(BF16, RZ, 0))
BI("cvt.rn.relu.bf16x2.f32", bf16x2, f32, f32, PACK(BF16, RN, RELU))
BI("cvt.rz.relu.bf16x2.f32", bf16x2, f32, f32, PACK(BF16, RZ, RELU))
#define TO_TF32(m) (isnan(a) ? 0x7fffffff : number_round(&TF32, a, m, 0) << 13)
/* rna cuts NaN down too, even to infinity. */
UN("cvt.rna.tf32.f32", tf32, f32,
   isnan(a) ? bits_of(a) & ~0x1fffu : number_round(&TF32, a, RNA, 0) << 13)
/* bf16 to f32 as cuda_bf16.h does it below sm_90. */
UNX("mov.b32/{0,h}", "{.reg .b16 z; mov.b16 z, 0; mov.b32 %0, {z, %1};}", f32, bf16,
    float_of((uint32_t)a << 16))
#if CONFORM_SM >= 90
UN("cvt.rn.tf32.f32", tf32, f32, TO_TF32(RN))
UN("cvt.rz.tf32.f32", tf32, f32, TO_TF32(RZ))
UN("cvt.rn.relu.tf32.f32", tf32, f32)
UN("cvt.rz.relu.tf32.f32", tf32, f32)
UN("cvt.rn.satfinite.f16.f32", f16, f32)
UN("cvt.rn.satfinite.bf16.f32", bf16, f32)
BI("cvt.rn.satfinite.f16x2.f32", f16x2, f32, f32)
BI("cvt.rn.satfinite.bf16x2.f32", bf16x2, f32, f32)
UN("cvt.rm.bf16.f32", bf16, f32, number_round(&BF16, a, RM, 0))
UN("cvt.rp.bf16.f32", bf16, f32, number_round(&BF16, a, RP, 0))
UN("cvt.f32.bf16", f32, bf16, float_of((uint32_t)a << 16))
UN("cvt.rn.bf16.f16", bf16, f16, d2b(h2d(a)))
UN("cvt.rn.f16.bf16", f16, bf16, d2h(b2d(a)))
UN("cvt.rz.f16.bf16", f16, bf16)
UN("cvt.f64.bf16", f64, bf16, b2d(a))
UN("cvt.rn.bf16.f64", bf16, f64, d2b(a))
#define BF16_INTEGERS(mode, m)                                                                     \
    UN("cvt." #mode ".bf16.s32", bf16, s32, number_round(&BF16, a, m, 0))                          \
    UN("cvt." #mode ".bf16.u32", bf16, u32, number_round(&BF16, a, m, 0))                          \
    UN("cvt." #mode ".bf16.s64", bf16, s64)                                                        \
    UN("cvt." #mode ".bf16.u64", bf16, u64)                                                        \
    UN("cvt." #mode ".bf16.s16", bf16, s16, number_round(&BF16, a, m, 0))                          \
    UN("cvt." #mode ".bf16.u16", bf16, u16, number_round(&BF16, a, m, 0))                          \
    UNX("cvt." #mode ".bf16.u8",                                                                   \
        "{.reg .b8 t, u; mov.b16 {t, u}, %1; cvt." #mode ".bf16.u8 %0, t;}", bf16, u16,            \
        number_round(&BF16, (uint8_t)a, m, 0))                                                     \
    UN("cvt." #mode "i.s32.bf16", s32, bf16, to_signed(m, b2d(a), 32, 0))                          \
    UN("cvt." #mode "i.u32.bf16", u32, bf16, to_unsigned(m, b2d(a), 32, 0))                        \
    UN("cvt." #mode "i.s64.bf16", s64, bf16, to_signed(m, b2d(a), 64, INT64_MIN))                  \
    UN("cvt." #mode "i.u64.bf16", u64, bf16, to_unsigned(m, b2d(a), 64, (uint64_t)1 << 63))        \
    UN("cvt." #mode "i.s16.bf16", s16, bf16, to_signed(m, b2d(a), 16, 0))                          \
    UNX("cvt." #mode "i.s8.bf16",                                                                  \
        "{.reg .b8 t; cvt." #mode "i.s8.bf16 t, %1; mov.b16 %0, {t, 0};}", s16, bf16,              \
        (uint8_t)to_signed(m, b2d(a), 8, 0))                                                       \
    UN("cvt." #mode "i.bf16.bf16", bf16, bf16)
BF16_INTEGERS(rn, RN)
BF16_INTEGERS(rz, RZ)
BF16_INTEGERS(rm, RM)
BF16_INTEGERS(rp, RP)
#define PACK8(n, flags)                                                                            \
    (uint16_t)(number_round(&n, b, RN, flags) | number_round(&n, a, RN, flags) << 8)
#define PACK8_HALVES(n, v, flags)                                                                  \
    (uint16_t)(number_round(&n, v(a), RN, flags) | number_round(&n, v(a >> 16), RN, flags) << 8)
BI("cvt.rn.satfinite.e4m3x2.f32", e4m3x2, f32, f32, PACK8(E4M3, SATURATE))
BI("cvt.rn.satfinite.e5m2x2.f32", e5m2x2, f32, f32, PACK8(E5M2, SATURATE))
BI("cvt.rn.satfinite.relu.e4m3x2.f32", e4m3x2, f32, f32, PACK8(E4M3, SATURATE | RELU))
BI("cvt.rn.satfinite.relu.e5m2x2.f32", e5m2x2, f32, f32, PACK8(E5M2, SATURATE | RELU))
UN("cvt.rn.satfinite.e4m3x2.f16x2", e4m3x2, f16x2, PACK8_HALVES(E4M3, h2d, SATURATE))
UN("cvt.rn.satfinite.e5m2x2.f16x2", e5m2x2, f16x2, PACK8_HALVES(E5M2, h2d, SATURATE))
UN("cvt.rn.satfinite.relu.e4m3x2.f16x2", e4m3x2, f16x2)
UN("cvt.rn.satfinite.relu.e5m2x2.f16x2", e5m2x2, f16x2)
#define UNPACK8(n) pair(d2h(number_value(&n, a & 0xff)), d2h(number_value(&n, a >> 8)))
UN("cvt.rn.f16x2.e4m3x2", f16x2, e4m3x2, UNPACK8(E4M3))
UN("cvt.rn.f16x2.e5m2x2", f16x2, e5m2x2, UNPACK8(E5M2))
UN("cvt.rn.relu.f16x2.e4m3x2", f16x2, e4m3x2)
UN("cvt.rn.relu.f16x2.e5m2x2", f16x2, e5m2x2)
#endif
