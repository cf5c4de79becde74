/* SPDX-License-Identifier: Apache-2.0 */
/* Added tokens: strings that are found in the text before it is cut into words. */
#ifndef SFT_TEXT_ADDED_H
#define SFT_TEXT_ADDED_H

#include "base/json.h"
#include "text/normalizer.h"
#include "text/ntext.h"
#include "text/vocab.h"
#include "unicode/cpset.h"

struct added_token {
    struct str content;
    struct str pattern; /* what is looked for: the content, normalized if `normalized` */
    uint32_t id;
    bool special, single_word, lstrip, rstrip, normalized;
};
struct added_trie;

/* Zero-initialise. */
struct added {
    struct added_token *v;
    size_t n, cap;
    uint32_t *by_id; /* [by_id_n]: 1 + index in v, or 0 */
    size_t by_id_n;
    struct added_trie *plain, *normalized; /* NULL: no such tokens */
    struct cpset word, space;
    struct arena strings;
};
void added_free(struct added *a);
/* Returns the added token of an id; NULL: there is none. */
static inline const struct added_token *added_get(const struct added *a, uint32_t id)
{
    return id < a->by_id_n && a->by_id[id] != 0 ? &a->v[a->by_id[id] - 1] : NULL;
}

/* Adds a token as `tokenizers` does: one that the model or an earlier call knows keeps its id, else
 * it gets the next one (*next_id, VOCAB_NONE to find out). */
int added_add(struct added *a, const struct vocab *model, const struct normalizer *n,
              struct added_token t, uint32_t *next_id, struct err *e);
/* The list "added_tokens" of tokenizer.json. */
int added_load(struct added *a, const struct json *list, const struct vocab *model,
               const struct normalizer *n, struct err *e);
int added_finish(struct added *a, struct err *e); /* after the last one: builds the tries */

const struct added_token *added_find(const struct added *a, struct str content);

/* Cuts bytes [begin, end) of t, adding pieces: tokens found by the trie, and what is between. */
int added_split(const struct added *a, const struct added_trie *trie, const struct ntext *t,
                size_t begin, size_t end, struct pieces *out, struct err *e);

/* ---- the trie (added_trie.c): leftmost, longest ---- */
struct added_trie *added_trie_new(const struct added *a, bool normalized, struct err *e);
void added_trie_free(struct added_trie *t);
/* The first match in text from `from` on: 1 with its range and id, or 0. */
int added_trie_find(const struct added_trie *t, struct str text, size_t from, size_t *begin,
                    size_t *end, uint32_t *id);

#endif
