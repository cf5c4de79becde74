/* SPDX-License-Identifier: Apache-2.0 */
/* The matrix product of the CPU backend. C is cut into tiles by its shape alone and one thread
 * computes a tile, so that the number of threads does not change the result. */
#include <omp.h>
#include <string.h>

#include "base/mem.h"
#include "ops/gemm.h"

enum {
    SHARE = 4,   /* the number of tiles is a multiple of this, to balance 2 or 4 threads */
    ROUND = 16,  /* tile sizes are multiples of a vector */
    ALIGN = 4096 /* alignment of each thread's scratch */
};

struct gemm_cut gemm_cut_even(int64_t n, int64_t count)
{
    struct gemm_cut c = {.size = ((n + count - 1) / count + ROUND - 1) / ROUND * ROUND};
    c.count = (n + c.size - 1) / c.size;
    c.last = n - (c.count - 1) * c.size;
    return c;
}
/* Chooses the fewest tiles that balance the threads, and among those the cut that reads least of A
 * and B: each column of tiles reads A again, each row of tiles reads B again. */
void gemm_cut_tiles(int64_t m, int64_t n, struct gemm_cut *rows, struct gemm_cut *columns)
{
    const int64_t least_r = (m + GEMM_TILE_M - 1) / GEMM_TILE_M,
                  least_c = (n + GEMM_TILE_N - 1) / GEMM_TILE_N;
    int64_t best_r = least_r, best_c = least_c, best = INT64_MAX;
    for (int64_t r = least_r; r < least_r + SHARE; r++)
        for (int64_t c = least_c; c < least_c + SHARE; c++) {
            const int64_t reads = c * m + r * n;
            if (r * c % SHARE || m / r < ROUND || n / c < ROUND || reads >= best) continue;
            best = reads, best_r = r, best_c = c;
        }
    *rows = gemm_cut_even(m, best_r);
    *columns = gemm_cut_even(n, best_c);
}

/* A product and the primitives of its tiles; index [1] is for the last row or column of tiles. */
struct product {
    const struct op_matmul *a;
    struct gemm_shape shape; /* shape of the whole product */
    struct gemm_cut m, n;
    struct gemm_tile *tile[2][2];
    size_t scratch; /* bytes of one thread */
};

static size_t round_up(size_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

static int plan(struct gemm *g, const struct op_matmul *a, struct product *p, struct err *e)
{
    if (a->ab_dtype != DT_F32 && a->ab_dtype != DT_BF16)
        return err_set(e, ERR_INTERNAL, "matmul: the CPU has no products of %s",
                       dtype_name(a->ab_dtype));
    memset(p, 0, sizeof *p);
    p->a = a;
    p->shape = (struct gemm_shape){.m = a->m,
                                   .n = a->n,
                                   .k = a->k,
                                   .lda = a->lda  ? a->lda
                                          : a->ta ? a->m
                                                  : a->k,
                                   .ldb = a->ldb  ? a->ldb
                                          : a->tb ? a->k
                                                  : a->n,
                                   .ldc = a->ldc ? a->ldc : a->n,
                                   .ta = a->ta,
                                   .tb = a->tb,
                                   .accumulate = a->accumulate,
                                   .bias = a->bias != NULL,
                                   .ab = a->ab_dtype,
                                   .c = a->c_dtype};
    gemm_cut_tiles(a->m, a->n, &p->m, &p->n);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            struct gemm_shape s = p->shape;
            s.m = i ? p->m.last : p->m.size;
            s.n = j ? p->n.last : p->n.size;
            if ((!i && p->m.count == 1) || (!j && p->n.count == 1)) continue;
            p->tile[i][j] = gemm_tile_get(g, &s, e);
            if (!p->tile[i][j]) return -1;
            size_t scratch = round_up(gemm_tile_scratch(p->tile[i][j]));
            if (scratch > p->scratch) p->scratch = scratch;
        }
    return 0;
}

static int run_tile(struct gemm *g, const struct product *p, int64_t index, void *scratch)
{
    const struct op_matmul *a = p->a;
    const struct gemm_shape *s = &p->shape;
    const int64_t im = index % p->m.count, in = index / p->m.count;
    const int64_t i = im * p->m.size, j = in * p->n.size;
    const struct gemm_args args = {
        .a = elem(a->a, s->ta ? i : i * s->lda, a->ab_dtype),
        .b = elem(a->b, s->tb ? j * s->ldb : j, a->ab_dtype),
        .c = elem(a->c, i * s->ldc + j, a->c_dtype),
        .bias = a->bias ? elem(a->bias, j, a->ab_dtype) : NULL,
        .scratch = scratch,
    };
    const struct gemm_tile *t = p->tile[im == p->m.count - 1][in == p->n.count - 1];
    return gemm_tile_run(g, t, omp_get_thread_num(), &args);
}

static int run_tiles(struct device *d, struct gemm *g, const struct product *p, struct err *e)
{
    const struct device_work *work = device_work(d);
    char *const all = gemm_scratch(g, work->p, work->bytes, p->scratch, e);
    int status = 0;
    if (!all && p->scratch) return -1;
#pragma omp parallel num_threads(d->threads) reduction(max : status)
    {
        omp_set_num_threads(1); /* oneDNN runs on this thread only */
        char *scratch = p->scratch ? all + (size_t)omp_get_thread_num() * p->scratch : NULL;
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < p->m.count * p->n.count; i++) {
            int s = run_tile(g, p, i, scratch);
            if (s > status) status = s;
        }
    }
    return status ? gemm_failed(status, &p->shape, e) : 0;
}

/* Handles k = 0, where there is no product. */
static void only_bias(const struct op_matmul *a)
{
    const int64_t ldc = a->ldc ? a->ldc : a->n;
    for (int64_t i = 0; i < a->m; i++)
        for (int64_t j = 0; j < a->n; j++) {
            const void *bias = a->bias ? elem(a->bias, j, a->ab_dtype) : NULL;
            float *f = elem(a->c, i * ldc + j, a->c_dtype);
            uint16_t *h = elem(a->c, i * ldc + j, a->c_dtype);
            float x = !bias                    ? 0
                      : a->ab_dtype == DT_BF16 ? bf16_to_f32(*(const uint16_t *)bias)
                                               : *(const float *)bias;
            if (a->accumulate) x += a->c_dtype == DT_BF16 ? bf16_to_f32(*h) : *f;
            if (a->c_dtype == DT_BF16)
                *h = bf16_from_f32(x);
            else
                *f = x;
        }
}

void gemm_matmul(struct device *d, const struct op_matmul *a)
{
    struct gemm *g = ((struct host_device *)d)->gemm;
    struct product p;
    struct err e;
    if (!a->m || !a->n) return;
    if (!a->k) {
        only_bias(a);
        return;
    }
    if (plan(g, a, &p, &e) || run_tiles(d, g, &p, &e)) device_fail(d, &e);
}

/* Returns the scratch of one thread for the first m rows. */
static size_t scratch_of(struct device *d, const struct op_matmul *a, int64_t m)
{
    struct product p;
    struct op_matmul rows = *a;
    struct err e;
    rows.m = m;
    if (!plan(((struct host_device *)d)->gemm, &rows, &p, &e)) return p.scratch;
    device_fail(d, &e); /* the run reports the error */
    return 0;
}

/* Returns the scratch in bytes for up to m rows, as a rule: see gemm_scratch. Fewer rows can need
 * more scratch: oneDNN keeps a bf16 tile in fp32 there until it rounds the tile, and tiles are
 * largest with GEMM_TILE_M rows, where 1, 2 or SHARE of them cut the columns least. */
size_t gemm_matmul_work(struct device *d, const struct op_matmul *a)
{
    if (!a->m || !a->n || !a->k) return 0;
    size_t most = scratch_of(d, a, a->m);
    for (int64_t m = GEMM_TILE_M; m < a->m && m <= SHARE * GEMM_TILE_M && a->c_dtype == DT_BF16;
         m *= 2) {
        const size_t some = scratch_of(d, a, m);
        if (some > most) most = some;
    }
    return most * (size_t)d->threads;
}
