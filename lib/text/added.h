/* SPDX-License-Identifier: Apache-2.0 */
/* Added tokens: strings that are split off the text before the pre-tokenizer runs. */
#ifndef SFT_TEXT_ADDED_H
#define SFT_TEXT_ADDED_H

#include "base/json.h"
#include "text/normalizer.h"
#include "text/ntext.h"
#include "text/vocab.h"
#include "unicode/cpset.h"

struct added_token {
    struct str content;
    struct str pattern; /* the searched text: the content, normalized if `normalized` */
    uint32_t id;
    bool special, single_word, lstrip, rstrip, normalized;
};
struct added_trie;
/* A byte at which a token begins, and the longest one that does. */
struct added_hit {
    uint32_t begin, id;
};
struct added_hits { /* by descending place; zero-initialise it */
    struct added_hit *v;
    size_t n, cap;
};
void added_hits_free(struct added_hits *h);

/* The added tokens of a tokenizer; zero-initialise it. */
struct added {
    struct added_token *v;
    size_t n, cap;
    uint32_t *by_id; /* [by_id_n]: 1 + index in v, or 0 */
    size_t by_id_n;
    struct vocab by_content;               /* the index in v of the last token with a content */
    struct added_trie *plain, *normalized; /* NULL: there are no such tokens */
    struct cpset word, space;
    struct arena strings;
};
void added_free(struct added *a);
/* Returns the added token of an id; NULL: there is none. */
static inline const struct added_token *added_get(const struct added *a, uint32_t id)
{
    return id < a->by_id_n && a->by_id[id] != 0 ? &a->v[a->by_id[id] - 1] : NULL;
}

/* Adds a token as `tokenizers` does: it keeps the id that the model or an earlier call gave its
 * content, else it gets *next_id (VOCAB_NONE: the first free id). The strings are copied. */
int added_add(struct added *a, const struct vocab *model, const struct normalizer *n,
              struct added_token t, uint32_t *next_id, struct err *e);
/* Adds the tokens of the list "added_tokens" of tokenizer.json. */
int added_load(struct added *a, const struct json *list, const struct vocab *model,
               const struct normalizer *n, struct err *e);
int added_finish(struct added *a, struct err *e); /* builds the tries, after the last token */

/* Returns the added token with that content; NULL: there is none. */
const struct added_token *added_find(const struct added *a, struct str content);

/* Splits bytes [begin, end) of t into the tokens that the trie finds and the text between them, and
 * appends the pieces to out. hits is working memory. */
int added_split(const struct added *a, const struct added_trie *trie, const struct ntext *t,
                size_t begin, size_t end, struct added_hits *hits, struct pieces *out,
                struct err *e);

/* ---- the trie (added_trie.c) ---- */
struct added_trie *added_trie_new(const struct added *a, bool normalized, struct err *e);
void added_trie_free(struct added_trie *t);
/* Sets h to the longest token at each byte of the text at which one begins; the caller takes those
 * that do not overlap. */
int added_trie_find(const struct added_trie *t, struct str text, struct added_hits *h,
                    struct err *e);

#endif
