/* SPDX-License-Identifier: Apache-2.0 */
/* A form is one PTX instruction form in a kernel of its own. Each family of forms is a source file
 * that registers its forms; conform.cu runs them and prints the bytes that they leave. Inputs are
 * fixed tables and a counter-based generator, so every machine computes on the same values. */
#ifndef CONFORM_H
#define CONFORM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef CONFORM_SM
#define CONFORM_SM 90
#endif

/* All kernels have this signature; in and out are aligned to 1024 bytes. */
typedef void kernel_fn(const void *in, void *out);

struct form {
    struct form *next;
    const char *name;      /* the instruction, then "/" and a variant where there are several */
    const char *type;      /* of an output element: sets its width, and how tolerance is applied */
    const char *tolerance; /* NULL: every bit counts; "ulp:N", "rel:X", "abs:X"; "any": none */
    kernel_fn *kernel;
    unsigned blocks, threads, shared, cluster;
    unsigned in_bytes, out_bytes;
    unsigned every;  /* elements printed: each every-th */
    unsigned preset; /* the output is filled with PRESET, since the form writes only part of it */
    void (*fill)(const struct form *f, void *in);
    int (*want)(const struct form *f, const void *in, void *want);  /* NULL: no value is known */
    int (*launch)(const struct form *f, const void *in, void *out); /* NULL: a plain launch */
    int arg[12];                                                    /* for fill, want and launch */
    const void *extra;                                              /* likewise */
};

enum { PRESET = 0x11 };

struct family {
    const char *name;
    struct form *first, **last;
    struct family *next;
    family(const char *name);
};

struct added {
    struct form form;
    added(struct family *to, const struct form &f);
};

/* A form with one block, the random words of fill_words as input and no known result. */
struct form form_new(const char *name, const char *type, kernel_fn *kernel, unsigned threads,
                     unsigned in_bytes, unsigned out_bytes);

/* Splitmix64 of a counter. */
uint64_t mix(uint64_t counter);
void fill_words(const struct form *f, void *in);

/* Kinds of value, for inputs. */
enum kind {
    K_B8,
    K_B16,
    K_B32,
    K_B64,
    K_F16,
    K_BF16,
    K_F16X2,
    K_BF16X2,
    K_F32,
    K_F64,
    K_E4M3X2,
    K_E5M2X2,
    K_F32_MODERATE,
    K_F32_POSITIVE,
    K_SHIFT,
    K_SMALL,
    K_F32_SMALL,
    K_POSITION,
};

/* The value of an operand in a lane, in the low bits. */
uint64_t sample(enum kind kind, unsigned operand, unsigned lane);

/* Register types. T_<name>::reg holds a value, CON_<name> is its constraint in asm. */
#define REGISTER_TYPE(name, type, k)                                                               \
    struct T_##name {                                                                              \
        typedef type reg;                                                                          \
        enum { kind = k };                                                                         \
    };
REGISTER_TYPE(s8, int32_t, K_B8)
REGISTER_TYPE(u8, uint32_t, K_B8)
REGISTER_TYPE(s16, int16_t, K_B16)
REGISTER_TYPE(u16, uint16_t, K_B16)
REGISTER_TYPE(s32, int32_t, K_B32)
REGISTER_TYPE(u32, uint32_t, K_B32)
REGISTER_TYPE(s64, int64_t, K_B64)
REGISTER_TYPE(u64, uint64_t, K_B64)
REGISTER_TYPE(f16, uint16_t, K_F16)
REGISTER_TYPE(bf16, uint16_t, K_BF16)
REGISTER_TYPE(f16x2, uint32_t, K_F16X2)
REGISTER_TYPE(bf16x2, uint32_t, K_BF16X2)
REGISTER_TYPE(tf32, uint32_t, K_B32)
REGISTER_TYPE(e4m3x2, uint16_t, K_E4M3X2)
REGISTER_TYPE(e5m2x2, uint16_t, K_E5M2X2)
REGISTER_TYPE(f32, float, K_F32)
REGISTER_TYPE(f32m, float, K_F32_MODERATE)
REGISTER_TYPE(f32p, float, K_F32_POSITIVE)
REGISTER_TYPE(f32s, float, K_F32_SMALL)
REGISTER_TYPE(f64, double, K_F64)
REGISTER_TYPE(sh, uint32_t, K_SHIFT)
REGISTER_TYPE(small, uint32_t, K_SMALL)
REGISTER_TYPE(pos, uint32_t, K_POSITION)
#define CON_s8     "r"
#define CON_u8     "r"
#define CON_s16    "h"
#define CON_u16    "h"
#define CON_s32    "r"
#define CON_u32    "r"
#define CON_s64    "l"
#define CON_u64    "l"
#define CON_f16    "h"
#define CON_bf16   "h"
#define CON_f16x2  "r"
#define CON_bf16x2 "r"
#define CON_tf32   "r"
#define CON_e4m3x2 "h"
#define CON_e5m2x2 "h"
#define CON_f32    "f"
#define CON_f32m   "f"
#define CON_f32p   "f"
#define CON_f32s   "f"
#define CON_f64    "d"
#define CON_sh     "r"
#define CON_small  "r"
#define CON_pos    "r"

#define CAT_(a, b) a##b
#define CAT(a, b)  CAT_(a, b)

/* Registers a form that an expression makes. */
#define FORM(...)      FORM_(__COUNTER__, __VA_ARGS__)
#define FORM_(id, ...) static struct added CAT(added_, id)(&here, __VA_ARGS__);

static inline struct form with_want(struct form f,
                                    int (*want)(const struct form *, const void *, void *))
{
    f.want = want;
    return f;
}

static inline struct form with_tolerance(struct form f, const char *tolerance)
{
    f.tolerance = tolerance;
    return f;
}

static inline struct form with_fill(struct form f, void (*fill)(const struct form *, void *))
{
    f.fill = fill;
    return f;
}

#endif
