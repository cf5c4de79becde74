/* SPDX-License-Identifier: Apache-2.0 */
/* Single-threaded matrix products by oneDNN; the 2.x and 3.x C interfaces both compile here.
 * Primitives are kept in a cache of bounded size: after the first step of a run with steady shapes
 * no primitive is created. */
#include "ops/gemm.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <string.h>

#include "base/mem.h"

enum {
    CACHE = 512, /* tile shapes of about 40 KiB; a micro-batch uses about 60, and with experts,
                    which have any number of rows, up to 250 */
    ARGS = 5,
};

enum { SRC, WEIGHTS, DST, BIAS, SCRATCH };

struct gemm_tile {
    struct gemm_shape shape;
    uint64_t used;
    dnnl_primitive_t primitive;
    size_t scratch;
    dnnl_memory_t *mem; /* [threads][ARGS], a part of gemm.mem */
};
enum { SCRATCH_ALIGN = 4096 };

struct gemm {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    int threads, tiles;
    uint64_t clock;
    struct gemm_tile *tile; /* [CACHE] */
    dnnl_memory_t *mem;     /* [CACHE][threads][ARGS] */
    char *spare;            /* scratch beside what was planned */
    size_t spare_bytes;
};

/* ---- differences between oneDNN 2 and 3 ---- */
#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t desc;
typedef const_dnnl_memory_desc_t desc_ref;
static dnnl_status_t desc_make(desc *d, dnnl_dims_t dims, dnnl_data_type_t t, dnnl_dims_t strides)
{
    return dnnl_memory_desc_create_with_strides(d, 2, dims, t, strides);
}
static void desc_free(desc d)
{
    if (d) dnnl_memory_desc_destroy(d);
}
static desc_ref desc_of(const desc *d) { return *d; }
static dnnl_status_t add_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef);
}
static dnnl_status_t describe(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const desc d[4],
                              dnnl_primitive_attr_t attr)
{
    return dnnl_matmul_primitive_desc_create(pd, engine, d[SRC], d[WEIGHTS], d[BIAS], d[DST], attr);
}
#else
typedef dnnl_memory_desc_t desc;
typedef const dnnl_memory_desc_t *desc_ref;
static dnnl_status_t desc_make(desc *d, dnnl_dims_t dims, dnnl_data_type_t t, dnnl_dims_t strides)
{
    return dnnl_memory_desc_init_by_strides(d, 2, dims, t, strides);
}
static void desc_free(desc d) { (void)d; }
static desc_ref desc_of(const desc *d) { return d; }
static dnnl_status_t add_sum(dnnl_post_ops_t ops) { return dnnl_post_ops_append_sum(ops, 1); }
static dnnl_status_t describe(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const desc d[4],
                              dnnl_primitive_attr_t attr)
{
    dnnl_matmul_desc_t op;
    dnnl_status_t s =
        dnnl_matmul_desc_init(&op, &d[SRC], &d[WEIGHTS], d[BIAS].ndims ? &d[BIAS] : NULL, &d[DST]);
    return s ? s : dnnl_primitive_desc_create(pd, &op, attr, engine, NULL);
}
#endif

static dnnl_data_type_t dnnl_type(int32_t t) { return t == DT_BF16 ? dnnl_bf16 : dnnl_f32; }

static int failed(dnnl_status_t s, const struct gemm_shape *k, struct err *e)
{
    return err_set(e, s == dnnl_out_of_memory ? ERR_MEMORY : ERR_DEVICE,
                   "oneDNN: matrix product %lldx%lldx%lld of %s: status %d%s", (long long)k->m,
                   (long long)k->n, (long long)k->k, dtype_name((enum dtype)k->ab), (int)s,
                   s == dnnl_unimplemented   ? " (not implemented for this CPU; use fp32)"
                   : s == dnnl_out_of_memory ? " (out of memory)"
                                             : "");
}

/* ---- primitives ---- */

static dnnl_status_t make_descs(const struct gemm_shape *k, desc d[4])
{
    dnnl_dims_t a = {k->m, k->k}, b = {k->k, k->n}, c = {k->m, k->n}, bias = {1, k->n};
    dnnl_dims_t sa = {k->ta ? 1 : k->lda, k->ta ? k->lda : 1};
    dnnl_dims_t sb = {k->tb ? 1 : k->ldb, k->tb ? k->ldb : 1};
    dnnl_dims_t sc = {k->ldc, 1}, sbias = {k->n, 1};
    dnnl_status_t s = desc_make(&d[SRC], a, dnnl_type(k->ab), sa);
    if (!s) s = desc_make(&d[WEIGHTS], b, dnnl_type(k->ab), sb);
    if (!s) s = desc_make(&d[DST], c, dnnl_type(k->c), sc);
    if (!s && k->bias) s = desc_make(&d[BIAS], bias, dnnl_type(k->ab), sbias);
    return s;
}

static dnnl_status_t make_attr(const struct gemm_shape *k, dnnl_primitive_attr_t *attr)
{
    dnnl_status_t s = dnnl_primitive_attr_create(attr);
    if (!s) s = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    if (s || !k->accumulate) return s;
    dnnl_post_ops_t ops;
    s = dnnl_post_ops_create(&ops);
    if (s) return s;
    s = add_sum(ops);
    if (!s) s = dnnl_primitive_attr_set_post_ops(*attr, ops);
    dnnl_post_ops_destroy(ops);
    return s;
}

/* Creates memory objects for each thread; their addresses are set when a tile runs. */
static dnnl_status_t make_memory(struct gemm *g, struct gemm_tile *t, const desc d[4],
                                 desc_ref scratch)
{
    for (int i = 0; i < g->threads * ARGS; i++) {
        int what = i % ARGS;
        if (what == BIAS && !t->shape.bias) continue;
        desc_ref md = what == SCRATCH ? scratch : desc_of(&d[what]);
        dnnl_status_t s = dnnl_memory_create(&t->mem[i], md, g->engine, DNNL_MEMORY_NONE);
        if (s) return s;
    }
    return dnnl_success;
}

static dnnl_status_t make_primitive(struct gemm *g, struct gemm_tile *t)
{
    desc d[4];
    memset(d, 0, sizeof d);
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t s = make_descs(&t->shape, d);
    if (!s) s = make_attr(&t->shape, &attr);
    if (!s) s = describe(&pd, g->engine, d, attr);
    if (!s) s = dnnl_primitive_create(&t->primitive, pd);
    if (!s) {
        desc_ref scratch = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
        t->scratch = dnnl_memory_desc_get_size(scratch);
        s = make_memory(g, t, d, scratch);
    }
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (attr) dnnl_primitive_attr_destroy(attr);
    for (int i = 0; i < 4; i++) desc_free(d[i]);
    return s;
}

static void tile_free(struct gemm *g, struct gemm_tile *t)
{
    for (int i = 0; i < g->threads * ARGS; i++) {
        if (t->mem[i]) dnnl_memory_destroy(t->mem[i]);
        t->mem[i] = NULL;
    }
    if (t->primitive) dnnl_primitive_destroy(t->primitive);
    *t = (struct gemm_tile){.mem = t->mem};
}

static int tile_make(struct gemm *g, struct gemm_tile *t, const struct gemm_shape *k, struct err *e)
{
    t->shape = *k;
    dnnl_status_t s = dnnl_success;
    /* A separate parallel region: oneDNN plans for one thread and the caller's setting is
     * unchanged. */
#pragma omp parallel num_threads(1)
    {
        omp_set_num_threads(1);
        s = make_primitive(g, t);
    }
    if (!s) return 0;
    tile_free(g, t);
    return failed(s, k, e);
}

struct gemm_tile *gemm_tile_get(struct gemm *g, const struct gemm_shape *k, struct err *e)
{
    struct gemm_tile *old = &g->tile[0];
    for (int i = 0; i < g->tiles; i++) {
        struct gemm_tile *t = &g->tile[i];
        if (!memcmp(&t->shape, k, sizeof *k)) {
            t->used = ++g->clock;
            return t;
        }
        if (t->used < old->used) old = t;
    }
    if (g->tiles < CACHE)
        old = &g->tile[g->tiles++];
    else
        tile_free(g, old);
    if (tile_make(g, old, k, e)) { /* the last one fills the gap */
        struct gemm_tile *last = &g->tile[--g->tiles], empty = *old;
        *old = *last;
        *last = empty;
        return NULL;
    }
    old->used = ++g->clock;
    return old;
}

size_t gemm_tile_scratch(const struct gemm_tile *t) { return t->scratch; }

int gemm_tile_run(struct gemm *g, const struct gemm_tile *t, int thread, const struct gemm_args *a)
{
    static const int names[ARGS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS,
                                    DNNL_ARG_SCRATCHPAD};
    const void *at[ARGS] = {a->a, a->b, a->c, a->bias, a->scratch};
    dnnl_exec_arg_t args[ARGS];
    int n = 0;
    for (int i = 0; i < ARGS; i++) {
        dnnl_memory_t m = t->mem[thread * ARGS + i];
        if (!m) continue;
        dnnl_status_t s = dnnl_memory_set_data_handle(m, (void *)(uintptr_t)at[i]);
        if (s) return s;
        args[n++] = (dnnl_exec_arg_t){names[i], m};
    }
    return dnnl_primitive_execute(t->primitive, g->stream, n, args);
}

int gemm_failed(int status, const struct gemm_shape *k, struct err *e)
{
    return failed((dnnl_status_t)status, k, e);
}

/* ---- the engine ---- */

bool gemm_has_bf16(void)
{
    const unsigned want = dnnl_cpu_isa_avx512_core_bf16;
    return ((unsigned)dnnl_get_effective_cpu_isa() & want) == want;
}

struct gemm *gemm_new(int threads, struct err *e)
{
    struct gemm *g = mem_alloc(1, sizeof *g, e);
    if (!g) return NULL;
    g->threads = threads;
    g->tile = mem_alloc(CACHE, sizeof *g->tile, e);
    g->mem = mem_alloc((size_t)CACHE * ARGS, (size_t)threads * sizeof(dnnl_memory_t), e);
    if (!g->tile || !g->mem) {
        gemm_free(g);
        return NULL;
    }
    for (int i = 0; i < CACHE; i++) g->tile[i].mem = g->mem + (size_t)i * (size_t)(threads * ARGS);
    /* disable oneDNN's cache: ours suffices and is bounded, and micro-batch lengths keep changing
     */
    dnnl_status_t s = dnnl_set_primitive_cache_capacity(0);
    if (!s) s = dnnl_engine_create(&g->engine, dnnl_cpu, 0);
    if (!s) s = dnnl_stream_create(&g->stream, g->engine, dnnl_stream_default_flags);
    if (!s) return g;
    err_set(e, s == dnnl_out_of_memory ? ERR_MEMORY : ERR_DEVICE,
            "oneDNN: cannot start its CPU engine: status %d", (int)s);
    gemm_free(g);
    return NULL;
}

void gemm_free(struct gemm *g)
{
    if (!g) return;
    for (int i = 0; i < g->tiles; i++) tile_free(g, &g->tile[i]);
    mem_free(g->tile);
    mem_free(g->mem);
    mem_free(g->spare);
    if (g->stream) dnnl_stream_destroy(g->stream);
    if (g->engine) dnnl_engine_destroy(g->engine);
    mem_free(g);
}

char *gemm_scratch(struct gemm *g, void *p, size_t room, size_t each, struct err *e)
{
    const size_t need = each * (size_t)g->threads;
    if (need <= room) return p;
    if (need > g->spare_bytes) {
        mem_free(g->spare);
        g->spare = mem_lasting(need + SCRATCH_ALIGN, 1, e);
        g->spare_bytes = g->spare ? need : 0;
    }
    if (!g->spare) return NULL;
    const uintptr_t at = (uintptr_t)g->spare;
    return g->spare + (SCRATCH_ALIGN - at % SCRATCH_ALIGN) % SCRATCH_ALIGN;
}
