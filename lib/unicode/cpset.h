/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of code points as sorted ranges. */
#ifndef SFT_CPSET_H
#define SFT_CPSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define CPSET_LAST 0x10ffffu

/* A set of code points. A zeroed one is empty; cpset_free() releases it. */
struct cpset {
    uint32_t *r; /* first, last, first, last, ...: ascending, with a gap between ranges */
    size_t n;    /* values in r: twice the number of ranges */
    size_t cap;
};
void cpset_free(struct cpset *s);
/* Each changes the set s. 0, or -1 with ERR_MEMORY. r[n]: ranges as in struct cpset. */
int cpset_add(struct cpset *s, uint32_t first, uint32_t last, struct err *e);
int cpset_add_ranges(struct cpset *s, const uint32_t *r, size_t n, struct err *e);
int cpset_union(struct cpset *s, const struct cpset *other, struct err *e);
int cpset_intersect(struct cpset *s, const struct cpset *other, struct err *e);
int cpset_invert(struct cpset *s, struct err *e);
bool cpset_has(const struct cpset *s, uint32_t c);
bool cpset_equal(const struct cpset *a, const struct cpset *b);

#endif
