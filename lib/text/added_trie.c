/* SPDX-License-Identifier: Apache-2.0 */
/* Finds added tokens with an automaton of Aho and Corasick (1975). It is made of the reversed
 * tokens and reads the text from its end: its state at a byte tells the longest token that begins
 * there. Each byte of the text is read once, whatever the tokens are. */
#include <string.h>

#include "text/added.h"

struct trie_node {
    uint32_t child, next; /* first child, next sibling; 0: none */
    uint32_t fail;        /* the longest proper suffix that is a node */
    uint32_t id;          /* the longest token that is a suffix of the node, or VOCAB_NONE */
    unsigned char byte;
};
struct added_trie {
    struct trie_node *node; /* node[0] is the root */
    size_t n, cap;
    uint32_t root[256]; /* child of the root for each byte, 0: none */
    int only; /* the first byte of all tokens, -1 when they differ, or -2 without tokens */
};

static uint32_t child_of(const struct added_trie *t, uint32_t at, unsigned char byte)
{
    uint32_t c;
    if (at == 0) return t->root[byte];
    c = t->node[at].child;
    while (c != 0 && t->node[c].byte != byte) c = t->node[c].next;
    return c;
}

static uint32_t add_child(struct added_trie *t, uint32_t at, unsigned char byte, struct err *e)
{
    uint32_t c;
    if (t->n >= UINT32_MAX) return err_set(e, ERR_DATA, "the added tokens are too long"), 0;
    if (mem_grow(&t->node, &t->cap, t->n + 1, sizeof *t->node, e)) return 0;
    c = (uint32_t)t->n++;
    t->node[c] = (struct trie_node){0, t->node[at].child, 0, VOCAB_NONE, byte};
    t->node[at].child = c;
    if (at == 0) t->root[byte] = c;
    return c;
}

static int insert(struct added_trie *t, struct str s, uint32_t id, struct err *e)
{
    uint32_t at = 0;
    for (size_t i = s.n; i-- > 0;) {
        unsigned char byte = (unsigned char)s.p[i];
        uint32_t c = child_of(t, at, byte);
        if (c == 0 && (c = add_child(t, at, byte, e)) == 0) return -1;
        at = c;
    }
    if (t->node[at].id != VOCAB_NONE)
        return err_set(e, ERR_DATA, "two added tokens have the same text \"%.*s\"", STR_FMT(s));
    t->node[at].id = id;
    if (t->only == -2) t->only = (unsigned char)s.p[0];
    if (t->only != (unsigned char)s.p[0]) t->only = -1;
    return 0;
}

/* Returns the state after `byte`. */
static uint32_t step(const struct added_trie *t, uint32_t at, unsigned char byte)
{
    uint32_t c;
    while ((c = child_of(t, at, byte)) == 0 && at != 0) at = t->node[at].fail;
    return c;
}

/* Sets `fail` of all nodes, breadth first, and the tokens that end the nodes' texts. */
static int link_suffixes(struct added_trie *t, struct err *e)
{
    uint32_t *queue = mem_alloc(t->n, sizeof *queue, e);
    size_t first = 0, n = 0;
    if (!queue) return -1;
    queue[n++] = 0;
    for (; first < n; first++) {
        uint32_t at = queue[first];
        for (uint32_t c = t->node[at].child; c != 0; c = t->node[c].next) {
            struct trie_node *k = &t->node[c];
            k->fail = at == 0 ? 0 : step(t, t->node[at].fail, k->byte);
            if (k->id == VOCAB_NONE) k->id = t->node[k->fail].id;
            queue[n++] = c;
        }
    }
    mem_free(queue);
    return 0;
}

static int insert_all(struct added_trie *t, const struct added *a, bool normalized, struct err *e)
{
    for (size_t i = 0; i < a->n; i++) {
        const struct added_token *k = &a->v[i];
        bool current = added_get(a, k->id) == k; /* no later token replaced it */
        if (!current || k->normalized != normalized) continue;
        if (k->pattern.n == 0)
            return err_set(e, ERR_DATA,
                           "added token \"%.*s\": nothing is left of it after normalization",
                           STR_FMT(k->content));
        if (insert(t, k->pattern, k->id, e)) return -1;
    }
    return 0;
}

struct added_trie *added_trie_new(const struct added *a, bool normalized, struct err *e)
{
    struct added_trie *t = mem_alloc(1, sizeof *t, e);
    if (!t) return NULL;
    t->only = -2;
    if (!mem_grow(&t->node, &t->cap, 1, sizeof *t->node, e)) {
        t->node[t->n++] = (struct trie_node){.id = VOCAB_NONE};
        if (!insert_all(t, a, normalized, e) && !link_suffixes(t, e)) return t;
    }
    added_trie_free(t);
    return NULL;
}

void added_trie_free(struct added_trie *t)
{
    if (!t) return;
    mem_free(t->node);
    mem_free(t);
}

void added_hits_free(struct added_hits *h)
{
    mem_free(h->v);
    *h = (struct added_hits){0};
}

/* Returns a byte before which no token begins; text.n: none begins anywhere. */
static size_t first_possible(const struct added_trie *t, struct str text)
{
    const char *p = text.p;
    if (t->only >= 0) p = memchr(text.p, t->only, text.n);
    return t->only == -2 || !p ? text.n : (size_t)(p - text.p);
}

int added_trie_find(const struct added_trie *t, struct str text, struct added_hits *h,
                    struct err *e)
{
    uint32_t at = 0;
    h->n = 0;
    if (text.n == 0) return 0;
    for (size_t i = text.n, stop = first_possible(t, text); i-- > stop;) {
        at = step(t, at, (unsigned char)text.p[i]);
        if (t->node[at].id == VOCAB_NONE) continue;
        if (mem_grow(&h->v, &h->cap, h->n + 1, sizeof *h->v, e)) return -1;
        h->v[h->n++] = (struct added_hit){(uint32_t)i, t->node[at].id};
    }
    return 0;
}
