/* SPDX-License-Identifier: Apache-2.0 */
/* Text that records which range of the original text each byte comes from. */
#include "text/ntext.h"

#include <string.h>

#include "unicode/utf8.h"

void ntext_free(struct ntext *t)
{
    mem_free(t->own);
    mem_free(t->ranges);
    *t = (struct ntext){0};
}

void ntext_view(struct ntext *t, struct str original)
{
    t->p = original.p;
    t->n = original.n;
    t->align = NULL;
}

void ntext_clear(struct ntext *t, size_t max)
{
    t->p = t->own;
    t->n = 0;
    t->max = max < UINT32_MAX ? max : UINT32_MAX;
    t->align = t->ranges;
}

struct ntext_range ntext_origin(const struct ntext *t, size_t begin, size_t end)
{
    if (t->align) return (struct ntext_range){t->align[begin].begin, t->align[end - 1].end};
    while (begin > 0 && utf8_is_tail(t->p[begin])) begin--;
    while (end < t->n && utf8_is_tail(t->p[end])) end++;
    return (struct ntext_range){(uint32_t)begin, (uint32_t)end};
}

static int reserve(struct ntext *t, size_t more, struct err *e)
{
    if (more > t->max || t->n > t->max - more)
        return err_set(e, ERR_DATA,
                       "tokenizer.json: its normalizer and pre_tokenizer make more than %zu bytes "
                       "of this text, too many for its length",
                       t->max);
    if (mem_grow(&t->own, &t->own_cap, t->n + more + 1, 1, e) ||
        mem_grow(&t->ranges, &t->ranges_cap, t->n + more + 1, sizeof *t->ranges, e))
        return -1;
    t->p = t->own;
    t->align = t->ranges;
    return 0;
}

int ntext_copy(struct ntext *t, const struct ntext *from, size_t begin, size_t end, struct err *e)
{
    if (end <= begin) return 0;
    if (reserve(t, end - begin, e)) return -1;
    memcpy(t->own + t->n, from->p + begin, end - begin);
    if (from->align) {
        memcpy(t->ranges + t->n, from->align + begin, (end - begin) * sizeof *t->ranges);
    } else {
        for (size_t i = begin; i < end;) {
            unsigned len = utf8_len((unsigned char)from->p[i]);
            for (unsigned k = 0; k < len && i + k < end; k++)
                t->ranges[t->n + (i - begin) + k] =
                    (struct ntext_range){(uint32_t)i, (uint32_t)(i + len)};
            i += len;
        }
    }
    t->n += end - begin;
    return 0;
}

int ntext_put(struct ntext *t, const char *p, size_t n, struct ntext_range r, struct err *e)
{
    if (reserve(t, n, e)) return -1;
    memcpy(t->own + t->n, p, n);
    for (size_t i = 0; i < n; i++) t->ranges[t->n + i] = r;
    t->n += n;
    return 0;
}

void pieces_free(struct pieces *l)
{
    mem_free(l->v);
    *l = (struct pieces){0};
}

int pieces_add(struct pieces *l, const struct ntext *t, size_t begin, size_t end, uint32_t id,
               struct err *e)
{
    struct piece *p;
    if (begin >= end) return 0;
    if (l->n == l->cap && mem_grow(&l->v, &l->cap, l->n + 1, sizeof *l->v, e)) return -1;
    p = &l->v[l->n++];
    p->begin = (uint32_t)begin;
    p->end = (uint32_t)end;
    p->origin = t->align ? t->align[begin].begin : (uint32_t)begin;
    p->id = id;
    return 0;
}
