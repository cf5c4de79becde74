/* SPDX-License-Identifier: Apache-2.0 */
/* Products of each expert's rows. An expert has any number of rows, and each shape needs a
 * primitive of its own; so rows are cut into blocks whose last one is filled with zeros up to one
 * of a few sizes. A task is a tile of the result of one block, or of one expert's gradient, which
 * fp32 scratch holds until all its sums are done: many experts of few rows and one of many both
 * keep the threads busy, and what a task computes does not depend on their number. */
#include <omp.h>

#include "ops/cpu/cpu.h"
#include "ops/gemm.h"

enum {
    ROWS = GEMM_TILE_M, /* the most of a block of rows */
    DEPTH = 1024,       /* and of one that a gradient sums */
    SIZES = 12,
    ALIGN = 4096 /* alignment of each thread's scratch */
};
static const int64_t sizes[SIZES] = {16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, DEPTH};

/* Returns the index of the least size that holds so many rows, at least one. */
static int size_for(int64_t rows)
{
    int i = 0;
    while (sizes[i] < rows) i++;
    return i;
}

/* Rows [from, to) of expert e: a block, or for a gradient all rows of the expert. */
struct item {
    int32_t e, from, to;
};
/* Scratch of a thread, in bytes from its begin. */
struct room {
    size_t left, right, sum, all; /* oneDNN's is first */
};
struct grouped {
    const struct op_grouped *a;
    struct gemm_cut m, n; /* of the result; m has one piece for rows */
    struct item *item;
    int64_t items;
    /* by size, last row of tiles, last column of tiles; `more` adds DEPTH rows to a sum */
    struct gemm_tile *tile[SIZES][2][2], *more[2][2];
    struct room room;
};

/* Returns the number of rows of the first block of a gradient's sum: all others have DEPTH. */
static int64_t first_depth(int64_t rows) { return rows ? (rows - 1) % DEPTH + 1 : 0; }

static int64_t most_items(const struct op_grouped *a)
{
    return a->weights ? a->E : a->rows / ROWS + a->E;
}

static size_t list_bytes(const struct op_grouped *a)
{
    return (size_t)cpu_blocks(most_items(a) * (int64_t)sizeof(struct item), ALIGN) * ALIGN;
}

static void list_items(struct grouped *p, struct item *list)
{
    const struct op_grouped *a = p->a;
    p->item = list;
    for (int32_t e = 0; e < a->E; e++) {
        const int32_t end = a->starts[e + 1];
        if (a->weights) list[p->items++] = (struct item){e, a->starts[e], end};
        for (int32_t at = a->starts[e]; at < end && !a->weights; at += ROWS)
            list[p->items++] = (struct item){e, at, (int32_t)cpu_min(at + ROWS, end)};
    }
}

/* ---- the plan ---- */
static void cut(struct grouped *p, const struct op_grouped *a)
{
    *p = (struct grouped){.a = a, .m = {ROWS, 1, ROWS}};
    if (a->weights)
        gemm_cut_tiles(a->k, a->n, &p->m, &p->n);
    else /* an even number of columns of tiles, as there may be one row */
        p->n = gemm_cut_even(a->n, 2 * cpu_blocks(a->n, 2 * GEMM_TILE_N));
}

/* A tile of m x n of a gradient that sums `size` rows, or adds them to a sum if more; else one of
 * `size` rows and n columns. */
static struct gemm_shape shape_of(const struct grouped *p, int64_t size, int64_t m, int64_t n,
                                  bool more)
{
    const struct op_grouped *a = p->a;
    struct gemm_shape s = {.n = n, .ldc = p->n.size, .ab = a->ab_dtype, .c = DT_F32};
    if (a->weights) {
        s.m = m, s.k = size, s.ta = true, s.accumulate = more;
        s.lda = p->m.size, s.ldb = p->n.size;
    } else {
        s.m = size, s.k = a->k, s.tb = a->tb;
        s.lda = a->k, s.ldb = a->tb ? a->k : a->n;
    }
    return s;
}

/* Finds the tiles of blocks of `size` rows; more: those that add to a gradient's sum. */
static int get_tiles(struct gemm *g, struct grouped *p, int64_t size, bool more,
                     struct gemm_tile *tile[2][2], struct err *e)
{
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            const int64_t m = i ? p->m.last : p->m.size, n = j ? p->n.last : p->n.size;
            const struct gemm_shape shape = shape_of(p, size, m, n, more);
            if ((!i && p->m.count == 1) || (!j && p->n.count == 1)) continue;
            tile[i][j] = gemm_tile_get(g, &shape, e);
            if (!tile[i][j]) return -1;
            const size_t scratch = gemm_tile_scratch(tile[i][j]);
            if (scratch > p->room.left) p->room.left = scratch;
        }
    return 0;
}

/* Lays out a thread's scratch behind the most that a tile needs. */
static void lay_out(struct grouped *p)
{
    const struct op_grouped *a = p->a;
    const int64_t most = sizes[size_for(cpu_min(a->rows, a->weights ? DEPTH : ROWS))];
    const size_t width = dtype_size(a->ab_dtype);
    const size_t left = (size_t)(most * (a->weights ? p->m.size : a->k)) * width;
    const size_t right = a->weights ? (size_t)(most * p->n.size) * width : 0;
    struct room *r = &p->room;
    r->left = (r->left + 63) / 64 * 64;
    r->right = r->left + (left + 63) / 64 * 64;
    r->sum = r->right + (right + 63) / 64 * 64;
    r->all = r->sum + (size_t)((a->weights ? p->m.size : most) * p->n.size) * sizeof(float);
    r->all = (r->all + ALIGN - 1) / ALIGN * ALIGN;
}

/* Finds the tiles of the sizes of set `need`. */
static int plan(struct gemm *g, struct grouped *p, unsigned need, struct err *e)
{
    const bool deep = p->a->weights && p->a->rows > DEPTH;
    for (int i = 0; i < SIZES && p->a->k; i++)
        if (need >> i & 1 && get_tiles(g, p, sizes[i], false, p->tile[i], e)) return -1;
    if (deep && get_tiles(g, p, DEPTH, true, p->more, e)) return -1;
    lay_out(p);
    return 0;
}

/* ---- a task ---- */
/* Copies columns [at, at + n) of rows of `all` elements into rows of `stride`, then rows of zeros
 * up to `size`. */
static void fill(void *to, int64_t stride, const void *from, int64_t all, int64_t at, int64_t n,
                 int64_t rows, int64_t size, enum dtype t)
{
    for (int64_t i = 0; i < rows; i++)
        memcpy(elem(to, i * stride, t), elem(from, i * all + at, t), (size_t)n * dtype_size(t));
    memset(elem(to, rows * stride, t), 0, (size_t)((size - rows) * stride) * dtype_size(t));
}

/* Rounds, or adds, `rows` rows of n sums to rows of c. */
INLINE void store(void *c, int64_t at, int64_t stride, const float *sum, int64_t sum_stride,
                  int64_t rows, int64_t n, bool add, enum dtype t)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j += VL) {
            vf v = v_get(sum, i * sum_stride + j, DT_F32, n - j);
            if (add) v += v_get(c, at + i * stride + j, t, n - j);
            v_put(c, at + i * stride + j, t, n - j, v);
        }
}

/* Multiplies a block of rows by columns [j, j + n) of its expert's matrix. */
static int run_rows(struct gemm *g, const struct grouped *p, const struct item *x, int64_t column,
                    char *scratch)
{
    const struct op_grouped *a = p->a;
    const int64_t rows = x->to - x->from, j = column * p->n.size, size = sizes[size_for(rows)];
    const bool last = column == p->n.count - 1;
    struct gemm_args args = {
        .a = elem(a->a, x->from * a->k, a->ab_dtype),
        .b = elem(a->b, x->e * a->n * a->k + (a->tb ? j * a->k : j), a->ab_dtype),
        .c = scratch + p->room.sum,
        .scratch = scratch};
    int status = 0;
    if (rows < size) {
        fill(scratch + p->room.left, a->k, args.a, a->k, 0, a->k, rows, size, a->ab_dtype);
        args.a = scratch + p->room.left;
    }
    if (a->k)
        status = gemm_tile_run(g, p->tile[size_for(rows)][1][last], omp_get_thread_num(), &args);
    else
        memset(args.c, 0, (size_t)(rows * p->n.size) * sizeof(float));
    BY_DTYPE(a->c_dtype, store, a->c, x->from * a->n + j, a->n, args.c, p->n.size, rows,
             last ? p->n.last : p->n.size, a->accumulate);
    return status;
}

/* Adds the products of rows [from, from + rows) to a tile of a gradient; the first overwrites. */
static int sum_rows(struct gemm *g, const struct grouped *p, int64_t from, int64_t rows,
                    const int64_t tile[2], bool more, char *scratch)
{
    const struct op_grouped *a = p->a;
    const bool last[2] = {tile[0] == p->m.count - 1, tile[1] == p->n.count - 1};
    const int64_t m = last[0] ? p->m.last : p->m.size, n = last[1] ? p->n.last : p->n.size;
    const int64_t size = sizes[size_for(rows)];
    char *left = scratch + p->room.left, *right = scratch + p->room.right;
    fill(left, p->m.size, elem(a->a, from * a->k, a->ab_dtype), a->k, tile[0] * p->m.size, m, rows,
         size, a->ab_dtype);
    fill(right, p->n.size, elem(a->b, from * a->n, a->ab_dtype), a->n, tile[1] * p->n.size, n, rows,
         size, a->ab_dtype);
    const struct gemm_args args = {
        .a = left, .b = right, .c = scratch + p->room.sum, .scratch = scratch};
    const struct gemm_tile *t =
        more ? p->more[last[0]][last[1]] : p->tile[size_for(rows)][last[0]][last[1]];
    return gemm_tile_run(g, t, omp_get_thread_num(), &args);
}

static int run_weights(struct gemm *g, const struct grouped *p, const struct item *x,
                       const int64_t tile[2], char *scratch)
{
    const struct op_grouped *a = p->a;
    const int64_t i = tile[0] * p->m.size, j = tile[1] * p->n.size;
    const int64_t m = cpu_min(a->k - i, p->m.size), n = cpu_min(a->n - j, p->n.size);
    int64_t rows = first_depth(x->to - x->from);
    if (!rows) memset(scratch + p->room.sum, 0, (size_t)(p->m.size * p->n.size) * sizeof(float));
    int status = 0;
    for (int64_t at = x->from; at < x->to && !status; at += rows, rows = DEPTH)
        status = sum_rows(g, p, at, at > x->from ? DEPTH : rows, tile, at > x->from, scratch);
    BY_DTYPE(a->c_dtype, store, a->c, (x->e * a->k + i) * a->n + j, a->n,
             (const float *)(const void *)(scratch + p->room.sum), p->n.size, m, n, a->accumulate);
    return status;
}

static int run_task(struct gemm *g, const struct grouped *p, int64_t index, char *scratch)
{
    const int64_t tiles = p->m.count * p->n.count, in = index % tiles;
    const int64_t tile[2] = {in % p->m.count, in / p->m.count};
    const struct item *x = &p->item[index / tiles];
    return p->a->weights ? run_weights(g, p, x, tile, scratch)
                         : run_rows(g, p, x, tile[1], scratch);
}

static int run_tasks(struct device *d, struct gemm *g, const struct grouped *p, struct err *e)
{
    const size_t list = list_bytes(p->a);
    const struct device_work *work = device_work(d);
    const struct gemm_shape shape = {.m = p->a->rows, .n = p->a->n, .k = p->a->k};
    char *const all = gemm_scratch(g, (char *)work->p + list, work->bytes - list, p->room.all, e);
    int status = 0;
    if (!all) return -1;
#pragma omp parallel num_threads(d->threads) reduction(max : status)
    {
        omp_set_num_threads(1); /* oneDNN runs on this thread only */
        char *scratch = all + (size_t)omp_get_thread_num() * p->room.all;
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < p->items * p->m.count * p->n.count; i++) {
            const int s = run_task(g, p, i, scratch);
            if (s > status) status = s;
        }
    }
    return status ? gemm_failed(status, &shape, e) : 0;
}

/* ---- the operation ---- */
static bool is_nothing(const struct op_grouped *a)
{
    return !a->E || !a->n || (a->weights ? !a->k : !a->rows);
}

CPU_OP(grouped)
{
    struct gemm *g = ((struct host_device *)d)->gemm;
    struct grouped p;
    struct err e;
    unsigned need = 0;
    if (is_nothing(a)) return;
    cut(&p, a);
    list_items(&p, device_work(d)->p);
    for (int64_t i = 0; i < p.items; i++) {
        const int64_t rows = p.item[i].to - p.item[i].from;
        if (rows) need |= 1u << size_for(a->weights ? first_depth(rows) : rows);
    }
    if (plan(g, &p, need, &e) || run_tasks(d, g, &p, &e)) device_fail(d, &e);
}

/* Prepares every size, as any may occur. */
CPU_WORK(grouped)
{
    struct grouped p;
    struct err e;
    if (is_nothing(a)) return 0;
    cut(&p, a);
    const int most = a->rows ? size_for(cpu_min(a->rows, a->weights ? DEPTH : ROWS)) + 1 : 0;
    if (!plan(((struct host_device *)d)->gemm, &p, (1u << most) - 1, &e))
        return list_bytes(a) + p.room.all * (size_t)d->threads;
    device_fail(d, &e); /* the run reports the error */
    return 0;
}
