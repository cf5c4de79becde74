/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of code points: union, intersection and complement of sorted ranges. */
#include "unicode/cpset.h"

#include <string.h>

#include "base/mem.h"

void cpset_free(struct cpset *s)
{
    mem_free(s->r);
    *s = (struct cpset){0};
}

static int push(struct cpset *s, uint32_t first, uint32_t last, struct err *e)
{
    if (s->n > 0 && first <= s->r[s->n - 1] + 1) {
        if (last > s->r[s->n - 1]) s->r[s->n - 1] = last;
        return 0;
    }
    if (mem_grow(&s->r, &s->cap, s->n + 2, sizeof *s->r, e)) return -1;
    s->r[s->n++] = first;
    s->r[s->n++] = last;
    return 0;
}

int cpset_add_ranges(struct cpset *s, const uint32_t *r, size_t n, struct err *e)
{
    struct cpset out = {0};
    size_t i = 0, j = 0;
    while (i < s->n || j < n) {
        bool mine = j >= n || (i < s->n && s->r[i] <= r[j]);
        const uint32_t *from = mine ? s->r + i : r + j;
        if (push(&out, from[0], from[1], e)) return cpset_free(&out), -1;
        *(mine ? &i : &j) += 2;
    }
    mem_free(s->r);
    *s = out;
    return 0;
}

int cpset_add(struct cpset *s, uint32_t first, uint32_t last, struct err *e)
{
    uint32_t range[2] = {first, last};
    if (s->n == 0 || first > s->r[s->n - 1]) return push(s, first, last, e);
    return cpset_add_ranges(s, range, 2, e);
}

int cpset_union(struct cpset *s, const struct cpset *other, struct err *e)
{
    return cpset_add_ranges(s, other->r, other->n, e);
}

int cpset_invert(struct cpset *s, struct err *e)
{
    struct cpset out = {0};
    uint32_t next = 0;
    for (size_t i = 0; i < s->n; i += 2) {
        if (s->r[i] > next && push(&out, next, s->r[i] - 1, e)) return cpset_free(&out), -1;
        next = s->r[i + 1] + 1;
    }
    if (next <= CPSET_LAST && push(&out, next, CPSET_LAST, e)) return cpset_free(&out), -1;
    mem_free(s->r);
    *s = out;
    return 0;
}

int cpset_intersect(struct cpset *s, const struct cpset *other, struct err *e)
{
    struct cpset out = {0};
    for (size_t i = 0, j = 0; i < s->n && j < other->n;) {
        uint32_t first = s->r[i] > other->r[j] ? s->r[i] : other->r[j];
        uint32_t last = s->r[i + 1] < other->r[j + 1] ? s->r[i + 1] : other->r[j + 1];
        if (first <= last && push(&out, first, last, e)) return cpset_free(&out), -1;
        if (s->r[i + 1] < other->r[j + 1])
            i += 2;
        else
            j += 2;
    }
    mem_free(s->r);
    *s = out;
    return 0;
}

bool cpset_has(const struct cpset *s, uint32_t c)
{
    size_t lo = 0, hi = s->n / 2;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (c < s->r[2 * mid])
            hi = mid;
        else if (c > s->r[2 * mid + 1])
            lo = mid + 1;
        else
            return true;
    }
    return false;
}

bool cpset_equal(const struct cpset *a, const struct cpset *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->r, b->r, a->n * sizeof *a->r) == 0);
}
