/* SPDX-License-Identifier: Apache-2.0 */
/* Names, sizes and conversions of element types, and opening a device by name. */
#include "ops/ops.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "ops/table.h"

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {[DT_F32] = {"fp32", 4},
              [DT_BF16] = {"bf16", 2},
              [DT_F64] = {"fp64", 8},
              [DT_I32] = {"int32", 4}};

size_t dtype_size(enum dtype t) { return dtypes[t].size; }
const char *dtype_name(enum dtype t) { return dtypes[t].name; }

uint16_t bf16_from_f32(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40); /* a quiet NaN */
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}

uint16_t bf16_from_f32_random(float x, uint32_t bits)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + (bits & 0xffffu)) >> 16); /* of an infinity the low bits are 0 */
}

uint32_t op_random_bits(const struct op_random *r, uint64_t i)
{
    uint32_t words[4];
    rng_words(r->seed, RNG_ROUND, i / 64 * 16 + i % 16, r->step, words);
    return words[i % 64 / 16];
}

float bf16_to_f32(uint16_t x)
{
    uint32_t u = (uint32_t)x << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

const char *op_name(enum op_id op)
{
    static const char *const names[] = {
#define X(name) #name,
        OPS_LIST(X)
#undef X
    };
    return (unsigned)op < OP_COUNT ? names[op] : "unknown operation";
}

size_t op_args_size(enum op_id op)
{
    static const size_t sizes[] = {
#define X(name) sizeof(struct op_##name),
        OPS_LIST(X)
#undef X
    };
    return (unsigned)op < OP_COUNT ? sizes[op] : 0;
}

bool device_has_bf16(const struct device *d) { return d->has_bf16; }

struct device *device_open(const char *name, int threads, struct err *e)
{
    if (threads < 1) threads = 1;
    if (!strcmp(name, "cpu")) return cpu_open(NULL, threads, e);
    if (!strncmp(name, "cpu-", 4)) return cpu_open(name + 4, threads, e);
    if (!strcmp(name, "cuda")) return cuda_open(NULL, e);
    if (!strncmp(name, "cuda:", 5)) return cuda_open(name + 5, e);
    if (!strcmp(name, "ref")) return ref_open(false, threads, e);
    if (!strcmp(name, "ref64")) return ref_open(true, threads, e);
    if (!strcmp(name, "far") || !strncmp(name, "far-", 4)) {
        struct device *inner = cpu_open(NULL, threads, e);
        return inner ? far_open(inner, name[3] ? strtoull(name + 4, NULL, 10) : 0, e) : NULL;
    }
    err_set(e, ERR_CONFIG, "device '%s': no such backend; use cpu, cuda, ref, ref64 or far", name);
    return NULL;
}

void device_close(struct device *d)
{
    if (d) d->ops->close(d);
}
