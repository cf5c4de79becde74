/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles regular expressions and iterates over their matches. */
#include "regex/regex.h"

#include "regex/impl.h"
#include "unicode/utf8.h"

static struct regex *compile_tree(struct regex_tree *t, struct err *e)
{
    struct regex *r = mem_alloc(1, sizeof *r, e);
    if (!r) return NULL;
    if (regex_emit(t, r, e) || regex_build_dfa(r, e) ||
        (!r->simple && cpset_add_ranges(&r->word, unicode_word, unicode_word_n, e))) {
        regex_free(r);
        return NULL;
    }
    return r;
}

static struct regex *compile(struct str pattern, bool builtin, struct err *e)
{
    struct regex_tree t;
    struct regex *r;
    if (regex_parse(pattern, builtin, &t, e)) return NULL;
    r = compile_tree(&t, e);
    regex_tree_free(&t);
    return r;
}

struct regex *regex_compile(struct str pattern, struct err *e)
{
    return compile(pattern, false, e);
}

struct regex *regex_compile_builtin(struct str pattern, struct err *e)
{
    return compile(pattern, true, e);
}

/* Makes the tree of a literal text. */
static int literal_tree(struct str text, struct regex_tree *t, struct err *e)
{
    uint32_t last = 0;
    t->root = regex_node_new(t, NODE_CAT, e);
    if (!t->root) return -1;
    for (size_t i = 0; i < text.n;) {
        struct cpset set = {0};
        uint32_t c, node;
        i += utf8_get(text.p + i, &c);
        if (cpset_add(&set, c, c, e) || !(node = regex_set_new(t, &set, e))) return -1;
        if (!last)
            t->node[t->root].child = node;
        else
            t->node[last].next = node;
        last = node;
    }
    return 0;
}

struct regex *regex_literal(struct str text, struct err *e)
{
    struct regex_tree t = {0};
    struct regex *r = literal_tree(text, &t, e) ? NULL : compile_tree(&t, e);
    regex_tree_free(&t);
    return r;
}

void regex_free(struct regex *r)
{
    if (!r) return;
    for (size_t i = 0; i < r->nset; i++) cpset_free(&r->set[i]);
    mem_free(r->set);
    mem_free(r->prog);
    mem_free(r->member);
    mem_free(r->dfa.next);
    cpset_free(&r->word);
    cpmap_free(&r->class_of);
    mem_free(r);
}

void regex_allow(struct regex_mem *m, size_t n) { m->budget = 2000000 + 400 * (uint64_t)n; }

void regex_iter_init(struct regex_iter *it, const struct regex *r, struct regex_mem *mem,
                     const char *text, size_t n)
{
    *it = (struct regex_iter){.r = r, .mem = mem, .text = text, .n = n, .last_end = SIZE_MAX};
}

/* Matches the automaton at `at`. Returns 1 with *end, or 0; *scanned: the bytes that it read. */
static int dfa_match(const struct regex *r, const char *text, size_t n, size_t at, size_t *end,
                     size_t *scanned)
{
    const uint32_t *next = r->dfa.next;
    const struct cpmap *class_of = &r->class_of;
    uint32_t row = r->dfa.ncls + 1; /* the row of the start state */
    size_t i = at;
    int found = 0;
    while (i < n) {
        unsigned char b = (unsigned char)text[i];
        unsigned len = 1;
        uint32_t c, edge;
        if (b < 0x80) {
            edge = next[row + class_of->ascii[b]];
        } else {
            len = utf8_get(text + i, &c);
            edge = next[row + class_of->data[class_of->block[c >> 8]][c & 0xff]];
        }
        if (edge & 1) found = 1, *end = i;
        row = edge >> 1;
        if (row == 0) break;
        i += len;
    }
    if (i >= n && (next[row + r->dfa.ncls] & 1)) found = 1, *end = n;
    *scanned = i - at;
    return found;
}

/* Finds the leftmost match from it->at on. Returns like regex_next(). */
static int search(struct regex_iter *it, size_t *begin, size_t *end, struct err *e)
{
    for (size_t at = it->at; at <= it->n;
         at += at < it->n ? utf8_len((unsigned char)it->text[at]) : 1) {
        int rc;
        if (it->r->dfa.next) {
            size_t scanned;
            rc = dfa_match(it->r, it->text, it->n, at, end, &scanned);
            if (scanned >= it->mem->budget)
                return err_set(e, ERR_DATA, "the pattern takes too many steps on this text");
            it->mem->budget -= scanned;
        } else {
            rc = regex_backtrack(it->r, it->mem, it->text, it->n, at, &it->mem->budget, end, e);
        }
        if (rc) return *begin = at, rc;
    }
    return 0;
}

int regex_next(struct regex_iter *it, size_t *begin, size_t *end, struct err *e)
{
    while (it->at <= it->n) {
        int rc = search(it, begin, end, e);
        if (rc <= 0) return rc;
        if (*begin != *end || it->last_end != *end) {
            it->at = it->last_end = *end;
            return 1;
        }
        it->at += it->at < it->n ? utf8_len((unsigned char)it->text[it->at]) : 1;
    }
    return 0;
}
