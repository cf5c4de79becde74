/* SPDX-License-Identifier: Apache-2.0 */
/* A trie of added tokens. */
#include <string.h>

#include "text/added.h"

struct trie_node {
    uint32_t child, next; /* first child, next sibling; 0: none */
    uint32_t id;          /* the token that ends here, or VOCAB_NONE */
    unsigned char byte;
};
struct added_trie {
    struct trie_node *node; /* node[0] is the root */
    size_t n, cap;
    uint32_t first[256]; /* child of the root for each byte, 0: none */
    int only;            /* the first byte of all tokens, or -1 when they differ */
};

static uint32_t child_of(const struct added_trie *t, uint32_t at, unsigned char byte)
{
    uint32_t c = t->node[at].child;
    while (c != 0 && t->node[c].byte != byte) c = t->node[c].next;
    return c;
}

static int insert(struct added_trie *t, struct str s, uint32_t id, struct err *e)
{
    uint32_t at = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char byte = (unsigned char)s.p[i];
        uint32_t c = child_of(t, at, byte);
        if (c == 0) {
            if (mem_grow(&t->node, &t->cap, t->n + 1, sizeof *t->node, e)) return -1;
            c = (uint32_t)t->n++;
            t->node[c] = (struct trie_node){0, t->node[at].child, VOCAB_NONE, byte};
            t->node[at].child = c;
        }
        at = c;
    }
    if (t->node[at].id != VOCAB_NONE)
        return err_set(e, ERR_DATA, "two added tokens have the same text \"%.*s\"", STR_FMT(s));
    t->node[at].id = id;
    return 0;
}

static void index_first(struct added_trie *t)
{
    unsigned count = 0;
    t->only = -1;
    for (uint32_t c = t->node[0].child; c != 0; c = t->node[c].next) {
        t->first[t->node[c].byte] = c;
        t->only = count++ == 0 ? t->node[c].byte : -1;
    }
}

struct added_trie *added_trie_new(const struct added *a, bool normalized, struct err *e)
{
    struct added_trie *t = mem_alloc(1, sizeof *t, e);
    int rc = t ? mem_grow(&t->node, &t->cap, 1, sizeof *t->node, e) : -1;
    if (!rc) t->node[t->n++] = (struct trie_node){.id = VOCAB_NONE};
    for (size_t i = 0; i < a->n && !rc; i++) {
        const struct added_token *k = &a->v[i];
        bool current = added_get(a, k->id) == k; /* no later token replaced it */
        if (!current || k->normalized != normalized) continue;
        if (k->pattern.n == 0)
            rc = err_set(e, ERR_DATA,
                         "added token \"%.*s\": nothing is left of it after "
                         "normalization",
                         STR_FMT(k->content));
        else
            rc = insert(t, k->pattern, k->id, e);
    }
    if (rc) {
        added_trie_free(t);
        return NULL;
    }
    index_first(t);
    return t;
}

void added_trie_free(struct added_trie *t)
{
    if (!t) return;
    mem_free(t->node);
    mem_free(t);
}

/* Returns the length of the longest token at p, or 0. */
static size_t longest(const struct added_trie *t, const char *p, size_t n, uint32_t *id)
{
    uint32_t at = t->first[(unsigned char)p[0]];
    size_t best = 0;
    for (size_t i = 1; at != 0; i++) {
        if (t->node[at].id != VOCAB_NONE) best = i, *id = t->node[at].id;
        if (i == n) break;
        at = child_of(t, at, (unsigned char)p[i]);
    }
    return best;
}

int added_trie_find(const struct added_trie *t, struct str text, size_t from, size_t *begin,
                    size_t *end, uint32_t *id)
{
    for (size_t i = from; i < text.n; i++) {
        size_t len;
        if (t->only >= 0) {
            const char *p = memchr(text.p + i, t->only, text.n - i);
            if (!p) return 0;
            i = (size_t)(p - text.p);
        } else if (t->first[(unsigned char)text.p[i]] == 0) {
            continue;
        }
        len = longest(t, text.p + i, text.n - i, id);
        if (len == 0) continue;
        *begin = i;
        *end = i + len;
        return 1;
    }
    return 0;
}
