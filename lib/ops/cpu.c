/* SPDX-License-Identifier: Apache-2.0 */
/* The backend "cpu" uses the best compiled instruction set that this CPU supports. */
#include <string.h>

#include "ops/choose.h"
#include "ops/gemm.h"
#include "ops/table.h"

extern const struct op_table cpu_table_base, cpu_table_v3, cpu_table_v4;

struct isa {
    const char *name, *device; /* names with and without "cpu-" */
    const struct op_table *table;
    bool (*here)(void);
};

static bool has_base(void) { return true; }
#ifdef HAVE_ISA_v3
static bool has_v3(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi2");
}
#endif
#ifdef HAVE_ISA_v4
static bool has_v4(void)
{
    return has_v3() && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

/* Ordered from best to worst. */
static const struct isa isas[] = {
#ifdef HAVE_ISA_v4
    {"v4", "cpu-v4", &cpu_table_v4, has_v4},
#endif
#ifdef HAVE_ISA_v3
    {"v3", "cpu-v3", &cpu_table_v3, has_v3},
#endif
    {"base", "cpu-base", &cpu_table_base, has_base},
};

/* Returns the best instruction set of this CPU. */
static const struct isa *best(void)
{
    const struct isa *isa = isas;
    while (!isa->here()) isa++; /* "base", the last, is everywhere */
    return isa;
}

void device_built(struct buf *b)
{
    buf_puts(b, "instruction sets:");
    for (size_t i = sizeof isas / sizeof *isas; i-- > 0;) buf_printf(b, " %s", isas[i].name);
    buf_printf(b, "; this CPU takes %s\n", best()->name);
}

static void cpu_release(struct device *d) { gemm_free(((struct host_device *)d)->gemm); }

struct device *cpu_open(const char *name, int threads, struct err *e)
{
    const struct isa *isa = NULL;
    for (size_t i = 0; i < sizeof isas / sizeof *isas && !isa; i++)
        if ((!name || !strcmp(name, isas[i].name)) && isas[i].here()) isa = &isas[i];
    if (!isa) {
        err_set(e, ERR_DEVICE, "device 'cpu-%s': not compiled in, or not what this CPU has", name);
        return NULL;
    }
    struct host_device *h = host_open(name ? isa->device : "cpu", isa->table, threads, e);
    if (!h) return NULL;
    h->release = cpu_release;
    h->d.has_bf16 = gemm_has_bf16();
    h->gemm = gemm_new(threads, e);
    if (h->gemm) return &h->d;
    device_close(&h->d);
    return NULL;
}
