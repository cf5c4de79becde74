/* SPDX-License-Identifier: Apache-2.0 */
/* Products of a warpgroup, which read shared memory while its warps go on. */
#ifndef EMU_WGMMA_H
#define EMU_WGMMA_H

#include "order.h"

enum wgmma_type { W_BF16, W_F16, W_TF32, W_E4M3, W_E5M2, W_S8, W_U8, W_F32, W_S32 };
enum { WGMMA_K = 32, WGMMA_N = 256, WGMMA_M = 16, WARPGROUP = 4 };

/* A product that a warp has issued: its 16 rows of D. */
struct wgmma {
    struct wgmma *next;
    const struct instr *instr;
    uint64_t a, b; /* descriptors */
    bool keep;     /* D is added to */
    int group;
    uint64_t number; /* of the warp's products */
};

/* An operand in shared memory: rows (of A, or columns of B) by depth. */
struct tile {
    uint32_t start, leading, stride; /* bytes */
    uint32_t width;                  /* of the swizzle; 0: none */
    bool mn_major;
    int size, rows, depth; /* size: bytes of an element */
};
/* Reads a descriptor; returns NULL, or why the hardware would misread it. */
const char *tile_open(struct tile *t, uint64_t descriptor, bool mn_major, int size, int rows,
                      int depth);
/* Values of 16 bytes; stride: floats from one element to the next. */
void tile_values(enum wgmma_type type, const unsigned char *bytes, float *to, int stride);

/* Computes d += a b for 16 rows, and n columns. a: [16][WGMMA_K], b: [k][n]. */
void wgmma_product(float d[WGMMA_M][WGMMA_N], const float a[WGMMA_M][WGMMA_K],
                   const float b[WGMMA_K][WGMMA_N], int n, int depth);

/* Fails if products of a warp are in flight, or its warpgroup did not all issue them. */
void wgmma_check(struct warp *w);
void wgmma_drop(struct warp *w);
void wgmma_forget(struct block *b);

#endif
