/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products by a warp, and moves of their fragments. Layouts are those of the PTX manual,
 * "Matrix fragments for mma". */
#include <math.h>
#include <string.h>

#include "order.h"

/* ---- products ---- */
enum { E_BF16, E_F16, E_TF32 };
static float element_f16(uint32_t bits)
{
    const uint32_t e = bits >> 10 & 31, m = bits & 1023;
    const float v = e == 31 ? (m ? NAN : INFINITY)
                    : e     ? ldexpf((float)(m | 1024), (int)e - 25)
                            : ldexpf((float)m, -24);
    return bits & 0x8000 ? -v : v;
}

/* The n-th element in the lanes of a register, which has one element of 32 bits or two of 16. */
static inline float element(int type, const uint32_t *x, int n)
{
    uint16_t half;
    uint32_t bits = x[n / 2];
    float v;
    if (type == E_TF32) {
        bits = x[n] & 0xffffe000u;
    } else {
        memcpy(&half, (const uint16_t *)(const void *)x + n, sizeof half);
        if (type == E_F16) return element_f16(half);
        bits = (uint32_t)half << 16;
    }
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* A register of a fragment holds 8 rows of A, or 8 columns of B, and `across` along K. A's second
 * and fourth have rows 8 to 15. */
__attribute__((always_inline)) static inline void gather(struct warp *w, const struct instr *i,
                                                         int type, float a[16][16], float b[16][8])
{
    const int across = type == E_TF32 ? 4 : 8;
    for (int r = 0; r < group_size(i, 1); r++) {
        const uint32_t *x = narrow(w, operand(i, 1) + r);
        float(*to)[16] = a + r % 2 * 8;
        for (int row = 0; row < 8; row++)
            for (int k = 0; k < across; k++)
                to[row][r / 2 * across + k] = element(type, x, row * across + k);
    }
    for (int r = 0; r < group_size(i, 2); r++) {
        const uint32_t *x = narrow(w, operand(i, 2) + r);
        for (int n = 0; n < 8; n++)
            for (int k = 0; k < across; k++)
                b[r * across + k][n] = element(type, x, n * across + k);
    }
}

/* Registers 0 and 1 of C have the even and the odd columns of rows 0 to 7. */
static void gather_c(struct warp *w, const struct operand *o, float c[16][8])
{
    for (int r = 0; r < 4; r++) {
        const float *x = (const float *)narrow(w, o + r);
        for (int l = 0; l < LANES; l++) c[l / 4 + r / 2 * 8][l % 4 * 2 + r % 2] = x[l];
    }
}
static void scatter_c(struct warp *w, const struct operand *o, float c[16][8])
{
    for (int r = 0; r < 4; r++) {
        uint32_t *d = narrow(w, o + r);
        for (int l = 0; l < LANES; l++) {
            const float v = c[l / 4 + r / 2 * 8][l % 4 * 2 + r % 2];
            memcpy(&d[l], &v, sizeof v);
            if (v != v) d[l] = 0x7fffffff;
        }
    }
}

/* Computes d[16, 8] = a b + c in fp32. */
typedef float v8 __attribute__((vector_size(32)));
static void mma(struct warp *w, const struct instr *i, uint32_t on)
{
    float a[16][16], b[16][8], c[16][8];
    (void)on;
    if (i->mode == E_BF16)
        gather(w, i, E_BF16, a, b);
    else if (i->mode == E_F16)
        gather(w, i, E_F16, a, b);
    else
        gather(w, i, E_TF32, a, b);
    gather_c(w, operand(i, 3), c);
    for (int row = 0; row < 16; row++) {
        v8 sum, x;
        memcpy(&sum, c[row], sizeof sum);
        for (int k = 0; k < i->count; k++) {
            memcpy(&x, b[k], sizeof x);
            sum += a[row][k] * x;
        }
        memcpy(c[row], &sum, sizeof sum);
    }
    scatter_c(w, operand(i, 0), c);
    order_warp(w);
}

/* ---- matrices of 8 x 8 elements of 16 bits in shared memory ---- */
/* Loads matrices; lanes 8 m to 8 m + 7 provide the addresses of the rows of matrix m. */
static void ldmatrix(struct warp *w, const struct instr *i, uint32_t on)
{
    uint16_t m[4][8][8];
    uint64_t address[LANES];
    unsigned char *at[LANES];
    const uint32_t rows = (uint32_t)((1ull << 8 * i->count) - 1);
    (void)on;
    memory_addresses(w, operand(i, 1), rows, address);
    memory_lanes(w, i, i->space, address, rows, 16, ACCESS_READ, at);
    EACH_LANE(rows, memcpy(m[l / 8][l % 8], at[l], 16););
    for (int r = 0; r < i->count; r++) {
        uint32_t *d = narrow(w, operand(i, 0) + r);
        for (int l = 0; l < LANES; l++) {
            const int row = l / 4, column = l % 4 * 2;
            d[l] = i->trans ? m[r][column][row] | (uint32_t)m[r][column + 1][row] << 16
                            : m[r][row][column] | (uint32_t)m[r][row][column + 1] << 16;
        }
    }
    order_warp(w);
}

static void stmatrix(struct warp *w, const struct instr *i, uint32_t on)
{
    (void)on;
    for (int r = 0; r < i->count; r++) {
        uint16_t m[8][8];
        const uint32_t *x = narrow(w, operand(i, 1) + r);
        for (int l = 0; l < LANES; l++) {
            const int row = l / 4, column = l % 4 * 2;
            uint16_t *low = i->trans ? &m[column][row] : &m[row][column],
                     *high = i->trans ? &m[column + 1][row] : &m[row][column + 1];
            *low = (uint16_t)x[l], *high = (uint16_t)(x[l] >> 16);
        }
        for (int row = 0; row < 8; row++) {
            const int l = 8 * r + row;
            memcpy(
                memory_at(w, i, l, i->space, memory_address(w, operand(i, 0), l), 16, ACCESS_WRITE),
                m[row], 16);
        }
    }
    order_warp(w);
}

static void movmatrix(struct warp *w, const struct instr *i, uint32_t on)
{
    uint16_t m[8][8];
    const uint32_t *x = narrow(w, operand(i, 1));
    uint32_t *d = narrow(w, operand(i, 0));
    (void)on;
    for (int l = 0; l < LANES; l++)
        m[l / 4][l % 4 * 2] = (uint16_t)x[l], m[l / 4][l % 4 * 2 + 1] = (uint16_t)(x[l] >> 16);
    for (int l = 0; l < LANES; l++)
        d[l] = m[l % 4 * 2][l / 4] | (uint32_t)m[l % 4 * 2 + 1][l / 4] << 16;
    order_warp(w);
}

/* ---- opcodes ---- */
static bool decode_mma(struct instr *i, const char *p)
{
    static const struct {
        const char *shape, *types;
        uint8_t k, type;
    } all[] = {
        {"m16n8k16", "f32.bf16.bf16.f32", 16, E_BF16}, {"m16n8k8", "f32.bf16.bf16.f32", 8, E_BF16},
        {"m16n8k16", "f32.f16.f16.f32", 16, E_F16},    {"m16n8k8", "f32.f16.f16.f32", 8, E_F16},
        {"m16n8k8", "f32.tf32.tf32.f32", 8, E_TF32},   {"m16n8k4", "f32.tf32.tf32.f32", 4, E_TF32}};
    if (!ptx_suffix(&p, "sync") || !ptx_suffix(&p, "aligned")) return false;
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        const char *q = p;
        if (!ptx_suffix(&q, all[k].shape) || !ptx_suffix(&q, "row") || !ptx_suffix(&q, "col") ||
            strcmp(q + 1, all[k].types))
            continue;
        i->count = all[k].k;
        i->mode = all[k].type;
        i->run = mma;
        return i->groups == 4;
    }
    return false;
}

static bool decode_rows(struct instr *i, const char *p, execute *run)
{
    if (!ptx_suffix(&p, "sync") || !ptx_suffix(&p, "aligned") || !ptx_suffix(&p, "m8n8"))
        return false;
    i->count = ptx_suffix(&p, "x1") ? 1 : ptx_suffix(&p, "x2") ? 2 : ptx_suffix(&p, "x4") ? 4 : 0;
    i->trans = ptx_suffix(&p, "trans");
    i->space =
        ptx_suffix(&p, "shared") || ptx_suffix(&p, "shared::cta") ? SPACE_SHARED : SPACE_GENERIC;
    i->run = run;
    return i->count && ptx_suffix(&p, "b16") && !*p;
}

bool decode_matrix(struct instr *i)
{
    const char *p = i->text + strcspn(i->text, ".");
    i->gather = GATHER_ALL;
    if (!strncmp(i->text, "mma.", 4) && (decode_mma(i, p) || decode_mma_small(i))) return true;
    if (!strncmp(i->text, "ldmatrix.", 9) && decode_rows(i, p, ldmatrix)) return true;
    if (!strncmp(i->text, "stmatrix.", 9) && decode_rows(i, p, stmatrix)) return true;
    if (!strcmp(i->text, "movmatrix.sync.aligned.m8n8.trans.b16")) return i->run = movmatrix, true;
    i->gather = GATHER_NONE;
    return false;
}
