/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of sft-ckpt diff. */
#ifndef SFT_CKPT_DIFF_H
#define SFT_CKPT_DIFF_H

#include "verbs.h"

enum diff_kind { DIFF_FIRST, DIFF_SECOND, DIFF_SHAPE, DIFF_TYPE, DIFF_VALUES };
/* One difference: of a tensor, or of the values of all tensors of a layer. */
struct diff_line {
    enum diff_kind kind;
    struct str name;
    const struct hf_tensor *a, *b; /* NULL where it is missing, and for a layer */
    bool unmeasured;               /* DIFF_VALUES of a type that is not a floating-point one */
    double largest;                /* |a - b|; NaN when a difference is */
    double diff, norm;             /* sums of squares: of a - b, and of a */
    size_t place;                  /* in the list before diff_sort */
};
struct diff_lines {
    struct diff_line *v;
    size_t n, cap;
};
/* Lists the differences of two models in file order. layers: those of values are added up, a line
 * for each layer, and equal tensors count in its norm. The caller releases v with mem_free(). */
int diff_list(const struct safetensors *a, const struct safetensors *b, bool layers,
              struct diff_lines *l, struct err *e);
/* Returns |a - b| / |a| in the Euclidean norm. */
double diff_relative(const struct diff_line *l);
/* Puts the lines of values behind all others, the largest relative difference first, and keeps only
 * `top` of them (0: all). What cannot be measured, or is not a number, counts as the largest. */
void diff_sort(struct diff_lines *l, uint64_t top);

#endif
