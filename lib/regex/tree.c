/* SPDX-License-Identifier: Apache-2.0 */
/* The syntax tree of a pattern, and the helpers that the files of the parser share. */
#include <string.h>

#include "regex/impl.h"

uint32_t regex_node_new(struct regex_tree *t, enum regex_node_kind kind, struct err *e)
{
    if (t->n == 0) t->n = 1;
    if (t->n >= REGEX_MAX_NODES)
        return err_set(e, ERR_DATA, "the pattern has more than %d parts", REGEX_MAX_NODES), 0;
    if (mem_grow(&t->node, &t->cap, t->n + 1, sizeof *t->node, e)) return 0;
    t->node[t->n] = (struct regex_node){.kind = kind};
    return (uint32_t)t->n++;
}

uint32_t regex_set_new(struct regex_tree *t, struct cpset *set, struct err *e)
{
    uint32_t node = 0, i;
    for (i = 0; i < t->nset && !cpset_equal(&t->set[i], set); i++) {}
    if (i == t->nset) {
        if (mem_grow(&t->set, &t->set_cap, t->nset + 1, sizeof *t->set, e))
            return cpset_free(set), 0;
        t->set[t->nset++] = *set;
        *set = (struct cpset){0};
    }
    cpset_free(set);
    node = regex_node_new(t, NODE_SET, e);
    if (node) t->node[node].set = i;
    return node;
}

void regex_tree_free(struct regex_tree *t)
{
    for (size_t i = 0; i < t->nset; i++) cpset_free(&t->set[i]);
    mem_free(t->set);
    mem_free(t->node);
    *t = (struct regex_tree){0};
}

bool regex_is_anchor(const struct regex_tree *t, uint32_t id)
{
    const struct regex_node *n = &t->node[id];
    if (n->kind == NODE_ASSERT || n->kind == NODE_LOOK) return true;
    if (n->kind == NODE_CAT)
        return n->child && !t->node[n->child].next && regex_is_anchor(t, n->child);
    if (n->kind != NODE_ALT) return false;
    for (uint32_t c = n->child; c; c = t->node[c].next)
        if (regex_is_anchor(t, c)) return true;
    return false;
}

int regex_fail(struct regex_parser *ps, const char *what)
{
    return err_set(ps->e, ERR_DATA, "pattern \"%.*s\": at byte %zu: %s",
                   STR_FMT(((struct str){ps->begin, (size_t)(ps->end - ps->begin)})),
                   (size_t)(ps->p - ps->begin), what);
}

bool regex_looking_at(const struct regex_parser *ps, const char *z)
{
    size_t n = strlen(z);
    return (size_t)(ps->end - ps->p) >= n && memcmp(ps->p, z, n) == 0;
}

bool regex_eat(struct regex_parser *ps, const char *z)
{
    if (!regex_looking_at(ps, z)) return false;
    ps->p += strlen(z);
    return true;
}

uint32_t regex_wrap(struct regex_parser *ps, enum regex_node_kind kind, uint32_t child)
{
    uint32_t n = child ? regex_node_new(ps->tree, kind, ps->e) : 0;
    if (n) ps->tree->node[n].child = child;
    return n;
}
