/* SPDX-License-Identifier: Apache-2.0 */
/* Computes products of a warpgroup: a warp's rows, when it waits for them. */
#include "wgmma_impl.h"

#include <stdlib.h>
#include <string.h>

#include "half.h"

/* ---- operands ---- */
static void wgmma_tiles(const struct wgmma *x, struct tile *a, struct tile *b)
{
    const struct instr *i = x->instr;
    *a = (struct tile){0};
    if (!wgmma_a_registers(i))
        tile_open(a, x->a, wgmma_transposed(i, 0), wgmma_size(i), WARPGROUP * WGMMA_M,
                  wgmma_depth(i));
    tile_open(b, x->b, wgmma_transposed(i, 1), wgmma_size(i), wgmma_n(i), wgmma_depth(i));
}

struct place {
    struct warp *warp;
    const struct wgmma *product;
    float (*a)[WGMMA_K], (*b)[WGMMA_N];
};
typedef void each_chunk(const struct place *p, const struct tile *t, uint32_t at, int row, int k);
#define INLINED __attribute__((always_inline)) inline /* with the function that it calls */

static uint32_t swizzled(const struct tile *t, uint32_t at)
{
    return t->width ? at ^ (at >> 7 & (t->width / 16 - 1)) << 4 : at;
}

/* Chunks along k: each is 16 bytes of a row. */
INLINED static void each_along_k(const struct tile *t, int first, int rows, each_chunk *f,
                                 const struct place *p)
{
    const int per = 16 / t->size;
    const uint32_t pitch = t->width ? t->width : 16, step = t->width ? 16 : t->leading;
    for (int r = first; r < first + rows; r++)
        for (int c = 0; c < t->depth / per; c++) {
            const uint32_t at = t->start + (uint32_t)(r % 8) * pitch +
                                (uint32_t)(r / 8) * t->stride + (uint32_t)c * step;
            f(p, t, swizzled(t, at), r, c * per);
        }
}

/* Chunks along the rows: each is 16 bytes of one k. */
INLINED static void each_along_mn(const struct tile *t, int first, int rows, each_chunk *f,
                                  const struct place *p)
{
    const int per = 16 / t->size, across = (int)t->width / 16;
    for (int k = 0; k < t->depth; k++)
        for (int g = first / per; g < (first + rows) / per; g++) {
            uint32_t at = t->start;
            if (!across)
                at += (uint32_t)(k % 8) * 16 + (uint32_t)(k / 8) * t->leading +
                      (uint32_t)g * t->stride;
            else
                at += (uint32_t)(g % across) * 16 + (uint32_t)(k % 8) * t->width +
                      (uint32_t)(k / 8) * t->stride + (uint32_t)(g / across) * t->leading;
            f(p, t, swizzled(t, at), g * per, k);
        }
}

/* Calls f for each 16 bytes of rows [first, first + rows): where they lie, their first row and
 * their first k; they go along k, or along the rows if mn_major. */
INLINED static void each_chunk_of(const struct tile *t, int first, int rows, each_chunk *f,
                                  const struct place *p)
{
    if (t->mn_major)
        each_along_mn(t, first, rows, f, p);
    else
        each_along_k(t, first, rows, f, p);
}

static inline void begin_chunk(const struct place *p, const struct tile *t, uint32_t at, int row,
                               int k)
{
    struct block *b = p->warp->block;
    uint64_t known[2];
    (void)t, (void)row, (void)k;
    order_begin(p->warp, p->product->instr, 0, b, at, CHUNK, ACCESS_READ);
    memcpy(known, b->shared_known + at, sizeof known);
    if ((known[0] & known[1]) != 0x0101010101010101ull)
        fault(p->warp, p->product->instr, 0,
              "reads 16 bytes at %u of shared memory, where nothing was stored", at);
}
static inline void end_chunk(const struct place *p, const struct tile *t, uint32_t at, int row,
                             int k)
{
    (void)t, (void)row, (void)k;
    order_end(p->warp, 0, p->warp->block, at, CHUNK, ACCESS_READ);
}

INLINED static void each_operand(struct warp *w, const struct wgmma *x, each_chunk *f)
{
    struct tile a, b;
    struct place p = {w, x, NULL, NULL};
    if (!memory_checks()) return;
    wgmma_tiles(x, &a, &b);
    if (a.rows) each_chunk_of(&a, w->index % WARPGROUP * WGMMA_M, WGMMA_M, f, &p);
    each_chunk_of(&b, 0, b.rows, f, &p);
}

void wgmma_begin(struct warp *w, const struct wgmma *x) { each_operand(w, x, begin_chunk); }

/* ---- values ---- */
static inline void a_chunk(const struct place *p, const struct tile *t, uint32_t at, int row, int k)
{
    tile_values((enum wgmma_type)p->product->instr->compare, p->warp->block->shared + at,
                &p->a[row % WGMMA_M][k], t->mn_major ? WGMMA_K : 1);
}
static inline void b_chunk(const struct place *p, const struct tile *t, uint32_t at, int row, int k)
{
    tile_values((enum wgmma_type)p->product->instr->combine, p->warp->block->shared + at,
                &p->b[k][row], t->mn_major ? 1 : WGMMA_N);
}

/* A in registers has the layout of mma's A. */
static void a_fragments(struct warp *w, const struct instr *i, float a[][WGMMA_K])
{
    const int packed = 4 / wgmma_size(i);
    for (int r = 0; r < 4; r++) {
        const uint32_t *x = narrow(w, operand(i, 1) + r);
        for (int l = 0; l < LANES; l++) {
            unsigned char bytes[16] = {0};
            float v[16];
            memcpy(bytes, &x[l], 4);
            tile_values((enum wgmma_type)i->compare, bytes, v, 1);
            memcpy(&a[l / 4 + 8 * (r & 1)][l % 4 * packed + r / 2 * 4 * packed], v,
                   (size_t)packed * sizeof *v);
        }
    }
}

/* B is the same for the four warps of a group, so that its values are kept for the next warps. */
enum { KEPT = 8 };
struct kept {
    uint64_t block, number;
    uint32_t group;
    float b[WGMMA_K][WGMMA_N];
};
static __thread struct kept *kept;
static __thread unsigned next_kept;

static float (*b_values(struct warp *w, const struct wgmma *x, const struct tile *t))[WGMMA_N]
{
    const uint32_t group = (uint32_t)w->index / WARPGROUP;
    if (!kept) kept = calloc(KEPT, sizeof *kept);
    if (!kept) emu_die("out of memory");
    for (int k = 0; k < KEPT; k++)
        if (kept[k].number == x->number && kept[k].group == group && kept[k].block == w->block->id)
            return kept[k].b;
    struct kept *new = &kept[next_kept++ % KEPT];
    new->block = w->block->id, new->group = group, new->number = x->number;
    each_chunk_of(t, 0, t->rows, b_chunk, &(struct place){w, x, NULL, new->b});
    return new->b;
}

/* ---- accumulators ---- */
/* Calls body for each accumulator of a lane: its row and column. */
#define EACH_ACCUMULATOR(n, ...)                                                                   \
    for (int e = 0; e < (n) / 2; e++)                                                              \
        for (int l = 0; l < LANES; l++) {                                                          \
            const int row = l / 4 + 8 * (e / 2 % 2), column = e / 4 * 8 + l % 4 * 2 + e % 2;       \
            __VA_ARGS__;                                                                           \
        }

static void get(struct warp *w, const struct instr *i, float d[][WGMMA_N])
{
    const struct operand *o = operand(i, 0);
    if (i->type.bits == 16)
        EACH_ACCUMULATOR(wgmma_n(i), const uint32_t v = narrow(w, o + e / 2)[l];
                         d[row][column] = (float)half_value(HALF_F16, (uint16_t)(v >> e % 2 * 16)))
    else
        EACH_ACCUMULATOR(wgmma_n(i), memcpy(&d[row][column], &narrow(w, o + e)[l], 4))
}

static void put(struct warp *w, const struct instr *i, float d[][WGMMA_N], bool keep)
{
    const struct operand *o = operand(i, 0);
    if (i->type.bits == 16)
        EACH_ACCUMULATOR(wgmma_n(i), uint16_t v = half_round(HALF_F16, d[row][column], 0);
                         memcpy((uint16_t *)&narrow(w, o + e / 2)[l] + e % 2, &v, 2))
    else if (i->type.kind == 's')
        EACH_ACCUMULATOR(wgmma_n(i), uint32_t *to = &narrow(w, o + e)[l];
                         *to = (keep ? *to : 0) + (uint32_t)(int32_t)d[row][column])
    else
        EACH_ACCUMULATOR(wgmma_n(i), const float v = d[row][column];
                         uint32_t *to = &narrow(w, o + e)[l]; memcpy(to, &v, 4);
                         if (v != v) *to = 0x7fffffff)
}

/* Sums of integers are exact, and are added to the accumulators as integers. Those of f16 are
 * rounded after each product. */
static bool chained(const struct wgmma *x, const struct wgmma *y)
{
    const struct instr *a = x->instr, *b = y->instr;
    if (a->type.kind != 'f' || a->type.bits != 32 || !y->keep) return false;
    return a == b || wgmma_same_accumulators(a, b);
}

static void multiply(struct warp *w, const struct wgmma *x, float d[][WGMMA_N])
{
    const struct instr *i = x->instr;
    float a[WGMMA_M][WGMMA_K];
    struct tile ta, tb;
    wgmma_tiles(x, &ta, &tb);
    if (ta.rows)
        each_chunk_of(&ta, w->index % WARPGROUP * WGMMA_M, WGMMA_M, a_chunk,
                      &(struct place){w, x, a, NULL});
    else
        a_fragments(w, i, a);
    if (wgmma_sign(i) < 0)
        for (int r = 0; r < WGMMA_M; r++)
            for (int k = 0; k < wgmma_depth(i); k++) a[r][k] = -a[r][k];
    wgmma_product(d, a, b_values(w, x, &tb), wgmma_n(i), wgmma_depth(i));
}

/* Products that follow one another into the same registers leave D as it is between them. */
void wgmma_end(struct warp *w, const struct wgmma *x, const struct wgmma *before,
               const struct wgmma *after)
{
    static __thread float(*d)[WGMMA_N];
    const bool whole = x->instr->type.kind == 's';
    if (!d) d = calloc(WGMMA_M, sizeof *d); /* once a thread of the host */
    if (!d) emu_die("out of memory");
    if (!before || !chained(before, x)) {
        if (x->keep && !whole)
            get(w, x->instr, d);
        else
            memset(d, 0, WGMMA_M * sizeof *d);
    }
    multiply(w, x, d);
    if (!after || !chained(x, after)) put(w, x->instr, d, x->keep);
    each_operand(w, x, end_chunk);
}
