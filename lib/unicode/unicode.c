/* SPDX-License-Identifier: Apache-2.0 */
/* Look-ups in the Unicode tables: case, decomposition, composition; byte maps of code points. */
#include "unicode/unicode.h"

#include <string.h>

/* Returns the run that contains c, or NULL. */
static const struct unicode_run *find_run(const struct unicode_run *runs, size_t n, uint32_t c)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (runs[mid].last < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < n && c >= runs[lo].first && (c - runs[lo].first) % runs[lo].step == 0)
        return &runs[lo];
    return NULL;
}

unsigned unicode_category_of(uint32_t c)
{
    size_t lo = 0, hi = unicode_category_n;
    while (hi - lo > 1) {
        const size_t mid = (lo + hi) / 2;
        if (unicode_category[mid] >> 8 <= c)
            lo = mid;
        else
            hi = mid;
    }
    return unicode_category[lo] & 0xff;
}

uint32_t unicode_fold_least(uint32_t c)
{
    const struct unicode_run *r = find_run(unicode_fold, unicode_fold_n, c);
    return r ? (uint32_t)((int64_t)c + r->delta) : c;
}

int unicode_add_folds(uint32_t c, struct cpset *set, struct err *e)
{
    uint32_t least = unicode_fold_least(c);
    if (cpset_add(set, least, least, e)) return -1;
    for (unsigned i = 0; i < unicode_fold_n; i++) {
        const struct unicode_run *r = &unicode_fold[i];
        int64_t from = (int64_t)least - r->delta;
        if (from < r->first || from > r->last || (from - r->first) % r->step != 0) continue;
        if (cpset_add(set, (uint32_t)from, (uint32_t)from, e)) return -1;
    }
    return 0;
}

/* Returns the entry of c in a table of sequences, or NULL. */
static const uint32_t *find_sequence(const uint32_t *keys, size_t n, uint32_t c)
{
    size_t lo = 0, hi = n / 2;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (keys[2 * mid] < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n / 2 && keys[2 * lo] == c ? keys + 2 * lo : NULL;
}

static unsigned copy_sequence(const uint32_t *key, const uint32_t *pool, uint32_t *out)
{
    unsigned n = key[1] & 0xff;
    memcpy(out, pool + (key[1] >> 8), n * sizeof *out);
    return n;
}

unsigned unicode_to_lower(uint32_t c, uint32_t out[3])
{
    const uint32_t *key = find_sequence(unicode_lower_special, unicode_lower_special_n, c);
    const struct unicode_run *r;
    if (key) return copy_sequence(key, unicode_lower_special_pool, out);
    r = find_run(unicode_lower, unicode_lower_n, c);
    out[0] = r ? (uint32_t)((int64_t)c + r->delta) : c;
    return 1;
}

/* Returns the value of c in a partition (start << 8 | value). */
static unsigned part_get(const uint32_t *part, size_t n, uint32_t c)
{
    size_t lo = 0, hi = n;
    while (hi - lo > 1) {
        size_t mid = (lo + hi) / 2;
        if (part[mid] >> 8 <= c)
            lo = mid;
        else
            hi = mid;
    }
    return part[lo] & 0xff;
}

unsigned unicode_combining(uint32_t c)
{
    return c < 0x300 ? 0 : part_get(unicode_ccc, unicode_ccc_n, c);
}

enum { S_BASE = 0xac00, L_BASE = 0x1100, V_BASE = 0x1161, T_BASE = 0x11a7 };
enum { L_COUNT = 19, V_COUNT = 21, T_COUNT = 28, S_COUNT = L_COUNT * V_COUNT * T_COUNT };

unsigned unicode_decompose(uint32_t c, bool compat, uint32_t out[UNICODE_DECOMPOSED_MAX])
{
    const uint32_t *key = NULL;
    if (c >= S_BASE && c < S_BASE + S_COUNT) {
        uint32_t s = c - S_BASE;
        out[0] = L_BASE + s / (V_COUNT * T_COUNT);
        out[1] = V_BASE + s / T_COUNT % V_COUNT;
        out[2] = T_BASE + s % T_COUNT;
        return s % T_COUNT == 0 ? 2 : 3;
    }
    if (c >= 0xa0 && compat) {
        key = find_sequence(unicode_nfkd, unicode_nfkd_n, c);
        if (key) return copy_sequence(key, unicode_nfkd_pool, out);
    }
    if (c >= 0xa0) key = find_sequence(unicode_nfd, unicode_nfd_n, c);
    if (key) return copy_sequence(key, unicode_nfd_pool, out);
    out[0] = c;
    return 1;
}

uint32_t unicode_composite(uint32_t a, uint32_t b)
{
    size_t lo = 0, hi = unicode_compose_n / 3;
    if (a >= L_BASE && a < L_BASE + L_COUNT && b >= V_BASE && b < V_BASE + V_COUNT)
        return S_BASE + ((a - L_BASE) * V_COUNT + (b - V_BASE)) * T_COUNT;
    if (a >= S_BASE && a < S_BASE + S_COUNT && b > T_BASE && b < T_BASE + T_COUNT &&
        (a - S_BASE) % T_COUNT == 0)
        return a + (b - T_BASE);
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        const uint32_t *t = unicode_compose + 3 * mid;
        if (t[0] < a || (t[0] == a && t[1] < b))
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == unicode_compose_n / 3) return 0;
    const uint32_t *t = unicode_compose + 3 * lo;
    return t[0] == a && t[1] == b ? t[2] : 0;
}

/* Returns the index of a block in which every code point has value v, or -1 with ERR_MEMORY. */
static int uniform_block(struct cpmap *m, int *seen, uint8_t v, struct err *e)
{
    if (seen[v] < 0) {
        if (mem_grow(&m->data, &m->cap, m->n + 1, sizeof *m->data, e)) return -1;
        memset(m->data[m->n], v, sizeof *m->data);
        seen[v] = (int)m->n++;
    }
    return seen[v];
}

int cpmap_build(struct cpmap *m, const uint32_t *at, const uint8_t *value, size_t n, struct err *e)
{
    int seen[256];
    size_t i = 0; /* index of the last boundary */
    memset(m, 0, sizeof *m);
    memset(seen, 0xff, sizeof seen);
    for (uint32_t b = 0; b < 0x1100; b++) {
        uint32_t c = b << 8;
        while (i + 1 < n && at[i + 1] <= c) i++;
        if (i + 1 >= n || at[i + 1] >= c + 256) {
            int block = uniform_block(m, seen, value[i], e);
            if (block < 0) return cpmap_free(m), -1;
            m->block[b] = (uint16_t)block;
            continue;
        }
        if (mem_grow(&m->data, &m->cap, m->n + 1, sizeof *m->data, e)) return cpmap_free(m), -1;
        for (uint32_t k = 0; k < 256; k++) {
            while (i + 1 < n && at[i + 1] <= c + k) i++;
            m->data[m->n][k] = value[i];
        }
        m->block[b] = (uint16_t)m->n++;
    }
    memcpy(m->ascii, m->data[m->block[0]], sizeof m->ascii);
    return 0;
}

void cpmap_free(struct cpmap *m)
{
    mem_free(m->data);
    m->data = NULL;
    m->n = m->cap = 0;
}
