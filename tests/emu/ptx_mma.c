/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products by a warp, and moves of their fragments. Layouts are those of the PTX manual,
 * "Matrix fragments for mma". */
#include <math.h>
#include <string.h>

#include "order.h"

/* ---- elements ---- */
enum { E_BF16, E_F16, E_TF32 };
static float element(int type, uint32_t bits)
{
    if (type == E_F16) {
        const uint32_t e = bits >> 10 & 31, m = bits & 1023;
        float v = e == 31 ? (m ? NAN : INFINITY)
                  : e     ? ldexpf((float)(m | 1024), (int)e - 25)
                          : ldexpf((float)m, -24);
        return bits & 0x8000 ? -v : v;
    }
    const uint32_t b = type == E_BF16 ? bits << 16 : bits & 0xffffe000u;
    float v;
    memcpy(&v, &b, sizeof v);
    return v;
}

/* Locates register r of a lane's fragment of A [16, K] or B [K, 8], which has `packed` neighbours
 * along K. */
static void place_a(int lane, int r, int packed, int *row, int *k)
{
    *row = lane / 4 + (r & 1 ? 8 : 0);
    *k = lane % 4 * packed + r / 2 * 4 * packed;
}

static void gather_a(struct warp *w, const struct instr *i, int K, float a[16][16])
{
    const int packed = i->mode == E_TF32 ? 1 : 2, regs = group_size(i, 1);
    (void)K;
    for (int r = 0; r < regs; r++) {
        const uint32_t *x = narrow(w, operand(i, 1) + r);
        for (int l = 0; l < LANES; l++) {
            int row, k;
            place_a(l, r, packed, &row, &k);
            if (packed == 1)
                a[row][k] = element(i->mode, x[l]);
            else
                a[row][k] = element(i->mode, x[l] & 0xffff),
                a[row][k + 1] = element(i->mode, x[l] >> 16);
        }
    }
}

static void gather_b(struct warp *w, const struct instr *i, float b[16][8])
{
    const int packed = i->mode == E_TF32 ? 1 : 2, regs = group_size(i, 2);
    for (int r = 0; r < regs; r++) {
        const uint32_t *x = narrow(w, operand(i, 2) + r);
        for (int l = 0; l < LANES; l++) {
            const int k = l % 4 * packed + r * 4 * packed, n = l / 4;
            if (packed == 1)
                b[k][n] = element(i->mode, x[l]);
            else
                b[k][n] = element(i->mode, x[l] & 0xffff),
                b[k + 1][n] = element(i->mode, x[l] >> 16);
        }
    }
}

/* Computes d[16, 8] = a b + c in fp32. Lane l has rows l / 4 and l / 4 + 8, columns 2 (l % 4) and
 * the next. */
static void mma(struct warp *w, const struct instr *i, uint32_t on)
{
    float a[16][16], b[16][8], c[16][8];
    const int K = i->count;
    (void)on;
    gather_a(w, i, K, a);
    gather_b(w, i, b);
    for (int r = 0; r < 4; r++) {
        const float *x = (const float *)narrow(w, operand(i, 3) + r);
        for (int l = 0; l < LANES; l++) c[l / 4 + r / 2 * 8][l % 4 * 2 + r % 2] = x[l];
    }
    for (int row = 0; row < 16; row++)
        for (int k = 0; k < K; k++)
            for (int n = 0; n < 8; n++) c[row][n] += a[row][k] * b[k][n];
    for (int r = 0; r < 4; r++) {
        uint32_t *d = narrow(w, operand(i, 0) + r);
        for (int l = 0; l < LANES; l++) {
            const float v = c[l / 4 + r / 2 * 8][l % 4 * 2 + r % 2];
            memcpy(&d[l], &v, sizeof v);
            if (v != v) d[l] = 0x7fffffff;
        }
    }
    order_warp(w);
}

/* ---- matrices of 8 x 8 elements of 16 bits in shared memory ---- */
/* Loads matrices; lanes 8 m to 8 m + 7 provide the addresses of the rows of matrix m. */
static void ldmatrix(struct warp *w, const struct instr *i, uint32_t on)
{
    uint16_t m[4][8][8];
    (void)on;
    for (int l = 0; l < 8 * i->count; l++)
        memcpy(m[l / 8][l % 8],
               memory_at(w, i, l, i->space, memory_address(w, operand(i, 1), l), 16, ACCESS_READ),
               16);
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
