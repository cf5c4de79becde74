/* SPDX-License-Identifier: Apache-2.0 */
/* Loads added tokens and splits text at them, with the rules of `tokenizers` for ids, single words
 * and white space around them. */
#include "text/added.h"

#include <string.h>

#include "text/fields.h"
#include "unicode/unicode.h"
#include "unicode/utf8.h"

void added_free(struct added *a)
{
    added_trie_free(a->plain);
    added_trie_free(a->normalized);
    mem_free(a->v);
    mem_free(a->by_id);
    vocab_free(&a->by_content);
    cpset_free(&a->word);
    cpset_free(&a->space);
    arena_free(&a->strings);
    *a = (struct added){0};
}

const struct added_token *added_find(const struct added *a, struct str content)
{
    uint32_t i = vocab_find(&a->by_content, content);
    return i == VOCAB_NONE ? NULL : &a->v[i];
}

static int set_by_id(struct added *a, uint32_t id, size_t index, struct err *e)
{
    if (id > VOCAB_MAX_ID) return err_set(e, ERR_DATA, "added tokens: too many ids");
    if (id >= a->by_id_n) {
        size_t n = a->by_id_n, cap = a->by_id_n;
        if (mem_grow(&a->by_id, &cap, (size_t)id + 1, sizeof *a->by_id, e)) return -1;
        memset(a->by_id + n, 0, (cap - n) * sizeof *a->by_id);
        a->by_id_n = cap;
    }
    a->by_id[id] = (uint32_t)index + 1;
    return 0;
}

/* Sets the pattern of a token: its content after normalization. */
static int normalize(struct added *a, const struct normalizer *n, struct added_token *t,
                     struct err *e)
{
    struct normalizer_scratch s = {0};
    struct ntext from = {0}, to = {0};
    char *copy = NULL;
    ntext_view(&from, t->content);
    ntext_clear(&to, ntext_most(from.n));
    regex_allow(&s.mem, from.n);
    if (!normalizer_apply(n, &s, &from, 0, from.n, &to, e))
        copy = arena_copy(&a->strings, to.n > 0 ? to.p : "", to.n, e);
    t->pattern = (struct str){copy, to.n};
    ntext_free(&to);
    normalizer_scratch_free(&s);
    return copy ? 0 : -1;
}

static uint32_t first_free_id(const struct added *a, const struct vocab *model)
{
    uint32_t next = model->count;
    for (size_t i = 0; i < a->n; i++)
        if (a->v[i].id >= next) next = a->v[i].id + 1;
    return next;
}

int added_add(struct added *a, const struct vocab *model, const struct normalizer *n,
              struct added_token t, uint32_t *next_id, struct err *e)
{
    const struct added_token *same;
    if (t.content.n == 0) return 0;
    if (*next_id == VOCAB_NONE) *next_id = first_free_id(a, model);
    same = added_find(a, t.content);
    t.id = same ? same->id : vocab_find(model, t.content);
    if (t.id == VOCAB_NONE) t.id = (*next_id)++;
    t.content.p = arena_copy(&a->strings, t.content.p, t.content.n, e);
    if (!t.content.p) return -1;
    t.pattern = t.content;
    if (t.normalized && normalize(a, n, &t, e)) return -1;
    if (mem_grow(&a->v, &a->cap, a->n + 1, sizeof *a->v, e) || set_by_id(a, t.id, a->n, e) ||
        vocab_add(&a->by_content, t.content, (uint32_t)a->n, e))
        return -1;
    a->v[a->n++] = t;
    return 0;
}

static int read_token(const struct json *o, struct added_token *t, struct err *e)
{
    *t = (struct added_token){0};
    if (o->kind != JSON_OBJECT) return err_set(e, ERR_DATA, "must be an object");
    if (field_need_str(o, "content", &t->content, e) ||
        field_bool(o, "special", false, &t->special, e) ||
        field_bool(o, "single_word", false, &t->single_word, e) ||
        field_bool(o, "lstrip", false, &t->lstrip, e) ||
        field_bool(o, "rstrip", false, &t->rstrip, e) ||
        field_bool(o, "normalized", !t->special, &t->normalized, e))
        return -1;
    return 0;
}

int added_load(struct added *a, const struct json *list, const struct vocab *model,
               const struct normalizer *n, struct err *e)
{
    uint32_t next = VOCAB_NONE;
    if (!list || list->kind == JSON_NULL) return 0;
    if (list->kind != JSON_ARRAY) return err_set(e, ERR_DATA, "\"added_tokens\" must be a list");
    for (size_t i = 0; i < list->count; i++) {
        struct added_token t;
        if (read_token(&list->items[i], &t, e) || added_add(a, model, n, t, &next, e))
            return err_prefix(e, "added_tokens: entry %zu", i);
    }
    return 0;
}

int added_finish(struct added *a, struct err *e)
{
    bool any[2] = {false, false};
    for (size_t i = 0; i < a->n; i++) any[a->v[i].normalized] = true;
    if (cpset_add_ranges(&a->word, unicode_rust_word, unicode_rust_word_n, e) ||
        cpset_add_ranges(&a->space, unicode_rust_space, unicode_rust_space_n, e))
        return -1;
    if (any[0] && !(a->plain = added_trie_new(a, false, e))) return -1;
    if (any[1] && !(a->normalized = added_trie_new(a, true, e))) return -1;
    return 0;
}

/* True when a word character is next to [begin, end). */
static bool in_word(const struct added *a, struct str text, size_t begin, size_t end)
{
    uint32_t c;
    if (begin > 0 && (utf8_get_back(text.p + begin, &c), cpset_has(&a->word, c))) return true;
    return end < text.n && (utf8_get(text.p + end, &c), cpset_has(&a->word, c));
}

/* Returns the begin of the white space before `at`, but not less than `least`. */
static size_t spaces_before(const struct added *a, struct str text, size_t at, size_t least)
{
    uint32_t c;
    while (at > least) {
        unsigned len = utf8_get_back(text.p + at, &c);
        if (!cpset_has(&a->space, c)) break;
        at -= len;
    }
    return at > least ? at : least;
}

static size_t spaces_after(const struct added *a, struct str text, size_t at)
{
    uint32_t c;
    while (at < text.n) {
        unsigned len = utf8_get(text.p + at, &c);
        if (!cpset_has(&a->space, c)) break;
        at += len;
    }
    return at;
}

/* The places that added_split has reached in a text. */
struct progress {
    size_t done; /* the end of the last piece */
    size_t run;  /* the end of the white space that was last walked */
};

/* Appends the piece of a token at [at, stop) and the text before it. Tokens that are white space
 * may share the white space behind them: it is walked once. */
static int put_token(const struct added *a, const struct added_token *k, const struct ntext *t,
                     struct str text, size_t at, size_t stop, struct progress *g,
                     struct pieces *out, struct err *e)
{
    size_t begin = (size_t)(text.p - t->p);
    if (k->lstrip) at = spaces_before(a, text, at, g->done);
    if (k->rstrip) {
        if (stop >= g->run) g->run = spaces_after(a, text, stop);
        stop = g->run;
    }
    if (g->done < at && pieces_add(out, t, begin + g->done, begin + at, PIECE_TEXT, e)) return -1;
    g->done = stop;
    return pieces_add(out, t, begin + at, begin + stop, k->id, e);
}

int added_split(const struct added *a, const struct added_trie *trie, const struct ntext *t,
                size_t begin, size_t end, struct added_hits *hits, struct pieces *out,
                struct err *e)
{
    struct str text = {t->p + begin, end - begin};
    struct progress g = {0, 0};
    size_t from = 0;
    if (added_trie_find(trie, text, hits, e)) return -1;
    for (size_t i = hits->n; i-- > 0;) {
        const struct added_token *k = added_get(a, hits->v[i].id);
        size_t at = hits->v[i].begin, stop = at + k->pattern.n;
        if (at < from) continue;
        from = stop;
        if (k->single_word && in_word(a, text, at, stop)) continue;
        if (put_token(a, k, t, text, at, stop, &g, out, e)) return -1;
    }
    return g.done == text.n ? 0 : pieces_add(out, t, begin + g.done, end, PIECE_TEXT, e);
}
